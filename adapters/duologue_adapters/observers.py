"""Those who watch a peer: bounded, and never waited for (docs/faults.md, row 64)."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import AsyncIterator

from duologue import EventsMissed, PeerClosed, PeerEvent
from duologue_adapters.ports import Engine, Waiter

logger = logging.getLogger("duologue")


class Observer(AsyncIterator[PeerEvent]):
    """One `peer.events()`. Over its bound the oldest events go, and it is told how many."""

    def __init__(self, engine: Engine, limit: int) -> None:
        self._engine = engine
        self._queue: deque[PeerEvent] = deque()
        self._limit = max(1, limit)
        self._missed = 0
        self._waiter: Waiter | None = None
        self._ended = False

    def put(self, event: PeerEvent) -> None:
        """Show it an event. Never waits."""
        if len(self._queue) >= self._limit:
            self._queue.popleft()
            self._missed += 1
        self._queue.append(event)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def __aiter__(self) -> Observer:
        return self

    async def __anext__(self) -> PeerEvent:
        while not self._queue:
            if self._ended:
                raise StopAsyncIteration
            self._waiter = self._engine.waiter()
            try:
                await self._waiter
            finally:
                self._waiter = None
        if self._missed:
            missed, self._missed = self._missed, 0
            return EventsMissed(missed)
        event = self._queue.popleft()
        self._ended = isinstance(event, PeerClosed)
        return event


class LogLimit:
    """At most so many log records a second, so that a remote can't fill a disk (docs/faults.md, row 81)."""

    __slots__ = ("_began", "_count", "_suppressed")

    PER_SECOND = 10

    def __init__(self) -> None:
        self._began = 0.0
        self._count = 0
        self._suppressed = 0

    def error(self, now: float, text: str, exc: BaseException | None) -> None:
        """Log an error, with its traceback, or count it."""
        if now - self._began >= 1.0:
            if self._suppressed:
                logger.error("%d more failures were not logged", self._suppressed)
            self._began, self._count, self._suppressed = now, 0, 0
        self._count += 1
        if self._count > self.PER_SECOND:
            self._suppressed += 1
        else:
            logger.error(text, exc_info=exc)
