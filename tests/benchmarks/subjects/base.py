"""The port that each subject fills."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext

from benchmarks.cases import FOR_ANY
from benchmarks.load import Client
from benchmarks.runtimes import Runtime

HOST = "127.0.0.1"


class Subject(ABC):
    """An RPC library, or what stands in for one: a server, and connections to it."""

    cases: frozenset[str] = FOR_ANY
    """The names of the cases that make sense for it."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime

    def surroundings(self) -> AbstractAsyncContextManager[None]:
        """What the whole process needs around it, server or client."""
        return nullcontext()

    @abstractmethod
    async def serve(self, ready: Callable[[str], None]) -> None:
        """Listen on a free port of HOST, or on a path, tell the address to `ready`, and serve until the process is ended.

        The address is what `connect` understands. Server and client run in one empty folder, for whatever they share.
        """

    @abstractmethod
    def connect(self, address: str) -> AbstractAsyncContextManager[Client]:
        """Open one connection."""


async def serve_protocol(factory: Callable[[], asyncio.BaseProtocol], ready: Callable[[str], None]) -> None:
    """Serve an asyncio protocol until the process is ended."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(factory, HOST, 0, backlog=1024)
    ready(str(server.sockets[0].getsockname()[1]))
    await server.serve_forever()
