"""A WebSocket library's own server and client, a message for each call: what the library's `ws://` is compared to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve

from benchmarks.cases import FOR_TRANSPORTS, MIB
from benchmarks.runtimes import Runtime
from benchmarks.subjects.base import HOST, Subject
from benchmarks.subjects.correlated import CorrelatingClient, Handlers, codecs_of

_LARGEST = 2 * MIB
"""An echo of 1 MiB has some bytes around it, which would be over the limit that goes without saying."""


class _Client(CorrelatingClient):
    def __init__(self, runtime: Runtime, codecs: list[tuple[Any, Any]], connection: ClientConnection) -> None:
        super().__init__(runtime, codecs)
        self._connection = connection

    async def send(self, message: bytes) -> None:
        await self._connection.send(message)

    async def read(self) -> None:
        async for message in self._connection:
            self.receive(cast(bytes, message))


class WebSocketEcho(Subject):
    """Uncompressed, as the library's own is: nothing here can be made smaller."""

    cases = FOR_TRANSPORTS

    def __init__(self, runtime: Runtime, wireformat: str) -> None:
        super().__init__(runtime)
        self._codecs = codecs_of(wireformat)

    async def serve(self, ready: Callable[[str], None]) -> None:
        answer_to = Handlers(self._codecs).answer

        async def serve_connection(connection: ServerConnection) -> None:
            async for message in connection:
                answer = answer_to(cast(bytes, message))
                if answer is not None:
                    await connection.send(answer)

        async with serve(serve_connection, HOST, 0, compression=None, max_size=_LARGEST) as server:
            ready(f"ws://{HOST}:{server.sockets[0].getsockname()[1]}")
            await server.serve_forever()

    @asynccontextmanager
    async def connect(self, address: str) -> AsyncIterator[_Client]:
        async with connect(address, compression=None, max_size=_LARGEST) as connection:
            client = _Client(self.runtime, self._codecs, connection)
            reader = asyncio.create_task(client.read())
            yield client
        await reader


def make(runtime: Runtime, wireformat: str) -> Subject:
    """The subject, in the wire format that the run asks for; without its codec it can't run."""
    return WebSocketEcho(runtime, wireformat)
