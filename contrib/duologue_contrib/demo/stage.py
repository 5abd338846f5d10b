"""Where the rows play: the server's process, and connections to it or within this one."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import anyio
import anyio.abc
from anyio.streams.buffered import BufferedByteReceiveStream

from duologue import Limits, Peer, Services, connect, serve
from duologue_contrib.demo.services import Counts, server_services

STARTING = 30.0
"""Seconds in which the server must have started, on a machine that is busy."""

_LIMITS = Limits()


class NoServer(Exception):
    """The second process is not there, or did not say where it listens."""


class Stage:
    """One run of the demo. The server lives until `close`, if no row kills it before."""

    def __init__(self, backend: str) -> None:
        self._backend = backend
        self._process: anyio.abc.Process | None = None
        self._urls: dict[str, str] = {}

    async def start_server(self) -> int:
        """Start it, and wait until it listens. Returns the id of its process. Raises `NoServer`."""
        # Not a module in the folder that the user happens to be in, but ours (-P). Not in the terminal's group, so that
        # Ctrl-C is for this process alone: the server ends with it.
        command = [sys.executable, "-P", "-m", "duologue_contrib.demo.server", self._backend]
        self._process = process = await anyio.open_process(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=None, start_new_session=True
        )
        assert process.stdout is not None
        try:
            with anyio.fail_after(STARTING):
                line = await BufferedByteReceiveStream(process.stdout).receive_until(b"\n", 65536)
        except TimeoutError:
            raise NoServer(f"the server's process did not begin to listen within {STARTING:g} s") from None
        except (anyio.IncompleteRead, anyio.EndOfStream):
            raise NoServer("the server's process ended before it listened") from None
        self._urls = json.loads(line)
        return process.pid

    def kill_server(self) -> None:
        """SIGKILL: it can neither say goodbye nor clean up."""
        self._running().kill()

    async def close(self) -> None:
        """End the server, if it still runs."""
        process = self._process
        if process is None:
            return
        with anyio.CancelScope(shield=True):
            try:
                process.kill()
            except ProcessLookupError:
                pass
            await process.aclose()

    def tcp(
        self,
        service: str,
        services: Services | None = None,
        *,
        wireformat: str = "",
        limits: Limits = _LIMITS,
    ) -> AbstractAsyncContextManager[Peer]:
        """Connect to the server: to what it serves in a wire format, or to `SHARED` in the wire format given.

        Raises `NoServer`, and what `connect` raises.
        """
        self._running()
        return connect(self._urls[service], services, wireformat=wireformat or service, limits=limits)

    @asynccontextmanager
    async def memory(self, wireformat: str, services: Services | None = None) -> AsyncGenerator[Peer]:
        """A server and a client within this process, with nothing but the protocol between them."""
        handlers = server_services(Counts())
        async with (
            serve("mem://demo", handlers, wireformat=wireformat),
            connect("mem://demo", services, wireformat=wireformat) as peer,
        ):
            yield peer

    def _running(self) -> anyio.abc.Process:
        if self._process is None or not self._urls:
            raise NoServer("the server did not start")
        return self._process
