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
    calls: int = 0
    """How many calls that were, or none if it is not about calls."""
    seconds: float = 0.0
    """How long they took."""

    @property
    def rate(self) -> str:
        """Calls per second, for people."""
        return per_second(self.calls, self.seconds, "calls") if self.calls else ""


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that the library does."""

    title: str
    play: Callable[[Stage], Awaitable[Outcome]]
    """Does it. Raises `NotAsExpected` if something else came out."""
    wireformat: str = "json"
    """The one that it needs, whose extra may not be installed."""


@dataclass(frozen=True, slots=True)
class Result:
    """How a row came out, to be shown."""

    title: str
    state: State
    text: str
    rate: str = ""


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
    return f"{count / max(seconds, 1e-9):,.0f} {what}/s"


async def result_of(row: Row, stage: Stage) -> Result:
    """Play a row. Whatever goes wrong in it is its result; only who ends the whole demo gets through."""
    if missing := missing_extra(row.wireformat):
        return Result(row.title, State.SKIPPED, f"pip install '{missing}'")
    try:
        with anyio.fail_after(LONGEST):
            outcome = await row.play(stage)
    except TimeoutError:
        return Result(row.title, State.FAILED, f"expected an end, got none within {LONGEST:g} s")
    except Exception as exc:
        cause = _first_of(exc)
        text = str(cause) if isinstance(cause, NotAsExpected) else f"expected no error, got {cause!r}"
        return Result(row.title, State.FAILED, text)
    return Result(row.title, State.OK, outcome.text, outcome.rate)


def missing_extra(wireformat: str) -> str:
    """The extra to install for a wire format whose library is missing, or nothing."""
    try:
        # Nothing connects before it is entered, but the wire format is looked up.
        connect("tcp://127.0.0.1:1", wireformat=wireformat)
    except PluginError as exc:
        if isinstance(exc.__cause__, ImportError):
            return f"duologue[{wireformat}]"
        raise
    return ""


def _first_of(exc: Exception) -> Exception:
    """The first exception of a group: tasks that run at once fail together, and for one reason."""
    while isinstance(exc, ExceptionGroup):
        group = cast("ExceptionGroup[Exception]", exc)
        exc = group.exceptions[0]
    return exc
