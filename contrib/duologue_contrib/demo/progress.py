"""How far the row is that plays: the row counts, and the screen looks."""

from __future__ import annotations

import time

from duologue_contrib.demo.parallel import Endings


class Progress:
    """What is being done, how much of it there is, and how much is done. A row has one part after another."""

    def __init__(self) -> None:
        self.begin("", 0)

    def begin(self, what: str, total: int, endings: Endings | None = None) -> None:
        """From now on it is about this. `endings` are shown as they come."""
        self.what = what
        self.total = total
        self.done = 0
        self.endings = endings
        self._began = time.perf_counter()

    def step(self) -> None:
        """One more is done."""
        self.done += 1

    @property
    def rate(self) -> float:
        """How many a second, so far."""
        return self.done / max(time.perf_counter() - self._began, 1e-9)
