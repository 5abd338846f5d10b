"""Connections without a peer at the near end, for the conformance suite: bytes in, bytes out."""

from __future__ import annotations

import socket
import struct
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import anyio.abc
import anyio.lowlevel

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
