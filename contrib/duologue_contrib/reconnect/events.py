"""What a client tells: each attempt, each connection and its end. To a callback, to any number of observers, and to the log."""

from __future__ import annotations

import logging
import weakref
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import anyio

from duologue import CloseReason, EventsMissed, Peer

logger = logging.getLogger("duologue.reconnect")


@dataclass(frozen=True, slots=True)
class Connecting:
    """An attempt begins."""

    attempt: int
    """Its number since the last connection that was a success (`Backoff.stable_after`), from 1."""


@dataclass(frozen=True, slots=True)
class Connected:
    """There is a connection, `on_connect` has done its work, and calls that wait go out."""

    attempt: int
    """The number of the attempt."""
    peer: Peer
    """This end of it."""


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The connection has ended."""

    reason: CloseReason
    """Who ended it, as in `PeerClosed`."""
    detail: str
    """The same in words; it may be empty."""
    next_in: float | None
    """Seconds until the next attempt; None if there will be none."""


@dataclass(frozen=True, slots=True)
class AttemptFailed:
    """An attempt came to nothing: no connection, or `on_connect` failed."""

    attempt: int
    """Its number."""
    error: Exception
    """Why."""
    next_in: float | None
    """Seconds until the next attempt; None if there will be none."""


@dataclass(frozen=True, slots=True)
class GaveUp:
    """There will be no further attempt, and calls raise `ReconnectFailed`. The last event, unless the client is closed."""

    error: Exception
    """Why: the last error. `is_permanent` says whether it alone was enough."""


ClientEvent = Connecting | Connected | Disconnected | AttemptFailed | GaveUp | EventsMissed
"""What `ReconnectingClient.events()` gives."""


class Watcher(AsyncIterator[ClientEvent]):
    """One `client.events()`. Over its bound the oldest events go, and it is told how many."""

    def __init__(self, limit: int) -> None:
        self._queue: deque[ClientEvent] = deque()
        self._limit = max(1, limit)
        self._missed = 0
        self._is_over = False
        self._changed = anyio.Event()

    def put(self, event: ClientEvent) -> None:
        """Show it an event. Never waits."""
        if len(self._queue) >= self._limit:
            self._queue.popleft()
            self._missed += 1
        self._queue.append(event)
        self._change()

    def end(self) -> None:
        """Nothing more comes."""
        self._is_over = True
        self._change()

    def __aiter__(self) -> Watcher:
        return self

    async def __anext__(self) -> ClientEvent:
        while not self._queue:
            if self._is_over:
                raise StopAsyncIteration
            await self._changed.wait()
        if self._missed:
            missed, self._missed = self._missed, 0
            return EventsMissed(missed)
        return self._queue.popleft()

    def _change(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()


class Audience:
    """All who watch one client."""

    def __init__(self, limit: int, callback: Callable[[ClientEvent], None] | None, name: str) -> None:
        self._limit = limit
        self._callback = callback
        self._name = name
        # A dict keeps the order in which they came, which a set has not.
        self._watchers: weakref.WeakKeyDictionary[Watcher, None] = weakref.WeakKeyDictionary()
        self._last: GaveUp | None = None
        self._is_over = False

    def watcher(self) -> Watcher:
        """One more, from now on. It is forgotten when nobody holds it."""
        watcher = Watcher(self._limit)
        self._watchers[watcher] = None
        if self._last is not None:
            watcher.put(self._last)
        if self._is_over:
            watcher.end()
        return watcher

    def tell(self, event: ClientEvent) -> None:
        """Show it to all. A callback that fails does not keep the client from connecting."""
        self._log(event)
        if isinstance(event, GaveUp):
            self._last = event
        for watcher in list(self._watchers):
            watcher.put(event)
        if self._callback is not None:
            try:
                self._callback(event)
            except Exception:
                logger.exception("%s: on_event failed", self._name)

    def end(self) -> None:
        """Nothing more comes."""
        self._is_over = True
        for watcher in list(self._watchers):
            watcher.end()

    def log_end(self, error: Exception) -> None:
        """Say that it gave up, for those who look at nothing else."""
        logger.error("%s: gave up: %s", self._name, _printable(str(error)))

    def _log(self, event: ClientEvent) -> None:
        match event:
            case Disconnected(reason=reason, detail=detail):
                logger.warning(
                    "%s: %s%s", self._name, reason.value, f" ({_printable(detail)})" if detail else ""
                )
            case AttemptFailed(attempt=attempt, error=error, next_in=next_in):
                wait = "giving up" if next_in is None else f"trying again in {next_in:.3g} s"
                logger.info(
                    "%s: attempt %d failed, %s: %s", self._name, attempt, wait, _printable(str(error))
                )
            case Connected():
                logger.info("%s: connected", self._name)
            case _:
                pass


def _printable(text: str) -> str:
    """The other end may have had a say in it: one line, and nothing that a terminal would obey (docs/faults.md, row 81)."""
    return "".join(char if char.isprintable() else "?" for char in text[:1000])
