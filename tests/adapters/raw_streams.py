"""Connections without a peer at the near end, for the conformance suite: bytes in, bytes out."""

from __future__ import annotations

import os
import socket
import struct
import sys
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from subprocess import PIPE, Popen

import anyio
import anyio.abc
import anyio.lowlevel
from tests.adapters.handed_over import CHILD, path_in

from duologue_adapters import memory
from duologue_adapters.engines import engine_here
from duologue_adapters.ports import Link, Receiver


@asynccontextmanager
async def raw_tcp(url: str) -> AsyncIterator[anyio.abc.ByteStream]:
    """A TCP connection that ends with a reset."""
    host, port = url.removeprefix("tcp://").rsplit(":", 1)
    async with await anyio.connect_tcp(host, int(port)) as stream:
        sock = stream.extra(anyio.abc.SocketAttribute.raw_socket)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        yield stream


@asynccontextmanager
async def raw_memory(url: str) -> AsyncIterator[anyio.abc.ByteStream]:
    """The end of a pipe in memory."""
    async with engine_here() as engine:
        listener = memory._listeners[url.removeprefix("mem://")]
        async with RawLink(listener.open_link(engine)) as stream:
            yield stream


@asynccontextmanager
async def raw_child(url: str) -> AsyncIterator[anyio.abc.ByteStream]:
    """The pipes to a child that hands its ends over."""
    argv = [sys.executable, "-I", "-S", "-c", CHILD, path_in(url)]
    with Popen(argv, stdin=PIPE, stdout=PIPE, bufsize=0) as child:  # noqa: ASYNC220 - it takes a moment
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            async with RawPipes(os.dup(child.stdout.fileno()), os.dup(child.stdin.fileno())) as stream:
                child.stdin.close()
                child.stdout.close()
                yield stream
        finally:
            child.kill()  # it has handed over what it had, and would wait for the other end, which is in this process


class RawPipes(anyio.abc.ByteStream):
    """Two pipes, and nothing that knows what goes through them."""

    def __init__(self, reader: int, writer: int) -> None:
        self._reader, self._writer = reader, writer
        os.set_blocking(reader, False)
        os.set_blocking(writer, False)

    async def receive(self, max_bytes: int = 65536) -> bytes:
        await anyio.wait_readable(self._reader)
        if data := os.read(self._reader, max_bytes):
            return data
        raise anyio.EndOfStream

    async def send(self, item: bytes) -> None:
        while item:
            await anyio.wait_writable(self._writer)
            try:
                item = item[os.write(self._writer, item) :]
            except BrokenPipeError as exc:
                raise anyio.BrokenResourceError from exc

    async def send_eof(self) -> None:
        os.close(self._writer)
        self._writer = -1

    async def aclose(self) -> None:
        os.close(self._reader)
        if self._writer >= 0:
            await self.send_eof()


class RawLink(anyio.abc.ByteStream, Receiver):
    """The bytes of a link."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._received: deque[bytes] = deque()
        self._ended = False
        self._is_lost = False
        self._written = True
        self._changed = anyio.Event()
        link.start(self)

    async def receive(self, max_bytes: int = 65536) -> bytes:
        while not self._received:
            if self._ended:
                raise anyio.EndOfStream
            await self._changed.wait()
        return self._received.popleft()

    async def send(self, item: bytes) -> None:
        await anyio.lowlevel.checkpoint()
        self._written = not self._is_lost and self._link.write([item])
        while not self._written:
            if self._is_lost:
                raise anyio.BrokenResourceError
            await self._changed.wait()

    async def send_eof(self) -> None:
        self._link.end_writing()

    async def aclose(self) -> None:
        self._link.abort()

    def data_received(self, data: bytes | memoryview) -> None:
        self._received.append(bytes(data))
        self._note()

    def eof_received(self) -> None:
        self._ended = True
        self._note()

    def connection_lost(self, detail: str) -> None:
        self._ended = self._is_lost = True
        self._note()

    def all_written(self) -> None:
        self._written = True
        self._note()

    def _note(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()
