"""What a scenario is given, and what it finds out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

MIB = 1024 * 1024

PATIENCE = 10.0
"""In the short form times may be so many times as long. It runs beside other tests, and is not about speed."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was measured, and what it may be."""

    what: str
    value: float
    bound: float | None = None
    """The most that it may be, or the least. None: it is only shown."""
    unit: str = ""
    is_least: bool = False

    @property
    def holds(self) -> bool:
        if self.bound is None:
            return True
        return self.value >= self.bound if self.is_least else self.value <= self.bound


def exactly(what: str, value: float, expected: float, unit: str = "") -> list[Finding]:
    """Neither more nor less."""
    if value == expected:
        return [Finding(what, value, expected, unit)]
    return [Finding(what, value, expected, unit, is_least=value < expected)]


@dataclass(frozen=True, slots=True)
class Setting:
    """How the scenarios are to run."""

    engine: tuple[str, dict[str, bool]]
    """Of the victim and the healthy, in anyio's words."""
    folder: Path
    """For sockets and records, with a short path."""
    short: bool = False
    """Seconds in place of minutes, smaller numbers, and no bound that a busy machine could break."""

    def pick(self, full: int, short: int) -> int:
        """A number, by the form."""
        return short if self.short else full

    def seconds(self, what: str, value: float, bound: float) -> Finding:
        """A time that must not be longer."""
        return Finding(what, value, bound * PATIENCE if self.short else bound, "s")

    def ratio(self, what: str, value: float, bound: float) -> Finding:
        """How many times as slow the healthy were. In the short form that is only shown."""
        return Finding(what, value, None if self.short else bound, "x")


class Skipped(Exception):
    """It can't be shown on this machine; the text says what is missing."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One kind of harm."""

    name: str
    title: str
    run: Callable[[Setting], Awaitable[list[Finding]]]
    rows: tuple[int, ...] = ()
    """Of docs/faults.md."""
