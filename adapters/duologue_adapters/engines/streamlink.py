"""Links over anyio byte streams: two tasks, one that reads and one that writes."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING

import anyio
import anyio.abc

from duologue_adapters.engines.sockets import name_of, tune, url_of
from duologue_adapters.ports import Link, Listener, Receiver

if TYPE_CHECKING:
    from duologue_adapters.engines.streams import StreamsEngine

READ_SIZE = 64 * 1024


class StreamLink(Link):
    """A byte stream that is open: a socket on trio, or whatever a user brings."""

    def __init__(
        self, group: anyio.abc.TaskGroup, stream: anyio.abc.AnyByteStream, address: str = ""
    ) -> None:
        self.address = address
        self._group = group
        self._stream = stream
        self._receiver: Receiver
        self._scope = anyio.CancelScope()
        self._outgoing: list[bytes] = []
        self._unsent = 0
        self._wake_writer = anyio.Event()
        self._may_read = anyio.Event()
        self._may_read.set()
        self._ends_writing = False
        self._is_lost = False

    def start(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._group.start_soon(self._run)

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

    def end_writing(self) -> None:
        self._ends_writing = True
        self._wake_writer.set()

    def abort(self) -> None:
        self._scope.cancel()

    async def _run(self) -> None:
        """Read and write until the link is cut or broken. All of it ends here, and is told once."""
        try:
            with self._scope:
                async with anyio.create_task_group() as group:
                    group.start_soon(self._guard, self._write)
                    group.start_soon(self._guard, self._read)
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.aclose_forcefully(self._stream)
            self._lose("")

    def _lose(self, detail: str) -> None:
        if not self._is_lost:
            self._is_lost = True
            self._receiver.connection_lost(detail)

    async def _guard(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except (anyio.BrokenResourceError, anyio.ClosedResourceError, OSError) as exc:
            cause = exc.__cause__ or exc
            self._scope.cancel()
            self._lose(f"{type(cause).__name__}: {cause}")

    async def _read(self) -> None:
        stream = self._stream
        # An object stream gives its messages as they are; frames may be cut anywhere in them.
        receive = (
            partial(stream.receive, READ_SIZE) if isinstance(stream, anyio.abc.ByteStream) else stream.receive
        )
        while True:
            await self._may_read.wait()
            try:
                data = await receive()
            except anyio.EndOfStream:
                self._receiver.eof_received()
                return
            self._receiver.data_received(data)

    async def _write(self) -> None:
        while True:
            await self._wake_writer.wait()
            self._wake_writer = anyio.Event()
            while self._outgoing:
                buffers, self._outgoing = self._outgoing, []
                data = buffers[0] if len(buffers) == 1 else b"".join(buffers)
                await self._stream.send(data)
                self._unsent -= len(data)
                if not self._outgoing:
                    self._receiver.all_written()
            if self._ends_writing:
                await self._stream.send_eof()
                return


class StreamListener(Listener):
    """Listening sockets on anyio: the same ones as on asyncio, waited for in anyio's way."""

    def __init__(self, engine: StreamsEngine, sock: socket.socket) -> None:
        self._engine = engine
        self._socket = sock
        self.url = url_of(sock)

    async def accept(self) -> Link:
        while True:
            await anyio.wait_readable(self._socket)
            try:
                sock, peer = self._socket.accept()
            except BlockingIOError:
                continue  # another process that listens here was faster
            tune(sock)
            return self._engine.link(await anyio.abc.SocketStream.from_socket(sock), name_of(peer))

    def close(self) -> None:
        self._socket.close()
