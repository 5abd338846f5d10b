"""pycapnp's asyncio interface: Cap'n Proto's RPC, in C++ underneath."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, cast

import capnp  # type: ignore[import-untyped, import-not-found, unused-ignore]  # optional, without types

from benchmarks.load import AwaitableClient
from benchmarks.runtimes import Runtime
from benchmarks.subjects.base import HOST, Subject

_SENDS_ON_THEIR_WAY = 64
"""It has no one-way messages: calls whose (empty) answers nobody looks at are what comes nearest."""

# Its own import hook would look for the file on the path; the name of the file says the same.
_SCHEMA: Any = capnp.load(str(Path(__file__).with_name("bench.capnp")))


class _Bench(_SCHEMA.Bench.Server):  # type: ignore[misc, name-defined, unused-ignore]  # made at run time
    handled_lines = 0

    async def add(self, a: int, b: int, **_: Any) -> int:
        return a + b

    async def echo(self, data: bytes, **_: Any) -> bytes:
        return data

    async def log(self, line: str, **_: Any) -> None:
        _Bench.handled_lines += 1

    async def handled(self, **_: Any) -> int:
        return _Bench.handled_lines


class _Client(AwaitableClient):
    def __init__(self, runtime: Runtime, bench: Any) -> None:
        super().__init__(runtime)
        self._bench = bench
        self._on_their_way: deque[Awaitable[Any]] = deque()

    async def add(self, a: int, b: int) -> int:
        return cast(int, (await self._bench.add(a=a, b=b)).sum)

    async def echo(self, data: bytes) -> bytes:
        return cast(bytes, (await self._bench.echo(data=data)).data)

    async def send_lines(self, count: int) -> None:
        on_their_way = self._on_their_way
        for _ in range(count):
            if len(on_their_way) == _SENDS_ON_THEIR_WAY:
                await on_their_way.popleft()
            on_their_way.append(self._bench.log(line="hello"))

    async def handled(self) -> int:
        while self._on_their_way:
            await self._on_their_way.popleft()
        return cast(int, (await self._bench.handled()).count)


class CapnProto(Subject):
    """Cap'n Proto's two-party RPC over TCP."""

    def surroundings(self) -> AbstractAsyncContextManager[None]:
        return cast(AbstractAsyncContextManager[None], capnp.kj_loop())

    async def serve(self, ready: Callable[[str], None]) -> None:
        async def serve_connection(stream: Any) -> None:
            await capnp.TwoPartyServer(stream, bootstrap=_Bench()).on_disconnect()

        server = await capnp.AsyncIoStream.create_server(serve_connection, HOST, 0, backlog=1024)
        ready(str(server.sockets[0].getsockname()[1]))
        await server.serve_forever()

    @asynccontextmanager
    async def connect(self, address: str) -> AsyncIterator[_Client]:
        stream = await capnp.AsyncIoStream.create_connection(HOST, int(address))
        client = capnp.TwoPartyClient(stream)
        try:
            yield _Client(self.runtime, client.bootstrap().cast_as(_SCHEMA.Bench))
        finally:
            client.close()


def make(runtime: Runtime, wireformat: str) -> Subject:
    """The subject; it has a serialization of its own."""
    return CapnProto(runtime)
