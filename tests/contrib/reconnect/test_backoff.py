"""When to try again, with numbers for the time and for chance."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from duologue_contrib.reconnect import Backoff
from duologue_contrib.reconnect.backoff import Attempts


def dice(*throws: float) -> Any:
    rest: Iterator[float] = iter(throws)
    return lambda: next(rest)


def most() -> float:
    """As near to the whole of the time as chance gets."""
    return 1.0


def test_waits_grow_to_a_bound() -> None:
    """Each attempt doubles the longest wait, up to `longest`; no number of attempts is too large to compute it."""
    backoff = Backoff(first=0.1, factor=2, longest=1)
    assert [backoff.ceiling(n) for n in range(6)] == [0.1, 0.2, 0.4, 0.8, 1, 1]
    assert backoff.ceiling(100_000) == 1
    assert Backoff(first=0).ceiling(100_000) == 0


def test_the_jitter_is_full() -> None:
    """A wait is anything from nothing to all of the time, as the dice fall: so clients don't come back at once."""
    attempts = Attempts(Backoff(first=1, factor=2, longest=100), dice(0.0, 0.5, 0.25))
    waits: list[float | None] = []
    for _ in range(3):
        attempts.begin(0)
        waits.append(attempts.next_in(0))
    assert waits == [0, 2, 2]


def test_attempts_are_counted_from_the_last_success() -> None:
    """A connection that was up for `stable_after` seconds is one: the count and the waits begin again."""
    attempts = Attempts(Backoff(first=1, factor=2, longest=100, stable_after=10), most)
    assert (attempts.begin(0), attempts.next_in(0)) == (1, 2)
    assert (attempts.begin(2), attempts.next_in(2)) == (2, 4)
    assert attempts.begin(6) == 3
    attempts.connected(6)
    assert attempts.next_in(16) == 1
    assert attempts.begin(17) == 1


def test_a_connection_that_ends_at_once_is_no_success() -> None:
    """A server that accepts and ends each connection is asked less and less often."""
    attempts = Attempts(Backoff(first=1, factor=2, longest=100, stable_after=10), most)
    waits: list[float | None] = []
    for now in (0, 100, 200):
        attempts.begin(now)
        attempts.connected(now)
        waits.append(attempts.next_in(now + 9.9))
    assert waits == [2, 4, 8]


def test_after_so_many_attempts_it_gives_up() -> None:
    """`max_attempts` counts all since the last success, and a success gives them back."""
    attempts = Attempts(Backoff(max_attempts=2, stable_after=10), most)
    attempts.begin(0)
    assert attempts.next_in(0) is not None
    attempts.begin(0)
    attempts.connected(0)
    assert attempts.next_in(10) is not None
    attempts.begin(20)
    assert attempts.next_in(20) is not None
    attempts.begin(20)
    assert attempts.next_in(20) is None


def test_after_so_many_seconds_it_gives_up() -> None:
    """`max_seconds` is from the first attempt, or the end of the last success, to the beginning of the next attempt."""
    attempts = Attempts(Backoff(first=1, factor=1, max_seconds=5, stable_after=10), most)
    attempts.begin(0)
    assert attempts.next_in(4) == 1
    attempts.begin(5)
    attempts.connected(5)
    assert attempts.next_in(100) == 1, "it is counted anew from here"
    attempts.begin(101)
    assert attempts.next_in(104) == 1
    attempts.begin(105)
    assert attempts.next_in(105) is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"first": -1},
        {"first": 2, "longest": 1},
        {"longest": float("inf")},
        {"first": float("nan")},
        {"factor": 0.5},
        {"factor": float("nan")},
        {"stable_after": -1},
        {"max_attempts": 0},
        {"max_seconds": -1},
        {"max_seconds": float("nan")},
    ],
    ids=str,
)
def test_what_can_not_be_meant(wrong: dict[str, Any]) -> None:
    """It is refused where it is written, with its name."""
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Backoff(**wrong)
