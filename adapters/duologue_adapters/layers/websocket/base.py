"""What both ends of a WebSocket have in common, once it is open: messages, pings, and the goodbye.

The rules of WebSocket itself are kept by `websockets`, whose sans-IO half does no more than this needs. What is decided here
is what concerns us: binary messages only, which are a stream of bytes cut anywhere (docs/protocol.md, section 6), no
compression, and what counts as a clean end.
"""

from __future__ import annotations

import logging
import math
from abc import abstractmethod
from collections.abc import Callable

from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import Protocol, State

from duologue import Limits
from duologue_adapters.layers.websocket.messages import LARGEST_JOINED, Piece, fragments, messages
from duologue_adapters.ports import CutShort, Layer, LayerError
from duologue_adapters.remote_text import printable

EMPTY_AT_ONCE = 1000
"""Pings, pongs and empty messages that may come before we get to write. Each costs as much work as a frame of ours, each
ping a pong that must be kept, and only someone who wants to do harm sends so many.
"""

_SLICE = 16 * 1024
"""So much is parsed before we look at what it was."""

_FAULT_CODES = frozenset({1002, 1003, 1007, 1008, 1009, 1010, 1011, 1014})
"""Close codes that say that something was wrong. All others are a goodbye."""

logger = logging.getLogger("duologue.websocket")
# `websockets` would log each connection, and at the level `DEBUG` what is in its frames, which is for nobody to read.
logger.setLevel(logging.WARNING)


class WebSocketLayer(Layer):
    """One end. Of the limits it needs the size of frames of ours, and the time that one may take."""

    def __init__(self, protocol: Protocol, limits: Limits, heartbeat: float) -> None:
        self._protocol = protocol
        self._largest = largest_message(limits)
        self._frame_timeout = limits.frame_timeout
        self._heartbeat = heartbeat
        self._is_open = False
        self._failure: LayerError | None = None
        """It is over, and why. What came in before it is handed up first."""
        self._empty = 0
        self._is_read = True
        self._began: float | None = None
        """Since when a WebSocket frame is on its way that is not there yet, so that nothing of it can be handed up."""
        self._heard_at = 0.0
        self._asked_at = math.inf
        """When the first ping went out since the other end was heard."""
        self._ping_at = 0.0
        self._pings = 0

    # -- from below -----------------------------------------------------------------------------------

    def receive_data(self, data: bytes | memoryview, now: float) -> list[bytes]:
        self._heard(now)
        was_open = self._is_open
        received: list[Piece] = []
        for start in range(self._take_whole(data, received), len(data), _SLICE):
            if self._failure is not None:
                break
            self._protocol.receive_data(bytes(data[start : start + _SLICE]))
            self._take_events(received, now)
        if not self._protocol.reader.buffer:
            self._began = None
        elif self._began is None:
            self._began = now
        # What has come before it is told first: data, and that the handshake was done.
        if self._failure is not None and not received and self._is_open == was_open:
            raise self._failure
        # The fewer pieces, the less work for whoever is above.
        return [b"".join(received)] if received else []

    def receive_eof(self, now: float) -> None:
        if self._failure is None:
            self._protocol.receive_eof()
            self._take_events([], now)
        if self._failure is not None:
            raise self._failure
        if not self._is_open:
            raise LayerError("the stream ended during the WebSocket handshake")
        if not self.is_ended:
            raise CutShort("the stream ended without a WebSocket close frame: something may be missing")

    def _take_whole(self, data: bytes | memoryview, received: list[Piece]) -> int:
        """Take messages for which the library is not needed, and say where the rest begins."""
        return 0

    def _take_events(self, received: list[Piece], now: float) -> None:
        for event in self._protocol.events_received():
            if self._failure is not None:
                return  # nothing counts any more
            if isinstance(event, Frame):
                self._take_frame(event, received)
            else:
                self._take_handshake(event, now)
        if self._failure is None:
            if not self._is_open:
                self._check_handshake()
            elif not isinstance(exc := self._protocol.parser_exc, EOFError | None):
                self._failure = LayerError(f"a WebSocket error: {exc}")  # the close frame is written already

    def _take_frame(self, frame: Frame, received: list[Piece]) -> None:
        self._began = None
        opcode = frame.opcode
        if opcode is Opcode.BINARY or opcode is Opcode.CONT:
            # What belongs together need not be waited for: it is a stream.
            if frame.data:
                received.append(frame.data)
                return
        elif opcode is Opcode.TEXT:
            self._give_up(1003, "a text message came: only binary messages are spoken here")
            return
        elif opcode is Opcode.CLOSE:
            self._take_close()
            return
        self._empty += 1
        if self._empty > EMPTY_AT_ONCE:
            self._give_up(1008, "a flood of pings, or of empty messages")

    def _take_close(self) -> None:
        close = self._protocol.close_rcvd
        assert close is not None
        if close.code in _FAULT_CODES:
            self._failure = LayerError(
                f"the other end closed the WebSocket with code {close.code}: {printable(close.reason) or 'no reason given'}"
            )

    def _give_up(self, code: int, text: str) -> LayerError:
        self._protocol.fail(code, text)
        self._failure = error = LayerError(text)
        return error

    # -- the handshake ---------------------------------------------------------------------------------

    @abstractmethod
    def _take_handshake(self, event: Request | Response, now: float) -> None:
        """The other end's half of the handshake has come."""

    @abstractmethod
    def _check_handshake(self) -> None:
        """Something came, and the handshake is not done: see whether it can't be done any more."""

    def _opened(self, now: float) -> None:
        self._is_open = True
        self._began = None
        self._heard(now)
        self._ping_at = now + self._heartbeat

    # -- from above --------------------------------------------------------------------------------------

    def send_data(self, buffers: list[bytes], now: float) -> None:
        protocol = self._protocol
        if protocol.state is not State.OPEN:
            return  # the other end has said goodbye, and takes nothing any more
        for message in messages(buffers, self._largest):
            if len(message[-1]) <= LARGEST_JOINED:
                protocol.send_binary(message[0] if len(message) == 1 else b"".join(message))
                continue
            send: Callable[[bytes | memoryview, bool], None] = protocol.send_binary
            for fragment, is_last in fragments(message):
                send(fragment, is_last)
                send = protocol.send_continuation

    def send_eof(self, now: float) -> None:
        if self._protocol.state is State.OPEN:
            self._protocol.send_close(1000)

    def data_to_send(self) -> list[bytes]:
        self._empty = 0
        # An empty one says that the stream should end. Whoever runs the layer knows when.
        return [data for data in self._protocol.data_to_send() if data]

    @property
    def is_open(self) -> bool:
        return self._is_open

    @property
    def is_ended(self) -> bool:
        return self._is_open and self._failure is None and self._protocol.close_rcvd is not None

    # -- time -----------------------------------------------------------------------------------------------

    def reading_paused(self, now: float) -> None:
        self._is_read = False

    def reading_resumed(self, now: float) -> None:
        self._is_read = True
        self._heard(now)  # it may have said a lot that we did not listen to
        if self._began is not None:
            self._began = now

    def next_deadline(self) -> float | None:
        if self._failure is not None:
            return 0.0  # to be told, after what came before it
        if not self._is_open or self._protocol.state is not State.OPEN:
            return None
        if not self._is_read:
            return self._ping_at
        # Asked whenever something comes or leaves, and nearly always there is no frame on its way.
        deadline = min(self._silent_at, self._ping_at)
        return deadline if self._began is None else min(deadline, self._began + self._frame_timeout)

    def handle_timer(self, now: float) -> None:
        if self._failure is not None:
            raise self._failure
        if not self._is_open or self._protocol.state is not State.OPEN:
            return
        if self._is_read and now >= self._silent_at:
            raise self._give_up(1011, f"no word for {2 * self._heartbeat:g} s, and no answer to a ping")
        # Whoever is above limits the time of a frame of ours, and sees nothing of this one yet (docs/faults.md, row 4).
        if self._is_read and self._began is not None and now >= self._began + self._frame_timeout:
            raise self._give_up(1008, f"a WebSocket frame that was not there after {self._frame_timeout:g} s")
        if now >= self._ping_at:
            self._pings += 1
            self._protocol.send_ping(b"%d" % self._pings)
            self._ping_at = now + self._heartbeat
            self._asked_at = min(self._asked_at, now)

    def _heard(self, now: float) -> None:
        self._heard_at, self._asked_at = now, math.inf

    @property
    def _silent_at(self) -> float:
        # Not before it was asked: this process may have been stopped, and have said nothing itself (row 54).
        return max(self._heard_at + self._heartbeat, self._asked_at) + self._heartbeat


def largest_message(limits: Limits) -> int:
    """The largest message to be sent or taken: one frame of ours, or small ones that are joined."""
    return max(limits.max_frame, LARGEST_JOINED)
