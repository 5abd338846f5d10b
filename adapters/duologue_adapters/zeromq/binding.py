"""Where a server's socket is bound: again after a predecessor, and to a path that is nobody else's."""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Callable
from contextlib import suppress

import zmq

from duologue_adapters.ports import Engine
from duologue_adapters.zeromq.sockets import Socket

_TRIES = 20
_PAUSE = 0.01
"""Seconds between tries. The library gives an address free in its own thread, some time after the socket was closed."""


async def bind(engine: Engine, sock: Socket, endpoint: str) -> str:
    """Bind it, and return the endpoint that it has then. Raises `zmq.ZMQError` or `OSError`."""
    for left in reversed(range(_TRIES)):
        try:
            _bind(sock, endpoint)
            break
        except (zmq.ZMQError, OSError) as exc:
            if exc.errno != errno.EADDRINUSE or not left:
                raise
        await engine.sleep(_PAUSE)
    found = sock.getsockopt(zmq.LAST_ENDPOINT)
    assert isinstance(found, bytes)
    return found.rstrip(b"\0").decode()


def remover(endpoint: str) -> Callable[[], None]:
    """What removes the file that an endpoint has, if it has one, and if it is still the same then: the library leaves it there."""
    path = endpoint.removeprefix("ipc://")
    if path == endpoint:
        return lambda: None
    ours = os.lstat(path)

    def remove() -> None:
        with suppress(OSError):
            if os.path.samestat(os.lstat(path), ours):
                os.unlink(path)

    return remove


def _bind(sock: Socket, endpoint: str) -> None:
    if not endpoint.startswith("ipc://"):
        sock.bind(endpoint)
        return
    _check_path(endpoint.removeprefix("ipc://"))
    before = os.umask(0o177)  # the socket's file is for its owner only, from its first moment
    try:
        sock.bind(endpoint)
    finally:
        os.umask(before)


def _check_path(path: str) -> None:
    """The library would remove whatever is there: only a socket to which nobody listens may go."""
    try:
        mode = os.lstat(path).st_mode
    except OSError:
        return  # nothing there, or binding will say what is wrong
    if not stat.S_ISSOCK(mode):
        raise OSError(errno.EEXIST, "something else than a socket is there: choose another path", path)
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except (ConnectionRefusedError, FileNotFoundError):
            return
        except OSError:
            pass  # its queue is full, or it is another user's
    raise OSError(errno.EADDRINUSE, "somebody serves there already: choose another path", path)
