"""Links over streams of anyio: two tasks, one that reads and one that writes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from traceback import clear_frames

import anyio
import anyio.abc

from duologue_adapters.engines.pipes import broken
from duologue_adapters.ports import Link, Receiver

READ_SIZE = 64 * 1024
WRITE_SIZE = 64 * 1024


Half = Callable[[Receiver], Awaitable[None]]
"""What reads, or what writes."""

StartSoon = Callable[..., object]
"""Called with a coroutine function and its arguments, as a task group's `start_soon`."""


class StreamLink(Link):
    """A stream that is open: a socket on trio, or whatever a user or an adapter brings."""

    def __init__(self, start_soon: StartSoon, stream: anyio.abc.AnyByteStream, address: str = "") -> None:
        """`start_soon` runs a function in a task that is never cancelled before its first step: it closes the stream."""
        self.address = address
        self._start_soon = start_soon
        self._stream = stream
        self._is_started = False
        self._scope = anyio.CancelScope()
        self._outgoing: list[bytes] = []
        self._unsent = 0
        self._wake_writer = anyio.Event()
        self._may_read = anyio.Event()
        self._may_read.set()
        self._ends_writing = False
        self._is_lost = False
        self._read_size = READ_SIZE

    def start(self, receiver: Receiver) -> None:
        self._is_started = True
        if self._is_lost:
            receiver.connection_lost("")
        else:
            self._start_soon(self._run, receiver)

    def write(self, buffers: list[bytes]) -> bool:
        self._outgoing += buffers
        self._unsent += sum(map(len, buffers))
        self._wake_writer.set()
        return False

    @property
    def unsent(self) -> int:
        return self._unsent

    def pause_reading(self) -> None:
        if self._may_read.is_set():
            self._may_read = anyio.Event()

    def resume_reading(self) -> None:
        self._may_read.set()

    def read_at_most(self, size: int | None) -> None:
        self._read_size = size or READ_SIZE

    def end_writing(self) -> None:
        self._ends_writing = True
        self._wake_writer.set()

    def abort(self) -> None:
        if self._is_started:
            self._scope.cancel()
        elif not self._is_lost:
            self._is_lost = True
            self._start_soon(self._close)

    async def _run(self, receiver: Receiver) -> None:
        """Read and write until the link is cut or broken. All of it ends here, and is told once."""
        try:
            with self._scope:
                async with anyio.create_task_group() as group:
                    group.start_soon(_half, self._write, receiver)
                    group.start_soon(_half, self._read, receiver)
        finally:
            await self._close()
            self._lose(receiver, "")

    async def _close(self) -> None:
        # What it raises, if anything, nobody needs to know any more: nothing can be lost that is not lost.
        with anyio.CancelScope(shield=True), suppress(Exception):
            await anyio.aclose_forcefully(self._stream)

    def _break(self, receiver: Receiver, exc: Exception) -> None:
        """The stream has failed, in whatever way streams of its kind do."""
        self._scope.cancel()
        cause = exc.__cause__ or exc
        self._lose(receiver, broken(cause))

    def _lose(self, receiver: Receiver, detail: str) -> None:
        if not self._is_lost:
            self._is_lost = True
            receiver.connection_lost(detail)

    async def _read(self, receiver: Receiver) -> None:
        stream = self._stream
        # An object stream gives its messages as they are; frames may be cut anywhere in them.
        in_bytes = stream if isinstance(stream, anyio.abc.ByteStream) else None
        while True:
            await self._may_read.wait()
            try:
                data = await (stream.receive() if in_bytes is None else in_bytes.receive(self._read_size))
            except anyio.EndOfStream:
                receiver.eof_received()
                return
            except Exception as exc:
                self._break(receiver, exc)
                return
            receiver.data_received(data)

    async def _write(self, receiver: Receiver) -> None:
        while True:
            await self._wake_writer.wait()
            self._wake_writer = anyio.Event()
            while self._outgoing:
                buffers, self._outgoing = self._outgoing, []
                try:
                    await self._send(buffers[0] if len(buffers) == 1 else b"".join(buffers))
                except Exception as exc:
                    self._break(receiver, exc)
                    return
                if not self._outgoing:
                    receiver.all_written()
            if self._ends_writing:
                await self._send_eof(receiver)
                return

    async def _send(self, data: bytes) -> None:
        # In pieces, so that a slow link shows that it makes progress.
        if len(data) <= WRITE_SIZE:
            await self._stream.send(data)
            self._unsent -= len(data)
            return
        for start in range(0, len(data), WRITE_SIZE):
            piece = data[start : start + WRITE_SIZE]
            await self._stream.send(piece)
            self._unsent -= len(piece)

    async def _send_eof(self, receiver: Receiver) -> None:
        try:
            await self._stream.send_eof()
        except NotImplementedError:
            pass  # TLS of some kinds can't: the other end learns it when the stream is closed
        except Exception as exc:
            self._break(receiver, exc)


async def _half(run: Half, receiver: Receiver) -> None:
    """One of the two, in its task."""
    try:
        await run(receiver)
    except BaseException as exc:
        # It was cancelled. anyio's frames hold what they raise, and by it all that was being called then: what handlers held, too.
        clear_frames(exc.__traceback__)
        raise
