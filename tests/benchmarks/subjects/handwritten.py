"""What one would write by hand in an hour, and what everything else is compared to.

A length prefix, msgpack, a dict of futures, handlers in place, and one write for all that a pass of the loop has
to say. No limit, no timeout, no flow control, no error handling.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import msgpack  # type: ignore[import-untyped, import-not-found, unused-ignore]  # optional, without types

from benchmarks.load import AwaitableClient
from benchmarks.runtimes import Runtime
from benchmarks.subjects.base import HOST, Subject, serve_protocol

_LENGTH = struct.Struct(">I")
_ONE_WAY = 0


class _Framed(asyncio.Protocol):
    """Length-prefixed msgpack maps, both ways: {id, method, params} for a request, {id, result} for an answer."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self._received = b""
        self._to_write: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        received = self._received + data if self._received else data
        start, end = 0, len(received)
        while end - start >= 4:
            after = start + 4 + _LENGTH.unpack_from(received, start)[0]
            if after > end:
                break
            self.message_received(msgpack.unpackb(received[start + 4 : after]))
            start = after
        self._received = received[start:]

    def message_received(self, message: dict[str, Any]) -> None:
        raise NotImplementedError

    def _put(self, message: dict[str, Any]) -> None:
        payload = msgpack.packb(message)
        self._to_write.append(_LENGTH.pack(len(payload)))
        self._to_write.append(payload)

    def _flush(self) -> None:
        if self._to_write:
            self.transport.write(b"".join(self._to_write))
            self._to_write.clear()


class _Server(_Framed):
    handlers: dict[str, Callable[[dict[str, Any]], Any]]

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._flush()

    def message_received(self, message: dict[str, Any]) -> None:
        call_id = message["id"]
        answer = self.handlers[message["method"]](message["params"])
        if call_id != _ONE_WAY:
            self._put({"id": call_id, "result": answer})


class _Caller(_Framed):
    def __init__(self) -> None:
        super().__init__()
        self._pending: dict[int, asyncio.Future[Any]] = {}
        self._last_id = _ONE_WAY
        self._loop = asyncio.get_running_loop()

    def call(self, method: str, fields: dict[str, Any]) -> asyncio.Future[Any]:
        self._last_id = call_id = self._last_id + 1
        self._pending[call_id] = future = self._loop.create_future()
        self._request({"id": call_id, "method": method, "params": fields})
        return future

    def send(self, method: str, fields: dict[str, Any]) -> None:
        self._request({"id": _ONE_WAY, "method": method, "params": fields})

    def _request(self, message: dict[str, Any]) -> None:
        if not self._to_write:
            self._loop.call_soon(self._flush)
        self._put(message)

    def message_received(self, message: dict[str, Any]) -> None:
        self._pending.pop(message["id"]).set_result(message["result"])


class _Client(AwaitableClient):
    def __init__(self, runtime: Runtime, caller: _Caller) -> None:
        super().__init__(runtime)
        self._caller = caller

    def add(self, a: int, b: int) -> asyncio.Future[int]:
        return self._caller.call("add", {"a": a, "b": b})

    def echo(self, data: bytes) -> asyncio.Future[bytes]:
        return self._caller.call("echo", {"data": data})

    async def send_lines(self, count: int) -> None:
        send = self._caller.send
        for _ in range(count):
            send("log", {"line": "hello"})

    async def handled(self) -> int:
        return cast(int, await self._caller.call("handled", {}))


class Handwritten(Subject):
    """The hand-written RPC, on asyncio or uvloop."""

    async def serve(self, ready: Callable[[str], None]) -> None:
        handled = 0

        def log(fields: dict[str, Any]) -> None:
            nonlocal handled
            handled += 1

        _Server.handlers = {
            "add": lambda fields: fields["a"] + fields["b"],
            "echo": lambda fields: fields["data"],
            "log": log,
            "handled": lambda fields: handled,
        }
        await serve_protocol(_Server, ready)

    @asynccontextmanager
    async def connect(self, address: str) -> AsyncIterator[_Client]:
        loop = asyncio.get_running_loop()
        transport, caller = await loop.create_connection(_Caller, HOST, int(address))
        try:
            yield _Client(self.runtime, caller)
        finally:
            transport.close()


def make(runtime: Runtime, wireformat: str) -> Subject:
    """The subject; it always speaks msgpack."""
    return Handwritten(runtime)
