"""Time slices: for how long the requests of one connection run until all else in the event loop has its turn."""

from __future__ import annotations

from collections.abc import Callable

LENGTH = 0.05
"""Seconds: half of what one frame may take (docs/faults.md, row 48). A thousand calls may have come in one read, and each may be
worth a millisecond; or each may be published, which costs as much as there are subscribers. With a tenth of this publishing to a
thousand takes more than twice as long in all, since less leaves in one write."""


class TimeSlice:
    """The one that a connection has now. It counts from the first request that is run in it."""

    __slots__ = ("_ends", "_now")

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._ends = 0.0

    def begin(self) -> None:
        """The next one."""
        self._ends = 0.0

    def ends(self) -> float:
        """When it is over."""
        if not self._ends:
            self._ends = self.from_now()
        return self._ends

    def is_over(self) -> bool:
        """Whether others should have their turn."""
        ends = self.ends()
        return self._now() >= ends

    def from_now(self) -> float:
        """The end of one that begins here and now, for what runs by itself."""
        return self._now() + LENGTH
