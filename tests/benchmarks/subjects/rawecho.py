"""Bytes there and back on a bare `asyncio.BufferedProtocol`: what the loop and the kernel leave for an RPC to use.

Frames of 29 bytes stand in for the calls. No futures, no tasks: the callback that sees an echo writes the next frame.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from time import perf_counter
from typing import cast

from benchmarks.cases import CASES, KIB
from benchmarks.load import Client, Tally
from benchmarks.runtimes import Runtime
from benchmarks.subjects.base import HOST, Subject, serve_protocol

_CALL_BYTES = 29

_BUFFER = memoryview(bytearray(256 * KIB))
"""All connections of the process receive into this one: each callback is done with it before it returns."""


class _Receiver(asyncio.BufferedProtocol):
    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        return _BUFFER


class _Echo(_Receiver):
    def buffer_updated(self, nbytes: int) -> None:
        # A copy, because the transport keeps what the kernel doesn't take at once.
        self.transport.write(bytes(_BUFFER[:nbytes]))


class _Loader(_Receiver):
    """Keeps a number of frames on their way until the time is over, then waits for the last of them."""

    count: int
    """How many frames have come back."""
    times: list[float]
    """When they came; those that came together have one time."""

    async def load(self, size: int, outstanding: int, seconds: float) -> None:
        self.count = 0
        self.times = []
        self._size = size
        self._frame = bytes(size)
        self._partial = 0
        self._on_their_way = outstanding
        self._end = perf_counter() + seconds
        self._done = asyncio.get_running_loop().create_future()
        self.transport.write(self._frame * outstanding)
        await self._done

    def buffer_updated(self, nbytes: int) -> None:
        echoed, self._partial = divmod(self._partial + nbytes, self._size)
        if not echoed:
            return
        self.count += echoed
        now = perf_counter()
        self.times.append(now)
        if now < self._end:
            self.transport.write(self._frame * echoed)
            return
        self._on_their_way -= echoed
        if not self._on_their_way:
            self._done.set_result(None)


class _Client(Client):
    def __init__(self, loader: _Loader) -> None:
        self._loader = loader

    async def touch(self) -> None:
        await self._loader.load(_CALL_BYTES, 1, 0)

    async def one_at_a_time(self, seconds: float) -> list[float]:
        start = perf_counter()
        await self._loader.load(_CALL_BYTES, 1, seconds)
        times = self._loader.times
        return [after - before for before, after in zip([start, *times], times, strict=False)]

    async def calls(self, outstanding: int, seconds: float) -> Tally:
        return await self._tally(_CALL_BYTES, outstanding, seconds)

    async def sends(self, seconds: float) -> Tally:
        raise NotImplementedError("an echo server can't tell how many messages it has seen")

    async def echoes(self, size: int, outstanding: int, seconds: float, encoded: bool) -> Tally:
        tally = await self._tally(size, outstanding, seconds)
        return Tally(tally.count * size, tally.seconds)

    async def _tally(self, size: int, outstanding: int, seconds: float) -> Tally:
        start = perf_counter()
        await self._loader.load(size, outstanding, seconds)
        return Tally(self._loader.count, perf_counter() - start)


class RawEcho(Subject):
    """The bare echo."""

    cases = frozenset(CASES) - {"sends"}

    async def serve(self, ready: Callable[[str], None]) -> None:
        await serve_protocol(_Echo, ready)

    @asynccontextmanager
    async def connect(self, address: str) -> AsyncIterator[_Client]:
        loop = asyncio.get_running_loop()
        transport, loader = await loop.create_connection(_Loader, HOST, int(address))
        try:
            yield _Client(loader)
        finally:
            transport.close()


def make(runtime: Runtime, wireformat: str) -> Subject:
    """The subject; it has no wire format."""
    return RawEcho(runtime)
