"""duologue itself, with every limit at its default, written as its users would write it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.cases import CASES, FOR_TRANSPORTS
from benchmarks.load import AwaitableClient
from benchmarks.runtimes import Runtime
from benchmarks.subjects.base import HOST, Subject
from benchmarks.subjects.messages import CODECS, Add, Echo, Handled, Log, bench
from duologue import Remote, ServiceMap, Services, WireFormat, connect, serve
from duologue.protocol import Mode, Route, Router

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


_NEEDED = {
    "tls": ("trustme",),
    "ws": ("websockets",),
    "wss": ("trustme", "websockets"),
    "zmq+tcp": ("zmq",),
    "zmq+ipc": ("zmq",),
}
"""The packages that a transport needs, here for certificates, too."""

_BY_PATH = ("unix", "zmq+ipc")
_ENCRYPTED = ("tls", "wss")

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
    """The library, over one of its transports."""

    def __init__(self, runtime: Runtime, wireformat: str, scheme: str) -> None:
        super().__init__(runtime)
        self._wireformat = wireformat
        self._scheme = scheme
        self.cases = frozenset(CASES) if scheme == "tcp" else FOR_TRANSPORTS

    async def serve(self, ready: Callable[[str], None]) -> None:
        services = _EchoFrames(_make_services())
        address = Path("socket").absolute() if self._scheme in _BY_PATH else f"{HOST}:0"
        async with serve(
            f"{self._scheme}://{address}", services, wireformat=self._wireformat, **self._server_options()
        ) as server:
            ready(str(server.url))
            await server.wait_closed()

    @asynccontextmanager
    async def connect(self, address: str) -> AsyncIterator[_Client]:
        options: dict[str, Any] = {"ca": "ca.pem"} if self._scheme in _ENCRYPTED else {}
        async with connect(address, wireformat=self._wireformat, **options) as peer:
            yield _Client(self.runtime, peer.remote(bench), self._wireformat)

    def _server_options(self) -> dict[str, Any]:
        options: dict[str, Any] = {"origins": []} if self._scheme in ("ws", "wss") else {}
        if self._scheme in _ENCRYPTED:
            import trustme

            authority = trustme.CA()
            authority.cert_pem.write_to_path("ca.pem")
            certificate = authority.issue_cert(HOST)
            certificate.private_key_and_cert_chain_pem.write_to_path("server.pem")
            options |= {"certificate": "server.pem", "key": "server.pem"}
        return options


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


def make(runtime: Runtime, wireformat: str, scheme: str = "tcp") -> Subject:
    """The subject, in the wire format that the run asks for; without what it needs it can't run."""
    for package in (*CODECS.get(wireformat, ()), *_NEEDED.get(scheme, ())):
        import_module(package)
    return Duologue(runtime, wireformat, scheme)
