"""One end of one connection of the link protocol, without I/O: opening, credit, heartbeat, ends (docs/adapters.md).

Messages in by `receive`, the stream's bytes out of it; messages out by `messages_to_send`; time comes in as an argument.
"""

from __future__ import annotations

from collections import deque

from duologue_adapters.ports import HEARTBEAT
from duologue_adapters.remote_text import printable
from duologue_adapters.zeromq.messages import (
    LEAST_COST,
    PIECE,
    VERSION,
    WINDOW,
    Kind,
    LinkError,
    Message,
    aborting,
    cost,
    header,
    numbered,
    opening,
)


class Session:
    """The state of one end. It raises `LinkError` where the other end broke the protocol, and is of no use after that."""

    def __init__(self, incarnation: bytes, now: float, heartbeat: float = HEARTBEAT) -> None:
        self.incarnation = incarnation
        self.is_open = False
        """Both ends have agreed, so data may go either way."""
        self.is_ended = False
        """The other end has ended its stream."""
        self.has_sent_end = False
        self.abort_reason: str | None = None
        """What the other end said when it aborted; None if it has not."""
        self.unsent = 0
        """Bytes of the stream that wait for credit."""
        self._heartbeat = heartbeat
        self._messages: list[bytes] = []
        self._buffers: deque[bytes | memoryview] = deque()
        self._ends = False
        self._their_window = 0
        self._credit = 0
        """What may still be sent."""
        self._allowed = WINDOW
        """What may still be received."""
        self._used = 0
        """What was received and read, and not given back yet."""
        self._heard_at = now
        self._asked_at: float | None = None

    # -- opening ----------------------------------------------------------------------------------------

    def open(self) -> None:
        """As the client: ask for a connection."""
        self._messages.append(opening(self.incarnation))

    def set_window(self, message: Message) -> None:
        """As the server: take note of what the client's OPEN says."""
        version, window = message.opening()
        if version != VERSION:
            raise LinkError(f"version {version} of the link protocol, and this end knows {VERSION}")
        self._take_window(window)

    def confirm(self, now: float) -> None:
        """As the server: the connection has found a place, and begins."""
        self.is_open = True
        self._heard_at = now
        self._messages.append(numbered(Kind.OPENED, self.incarnation, WINDOW))

    def _take_window(self, window: int) -> None:
        if window < LEAST_COST:
            raise LinkError(f"a window of {window} bytes, in which nothing fits: at least {LEAST_COST}")
        self._their_window = self._credit = window

    # -- receiving --------------------------------------------------------------------------------------

    def receive(self, message: Message, now: float) -> bytes:
        """A message of this incarnation came. Gives the bytes of the stream that are in it."""
        self._heard_at, self._asked_at = now, None
        kind = message.kind
        if kind is Kind.ABORT:
            self.abort_reason = printable(message.body.decode(errors="replace"))
        elif not self.is_open:
            # Only a server knows the window before it is open: its end is confirmed by itself, and by no message.
            if kind is not Kind.OPENED or self._their_window:
                raise LinkError(f"{kind.name} before the connection was open")
            self._take_window(message.number())
            self.is_open = True
        elif kind is Kind.DATA:
            return self._receive_data(message.body)
        elif kind is Kind.CREDIT:
            self._credit += message.number()
            if self._credit > self._their_window:
                raise LinkError(f"more credit than the window of {self._their_window} bytes")
        elif kind is Kind.END:
            self._receive_end()
        elif kind is Kind.PING:
            self._messages.append(header(Kind.PONG, self.incarnation))
        elif kind is not Kind.PONG:
            raise LinkError(f"{kind.name} for a connection that is open")
        return b""

    def _receive_data(self, data: bytes) -> bytes:
        if self.is_ended:
            raise LinkError("DATA after END")
        self._allowed -= cost(len(data))
        if self._allowed < 0:
            raise LinkError("more DATA than it had credit for")
        return data

    def _receive_end(self) -> None:
        if self.is_ended:
            raise LinkError("END twice")
        self.is_ended = True

    def data_read(self, pieces: list[bytes]) -> None:
        """Bytes that `receive` gave were read on: the other end may send as many again, and is told so in batches."""
        self._used += sum(cost(len(piece)) for piece in pieces)
        if self._used >= WINDOW // 4 and not self.is_ended:
            self._allowed += self._used
            self._messages.append(numbered(Kind.CREDIT, self.incarnation, self._used))
            self._used = 0

    # -- sending ----------------------------------------------------------------------------------------

    def send_data(self, buffers: list[bytes]) -> None:
        """Queue bytes of the stream. They leave as credit allows, those that leave together in one message."""
        self._buffers += buffers
        self.unsent += sum(map(len, buffers))

    def send_end(self) -> None:
        """End the stream, after all that is queued."""
        self._ends = True

    def messages_to_send(self) -> list[bytes]:
        """What is to leave now. Receiving, reading and time make messages, too."""
        while self._buffers and self._credit >= LEAST_COST:
            self._messages.append(self._next_piece())
        if self._ends and not self._buffers and not self.has_sent_end:
            self.has_sent_end = True
            self._messages.append(header(Kind.END, self.incarnation))
        messages, self._messages = self._messages, []
        return messages

    def _next_piece(self) -> bytes:
        room = min(PIECE, self._credit)
        parts: list[bytes | memoryview] = [header(Kind.DATA, self.incarnation)]
        size = 0
        while self._buffers and size < room:
            buffer = self._buffers.popleft()
            if len(buffer) > room - size:
                view = memoryview(buffer)
                self._buffers.appendleft(view[room - size :])
                buffer = view[: room - size]
            parts.append(buffer)
            size += len(buffer)
        self._credit -= cost(size)
        self.unsent -= size
        return b"".join(parts)

    def abort(self, reason: str) -> bytes | None:
        """The message that says it is over; None if both streams have ended, so that the other end knows."""
        return None if self.is_ended and self.has_sent_end else aborting(self.incarnation, reason)

    # -- time -------------------------------------------------------------------------------------------

    def next_deadline(self) -> float:
        """When to call `handle_timer`."""
        return (self._heard_at if self._asked_at is None else self._asked_at) + self._heartbeat

    def handle_timer(self, now: float) -> None:
        """Ask the other end whether it is there. Raises `LinkError` if it was asked, and has not answered."""
        if now < self.next_deadline():
            return
        if self._asked_at is not None:
            raise LinkError(
                f"it has not answered for {self._heartbeat:g} s, after {self._heartbeat:g} s of silence"
            )
        self._asked_at = now
        self._messages.append(header(Kind.PING, self.incarnation))
