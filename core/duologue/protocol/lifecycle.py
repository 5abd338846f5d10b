"""The life of a connection, as a table. What is not in the table can't happen; docs/lifecycle.md is drawn from it."""

from __future__ import annotations

from enum import Enum

from duologue.protocol.errors import CloseReason


class Phase(Enum):
    """Where in its life a connection is. (Draining comes with the modes that can say so.)"""

    OPEN = "open"
    GRACE = "grace"
    """It is ending: nothing new, but handlers that run may finish, and their answers go out."""
    CLOSING = "closing"
    """The last bytes leave, and input is read only to be dropped."""
    CLOSED = "closed"


class Trigger(Enum):
    """What moves a connection on."""

    CLOSE_WITH_GRACE = "close, while handlers run and have time left"
    CLOSE = "close, with no handler running or no time for it"
    END_OF_STREAM_WITH_GRACE = "end of stream, while handlers run and have time left"
    END_OF_STREAM = "end of stream"
    PROTOCOL_ERROR = "protocol error"
    TRANSPORT_LOST = "transport failed, stalled, or a frame timed out"
    HANDLERS_ENDED = "the last handler ended"
    GRACE_OVER = "grace over"
    ALL_SENT_AND_READ = "the last byte is taken, and the input has ended or been dropped long enough"
    CLOSE_TIMEOUT = "close timeout"


TRANSITIONS: dict[tuple[Phase, Trigger], Phase] = {
    (Phase.OPEN, Trigger.CLOSE_WITH_GRACE): Phase.GRACE,
    (Phase.OPEN, Trigger.CLOSE): Phase.CLOSING,
    (Phase.OPEN, Trigger.END_OF_STREAM_WITH_GRACE): Phase.GRACE,
    (Phase.OPEN, Trigger.END_OF_STREAM): Phase.CLOSING,
    (Phase.OPEN, Trigger.PROTOCOL_ERROR): Phase.CLOSING,
    (Phase.OPEN, Trigger.TRANSPORT_LOST): Phase.CLOSED,
    (Phase.GRACE, Trigger.HANDLERS_ENDED): Phase.CLOSING,
    (Phase.GRACE, Trigger.GRACE_OVER): Phase.CLOSING,
    (Phase.GRACE, Trigger.PROTOCOL_ERROR): Phase.CLOSING,
    (Phase.GRACE, Trigger.TRANSPORT_LOST): Phase.CLOSED,
    (Phase.CLOSING, Trigger.ALL_SENT_AND_READ): Phase.CLOSED,
    (Phase.CLOSING, Trigger.CLOSE_TIMEOUT): Phase.CLOSED,
    (Phase.CLOSING, Trigger.TRANSPORT_LOST): Phase.CLOSED,
}


class Lifecycle:
    """The phase, the first reason for leaving OPEN, and the ends that each phase has."""

    __slots__ = (
        "close_ends",
        "detail",
        "discard_ends",
        "grace_ends",
        "is_discarding",
        "is_open",
        "phase",
        "reason",
    )

    def __init__(self) -> None:
        self.phase = Phase.OPEN
        self.is_open = True
        """The phase is OPEN. An attribute, since it is looked at for each frame."""
        self.is_discarding = False
        """The phase is one in which input is dropped."""
        self.reason: CloseReason | None = None
        """Why it ends. Fixed on leaving OPEN; what comes later changes nothing."""
        self.detail = ""
        """More words about that."""
        self.grace_ends: float | None = None
        """When the handlers' time is over."""
        self.close_ends: float | None = None
        """When the transport is cut, whatever is unsent."""
        self.discard_ends: float | None = None
        """When input is dropped no longer."""

    def move(self, trigger: Trigger) -> Phase:
        """Follow the table. A trigger that the phase does not know is a mistake in the connection: `KeyError`."""
        self.phase = TRANSITIONS[self.phase, trigger]
        self.is_open = False  # nothing leads back
        self.is_discarding = self.phase is not Phase.GRACE
        return self.phase

    def leave_open(self, reason: CloseReason, detail: str) -> None:
        """Fix the reason, if none is fixed yet."""
        if self.reason is None:
            self.reason = reason
            self.detail = detail

    def next_deadline(self) -> float | None:
        """The next of the phase's ends."""
        if self.phase is Phase.GRACE:
            return self.grace_ends
        if self.phase is not Phase.CLOSING:
            return None
        if self.discard_ends is None or self.close_ends is None:
            return self.close_ends
        return min(self.discard_ends, self.close_ends)
