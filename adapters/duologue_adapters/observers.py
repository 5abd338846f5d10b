"""Those who watch a peer: bounded, and never waited for (docs/faults.md, row 64)."""

from __future__ import annotations

import logging
import weakref
from collections import deque
from collections.abc import AsyncIterator
from typing import cast

from duologue import EventsMissed, FailureKind, PeerClosed, PeerEvent, RequestFailed
from duologue_adapters.ports import Engine, Waiter
from duologue_adapters.waiting import tell_all, wait_among

logger = logging.getLogger("duologue")

_LOGGED = frozenset(
    {
        FailureKind.HANDLER_FAILED,
        FailureKind.NO_HANDLER,
        FailureKind.SERIALIZE,
        FailureKind.FRAME_TOO_LARGE,
        FailureKind.RELAY_REFUSED,
    }
)


class Observer(AsyncIterator[PeerEvent]):
    """One `peer.events()`. Over its bound the oldest events go, and it is told how many."""

    def __init__(self, engine: Engine, limit: int, peer: str) -> None:
        self._engine = engine
        self._peer = peer
        self._queue: deque[PeerEvent] = deque()
        self._limit = max(1, limit)
        self._missed = 0
        self._waiters: list[Waiter] = []
        self._ended = False

    def put(self, event: PeerEvent) -> None:
        """Show it an event. Never waits."""
        if len(self._queue) >= self._limit:
            self._queue.popleft()
            self._missed += 1
        self._queue.append(event)
        tell_all(self._waiters)

    def __aiter__(self) -> Observer:
        return self

    async def __anext__(self) -> PeerEvent:
        while not self._queue:
            if self._ended:
                raise StopAsyncIteration
            await wait_among(self._waiters, self._engine.waiter())
        if self._missed:
            missed = EventsMissed(self._missed)
            missed.peer = self._peer
            self._missed = 0
            return missed
        event = self._queue.popleft()
        if isinstance(event, PeerClosed):
            self._ended = True
            tell_all(self._waiters)  # more than one task may be reading
        return event


class Audience:
    """All who watch one peer, and the log, which always does: nobody has to observe to find a bug."""

    __slots__ = ("_log_limit", "_observers", "_peer")

    def __init__(self, peer: str) -> None:
        """`peer` says who is watched, for the log."""
        self._peer = peer
        # Made when they are needed: most connections need neither.
        # Keys keep their order, a set of them has none: those who wait are told in the order in which they came.
        self._observers: weakref.WeakKeyDictionary[Observer, None] | None = None
        self._log_limit: LogLimit | None = None

    def add(self, observer: Observer) -> None:
        """One more. It is forgotten when nobody holds it."""
        if self._observers is None:
            self._observers = weakref.WeakKeyDictionary()
        self._observers[observer] = None

    def tell(self, event: PeerEvent) -> None:
        """Show it to all."""
        for observer in list(self._observers or ()):
            observer.put(event)

    def tell_failure(self, event: RequestFailed, now: float) -> None:
        """Show it to all, and log it if it is a mistake at this end."""
        if event.kind in _LOGGED:
            if self._log_limit is None:
                self._log_limit = LogLimit(self._peer)
            request = f"call {event.cid}" if event.cid else "one-way message"
            text = f"{event.service or 'unknown service'} (0x{event.sid:016x}, {request}) of {self._peer or 'a peer'} failed: {event.kind.value}"
            self._log_limit.error(now, text, event.error)
        if self._observers:
            _drop_tracebacks(event.error)
            self.tell(event)


class LogLimit:
    """At most so many log records a second, so that a remote can't fill a disk (docs/faults.md, row 81)."""

    __slots__ = ("_began", "_count", "_peer", "_suppressed")

    PER_SECOND = 10

    def __init__(self, peer: str = "") -> None:
        self._peer = peer
        self._began = 0.0
        self._count = 0
        self._suppressed = 0

    def error(self, now: float, text: str, exc: BaseException | None) -> None:
        """Log an error, with its traceback, or count it."""
        if now - self._began >= 1.0:
            if self._suppressed:
                logger.error(
                    "%d more failures were not logged, of %s", self._suppressed, self._peer or "a peer"
                )
            self._began, self._count, self._suppressed = now, 0, 0
        self._count += 1
        if self._count > self.PER_SECOND:
            self._suppressed += 1
        else:
            logger.error(text, exc_info=exc)


def _drop_tracebacks(error: BaseException | None) -> None:
    """The log has them. In the queue of an observer who does not read, each would keep the frames of a handler, and by
    them the message, which may be a megabyte.
    """
    rest, seen = [error], set[int]()
    while rest:
        each = rest.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        each.__traceback__ = None
        rest += (each.__cause__, each.__context__)
        if isinstance(each, BaseExceptionGroup):
            rest += cast("BaseExceptionGroup[BaseException]", each).exceptions
