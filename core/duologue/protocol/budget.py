"""Permits: how many of the remote's requests run at once (docs/flow.md, F1, F5 and F8).

A `CallBudget` may be shared by many connections. The ones that find no permit line up; a permit that becomes free
belongs to the first in the line, and nobody who comes later can take it, so that none of them starves.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Protocol

from duologue.protocol.limits import Limits


class PermitWaiter(Protocol):
    """One who waits for a permit: a connection with parked calls."""

    def permit_available(self) -> None:
        """It is your turn: try again soon. Called from within someone else's command, so it must only take a note."""


_DEFAULTS = Limits()


class CallBudget:
    """Permits for the calls of one connection, or of all connections that are given the same budget."""

    def __init__(self, limit: int = _DEFAULTS.calls, *, lent_limit: int = _DEFAULTS.lent) -> None:
        if limit < 1:
            raise ValueError(f"a budget of {limit} would let no call run: at least 1")
        self._limit = limit
        self._lent_limit = lent_limit
        self._running = 0
        self._lent = 0
        self._line: OrderedDict[PermitWaiter, None] = OrderedDict()

    @property
    def limit(self) -> int:
        """Permits in all."""
        return self._limit

    @property
    def lent_limit(self) -> int:
        """How many may be lent at once."""
        return self._lent_limit

    @property
    def in_use(self) -> int:
        """Permits held by handlers that run. May be over the limit for a while, after waits have ended."""
        return self._running

    @property
    def lent(self) -> int:
        """Handlers that hold no permit since they wait for a remote."""
        return self._lent

    @property
    def waiting(self) -> int:
        """Connections in the line."""
        return len(self._line)

    def __repr__(self) -> str:
        return (
            f"CallBudget({self._running}/{self._limit} in use, {self._lent} lent, {len(self._line)} waiting)"
        )

    def try_acquire(self, waiter: PermitWaiter) -> bool:
        """Take a permit, or get into the line."""
        if self._running < self._limit:
            if not self._line:
                self._running += 1
                return True
            if next(iter(self._line)) is waiter:
                self._running += 1
                del self._line[waiter]
                self._wake()  # there may be one for the next in line, too
                return True
        self._line.setdefault(waiter)
        return False

    def withdraw(self, waiter: PermitWaiter) -> None:
        """Leave the line: what waited is gone, or can't start now anyway."""
        if self._line.pop(waiter, self) is None:
            self._wake()

    def release(self) -> None:
        """Give a permit back."""
        self._running -= 1
        if self._line:
            self._wake()

    def try_lend(self) -> bool:
        """Give a permit back for the time of a wait. False, and nothing is changed, if too many are lent."""
        if self._lent >= self._lent_limit:
            return False
        self._lent += 1
        self.release()
        return True

    def unlend(self) -> None:
        """The wait is over. Never waits, so it may overshoot the limit; nothing new starts until it is back under."""
        self._lent -= 1
        self._running += 1

    def end_lent(self) -> None:
        """The handler ended while its permit was lent."""
        self._lent -= 1

    def _wake(self) -> None:
        if self._running < self._limit and self._line:
            next(iter(self._line)).permit_available()


class SendBudget:
    """Slots for one-way messages, counted and weighed. One per connection. Over it the connection stops reading."""

    __slots__ = (
        "_bytes_limit",
        "_lent_limit",
        "_limit",
        "bytes",
        "is_full",
        "lent",
        "running",
        "waiting",
        "waiting_bytes",
    )

    def __init__(self, limits: Limits) -> None:
        self._limit = limits.sends
        self._bytes_limit = limits.sends_bytes
        self._lent_limit = limits.lent
        self.running = 0
        """Handlers that run."""
        self.bytes = 0
        """Bytes of their messages."""
        self.lent = 0
        """Handlers that wait for a remote; they and their bytes count for nothing."""
        self.waiting = 0
        """Ordered messages that wait for their turn. They have a bound of their own, as large as that of the running."""
        self.waiting_bytes = 0
        """Bytes of those."""
        self.is_full = False
        """Whether no further message may be taken in. An attribute, since it is looked at for each frame."""

    @property
    def slots_are_full(self) -> bool:
        """Whether too many handlers run. They end by themselves: the ones that wait for a remote don't count."""
        return self.running >= self._limit or self.bytes >= self._bytes_limit

    @property
    def lane_is_full(self) -> bool:
        """Whether too many ordered messages wait for their turn."""
        return self.waiting >= self._limit or self.waiting_bytes >= self._bytes_limit

    def start(self, size: int) -> None:
        """A handler starts."""
        self.running += 1
        self.bytes += size
        if self.running >= self._limit or self.bytes >= self._bytes_limit:
            self.is_full = True

    def end(self, size: int) -> None:
        """A handler has ended."""
        self.running -= 1
        self.bytes -= size
        if self.is_full:
            self._look_again()

    def try_lend(self, size: int) -> bool:
        """A handler begins to wait for a remote. False if too many do."""
        if self.lent >= self._lent_limit:
            return False
        self.lent += 1
        self.end(size)
        return True

    def unlend(self, size: int) -> None:
        """The wait is over; may overshoot."""
        self.lent -= 1
        self.start(size)

    def end_lent(self) -> None:
        """A handler ended while its slot was lent."""
        self.lent -= 1

    def wait(self, size: int) -> None:
        """An ordered message begins to wait for its turn."""
        self.waiting += 1
        self.waiting_bytes += size
        self._look_again()

    def end_wait(self, size: int) -> None:
        """Its turn has come, or it is dropped."""
        self.waiting -= 1
        self.waiting_bytes -= size
        self._look_again()

    def clear_waiting(self) -> None:
        """All that waited for their turn are dropped."""
        self.waiting = self.waiting_bytes = 0
        self._look_again()

    def _look_again(self) -> None:
        self.is_full = self.slots_are_full or self.lane_is_full
