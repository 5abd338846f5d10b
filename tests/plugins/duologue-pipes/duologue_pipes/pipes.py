"""How two processes that share a folder come to have two named pipes between them, one for each direction.

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

NAME = re.compile(rb"[0-9a-f]{16}")
"""What comes through the door becomes part of a path, so nothing else will do."""

_READ = os.O_RDONLY | os.O_NONBLOCK
_WRITE = os.O_WRONLY | os.O_NONBLOCK


async def come_in(folder: Path) -> tuple[int, int]:
    """What to read from and what to write to, by the door of a folder. Raises `OSError`."""
    name = secrets.token_hex(8)
    up, down = folder / f"{name}.up", folder / f"{name}.down"
    with ExitStack() as stack, ExitStack() as opened:
        door = os.open(folder / "door", _WRITE)  # fails at once if nobody reads there
        stack.callback(os.close, door)
        for path in (up, down):
            os.mkfifo(path, 0o600)
            stack.callback(path.unlink)
        # A pipe can be opened for writing only while someone reads, and is at its end while nobody writes. Until the
        # server does both, that is this end itself.
        stack.callback(os.close, os.open(up, _READ))
        opened.callback(os.close, reader := os.open(down, _READ))
        opened.callback(os.close, writer := os.open(up, _WRITE))
        stack.callback(os.close, os.open(down, _WRITE))
        os.write(door, name.encode() + b"\n")
        await anyio.wait_readable(reader)
        os.read(reader, 1)
        opened.pop_all()
        return reader, writer


class Door:
    """The pipe by which others come in."""

    def __init__(self, folder: Path) -> None:
        """Raises `OSError`: also if somebody else serves there."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder, self._path = folder, folder / "door"
        self._remove_stale()
        os.mkfifo(self._path, 0o600)
        # For writing too, or it would be at its end whenever nobody else has it open.
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_NONBLOCK)
        self._received = b""

    def _remove_stale(self) -> None:
        """One that nobody reads is of a process that was killed."""
        try:
            os.close(os.open(self._path, _WRITE))
        except FileNotFoundError:
            return
        except OSError as exc:
            if exc.errno != errno.ENXIO:
                raise
            self._path.unlink()
        else:
            raise FileExistsError(errno.EADDRINUSE, "somebody serves there already")

    async def next_one(self) -> tuple[int, int]:
        """The other end of the pipes that `come_in` gives."""
        while True:
            name, end, rest = self._received.partition(b"\n")
            if not end:
                await anyio.wait_readable(self._descriptor)
                self._received += os.read(self._descriptor, 4096)
                continue
            self._received = rest
            if NAME.fullmatch(name):
                with suppress(OSError):  # who wrote the name has gone again
                    return self._let_in(name.decode())

    def _let_in(self, name: str) -> tuple[int, int]:
        with ExitStack() as opened:
            opened.callback(os.close, reader := os.open(self._folder / f"{name}.up", _READ))
            opened.callback(os.close, writer := os.open(self._folder / f"{name}.down", _WRITE))
            os.write(writer, b"\0")
            opened.pop_all()
            return reader, writer

    def close(self) -> None:
        """Let nobody in any more."""
        with suppress(FileNotFoundError):
            self._path.unlink()
        os.close(self._descriptor)
