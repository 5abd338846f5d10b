"""Sockets for the asyncio engine, by `BufferedProtocol`: no task, no copy, one receive buffer for all of a loop."""

from __future__ import annotations

import asyncio
import weakref
from typing import Any, cast

from duologue_adapters.ports import Link, Receiver

BUFFER_SIZE = 256 * 1024
COPY_LIMIT = 64 * 1024
"""So much is copied out of the receive buffer at once, since slicing `bytes` is cheaper than slicing a view for each frame."""

JOIN_LIMIT = 16 * 1024
"""Buffers up to this size are joined; a larger one is given to the socket as it is."""

_buffers: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, memoryview] = weakref.WeakKeyDictionary()


def _receive_buffer() -> memoryview:
    """The buffer of the running loop. Whatever is received is consumed before the callback returns, so one is enough."""
    loop = asyncio.get_running_loop()
    buffer = _buffers.get(loop)
    if buffer is None:
        buffer = _buffers[loop] = memoryview(bytearray(BUFFER_SIZE))
    return buffer


class SocketLink(asyncio.BufferedProtocol, Link):
    """A connected stream socket."""

    __slots__ = (
        "_buffer",
        "_early",
        "_early_eof",
        "_is_full",
        "_is_resuming",
        "_lost",
        "_receiver",
        "_transport",
        "_wants_reading",
        "_whole_buffer",
        "address",
    )

    def __init__(self) -> None:
        self._buffer = self._whole_buffer = _receive_buffer()
        self._transport: asyncio.Transport
        self._receiver: Receiver | None = None
        self._is_full = False
        self._is_resuming = False
        self._lost: str | None = None
        self._early = b""
        self._early_eof = False
        self.address = ""

    # -- the port -------------------------------------------------------------------------------

    def start(self, receiver: Receiver) -> None:
        self._receiver = receiver
        if self._lost is None and not self._early_eof:
            self.resume_reading()  # first, since what came early may make the receiver pause
        if self._early:
            receiver.data_received(self._early)
            self._early = b""
        if self._lost is not None:
            receiver.connection_lost(self._lost)
        elif self._early_eof:
            receiver.eof_received()

    def write(self, buffers: list[bytes]) -> bool:
        transport = self._transport
        if transport.is_closing():
            return False  # its loss is on the way
        if len(buffers) == 1:
            transport.write(buffers[0])
        elif max(map(len, buffers)) <= JOIN_LIMIT:
            transport.write(b"".join(buffers))
        else:
            self._write_large(buffers)
        return not self._is_full

    def _write_large(self, buffers: list[bytes]) -> None:
        # Small ones leave together with the beginning of the large one behind them, since each write may become a
        # packet, and a header alone would wake the other end for nothing. Not by `writelines`: on some versions it
        # never says that the transport is full.
        small: list[bytes | memoryview] = []
        for buffer in buffers:
            if len(buffer) <= JOIN_LIMIT:
                small.append(buffer)
                continue
            view = memoryview(buffer)
            if small:
                small.append(view[:JOIN_LIMIT])
                self._transport.write(b"".join(small))
                small.clear()
                view = view[JOIN_LIMIT:]
            self._transport.write(view)
        if small:
            self._transport.write(b"".join(small))

    @property
    def unsent(self) -> int:
        return self._transport.get_write_buffer_size()

    def pause_reading(self) -> None:
        if not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def read_at_most(self, size: int | None) -> None:
        self._buffer = self._whole_buffer[:size]

    def end_writing(self) -> None:
        if not self._transport.is_closing():
            try:
                self._transport.write_eof()
            except OSError:
                self._transport.abort()  # the other end has reset the connection, and nobody has read that yet

    def abort(self) -> None:
        if self._is_resuming:
            # asyncio looks at its transport again when `resume_writing` returns, and would end one that is closing by then
            # a second time.
            asyncio.get_running_loop().call_soon(self._transport.abort)
        else:
            self._transport.abort()

    # -- what asyncio calls ------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport = cast(
            "asyncio.Transport", transport
        )  # uvloop's is one without being its subclass
        transport.set_write_buffer_limits(0)
        transport.pause_reading()  # until someone is there to be called back
        self.address = name_of(transport.get_extra_info("peername"))

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        if self._receiver is None:
            self._early += self._buffer[:nbytes]  # uvloop reads once before it heeds the pause
        elif nbytes <= COPY_LIMIT:
            self._receiver.data_received(bytes(self._buffer[:nbytes]))
        else:
            self._receiver.data_received(self._buffer[:nbytes])

    def eof_received(self) -> bool:
        if self._receiver is None:
            self._early_eof = True
        else:
            self._receiver.eof_received()
        return True  # the transport stays open: our last answers may still have to leave

    def pause_writing(self) -> None:
        self._is_full = True

    def resume_writing(self) -> None:
        self._is_full = False
        if self._receiver is not None:
            self._is_resuming = True
            try:
                self._receiver.all_written()
            finally:
                self._is_resuming = False

    def connection_lost(self, exc: BaseException | None) -> None:
        self._lost = "" if exc is None else f"{type(exc).__name__}: {exc}"
        if self._receiver is not None:
            self._receiver.connection_lost(self._lost)


def name_of(peername: tuple[Any, ...] | str | bytes | None) -> str:
    """An address, for people."""
    if isinstance(peername, tuple) and len(peername) >= 2:
        return f"{peername[0]}:{peername[1]}"
    return str(peername or "")
