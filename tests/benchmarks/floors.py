"""How fast the library has to be, as ratios to what ran beside it: what machine it is hardly matters then."""

from __future__ import annotations

import sys
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from benchmarks.cases import CASES
from benchmarks.results import Results

Pythons = Literal["all", "3.11", "3.12+"]


@dataclass(frozen=True)
class Floor:
    """One thing that must hold between the library, on some transport, and what it is compared to."""

    case: str
    against: str
    limit: float
    kind: Literal["at least, times", "at most, times", "at most, more"] = "at least, times"
    pythons: Pythons = "all"
    subject: str = "duologue"

    @property
    def metric(self) -> str:
        return CASES[self.case].main.name

    def __str__(self) -> str:
        if self.kind != "at most, more":
            return (
                f"{self.case}: {self.subject} {self.kind.partition(',')[0]} {self.limit:g} x {self.against}"
            )
        unit = CASES[self.case].main.unit
        return f"{self.case}: {self.subject} at most {self.limit:g} {unit} more than {self.against}"

    def is_for(self, version: tuple[int, int]) -> bool:
        """Whether it holds on this Python."""
        if self.pythons == "all":
            return True
        return (version >= (3, 12)) == (self.pythons == "3.12+")


FLOORS = (
    # Python 3.11 has no eager tasks: each handler costs it a pass of the loop, and sends are nothing but handlers.
    Floor("c64", "handwritten", 0.55, pythons="3.12+"),
    Floor("c64", "handwritten", 0.35, pythons="3.11"),
    Floor("one", "handwritten", 0.7),
    Floor("sends", "handwritten", 0.4, pythons="3.12+"),
    Floor("c64", "grpcaio", 25),
    Floor("c64", "rpyc", 4),
    Floor("c64", "pycapnp", 4),
    Floor("frame1m", "rawecho", 0.6),
    Floor("idle", "handwritten", 8, kind="at most, more"),
    Floor("c64", "websocketecho", 2, subject="duologue-ws"),
    Floor("c64", "zeromqecho", 2, subject="duologue-zmq+tcp"),
    # With fewer outstanding it is the number of batches that is compared: three processes on the processors of two cut the same
    # calls into smaller ones, and each costs a turn of the loop and two system calls.
    Floor("cpu256", "duologue", 1.2, kind="at most, times", subject="duologue-relay"),
)


@dataclass(frozen=True)
class Verdict:
    """A floor, and what was measured."""

    floor: Floor
    value: float | None
    """The median of the rounds; None if there is nothing to compare."""
    reason: str = ""
    """Why there is nothing."""

    @property
    def holds(self) -> bool:
        """A floor that could not be measured does not hold."""
        if self.value is None:
            return False
        if self.floor.kind == "at least, times":
            return self.value >= self.floor.limit
        return self.value <= self.floor.limit

    def __str__(self) -> str:
        measured = f"not measured ({self.reason})" if self.value is None else f"{self.value:.2f}"
        return f"{'ok  ' if self.holds else 'MISS'} {self.floor}: {measured}"

    def as_json(self) -> dict[str, object]:
        return {"floor": str(self.floor), "value": self.value, "holds": self.holds, "reason": self.reason}


def check(results: Results, subjects: Collection[str], cases: Collection[str]) -> list[Verdict]:
    """Compare. What the run was not asked to measure is left out; what it could not measure is a miss."""
    version = sys.version_info[:2]
    asked = (
        floor
        for floor in FLOORS
        if floor.is_for(version) and floor.case in cases and {floor.subject, floor.against} <= set(subjects)
    )
    return [_verdict(floor, results) for floor in asked]


def _verdict(floor: Floor, results: Results) -> Verdict:
    compare = results.difference if floor.kind == "at most, more" else results.ratio
    value = compare(floor.subject, floor.against, floor.case, floor.metric)
    reason = next(
        (results.skipped[name] for name in (floor.subject, floor.against) if name in results.skipped),
        "no figures",
    )
    return Verdict(floor, value, "" if value is not None else reason)
