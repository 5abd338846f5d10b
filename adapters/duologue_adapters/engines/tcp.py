"""TCP sockets, the same for both engines: how they listen, and how they notice that the other end is gone."""

from __future__ import annotations

import errno
import math
import re
import socket
from contextlib import suppress
from typing import Any

from duologue_adapters.engines.listener import SocketListener, listening_socket, url_of
from duologue_adapters.ports import Engine, Link

PROBES = 4
"""Times that the system asks, before it gives up an idle connection. One lost packet must not end one."""

_NUMBERS = re.compile(r"\[Errno (\d+)\]")

_LONGEST = 32767
"""Seconds, the most that systems take for one wait."""


def is_to_itself(sock: socket.socket) -> bool:
    """Whether a TCP connection is its own other end.

    Where nobody listens on a port of this machine, the system may choose that very port for the near end, and connect the
    two: rarely, but who tries again and again gets there, and then whoever should listen there can't.
    """
    try:
        return bool(sock.getsockname() == sock.getpeername())
    except OSError:
        return False  # it is gone again, as will be told


def connected_to_itself() -> OSError:
    """What such a connection is turned into."""
    return ConnectionRefusedError(errno.ECONNREFUSED, "the connection was one to itself")


def is_refusal(error: OSError) -> bool:
    """Whether nobody listens, at none of the addresses that were tried. Of several asyncio tells only in a text."""
    told = {int(number) for number in _NUMBERS.findall(str(error))} if error.errno is None else {error.errno}
    return told == {errno.ECONNREFUSED}


class TcpListener(SocketListener):
    """A listening port. What is accepted is set as `tune` does."""

    def __init__(self, engine: Engine, infos: list[tuple[Any, ...]], heartbeat: float) -> None:
        sock = listening_socket(infos[0][0], infos[0][4])
        super().__init__(engine, sock, url_of(sock))
        self._heartbeat = heartbeat

    async def link_over(self, sock: socket.socket) -> Link:
        tune(sock, self._heartbeat)
        return await super().link_over(sock)


def tune(sock: socket.socket, heartbeat: float) -> None:
    """No delay for small frames; a silent partition ends the connection after twice the heartbeat, whether or not we write.

    The system counts in whole seconds while a connection is idle, so less than 1 s is 1 s.
    """
    idle = min(max(1, math.ceil(heartbeat)), _LONGEST)
    between = max(1, idle // PROBES)
    with suppress(OSError):  # some systems refuse it for a connection that is lost already
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in (
            ("TCP_KEEPIDLE", idle),
            ("TCP_KEEPINTVL", between),
            ("TCP_KEEPCNT", math.ceil(idle / between)),
            ("TCP_USER_TIMEOUT", 2000 * idle),
        ):
            if hasattr(socket, option):  # not everywhere
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
