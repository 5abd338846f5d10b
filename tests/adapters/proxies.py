"""A proxy that misbehaves, between two ends that know nothing of it. It does so when it is told to, and forwards else.

What it can't do is to make the system of either end behave badly: it acknowledges whatever it reads. For that there are networks
(`tests.adapters.networks`).
"""

from __future__ import annotations

import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.abc
from tests.adapters.networks import forget

_AT_ONCE = 64 * 1024


class Way:
    """One direction of a connection through the proxy."""

    def __init__(self, source: socket.socket, target: socket.socket) -> None:
        self.received = 0
        """Bytes that came, whatever was done with them."""
        self.forwarded = 0
        self._source = source
        self._target = target
        self._goes = anyio.Event()
        self._goes.set()
        self._drops = False
        self._left: int | None = None
        self._at_once = _AT_ONCE

    def stall(self) -> None:
        """Read nothing from now on: to the one who sends, the other end has stopped reading."""
        if self._goes.is_set():
            self._goes = anyio.Event()

    def drop(self) -> None:
        """Take everything, and forward nothing, not even an end: to the one who waits, the other end has fallen silent."""
        self._drops = True

    def go_on(self) -> None:
        """Read on, and forward what comes from now on. What was dropped is lost."""
        self._drops = False
        self._goes.set()

    def dribble(self) -> None:
        """Forward one byte at a time."""
        self._at_once = 1

    def cut_after(self, count: int) -> None:
        """Forward so many bytes more, and then end the connection, both ways."""
        self._left = count

    def end(self) -> None:
        """Half-close: end this way, and drop what still comes."""
        self._target.shutdown(socket.SHUT_WR)
        self._drops = True

    async def run(self) -> bool:
        """Forward until the source has ended, and end the target then. False if the connection is to be cut."""
        while True:
            await self._goes.wait()
            await anyio.wait_readable(self._source)
            if not self._goes.is_set():
                continue
            data = self._source.recv(_AT_ONCE)
            self.received += len(data)
            if self._drops:
                if not data:
                    await anyio.sleep_forever()
            elif not data:
                self._target.shutdown(socket.SHUT_WR)
                return True
            elif not await self._forward(data):
                return False

    async def _forward(self, data: bytes) -> bool:
        rest = memoryview(data)[: self._left]
        while rest and not self._drops:
            await anyio.wait_writable(self._target)
            sent = self._target.send(rest[: self._at_once])
            rest = rest[sent:]
            self.forwarded += sent
            if self._left is not None:
                self._left -= sent
        return self._left != 0


class Through:
    """A connection through the proxy."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.to_server = Way(client, server)
        self.to_client = Way(server, client)
        self._sockets = client, server
        self._scope = anyio.CancelScope()
        self._is_reset = False
        self._is_forgotten = False

    def drop(self) -> None:
        """Both ways: the network between the ends is gone."""
        self.to_server.drop()
        self.to_client.drop()

    def cut(self) -> None:
        """End it, both ways, as who closes a socket does."""
        self._scope.cancel()

    def reset(self) -> None:
        """End it, both ways, with a reset."""
        self._is_reset = True
        self._scope.cancel()

    def forget(self) -> None:
        """End it, both ways, and tell neither end, as a machine that is restarted does. What still comes is answered by a reset."""
        self._is_forgotten = True
        self._scope.cancel()

    async def run(self) -> None:
        try:
            with self._scope:
                async with anyio.create_task_group() as group:
                    group.start_soon(self._run, self.to_server)
                    group.start_soon(self._run, self.to_client)
        finally:
            for each in self._sockets:
                if self._is_forgotten:
                    forget(each)
                elif self._is_reset:
                    each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                each.close()

    async def _run(self, way: Way) -> None:
        try:
            if not await way.run():
                self.cut()
        except OSError:  # one end has reset it, so the other gets that
            self.reset()


class Proxy:
    """Listens, and connects each connection to the same server."""

    def __init__(self, url: str, target: Any) -> None:
        self.url = url
        """Where to connect to: the same scheme and path as the server's."""
        self.connections: list[Through] = []
        """All that there have been, in the order in which they came."""
        self.greet: Callable[[Through], None] = lambda through: None
        """Called with each new one, before a byte of it is forwarded."""
        self._target = target

    async def run(self, listener: socket.socket) -> None:
        """Accept connections until cancelled. All end then."""
        async with anyio.create_task_group() as group:
            while True:
                await anyio.wait_readable(listener)
                client = listener.accept()[0]
                server = socket.socket(client.family)
                server.setsockopt(
                    socket.SOL_SOCKET,
                    socket.SO_RCVBUF,
                    listener.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2,
                )
                server.connect(self._target)  # to the same machine, so at once
                for each in (client, server):
                    each.setblocking(False)
                through = Through(client, server)
                self.connections.append(through)
                self.greet(through)
                group.start_soon(through.run)


@asynccontextmanager
async def proxy_for(url: str, *, window: int = 64 * 1024) -> AsyncIterator[Proxy]:
    """A proxy in front of a server, of which not much more than `window` bytes fit between the two ends when it stalls."""
    scheme, _, rest = url.partition("://")
    target: Any
    if rest.startswith("/"):
        family, target, here = socket.AF_UNIX, rest, f"{rest}.proxy"
    else:
        address, _, path = rest.partition("/")
        host, _, port = address.rpartition(":")
        family, target, here = socket.AF_INET, (host, int(port)), (host, 0)
    with socket.socket(family) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        listener.bind(here)
        listener.listen()
        listener.setblocking(False)
        name = listener.getsockname()
        url = f"{scheme}://{name}" if family == socket.AF_UNIX else f"{scheme}://{name[0]}:{name[1]}/{path}"
        proxy = Proxy(url.removesuffix("/"), target)
        async with anyio.create_task_group() as group:
            group.start_soon(proxy.run, listener)
            try:
                yield proxy
            finally:
                group.cancel_scope.cancel()
