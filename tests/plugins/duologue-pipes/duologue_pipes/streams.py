"""Two named pipes, one for each direction, as a byte stream; and how two processes that share a folder come to have them.

Whoever serves reads names at a third pipe, the door. Who wants to come in makes two pipes of one name, writes that
name to the door, and waits for a byte: then both are open at both ends, and their names are needed no more.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
from contextlib import ExitStack, suppress
from pathlib import Path

import anyio
import anyio.abc
import anyio.lowlevel

DOOR = "door"
NAME = re.compile(rb"[0-9a-f]{16}")
"""What comes through the door becomes part of a path, so nothing else will do."""

_READ = os.O_RDONLY | os.O_NONBLOCK
_WRITE = os.O_WRONLY | os.O_NONBLOCK


class PipeStream(anyio.abc.ByteStream):
    """What comes out of one pipe, and goes into another."""

    def __init__(self, reader: int, writer: int) -> None:
        self._reader: int | None = reader
        self._writer: int | None = writer

    async def receive(self, max_bytes: int = 65536) -> bytes:
        await anyio.lowlevel.checkpoint()
        while True:
            if self._reader is None:
                raise anyio.ClosedResourceError
            try:
                data = os.read(self._reader, max_bytes)
            except BlockingIOError:
                await anyio.wait_readable(self._reader)
                continue
            if not data:
                raise anyio.EndOfStream
            return data

    async def send(self, item: bytes) -> None:
        await anyio.lowlevel.checkpoint()
        rest = memoryview(item)
        while rest:
            if self._writer is None:
                raise anyio.ClosedResourceError
            try:
                rest = rest[os.write(self._writer, rest) :]
            except BlockingIOError:
                await anyio.wait_writable(self._writer)
            except BrokenPipeError as exc:
                raise anyio.BrokenResourceError from exc

    async def send_eof(self) -> None:
        self._close_writer()

    async def aclose(self) -> None:
        self._close_writer()
        if self._reader is not None:
            reader, self._reader = self._reader, None
            anyio.notify_closing(reader)
            os.close(reader)

    def _close_writer(self) -> None:
        if self._writer is not None:
            writer, self._writer = self._writer, None
            anyio.notify_closing(writer)
            os.close(writer)


async def open_as_client(folder: Path) -> PipeStream:
    """Come in by the door of a folder. Raises `OSError`; bound it in time, since nobody may answer."""
    name = secrets.token_hex(8)
    up, down = folder / f"{name}.up", folder / f"{name}.down"
    with ExitStack() as stack:
        door = os.open(folder / DOOR, _WRITE)  # fails at once if nobody reads there
        stack.callback(os.close, door)
        for path in (up, down):
            os.mkfifo(path, 0o600)
            stack.callback(path.unlink)
        # A pipe can be opened for writing only while someone reads, and is at its end while nobody writes. Until the
        # server does both, that is this end itself.
        stack.callback(os.close, os.open(up, _READ))
        stream = PipeStream(os.open(down, _READ), os.open(up, _WRITE))
        stack.callback(os.close, os.open(down, _WRITE))
        try:
            os.write(door, name.encode() + b"\n")
            await stream.receive(1)
        except BaseException:
            await anyio.aclose_forcefully(stream)
            raise
        return stream


def open_as_server(folder: Path, name: bytes) -> PipeStream | None:
    """The other end of the pipes whose name came through the door; None if who wrote it has gone again."""
    if not NAME.fullmatch(name):
        return None
    with ExitStack() as opened:
        try:
            reader = os.open(folder / f"{name.decode()}.up", _READ)
            opened.callback(os.close, reader)
            writer = os.open(folder / f"{name.decode()}.down", _WRITE)
            opened.callback(os.close, writer)
            os.write(writer, b"\0")
        except OSError:
            return None
        opened.pop_all()
        return PipeStream(reader, writer)


class Door:
    """The pipe by which others come in."""

    def __init__(self, folder: Path) -> None:
        """Raises `OSError`: also if somebody else serves there."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path = folder / DOOR
        self._remove_stale()
        os.mkfifo(self.path, 0o600)
        # For writing too, or it would be at its end whenever nobody else has it open.
        self._descriptor: int | None = os.open(self.path, os.O_RDWR | os.O_NONBLOCK)
        self._rest = b""

    def _remove_stale(self) -> None:
        """One that nobody reads is of a process that was killed."""
        try:
            os.close(os.open(self.path, _WRITE))
        except FileNotFoundError:
            return
        except OSError as exc:
            if exc.errno != errno.ENXIO:
                raise
            self.path.unlink()
        else:
            raise FileExistsError(errno.EADDRINUSE, "somebody serves there already")

    async def names(self) -> list[bytes]:
        """The next names that come in."""
        assert self._descriptor is not None
        await anyio.wait_readable(self._descriptor)
        try:
            *names, self._rest = (self._rest + os.read(self._descriptor, 4096)).split(b"\n")
        except BlockingIOError:
            return []
        return names

    def close(self) -> None:
        """Let nobody in any more."""
        if self._descriptor is not None:
            with suppress(FileNotFoundError):
                self.path.unlink()
            descriptor, self._descriptor = self._descriptor, None
            os.close(descriptor)
