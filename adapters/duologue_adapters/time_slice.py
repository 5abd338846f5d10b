"""Time slices: for how long the requests of one connection run until all else in the event loop has its turn."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from duologue_adapters.ports import Engine

LENGTH = 0.05
"""Seconds: half of what one frame may take (docs/faults.md, row 48). A thousand calls may have come in one read, and each may be
worth a millisecond; or each may be published, which costs as much as there are subscribers. With a tenth of this publishing to a
thousand takes more than twice as long in all, since less leaves in one write."""

SHORTEST = 0.001
"""Seconds that a connection has, however many there are that could go on without end: to begin costs some time, too."""


class TimeSlices:
    """Those of one engine. The connections that have more to do than a slice holds share one: a pass of the loop has a turn for each
    of them, and is not longer for that.
    """

    __slots__ = ("busy", "length")

    def __init__(self) -> None:
        self.length = LENGTH
        """Seconds, for one that is alone."""
        self.busy = 0
        """Connections whose time was over, and that have not done all since."""

    def share(self, busy: int) -> float:
        """Seconds that each of so many has."""
        return min(self.length, max(self.length / busy, SHORTEST))


class TimeSlice:
    """The one that a connection has now. It counts from the first request that is run in it."""

    __slots__ = ("_call_soon", "_ends", "_go_on", "_now", "_slices", "is_busy", "is_paused", "number")

    def __init__(self, engine: Engine, go_on: Callable[[], None]) -> None:
        """`go_on` is called when the next one may begin."""
        self._now = engine.now
        self._call_soon = engine.call_soon
        self._slices = engine.time_slices
        self._go_on = go_on
        self._ends = 0.0
        self.number = 0
        """Each has another one."""
        self.is_paused = False
        """It is over, and what is left waits for the next."""
        self.is_busy = False
        """One was over, and there was always something left since."""

    def begin(self) -> None:
        """The next one, unless all else has yet to have its turn."""
        if not self.is_paused:
            self._ends = 0.0
            self.number += 1

    def ends(self) -> float:
        """When it is over."""
        if not self._ends:
            self._ends = self.from_now()
        return self._ends

    def is_over(self) -> bool:
        """Whether others should have their turn."""
        ends = self.ends()
        return self._now() >= ends

    def is_used_up(self) -> bool:
        """The same, where nothing need have been run in it."""
        return self._ends > 0.0 and self._now() >= self._ends

    def from_now(self) -> float:
        """The end of one that begins here and now, for what runs by itself."""
        return self._now() + self._slices.share(self._slices.busy + (not self.is_busy))

    def pause(self) -> None:
        """It is over, and something is left. The next one begins when all else has had its turn."""
        self.note_left()
        if not self.is_paused:
            self.is_paused = True
            self._call_soon(self._next)

    def note_left(self) -> None:
        """It is over, and something is left."""
        if not self.is_busy:
            self.is_busy = True
            self._slices.busy += 1

    def note_done(self) -> None:
        """Nothing is left of a busy one."""
        self.is_busy = False
        self._slices.busy -= 1

    def _next(self) -> None:
        self.is_paused = False
        self._go_on()
