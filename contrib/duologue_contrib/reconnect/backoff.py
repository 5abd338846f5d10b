"""When to try again: from failures, the time and chance to seconds. Pure, so that it is tested with numbers."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from random import SystemRandom

# Not the module's own dice: a program that seeds those would have all its processes come back at the same moments.
dice: ContextVar[Callable[[], float]] = ContextVar("dice", default=SystemRandom().random)
"""Where chance comes from if a client is given none. A simulation has its own, from its seed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """How long to wait before an attempt, and how often to try. Times are in seconds.

    Before each attempt the client waits for a random part, from nothing to all ("full jitter"), of a time that begins with
    `first` and grows by `factor` with every attempt, up to `longest`. So clients that have lost the same server at the
    same moment do not come back at the same moment.

    Raises `ValueError` for what can't be meant.
    """

    first: float = 0.1
    """The longest wait before the first attempt after a connection has ended."""
    factor: float = 2.0
    """So many times longer may the wait be after each attempt."""
    longest: float = 30.0
    """No wait is longer."""
    stable_after: float = 10.0
    """A connection that was up for so long counts as a success: then the waits begin with `first` again. One that ends
    sooner is one more attempt, or a server that ends each connection at once would be asked without a pause."""
    max_attempts: int | None = None
    """Give up after so many attempts without a success. None: never for that reason."""
    max_seconds: float | None = None
    """Give up where the next attempt would begin later than this after the first one, or after the end of the last
    connection that was a success. None: never for that reason."""

    def __post_init__(self) -> None:
        if not 0 <= self.first <= self.longest < float("inf"):
            raise ValueError(
                f"first={self.first!r}, longest={self.longest!r}: give 0 <= first <= longest, in seconds"
            )
        if not self.factor >= 1:
            raise ValueError(f"factor={self.factor!r}: give 1 or more, or the waits would become shorter")
        if not self.stable_after >= 0:
            raise ValueError(f"stable_after={self.stable_after!r}: give seconds, 0 or more")
        if self.max_attempts is not None and self.max_attempts < 1:
            raise ValueError(f"max_attempts={self.max_attempts!r}: give 1 or more, or None for no bound")
        if self.max_seconds is not None and not self.max_seconds >= 0:
            raise ValueError(
                f"max_seconds={self.max_seconds!r}: give seconds, 0 or more, or None for no bound"
            )

    def ceiling(self, attempts: int) -> float:
        """The longest wait after so many attempts without a success."""
        try:
            return min(self.longest, self.first * self.factor**attempts)
        except OverflowError:
            return self.longest if self.first else 0.0


class Attempts:
    """Counts the attempts since the last success, and says when the next one is due."""

    def __init__(self, backoff: Backoff, random: Callable[[], float]) -> None:
        self._backoff = backoff
        self._random = random
        self._since: float | None = None
        self._connected_at: float | None = None
        self.count = 0
        """Attempts since the last connection that was a success."""

    def begin(self, now: float) -> int:
        """An attempt begins. Gives its number."""
        if self._since is None:
            self._since = now
        self.count += 1
        return self.count

    def connected(self, now: float) -> None:
        """There is a connection. Whether it is a success its end will tell."""
        self._connected_at = now

    def next_in(self, now: float) -> float | None:
        """The attempt has failed, or its connection has ended: seconds until the next one, or None to give up."""
        backoff = self._backoff
        connected_at, self._connected_at = self._connected_at, None
        if connected_at is not None and now - connected_at >= backoff.stable_after:
            self.count, self._since = 0, now
        if backoff.max_attempts is not None and self.count >= backoff.max_attempts:
            return None
        wait = self._random() * backoff.ceiling(self.count)
        assert self._since is not None
        if backoff.max_seconds is not None and now + wait - self._since > backoff.max_seconds:
            return None
        return wait
