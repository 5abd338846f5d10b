"""Doing the same thing many times, some of them at once."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Awaitable, Callable

import anyio

from duologue import CallError, DuologueError, RemoteError


async def in_parallel(
    count: int,
    at_once: int,
    job: Callable[[int], Awaitable[None]],
    step: Callable[[], None] = lambda: None,
) -> float:
    """Do a job for each number below `count`, `at_once` of them at once. Returns the seconds that it took.

    `step` is called after each.
    """
    numbers = iter(range(count))

    async def worker() -> None:
        for number in numbers:
            await job(number)
            step()

    began = time.perf_counter()
    async with anyio.create_task_group() as group:
        for _ in range(min(count, at_once)):
            group.start_soon(worker)
    return time.perf_counter() - began


class Endings:
    """How calls ended: each kind of ending, and how many ended so."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.last: DuologueError | None = None
        """The last error that was raised."""

    @property
    def total(self) -> int:
        """How many have ended."""
        return self.counts.total()

    async def note(self, call: Awaitable[object]) -> None:
        """Await a call, and remember how it ended."""
        try:
            await call
        except DuologueError as error:
            self.last = error
            self.count(describe(error))
        else:
            self.count("answered")

    def count(self, ending: str) -> None:
        """One more has ended so."""
        self.counts[ending] += 1

    def __str__(self) -> str:
        return "; ".join(f"{count:,} {ending}" for ending, count in self.counts.most_common())


def describe(error: DuologueError) -> str:
    """An error in a few words: its class, what the remote said, and whether the handler may have run."""
    words = [type(error).__name__]
    if isinstance(error, RemoteError):
        words.append(error.kind.value)
    if isinstance(error, CallError):
        words.append(f"(executed: {error.executed.value})")
    return " ".join(words)
