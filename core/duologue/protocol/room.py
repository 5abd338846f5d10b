"""Room for own requests: in the outbox, among the calls that are owed, and in the line of those who wait (docs/flow.md)."""

from __future__ import annotations

from duologue.protocol.errors import Overloaded
from duologue.protocol.limits import Limits
from duologue.protocol.line import Line
from duologue.protocol.outbox import Outbox
from duologue.protocol.pending import PendingCalls

NESTED_SHARE = 2
"""Calls made in handlers may go so many times over `Limits.owed`: there is room for them when other calls have to wait."""


class Room:
    """Who may go, who has to wait, and who may not even do that."""

    __slots__ = (
        "_line",
        "_low",
        "_nested_limit",
        "_outbox",
        "_pending",
        "_waiting_limit",
        "high",
        "is_blocked",
        "owed_limit",
    )

    def __init__(self, limits: Limits, outbox: Outbox, pending: PendingCalls, line: Line) -> None:
        self._outbox = outbox
        self._pending = pending
        self._line = line
        self.high = limits.outbox_high
        """Bytes in the outbox from which on it is full."""
        # Under the high one, or a level that is just both would be full and have room by turns, and nobody be let in.
        self._low = min(limits.outbox_low, limits.outbox_high - 1)
        self._nested_limit = NESTED_SHARE * limits.owed
        self._waiting_limit = limits.waiting
        self.owed_limit = limits.owed
        """Calls that may be owed before others than those of handlers have to wait."""
        self.is_blocked = False
        """A request found the outbox full, and it is not yet down to its low-water mark."""

    def in_outbox(self) -> bool:
        """Whether a frame may go into the outbox. Once it was full it is so until its low-water mark.

        Answers don't count for that one: while the remote asks and asks they may never be down to it, and requests would starve.
        """
        outbox = self._outbox
        level = outbox.level
        if level >= self.high:
            self.is_blocked = True
        elif self.is_blocked:
            self.is_blocked = level - outbox.answers > self._low
        return not self.is_blocked

    def for_call(self, nested: bool) -> bool:
        """Whether a new call need not wait."""
        if nested:
            return not self._line.nested and self.in_outbox()
        if self._line.calls or self._pending.owed >= self.owed_limit:
            return False
        return (not self.is_blocked and self._outbox.level < self.high) or self.in_outbox()

    def check_nested(self) -> None:
        """A handler's call never waits for answers to others: those may be waiting, at the other end, for this handler.

        Raises `Overloaded` if there are too many of them.
        """
        unanswered = self._pending.owed + len(self._line.nested)
        if unanswered >= self._nested_limit:
            raise Overloaded(
                f"{unanswered} calls are not answered, so a handler may make no further one: "
                "calls go round in circles, or raise Limits.owed"
            )

    def check_line(self, what: str) -> None:
        """Raises `Overloaded` if nobody may wait any more."""
        waiting = len(self._line)
        if waiting >= self._waiting_limit:
            raise Overloaded(
                f"{waiting} {what} and sends wait for room already: make fewer at once, or raise Limits.waiting"
            )
