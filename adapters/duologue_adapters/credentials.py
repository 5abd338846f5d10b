"""Who is at the other end of a Unix socket, from the system itself."""

from __future__ import annotations

import socket
import struct
from contextlib import suppress
from typing import NamedTuple

_FORM = struct.Struct("iII")


class Credentials(NamedTuple):
    """The process at the other end of a Unix socket, as the system knows it: it can't be made up.

    For a server that is the process that has connected, for a client the one that began to listen.
    """

    pid: int
    uid: int
    gid: int


def credentials_of(sock: socket.socket) -> Credentials | None:
    """The other end's process, or None if the system does not tell."""
    if hasattr(socket, "SO_PEERCRED"):
        with suppress(OSError):
            found = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _FORM.size)
            return Credentials(*_FORM.unpack(found))
    return None
