"""duologue itself, with every limit at its default, written as its users would write it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib import import_module
from urllib.parse import urlsplit

from benchmarks.cases import CASES
from benchmarks.load import AwaitableClient
from benchmarks.runtimes import Runtime
from benchmarks.subjects.base import HOST, Subject
from duologue import Message, Namespace, Remote, ServiceMap, Services, WireFormat, connect, serve
from duologue.protocol import Mode, Route, Router


class Add(Message[int]):
    a: int
    b: int


class Echo(Message[bytes]):
    data: bytes


class Log(Message[None]):
    line: str


class Handled(Message[int]):
    pass


bench = Namespace("bench", [Add, Echo, Log, Handled])

_FRAME_HEADER = 24

_ECHO_FRAME = 1
"""The service id of the echo of bare frames."""


class _EchoFrames(ServiceMap):
    """The services, and one that gives a payload back as it came, as a relay does."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def router(self, wireformat: WireFormat) -> Router:
        router, echo = self._services.router(wireformat), _EchoRoute()
        return lambda sid: echo if sid == _ECHO_FRAME else router(sid)


class _EchoRoute(Route):
    name = "echo of a frame"
    mode = Mode.INLINE

    def run_sync(self, payload: bytes, context: object, answered: bool) -> bytes:
        return payload


_CODECS = {"msgpack": "msgpack", "cbor": "cbor2"}
"""The packages that are extras."""

_AROUND_DATA = {
    # One byte for a map of one field, five for its name, five to announce 64 KiB or more (three for less).
    "msgpack": 11,
    "cbor": 11,
    # {"data":"..."}
    "json": 11,
}


class _Client(AwaitableClient):
    def __init__(self, runtime: Runtime, remote: Remote, wireformat: str) -> None:
        super().__init__(runtime)
        self._remote = remote
        self._wireformat = wireformat

    def add(self, a: int, b: int) -> Awaitable[int]:
        return self._remote.call(Add(a=a, b=b))

    def echo(self, data: bytes) -> Awaitable[bytes]:
        return self._remote.call(Echo(data=data))

    def echo_frame(self, payload: bytes) -> Awaitable[bytes]:
        return self._remote.peer.call_raw(_ECHO_FRAME, payload)

    def frame_payload_size(self, size: int) -> int:
        return size - _FRAME_HEADER

    async def send_lines(self, count: int) -> None:
        send = self._remote.send
        for _ in range(count):
            await send(Log(line="hello"))

    async def handled(self) -> int:
        return await self._remote.call(Handled())

    def payload_size(self, size: int) -> int:
        """The bytes that make the call's frame, its header included, `size` long: 1 MiB is the limit's very edge."""
        room = size - _FRAME_HEADER - _AROUND_DATA[self._wireformat]
        # JSON holds bytes as base64, four characters for three bytes: the nearest that isn't over.
        return room // 4 * 3 if self._wireformat == "json" else room


class Duologue(Subject):
    """The library, over TCP."""

    cases = frozenset(CASES)

    def __init__(self, runtime: Runtime, wireformat: str) -> None:
        super().__init__(runtime)
        self._wireformat = wireformat

    async def serve(self, ready: Callable[[int], None]) -> None:
        services = _EchoFrames(_make_services())
        async with serve(f"tcp://{HOST}:0", services, wireformat=self._wireformat) as server:
            port = urlsplit(str(server.url)).port
            assert port is not None
            ready(port)
            await server.wait_closed()

    @asynccontextmanager
    async def connect(self, port: int) -> AsyncIterator[_Client]:
        async with connect(f"tcp://{HOST}:{port}", wireformat=self._wireformat) as peer:
            yield _Client(self.runtime, peer.remote(bench), self._wireformat)


def _make_services() -> Services:
    services = Services(bench)
    lines = 0

    @services.handler
    async def add(msg: Add) -> int:
        return msg.a + msg.b

    @services.handler
    async def echo(msg: Echo) -> bytes:
        return msg.data

    @services.handler
    async def log(msg: Log) -> None:
        nonlocal lines
        lines += 1

    @services.handler
    async def handled(msg: Handled) -> int:
        return lines

    return services


def make(runtime: Runtime, wireformat: str) -> Subject:
    """The subject, in the wire format that the run asks for; without its codec it can't run."""
    if wireformat in _CODECS:
        import_module(_CODECS[wireformat])
    return Duologue(runtime, wireformat)
