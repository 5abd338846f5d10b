"""Deadlines of own calls and sends: one heap, one timer, however many there are."""

from __future__ import annotations

import heapq
from typing import Protocol

_SLACK = 64


class Expiring(Protocol):
    """Something that has a deadline, unless it ends before."""

    is_ended: bool


class Deadlines:
    """Ended entries stay in the heap until they are half of it, and then go all at once.

    So an answered call costs no search, and 10^5 calls that were answered leave nothing behind: with a timeout
    of 60 s, entries that waited for their time to come would pile up by the million.
    """

    __slots__ = ("_count", "_ended", "_heap")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Expiring]] = []
        self._count = 0
        self._ended = 0

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, deadline: float, item: Expiring) -> None:
        """Remember a deadline."""
        self._count += 1  # keeps the order of equal deadlines, and items from being compared
        heapq.heappush(self._heap, (deadline, self._count, item))

    def note_ended(self) -> None:
        """An entry that has a deadline has ended. Call it once for each, after `is_ended` is set."""
        self._ended += 1
        if self._ended > _SLACK and 2 * self._ended > len(self._heap):
            self._heap = [entry for entry in self._heap if not entry[2].is_ended]
            heapq.heapify(self._heap)
            self._ended = 0

    def next(self) -> float | None:
        """The first deadline. It may belong to an entry that has ended: being woken once too often does no harm."""
        return self._heap[0][0] if self._heap else None

    def pop_expired(self, now: float) -> list[Expiring]:
        """Take out what is due, in order."""
        expired: list[Expiring] = []
        heap = self._heap
        while heap and (heap[0][0] <= now or heap[0][2].is_ended):
            item = heapq.heappop(heap)[2]
            if item.is_ended:
                self._ended -= 1
            else:
                expired.append(item)
        return expired

    def clear(self) -> None:
        """Forget all."""
        self._heap.clear()
        self._ended = 0


def earlier(one: float | None, other: float | None) -> float | None:
    """The first of two times, of which None is never."""
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)
