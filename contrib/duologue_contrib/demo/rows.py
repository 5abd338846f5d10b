"""What a row is, and how it is played: each checks what it claims, and none keeps the next from playing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from typing import cast

import anyio

from duologue import PluginError, connect
from duologue_contrib.demo.stage import Stage

LONGEST = 60.0
"""Seconds after which a row has failed. All of them together take a few."""


class State(Enum):
    """How a row came out."""

    OK = "ok"
    FAILED = "FAILED"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a row has measured."""

    text: str
    """What came out."""
    count: int = 0
    """How many calls that were, or none if it is not about what can be counted."""
    seconds: float = 0.0
    """How long they took."""
    what: str = "calls"
    """What was counted."""

    @property
    def per_second(self) -> float:
        """So many a second."""
        return self.count / max(self.seconds, 1e-9)

    @property
    def rate(self) -> str:
        """The same for people."""
        return per_second(self.count, self.seconds, self.what) if self.count else ""


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that the library does."""

    title: str
    play: Callable[[Stage], Awaitable[Outcome]]
    """Does it. Raises `NotAsExpected` if something else came out."""
    section: str = ""
    """The title above it and its neighbours."""
    scheme: str = "tcp"
    """Of the transport that it needs, whose extra may not be installed."""
    wireformat: str = "json"
    """The same of the wire format."""
    compared: bool = False
    """Its rate is of interest beside those of its neighbours."""


@dataclass(frozen=True, slots=True)
class Result:
    """How a row came out, to be shown."""

    row: Row
    state: State
    text: str
    outcome: Outcome | None = None
    """What was measured, if it went well."""

    @property
    def rate(self) -> str:
        """See `Outcome`."""
        return self.outcome.rate if self.outcome is not None else ""


class NotAsExpected(Exception):
    """Something else came out than the row claims."""

    def __init__(self, expected: object, got: object) -> None:
        super().__init__(f"expected {expected}, got {got}")


def expect(condition: bool, expected: object, got: object) -> None:
    """Check a claim. Raises `NotAsExpected`."""
    if not condition:
        raise NotAsExpected(expected, got)


def per_second(count: int, seconds: float, what: str) -> str:
    """A rate, for people."""
    return f"{count / max(seconds, 1e-9):,.0f}{what and ' ' + what}/s"


async def result_of(row: Row, stage: Stage) -> Result:
    """Play a row. Whatever goes wrong in it is its result; only who ends the whole demo gets through."""
    try:
        if missing := what_is_missing(row):
            return Result(row, State.SKIPPED, missing)
        with anyio.fail_after(LONGEST):
            outcome = await row.play(stage)
    except TimeoutError:
        return Result(row, State.FAILED, f"expected an end, got none within {LONGEST:g} s")
    except Exception as exc:
        cause = _first_of(exc)
        text = str(cause) if isinstance(cause, NotAsExpected) else f"expected no error, got {cause!r}"
        return Result(row, State.FAILED, text)
    return Result(row, State.OK, outcome.text, outcome)


def what_is_missing(row: Row) -> str:
    """What to install, if a library is missing that the row's transport or wire format needs. Or nothing."""
    try:
        # Nothing connects before it is entered, but both are looked up.
        connect(f"{row.scheme}://127.0.0.1:1", wireformat=row.wireformat)
    except PluginError as exc:
        if isinstance(exc.__cause__, ImportError):
            # Which plug-in it is the title says.
            return str(exc).partition("can't be imported, ")[2] or str(exc)
        raise
    return ""


def _first_of(exc: Exception) -> Exception:
    """The first exception of a group: tasks that run at once fail together, and for one reason."""
    while isinstance(exc, ExceptionGroup):
        group = cast("ExceptionGroup[Exception]", exc)
        exc = group.exceptions[0]
    return exc
