"""Listening sockets, the same for both engines."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Any

import anyio

from duologue_adapters.ports import Engine, Link, Listener


class SocketListener(Listener):
    """A socket that listens; it blocks no longer. Links are accepted one by one when asked, so that accepting can pause."""

    backlog = 1024
    """Connections that may wait until they are accepted, for `socket.listen`."""

    def __init__(self, engine: Engine, sock: socket.socket, url: str) -> None:
        sock.setblocking(False)  # one that blocks would stop the loop until somebody comes
        self.url = url
        self._engine = engine
        self._socket = sock

    async def accept(self) -> Link:
        # Not by the loop's own `accept`: asyncio's, cancelled in the moment in which a connection comes, loses the socket.
        while True:
            try:
                sock = self._socket.accept()[0]
            except BlockingIOError:
                await anyio.wait_readable(self._socket)
                continue
            except ConnectionAbortedError:
                continue
            with suppress(ConnectionAbortedError):  # it has gone again: the next one, then
                return await self.link_over(sock)

    async def link_over(self, sock: socket.socket) -> Link:
        """The link of a socket that was accepted. Override it to say more of the other end."""
        return await self._engine.socket_link(sock)

    def close(self) -> None:
        self._socket.close()


def listening_socket(family: int, address: Any) -> socket.socket:
    """A socket that listens. Raises `OSError`."""
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setblocking(False)
        sock.bind(address)
        sock.listen(SocketListener.backlog)
    except BaseException:
        sock.close()
        raise
    return sock


def url_of(sock: socket.socket) -> str:
    """Where a socket listens, as a URL."""
    host, port = sock.getsockname()[:2]
    return f"tcp://{f'[{host}]' if ':' in host else host}:{port}"
