"""grpc.aio with generic handlers: msgpack instead of generated protobuf code, which is the lesser part of its cost."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import grpc  # type: ignore[import-untyped, import-not-found, unused-ignore]  # optional, without types
import grpc.aio  # type: ignore[import-untyped, import-not-found, unused-ignore]
import msgpack  # type: ignore[import-untyped, import-not-found, unused-ignore]  # optional, without types

from benchmarks.load import AwaitableClient
from benchmarks.runtimes import Runtime
from benchmarks.subjects.base import HOST, Subject

_SERVICE = "bench.Bench"

_OPTIONS = [
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # Else all channels of the process to the same address share one connection, and `idle` measures nothing.
    ("grpc.use_local_subchannel_pool", 1),
    # By default a server cancels calls at random when 1,000 are pending; `c1024` is to measure them all.
    ("grpc.server.max_pending_requests", 10_000),
    ("grpc.server.max_pending_requests_hard_limit", 20_000),
]


class _Handlers:
    def __init__(self) -> None:
        self._handled = 0

    async def add(self, request: bytes, context: object) -> bytes:
        fields = msgpack.unpackb(request)
        return cast(bytes, msgpack.packb(fields["a"] + fields["b"]))

    async def echo(self, request: bytes, context: object) -> bytes:
        return cast(bytes, msgpack.packb(msgpack.unpackb(request)["data"]))

    async def log(self, requests: AsyncIterator[bytes], context: object) -> bytes:
        async for request in requests:
            msgpack.unpackb(request)
            self._handled += 1
        return b""

    async def handled(self, request: bytes, context: object) -> bytes:
        return cast(bytes, msgpack.packb(self._handled))

    def generic(self) -> Any:
        unary = grpc.unary_unary_rpc_method_handler
        return grpc.method_handlers_generic_handler(
            _SERVICE,
            {
                "Add": unary(self.add),
                "Echo": unary(self.echo),
                "Handled": unary(self.handled),
                "Log": grpc.stream_unary_rpc_method_handler(self.log),
            },
        )


class _Client(AwaitableClient):
    def __init__(self, runtime: Runtime, channel: Any) -> None:
        super().__init__(runtime)
        self._add = channel.unary_unary(f"/{_SERVICE}/Add")
        self._echo = channel.unary_unary(f"/{_SERVICE}/Echo")
        self._handled = channel.unary_unary(f"/{_SERVICE}/Handled")
        self._log = channel.stream_unary(f"/{_SERVICE}/Log")
        self._lines: Any = None

    async def add(self, a: int, b: int) -> int:
        return cast(int, msgpack.unpackb(await self._add(msgpack.packb({"a": a, "b": b}))))

    async def echo(self, data: bytes) -> bytes:
        return cast(bytes, msgpack.unpackb(await self._echo(msgpack.packb({"data": data}))))

    async def send_lines(self, count: int) -> None:
        # There are no one-way messages; a stream of requests is what comes nearest, and is the fastest.
        if self._lines is None:
            self._lines = self._log()
        for _ in range(count):
            await self._lines.write(msgpack.packb({"line": "hello"}))

    async def handled(self) -> int:
        if self._lines is not None:
            lines, self._lines = self._lines, None
            await lines.done_writing()
            await lines
        return cast(int, msgpack.unpackb(await self._handled(b"")))


class GrpcAio(Subject):
    """gRPC's own asyncio interface."""

    async def serve(self, ready: Callable[[str], None]) -> None:
        server = grpc.aio.server(options=_OPTIONS)
        server.add_generic_rpc_handlers((_Handlers().generic(),))
        port = server.add_insecure_port(f"{HOST}:0")
        await server.start()
        ready(str(port))
        await server.wait_for_termination()

    @asynccontextmanager
    async def connect(self, address: str) -> AsyncIterator[_Client]:
        async with grpc.aio.insecure_channel(f"{HOST}:{address}", options=_OPTIONS) as channel:
            yield _Client(self.runtime, channel)


def make(runtime: Runtime, wireformat: str) -> Subject:
    """The subject; it always speaks msgpack, in gRPC's frames."""
    return GrpcAio(runtime)
