"""Pipes, by descriptors that never block: a link of callbacks for the asyncio engine, and a stream for the other one."""

from __future__ import annotations

import asyncio
import os
import socket
import stat

import anyio
import anyio.abc

from duologue_adapters.pipe_ends import has_no_writer
from duologue_adapters.ports import Link, Receiver

READ_SIZE = 64 * 1024
"""What a pipe holds, if nobody has made it larger."""

DEAF = 0.1
"""Seconds until an end is given up that reads no more and has not hung up. One that has ended does both, one after the other."""

READS_NO_MORE = "the other end reads no more"


class Pipes:
    """A descriptor to read from and one to write to. Whether they block is the other processes' business, too: it is set back."""

    def __init__(self, reader: int, writer: int) -> None:
        self.reader = reader
        self.writer = writer
        # Both are looked at before one is set: of a socket they may be the same description, which has one flag.
        self._were_blocking = os.get_blocking(reader), os.get_blocking(writer)
        os.set_blocking(reader, False)
        os.set_blocking(writer, False)
        self._is_socket = stat.S_ISSOCK(os.fstat(writer).st_mode)

    def end_writing(self) -> None:
        """Let the other end read the end of the stream."""
        if self._is_socket:
            with socket.socket(fileno=os.dup(self.writer)) as sock:
                sock.shutdown(socket.SHUT_WR)
        else:
            self._close_writer()

    def close(self) -> None:
        """Close both, or what is left."""
        self._close_writer()
        reader, self.reader = self.reader, -1
        _give_back(reader, self._were_blocking[0])

    def _close_writer(self) -> None:
        writer, self.writer = self.writer, -1
        _give_back(writer, self._were_blocking[1])


def _give_back(descriptor: int, was_blocking: bool) -> None:
    if descriptor >= 0:
        os.set_blocking(descriptor, was_blocking)
        os.close(descriptor)


def broken(exc: BaseException) -> str:
    """What is said of a link that has failed."""
    return READS_NO_MORE if isinstance(exc, BrokenPipeError) else f"{type(exc).__name__}: {exc}"


class PipeLink(Link):
    """Two pipes, watched by an asyncio loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, reader: int, writer: int) -> None:
        self._loop = loop
        self._pipes = Pipes(reader, writer)
        self._receiver: Receiver | None = None
        self._unwritten = memoryview(b"")
        self._is_reading = False
        self._eof_told = False
        self._ends_writing = False
        self._lost: str | None = None
        self._is_deaf = False
        """Nobody reads what is written. What was said before that may still be to be read."""

    def start(self, receiver: Receiver) -> None:
        self._receiver = receiver
        if self._lost is not None:
            receiver.connection_lost(self._lost)
        else:
            self.resume_reading()

    def write(self, buffers: list[bytes]) -> bool:
        if self._lost is not None:
            return False  # that it is lost is on the way
        if self._is_deaf:
            return True
        self._unwritten = memoryview(b"".join(buffers))
        self._write()
        if self._unwritten and self._lost is None:
            self._loop.add_writer(self._pipes.writer, self._writable)
        return not self._unwritten

    @property
    def unsent(self) -> int:
        return len(self._unwritten)

    def pause_reading(self) -> None:
        if self._is_reading:
            self._is_reading = False
            self._loop.remove_reader(self._pipes.reader)

    def resume_reading(self) -> None:
        if not self._is_reading and not self._eof_told and self._lost is None:
            self._is_reading = True
            self._loop.add_reader(self._pipes.reader, self._readable)

    def end_writing(self) -> None:
        self._ends_writing = True
        if not self._unwritten and self._lost is None:
            try:
                self._pipes.end_writing()
            except OSError as exc:  # of a socket: the other end is gone, and nobody has read that yet
                self._lose(exc)

    def abort(self) -> None:
        self._lose(None)

    def _readable(self) -> None:
        receiver = self._receiver
        assert receiver is not None
        try:
            data = os.read(self._pipes.reader, READ_SIZE)
        except BlockingIOError:
            return  # another process that shares the pipe was faster
        except OSError as exc:
            self._lose(exc)
            return
        if data:
            receiver.data_received(data)
        else:
            self.pause_reading()
            self._eof_told = True
            receiver.eof_received()

    def _write(self) -> None:
        try:
            while self._unwritten:
                self._unwritten = self._unwritten[os.write(self._pipes.writer, self._unwritten) :]
        except BlockingIOError:
            pass
        except BrokenPipeError:
            self._unwritten = memoryview(b"")
            self._is_deaf = True
            self._loop.call_later(DEAF, self._give_up)
        except OSError as exc:
            self._lose(exc)

    def _give_up(self) -> None:
        if self._lost is None and not self._eof_told and not has_no_writer(self._pipes.reader):
            self._lose(BrokenPipeError())

    def _writable(self) -> None:
        self._write()
        if self._unwritten or self._lost is not None:
            return
        self._loop.remove_writer(self._pipes.writer)
        if self._ends_writing:
            self.end_writing()
        if self._receiver is not None:
            self._receiver.all_written()

    def _lose(self, exc: OSError | None) -> None:
        """Close all, and tell it: soon, since the one to be told may be the one who calls."""
        if self._lost is not None:
            return
        self._lost = "" if exc is None else broken(exc)
        self.pause_reading()
        if self._unwritten:
            self._loop.remove_writer(self._pipes.writer)
        self._pipes.close()
        if self._receiver is not None:
            self._loop.call_soon(self._receiver.connection_lost, self._lost)


class PipeStream(anyio.abc.ByteStream):
    """Two pipes, as a stream on anyio."""

    def __init__(self, reader: int, writer: int) -> None:
        self._pipes = Pipes(reader, writer)
        self._is_deaf = False

    async def receive(self, max_bytes: int = READ_SIZE) -> bytes:
        while True:
            await anyio.wait_readable(self._pipes.reader)
            try:
                data = os.read(self._pipes.reader, max_bytes)
            except BlockingIOError:
                continue
            except OSError as exc:
                raise anyio.BrokenResourceError from exc
            if not data:
                raise anyio.EndOfStream
            return data

    async def send(self, item: bytes) -> None:
        rest = memoryview(item)
        while rest and not self._is_deaf:
            await anyio.wait_writable(self._pipes.writer)
            try:
                rest = rest[os.write(self._pipes.writer, rest) :]
            except BlockingIOError:
                continue
            except BrokenPipeError as exc:
                # What was said before that, and the end, are to be read first.
                await anyio.sleep(DEAF)
                if not has_no_writer(self._pipes.reader):
                    raise anyio.BrokenResourceError from exc
                self._is_deaf = True
            except OSError as exc:
                raise anyio.BrokenResourceError from exc

    async def send_eof(self) -> None:
        self._pipes.end_writing()

    async def aclose(self) -> None:
        self._pipes.close()
        await anyio.lowlevel.checkpoint()
