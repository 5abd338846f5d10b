"""The life of a connection, as a table. What is not in the table can't happen; docs/lifecycle.md is drawn from it."""

from __future__ import annotations

from enum import Enum

from duologue.protocol.deadlines import earlier
from duologue.protocol.errors import CloseReason, ConnectionClosed, Executed


class Phase(Enum):
    """Where in its life a connection is."""

    OPEN = "open"
    DRAINING = "draining"
    """It is to end when all that is under way has ended: nothing new of this end's, and no new call of the remote's."""
    GRACE = "grace"
    """It is ending: nothing new, but handlers that run may finish, and their answers go out."""
    CLOSING = "closing"
    """The last bytes leave, and input is read only to be dropped."""
    CLOSED = "closed"


class Trigger(Enum):
    """What moves a connection on."""

    DRAIN = "drain"
    DRAINED = "nothing is under way any more, and all is sent"
    DRAIN_OVER = "drain timeout"
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
    (Phase.OPEN, Trigger.DRAIN): Phase.DRAINING,
    (Phase.OPEN, Trigger.CLOSE_WITH_GRACE): Phase.GRACE,
    (Phase.OPEN, Trigger.CLOSE): Phase.CLOSING,
    (Phase.OPEN, Trigger.END_OF_STREAM_WITH_GRACE): Phase.GRACE,
    (Phase.OPEN, Trigger.END_OF_STREAM): Phase.CLOSING,
    (Phase.OPEN, Trigger.PROTOCOL_ERROR): Phase.CLOSING,
    (Phase.OPEN, Trigger.TRANSPORT_LOST): Phase.CLOSED,
    (Phase.DRAINING, Trigger.DRAINED): Phase.CLOSING,
    (Phase.DRAINING, Trigger.DRAIN_OVER): Phase.CLOSING,
    (Phase.DRAINING, Trigger.CLOSE_WITH_GRACE): Phase.GRACE,
    (Phase.DRAINING, Trigger.CLOSE): Phase.CLOSING,
    (Phase.DRAINING, Trigger.END_OF_STREAM_WITH_GRACE): Phase.GRACE,
    (Phase.DRAINING, Trigger.END_OF_STREAM): Phase.CLOSING,
    (Phase.DRAINING, Trigger.PROTOCOL_ERROR): Phase.CLOSING,
    (Phase.DRAINING, Trigger.TRANSPORT_LOST): Phase.CLOSED,
    (Phase.GRACE, Trigger.HANDLERS_ENDED): Phase.CLOSING,
    (Phase.GRACE, Trigger.GRACE_OVER): Phase.CLOSING,
    (Phase.GRACE, Trigger.PROTOCOL_ERROR): Phase.CLOSING,
    (Phase.GRACE, Trigger.TRANSPORT_LOST): Phase.CLOSED,
    (Phase.CLOSING, Trigger.ALL_SENT_AND_READ): Phase.CLOSED,
    (Phase.CLOSING, Trigger.CLOSE_TIMEOUT): Phase.CLOSED,
    (Phase.CLOSING, Trigger.TRANSPORT_LOST): Phase.CLOSED,
}


class Lifecycle:
    """The phase, the first reason to end, and the ends that each phase has."""

    __slots__ = (
        "calls_end",
        "close_ends",
        "detail",
        "discard_ends",
        "drain_ends",
        "drain_reason",
        "grace_ends",
        "is_discarding",
        "is_drained",
        "is_draining",
        "is_ending",
        "is_open",
        "phase",
        "reason",
    )

    def __init__(self) -> None:
        self.phase = Phase.OPEN
        self.is_open = True
        """The phase is OPEN. An attribute, since it is looked at for each frame."""
        self.is_draining = False
        """The phase is DRAINING."""
        self.is_ending = False
        """It ends, by the reason: the phase is neither OPEN nor DRAINING."""
        self.is_discarding = False
        """The phase is one in which input is dropped."""
        self.is_drained = False
        """It was drained, and all that was under way had ended in time."""
        self.reason: CloseReason | None = None
        """Why it ends. Fixed on leaving OPEN and DRAINING; what comes later changes nothing."""
        self.detail = ""
        """More words about that."""
        self.drain_reason = ""
        """What was said when draining began."""
        self.drain_ends: float | None = None
        """When draining is given up; None for never."""
        self.grace_ends: float | None = None
        """When the handlers' time is over."""
        self.calls_end: float | None = None
        """When the time of those handlers is over that answer calls, if that is earlier."""
        self.close_ends: float | None = None
        """When the transport is cut, whatever is unsent."""
        self.discard_ends: float | None = None
        """When input is dropped no longer."""

    def move(self, trigger: Trigger) -> Phase:
        """Follow the table. A trigger that the phase does not know is a mistake in the connection: `KeyError`."""
        self.phase = TRANSITIONS[self.phase, trigger]
        self.is_open = False  # nothing leads back
        self.is_draining = self.phase is Phase.DRAINING
        self.is_ending = not self.is_draining
        self.is_discarding = self.phase in (Phase.CLOSING, Phase.CLOSED)
        return self.phase

    def fix_reason(self, reason: CloseReason, detail: str) -> None:
        """Why it ends, if that is not fixed yet."""
        if self.reason is None:
            self.reason = reason
            self.detail = detail

    def refusal(self) -> ConnectionClosed:
        """What a command gets that comes too late."""
        if self.reason is not None:
            return ConnectionClosed(self.reason, Executed.NO, self.detail)
        words = f"draining: {self.drain_reason}" if self.drain_reason else "draining"
        return ConnectionClosed(CloseReason.CLOSED_LOCALLY, Executed.NO, words)

    def next_deadline(self) -> float | None:
        """The next of the phase's ends."""
        if self.phase is Phase.DRAINING:
            return self.drain_ends
        if self.phase is Phase.GRACE:
            return earlier(self.grace_ends, self.calls_end)
        if self.phase is Phase.CLOSING:
            return earlier(self.close_ends, self.discard_ends)
        return None
