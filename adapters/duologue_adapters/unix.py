"""Unix sockets: `unix:///path`."""

from __future__ import annotations

import errno
import os
import socket
from typing import Any

import anyio

from duologue import Adapter, ConnectFailed, PeerSettings, ServerSettings, hookimpl
from duologue_adapters.credentials import credentials_of
from duologue_adapters.engines import SocketListener
from duologue_adapters.link_adapter import LinkAdapter
from duologue_adapters.ports import Engine, Link, Listener
from duologue_adapters.socket_file import PRIVATE, SocketFile, made_socket_file

RETRY = 0.01
"""Seconds until the next try, when the server's queue is full. There is nothing that could be waited for."""


class UnixAdapter(LinkAdapter):
    """Unix sockets, for processes of one machine. `serve` takes `mode=`, the permissions of the socket's file."""

    schemes = ("unix",)
    serve_options = ("mode",)

    async def open_link(self, engine: Engine, url: str, settings: PeerSettings) -> Link:
        return await _link(engine, await _connected_socket(_path_in(url)), url)

    async def listen(self, engine: Engine, url: str, settings: ServerSettings) -> Listener:
        path, mode = _path_in(url), _checked_mode(settings.options.get("mode", PRIVATE))
        seconds = settings.limits.handshake_timeout
        try:
            with anyio.fail_after(seconds):
                return UnixListener(engine, await made_socket_file(path, mode))
        except TimeoutError as exc:
            raise ConnectFailed(url, f"somebody keeps its directory locked for {seconds:g} s") from exc

    def reason(self, exc: Exception) -> str:
        return _reason(exc) if isinstance(exc, OSError) else super().reason(exc)

    def is_permanent(self, exc: Exception) -> bool:
        return _is_permanent(exc)


class UnixListener(SocketListener):
    """A listening socket, and its file."""

    def __init__(self, engine: Engine, file: SocketFile) -> None:
        super().__init__(engine, file.socket, f"unix://{file.path}")
        self._file = file

    async def link_over(self, sock: socket.socket) -> Link:
        return await _link(self._engine, sock, self.url)

    def close(self) -> None:
        self._file.close()


async def _connected_socket(path: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.setblocking(False)
        while True:
            try:
                sock.connect(path)
                return sock
            except BlockingIOError:  # the server's queue is full
                await anyio.sleep(RETRY)
    except BaseException:
        sock.close()
        raise


async def _link(engine: Engine, sock: socket.socket, url: str) -> Link:
    credentials = credentials_of(sock)
    link = await engine.socket_link(sock)
    link.address, link.extra = url, {} if credentials is None else {"credentials": credentials}
    return link


def _path_in(url: str) -> str:
    # As it is, without %-escapes: f"unix://{path}" is right for every path. Abstract names are not offered, since
    # they have no permissions: any user of the machine can connect.
    path = url.partition("://")[2]
    if not os.path.isabs(path) or "\0" in path:
        raise ConnectFailed(
            url, "write unix:///path, with the whole path of the socket's file", is_permanent=True
        )
    return path


def _checked_mode(mode: Any) -> int:
    if not isinstance(mode, int):
        raise TypeError(f"mode={mode!r}: give permissions, such as 0o660")
    if not 0 <= mode <= 0o777:
        raise ValueError(f"mode={mode!r} is {mode:#o}, and no permissions: give them in octal, such as 0o660")
    return mode


def _reason(exc: OSError) -> str:
    if _is_too_long(exc):
        return f"{exc}: the system allows about 100 bytes, so choose a shorter one"
    match exc.errno:
        case errno.ENOENT:
            return f"there is no such file or directory ({exc})"
        case errno.ECONNREFUSED:
            return f"nobody listens there ({exc})"
        case errno.EACCES | errno.EPERM:
            return f"no permission for the file, or for a directory in its path ({exc})"
        case _:
            return str(exc)


def _is_too_long(exc: Exception) -> bool:
    return isinstance(exc, OSError) and exc.errno is None and "too long" in str(exc)


def _is_permanent(exc: Exception) -> bool:
    """This user may not connect, or nobody can. The file itself may appear, and be listened at."""
    return _is_too_long(exc) or (
        isinstance(exc, OSError) and exc.errno in (errno.EACCES, errno.EPERM, errno.ENAMETOOLONG)
    )


@hookimpl
def duologue_adapter() -> Adapter:
    """The plug-in."""
    return UnixAdapter()
