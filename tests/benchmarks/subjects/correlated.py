"""What one would write by hand over a transport that has messages: one message is one call, and an id tells whose answer it is.

The same messages as the library sends, in its codecs, behind a byte for the method and the id. Handlers run in place. No
limit, no timeout, no error handling.
"""

from __future__ import annotations

import asyncio
import struct
from abc import abstractmethod
from collections.abc import Callable
from importlib import import_module
from typing import Any, cast

from benchmarks.load import AwaitableClient
from benchmarks.runtimes import Runtime
from benchmarks.subjects.messages import CODECS, Add, Echo, Handled, Log, bench
from duologue.plugins import find_wireformat

_ONE_WAY = 0
_REQUEST = struct.Struct("<BQ")
_ID = struct.Struct("<Q")
_METHODS = (Add, Echo, Log, Handled)


def codecs_of(wireformat: str) -> list[tuple[Any, Any]]:
    """The codec of each method's message, and of its answer. Raises ImportError where one needs what isn't installed."""
    for package in CODECS.get(wireformat, ()):
        import_module(package)
    codecs = bench.codecs(find_wireformat(wireformat))
    return [codecs[method] for method in _METHODS]


class Handlers:
    """The server's half: from a request to its answer."""

    def __init__(self, codecs: list[tuple[Any, Any]]) -> None:
        self._handled = 0
        handlers: list[Callable[[Any], Any]] = [
            lambda message: message.a + message.b,
            lambda message: message.data,
            self._log,
            lambda message: self._handled,
        ]
        self._methods = [
            (message.decode, handler, answer.encode)
            for (message, answer), handler in zip(codecs, handlers, strict=True)
        ]

    def _log(self, message: Log) -> None:
        self._handled += 1

    def answer(self, request: bytes) -> bytes | None:
        """The answer; None to one-way messages."""
        method, call_id = _REQUEST.unpack_from(request)
        decode, handler, encode = self._methods[method]
        result = handler(decode(request[_REQUEST.size :]))
        return None if call_id == _ONE_WAY else _ID.pack(call_id) + encode(result)


class CorrelatingClient(AwaitableClient):
    """The client's half. Who makes one of it sends its messages, and gives it those that come."""

    def __init__(self, runtime: Runtime, codecs: list[tuple[Any, Any]]) -> None:
        super().__init__(runtime)
        self._methods = [(message.encode, answer.decode) for message, answer in codecs]
        self._pending: dict[int, asyncio.Future[bytes]] = {}
        self._last_id = _ONE_WAY
        self._loop = asyncio.get_running_loop()

    @abstractmethod
    async def send(self, message: bytes) -> None:
        """Send a message."""

    def receive(self, message: bytes) -> None:
        """A message came."""
        self._pending.pop(_ID.unpack_from(message)[0]).set_result(message[_ID.size :])

    async def _call(self, method: int, message: object) -> Any:
        encode, decode = self._methods[method]
        self._last_id = call_id = self._last_id + 1
        self._pending[call_id] = future = self._loop.create_future()
        await self.send(_REQUEST.pack(method, call_id) + encode(message))
        return decode(await future)

    async def add(self, a: int, b: int) -> int:
        return cast(int, await self._call(0, Add(a=a, b=b)))

    async def echo(self, data: bytes) -> bytes:
        return cast(bytes, await self._call(1, Echo(data=data)))

    async def send_lines(self, count: int) -> None:
        encode, _ = self._methods[2]
        for _ in range(count):
            await self.send(_REQUEST.pack(2, _ONE_WAY) + encode(Log(line="hello")))

    async def handled(self) -> int:
        return cast(int, await self._call(3, Handled()))
