"""Bytes that connections have received and not begun to handle, bounded for all of a server's together (docs/flow.md, F9).

What counts is what lies in the decoders, frames that are not complete among it, and what is parked. Each connection has
bounds of its own; ten thousand of them would still be too much for one process.

Up to a mark, half of the limit, everybody reads as it likes. Over it three things keep those apart who fill the memory
and those who only have a word to say, and see to it that frames come to an end:

* Each connection has a share, and who holds no more than that reads on.
* Whoever holds more pauses, but for a few at a time, in turn: they have a pass, which is for the rest of one frame.
* At the limit, which is reached only by many who read a lot in the same moment, all pause who have no pass.

So that whoever holds nothing can't bring more than its share by one read, the driver reads in small pieces meanwhile.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

HYSTERESIS = 8
"""Below the mark, and below the limit, by this part of the limit it is over: so that not each byte pauses everybody and lets them go on."""


class ByteBudget:
    """What the connections of a server hold together. Each has an account."""

    __slots__ = (
        "_accounts",
        "_limit",
        "_line",
        "_mark",
        "_passes",
        "_passing",
        "held",
        "is_full",
        "is_tight",
        "share",
    )

    def __init__(self, limit: int, max_frame: int) -> None:
        self._limit = limit
        self._mark = limit // 2
        self._passes = max(1, limit // 4 // max_frame)
        self._accounts: dict[ByteAccount, None] = {}
        self._passing: set[ByteAccount] = set()
        self._line: OrderedDict[ByteAccount, None] = OrderedDict()
        """Those who are inside a frame, and wait for a pass."""
        self.held = 0
        """Bytes, of all."""
        self.share = limit // 4
        """What each may hold whatever the others do."""
        self.is_tight = False
        """Over the mark."""
        self.is_full = False
        """At the limit."""

    def __repr__(self) -> str:
        return (
            f"ByteBudget({self.held}/{self._limit} held by {len(self._accounts)}, {len(self._line)} waiting)"
        )

    def open(self) -> ByteAccount:
        """The account of a new connection."""
        account = ByteAccount(self)
        self._accounts[account] = None
        self._divide()
        return account

    def close(self, account: ByteAccount) -> None:
        """The connection has ended. What it still holds counts until it is let go."""
        self._accounts.pop(account, None)
        self.end_pass(account)
        self._divide()

    def change(self, size: int) -> None:
        """So many bytes more are held, or with a negative number fewer."""
        self.held += size
        if size > 0:
            if not self.is_tight and self.held > self._mark:
                self.is_tight = True
                self._press()
            if not self.is_full and self.held >= self._limit:
                self.is_full = True
                self._press()
            return
        step = self._limit // HYSTERESIS
        if self.is_full and self.held < self._limit - step:
            self.is_full = False
            self._wake()
        if self.is_tight and self.held <= self._mark - step:
            self.is_tight = False
            self._line.clear()
            self._passing.clear()
            self._wake()

    def try_pass(self, account: ByteAccount) -> bool:
        """Whether this one may read the rest of its frame now. If not, its turn comes."""
        if account in self._passing:
            return True
        if len(self._passing) < self._passes and next(iter(self._line), account) is account:
            self._line.pop(account, None)
            self._passing.add(account)
            self._call_next()
            return True
        self._line.setdefault(account)
        return False

    def end_pass(self, account: ByteAccount) -> None:
        """It needs no pass any more, and waits for none."""
        is_first = next(iter(self._line), None) is account
        self._line.pop(account, None)
        if account in self._passing:
            self._passing.discard(account)
            self._call_next()
        elif is_first:
            self._call_next()

    def _call_next(self) -> None:
        if self._line and len(self._passing) < self._passes:
            next(iter(self._line)).on_change()

    def _divide(self) -> None:
        self.share = self._limit // 4 // max(1, len(self._accounts))

    def _press(self) -> None:
        for account in tuple(self._accounts):
            account.on_pressure()
            account.on_change()

    def _wake(self) -> None:
        for account in tuple(self._accounts):
            account.on_change()


class ByteAccount:
    """What one connection holds."""

    __slots__ = ("_budget", "_buffered", "_parked", "on_change", "on_pressure")

    def __init__(self, budget: ByteBudget) -> None:
        self._budget = budget
        self._buffered = 0
        self._parked = 0
        self.on_pressure: Callable[[], None] = _nothing
        """For the connection: maybe nothing more must come in."""
        self.on_change: Callable[[], None] = _nothing
        """For its driver: what the connection wants to read may be different now. Called from within what another connection
        does, so it must not give a command: to pause its link, and to look soon, is all there is to do."""

    @property
    def held(self) -> int:
        """Bytes."""
        return self._buffered + self._parked

    @property
    def is_tight(self) -> bool:
        """Whether all together hold so much that it should come in small pieces."""
        return self._budget.is_tight

    @property
    def is_over(self) -> bool:
        """Whether it may hold no more than it does: what would be parked is refused."""
        budget = self._budget
        return budget.is_tight and (budget.is_full or self.held > budget.share)

    def buffer(self, size: int) -> None:
        """So many bytes are in the decoder now."""
        change = size - self._buffered
        if change:
            self._buffered = size
            self._budget.change(change)

    def park(self, size: int) -> None:
        """So many bytes more are parked, or with a negative number fewer."""
        self._parked += size
        self._budget.change(size)

    def must_pause(self, is_inside_frame: bool) -> bool:
        """Whether reading must pause. Whoever is inside a frame has its turn to read the rest of it."""
        if not self.is_over:
            self._budget.end_pass(self)
            return False
        if is_inside_frame:
            return not self._budget.try_pass(self)
        self._budget.end_pass(self)
        return True

    def end_pass(self) -> None:
        """The frame is complete, or reading pauses for another reason."""
        self._budget.end_pass(self)

    def close(self) -> None:
        """The connection has ended."""
        self._budget.close(self)


def _nothing() -> None:
    """Nobody wants to know."""
