"""What a run has measured, and the sums over its rounds."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Spread:
    """The median of the rounds, and how far they lie apart."""

    median: float
    lowest: float
    highest: float

    @classmethod
    def of(cls, values: list[float]) -> Spread:
        return cls(statistics.median(values), min(values), max(values))


Figures = dict[str, float]


@dataclass
class Results:
    """All figures of a run: `rounds[i][subject][case][metric]`."""

    rounds: list[dict[str, dict[str, Figures]]] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    """Why a subject was not measured, by its name."""

    def values(self, subject: str, case: str, metric: str) -> list[float]:
        """One value for each round; none if it was not measured."""
        found = (measured.get(subject, {}).get(case, {}).get(metric) for measured in self.rounds)
        return [value for value in found if value is not None]

    def spread(self, subject: str, case: str, metric: str) -> Spread | None:
        values = self.values(subject, case, metric)
        return Spread.of(values) if values else None

    def ratio(self, subject: str, to: str, case: str, metric: str) -> float | None:
        """The median of the rounds' ratios. Not the ratio of the medians: a slow minute slows both of a round."""
        return self._compared(subject, to, case, metric, lambda one, other: one / other)

    def difference(self, subject: str, to: str, case: str, metric: str) -> float | None:
        """The median of the rounds' differences."""
        return self._compared(subject, to, case, metric, lambda one, other: one - other)

    def _compared(
        self, subject: str, to: str, case: str, metric: str, compare: Callable[[float, float], float]
    ) -> float | None:
        ours, theirs = self.values(subject, case, metric), self.values(to, case, metric)
        if not ours or not theirs:
            return None
        return statistics.median(map(compare, ours, theirs))
