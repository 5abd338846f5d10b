"""What follows when a handler raises."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

logger = logging.getLogger("duologue.actors")


@dataclass(frozen=True, slots=True)
class Stop:
    """The actor ends with its first failure. Its waiting calls fail at once; the scope and its other actors go on."""


@dataclass(frozen=True, slots=True)
class Resume:
    """The actor goes on with the next message, and with the state that the failed handler has left."""


@dataclass(frozen=True, slots=True)
class Escalate:
    """The actor ends with its first failure, and the scope with it: `ActorFailed` comes out of its `async with`.

    Whoever can make a handler fail can so end the whole scope: not for actors that strangers may call.
    """


@dataclass(frozen=True, slots=True)
class Restart:
    """A new actor takes the place of the failed one, made by the same function. Mailbox and address stay; the message whose handler
    failed is not repeated.

    That may happen `limit` times within `within` seconds; the next failure leads to `then`. Failures of the function
    and of `started()` count too.
    """

    limit: int
    within: float
    then: Stop | Escalate = Escalate()

    def __post_init__(self) -> None:
        if not self.limit >= 1 or not self.within > 0:
            raise ValueError(
                f"Restart(limit={self.limit}, within={self.within}): give at least 1 restart, in more than 0 seconds; "
                "or Stop(), where there is to be none"
            )
        if not isinstance(self.then, Stop | Escalate):  # pyright: ignore[reportUnnecessaryIsInstance] - not all callers are checked
            raise TypeError(f"then={self.then!r}: give Stop() or Escalate()")


FailurePolicy = Stop | Resume | Restart | Escalate
"""What an actor may be given as `failure=`."""


def check_policy(policy: object) -> None:
    """Raises `TypeError` for what is none. A class in place of its object would be taken for `Stop()` when it is too late."""
    if not isinstance(policy, FailurePolicy):
        raise TypeError(
            f"failure={policy!r}: give Stop(), Resume(), Restart(limit=3, within=60) or Escalate()"
        )


class Supervisor:
    """Decides for one actor, and remembers when it was restarted."""

    def __init__(self, policy: FailurePolicy, now: Callable[[], float]) -> None:
        self._policy = policy
        self._now = now
        self._restarts: deque[float] = deque()

    def decide(self) -> FailurePolicy:
        """What is to be done about one more failure."""
        policy = self._policy
        if not isinstance(policy, Restart):
            return policy
        now = self._now()
        restarts = self._restarts
        while restarts and restarts[0] <= now - policy.within:
            restarts.popleft()
        if len(restarts) >= policy.limit:
            return policy.then
        restarts.append(now)
        return policy

    def __str__(self) -> str:
        match self._policy:
            case Restart(limit=limit, within=within):
                return f"failed again after {limit} restarts within {within:g} s"
            case _:
                return "failed"


class FailureLog:
    """Logs failures with their tracebacks, at most so many a second: whoever can make them must not fill a disk."""

    PER_SECOND = 10

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._began = float("-inf")
        self._count = 0

    def error(self, text: str, failure: BaseException) -> None:
        """Log it, or count it."""
        now = self._now()
        if now - self._began >= 1.0:
            if self._count > self.PER_SECOND:
                logger.error("%d more failures were not logged", self._count - self.PER_SECOND)
            self._began, self._count = now, 0
        self._count += 1
        if self._count <= self.PER_SECOND:
            logger.error(text, exc_info=failure)
