"""The file of a Unix socket: made so that nobody else can connect before they may, and removed only by its owner."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import stat
import sys
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager, suppress

import anyio

from duologue_adapters.engines import SocketListener

PRIVATE = 0o600
RETRY = 0.01
"""Seconds until the next look whether another server has made its file."""


class SocketFile:
    """A listening socket with its file."""

    def __init__(self, sock: socket.socket, path: str) -> None:
        self.socket = sock
        self.path = path
        self._identity = _identity(path)

    def close(self) -> None:
        """Listen no more, and remove the file, if it is still this one."""
        # While the socket is open no other file can get its number.
        with suppress(OSError):
            if _identity(self.path) == self._identity:
                os.unlink(self.path)
        self.socket.close()


async def made_socket_file(path: str, mode: int) -> SocketFile:
    """Listen at a path. A socket there where nobody listens any more is replaced, anything else is not touched.

    Raises `OSError`; its text says what is in the way.
    """
    async with _alone_in(os.path.dirname(path)):
        try:
            return _bound(path, mode)
        except OSError as exc:
            if exc.errno != errno.EADDRINUSE:
                raise
        _remove_stale(path)
        return _bound(path, mode)


def _bound(path: str, mode: int) -> SocketFile:
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.setblocking(False)
        with _private(sock):
            sock.bind(path)
        file = SocketFile(sock, path)
    except BaseException:
        sock.close()
        raise
    try:
        if mode != PRIVATE:
            os.chmod(path, mode)
        sock.listen(SocketListener.backlog)
    except BaseException:
        file.close()
        raise
    return file


@contextmanager
def _private(sock: socket.socket) -> Generator[None, None, None]:
    """What is bound meanwhile gets a file of mode 0600, from its first moment."""
    if sys.platform == "linux":
        # The file takes over the mode of the socket, so the umask, which belongs to all threads, can stay as it is.
        os.fchmod(sock.fileno(), PRIVATE)
        yield
    else:
        before = os.umask(0o777 ^ PRIVATE)
        try:
            yield
        finally:
            os.umask(before)


def _remove_stale(path: str) -> None:
    try:
        there = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(there.st_mode):
        what = "symbolic link" if stat.S_ISLNK(there.st_mode) else "file or directory"
        raise FileExistsError(f"a {what} is there, which is no socket: remove it, or choose another path")
    if there.st_uid != os.geteuid():
        raise FileExistsError("a socket of another user is there: let it be removed, or choose another path")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except BlockingIOError:
            pass  # so many wait to be accepted that there is no room for one more
        except ConnectionRefusedError:
            os.unlink(path)
            return
    raise FileExistsError("somebody serves there already: choose another path")


@asynccontextmanager
async def _alone_in(directory: str) -> AsyncGenerator[None, None]:
    """Only one server at a time: else one could take another's socket, which does not listen yet, for a stale one."""
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    except PermissionError:  # it may be written and not read; or binding says what is not allowed
        yield
        return
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                await anyio.sleep(RETRY)
            except OSError:  # a file system without locks
                break
        yield
    finally:
        os.close(descriptor)


def _identity(path: str) -> tuple[int, int]:
    there = os.lstat(path)
    return there.st_dev, there.st_ino
