"""Keeps one connection up: the task that connects, waits for the end, and connects again."""

from __future__ import annotations

import inspect
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Literal

import anyio

from duologue import (
    CallError,
    CloseReason,
    ConnectFailed,
    ConnectionClosed,
    ErrorKind,
    ErrorReported,
    Executed,
    Peer,
    PeerClosed,
    PeerEvent,
)
from duologue_contrib.reconnect.backoff import Attempts
from duologue_contrib.reconnect.errors import ConnectionEnded, NotConnected, ReconnectFailed
from duologue_contrib.reconnect.events import (
    AttemptFailed,
    Audience,
    Connected,
    Connecting,
    Disconnected,
    GaveUp,
)
from duologue_contrib.reconnect.waiting import Gate

First = Literal["now", "wait", "later"]
"""What `reconnecting` does about the first connection: have it or raise, wait for it, or let the calls wait for it."""

Hook = Callable[[Peer], Awaitable[None] | None]
"""Called with each new peer."""

_NOT_UNDERSTOOD = (ErrorKind.DESERIALIZE_WIREFORMAT, ErrorKind.UNREADABLE)
"""What a remote says of the connection as a whole before it closes, since this end is out of step."""


@dataclass(frozen=True, slots=True)
class Clock:
    """The time between attempts. For tests: with a clock of their own they wait for nothing."""

    now: Callable[[], float] = time.monotonic
    """Seconds, which never go back."""
    sleep: Callable[[float], Awaitable[None]] = anyio.sleep
    """Wait for so many seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a keeper is to do."""

    connect: Callable[[], AbstractAsyncContextManager[Peer]]
    """Makes one attempt, on entering."""
    on_connect: Hook | None
    gives_up: Callable[[Exception], bool]
    first: First
    clock: Clock


class Keeper:
    """Has the current peer, if there is one, and all that waits for one."""

    def __init__(self, plan: Plan, attempts: Attempts, audience: Audience, gate: Gate) -> None:
        self._plan = plan
        self._attempts = attempts
        self._audience = audience
        self._gate = gate
        # Shielded: a cancellation is for those who call first. Cut under them, they would get an error in its place.
        self._scope = anyio.CancelScope(shield=True)
        self._holding: anyio.CancelScope | None = None
        """Around the time in which a connection is up. Cancelled, the connection is left in good order."""
        self._was_connected = False
        self._is_closing = False
        self._detail = ""
        self.peer: Peer | None = None
        """The current connection."""
        self.last_error: Exception | None = None
        """What happened last, or why it gave up."""
        self.has_given_up = False
        self.settled = anyio.Event()
        """There was a connection, or there will be none."""
        self.over = anyio.Event()
        """It has ended, and so has its last connection."""

    # -- for the client ------------------------------------------------------------------------------

    def current(self) -> Peer | None:
        """The peer to call through now. Raises what a call gets that comes too late."""
        if self.has_given_up or self._is_closing:
            raise self.end_error()
        peer = self.peer
        return peer if peer is not None and peer.is_open else None

    def end_error(self) -> CallError:
        """What a call gets that comes too late: a new one for each, since each has its own traceback."""
        if not self.has_given_up:
            return ConnectionClosed(CloseReason.CLOSED_LOCALLY, Executed.NO, self._detail)
        assert self.last_error is not None
        error = ReconnectFailed(self.last_error)
        error.__cause__ = self.last_error
        return error

    def begin_close(self, detail: str) -> None:
        """Connect no more. Whoever waits is told at once; a connection that is up stays, until it is closed."""
        if not self._is_closing:
            self._is_closing, self._detail = True, detail
            self._gate.wake()
            if self._holding is None:
                self._scope.cancel()

    def stop(self) -> None:
        """Connect no more, and leave the connection in good order."""
        self.begin_close("")
        if self._holding is not None:
            self._holding.cancel()

    def cut(self) -> None:
        """End it here and now, and cut the connection."""
        self.begin_close("")
        self._scope.cancel()

    # -- the task ----------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Keep a connection up, until it is stopped or has given up."""
        try:
            with self._scope:
                await self._keep()
        finally:
            self._is_closing = True
            self.settled.set()
            self._gate.wake()
            self._audience.end()
            self.over.set()

    async def _keep(self) -> None:
        clock = self._plan.clock
        while True:
            attempt = self._attempts.begin(clock.now())
            self._audience.tell(Connecting(attempt))
            error, is_useless = await self._try(attempt)
            if self._is_closing:
                return
            is_useless = is_useless or (self._plan.first == "now" and not self._was_connected)
            next_in = None if is_useless else self._attempts.next_in(clock.now())
            self.last_error = error
            if isinstance(error, ConnectionEnded):
                self._audience.tell(Disconnected(error.reason, error.detail, next_in))
            else:
                self._audience.tell(AttemptFailed(attempt, error, next_in))
            if next_in is None:
                self._give_up(error)
                return
            await clock.sleep(next_in)

    def _give_up(self, error: Exception) -> None:
        self.has_given_up = True
        if self._was_connected or self._plan.first == "later":  # else `reconnecting` raises it
            self._audience.log_end(error)
        self._gate.wake()
        self._audience.tell(GaveUp(error))

    async def _try(self, attempt: int) -> tuple[Exception, bool]:
        """One attempt, and the whole time of its connection: why it is over, and whether trying again is useless."""
        is_open = False
        events: AsyncIterator[PeerEvent]
        try:
            async with self._plan.connect() as peer:
                is_open, events = True, peer.events()
                try:
                    await greet(peer, self._plan.on_connect)
                except Exception as exc:
                    # What the connection ended by says more than what the hook made of it.
                    error = exc if peer.is_open else await end_of(events)
                    raise _Failed(exc, self._plan.gives_up(error)) from None
                ended = await self._hold(peer, events, attempt)
        except _Failed as failed:
            return failed.error, failed.is_useless or self._plan.gives_up(failed.error)
        except Exception as exc:
            if is_open:
                raise
            # What is no failure to connect is a mistake in the program: it would be there again.
            return exc, not isinstance(exc, ConnectFailed) or self._plan.gives_up(exc)
        return ended, self._plan.gives_up(ended)

    async def _hold(self, peer: Peer, events: AsyncIterator[PeerEvent], attempt: int) -> ConnectionEnded:
        """Here is a connection: let calls through until it ends, or is to be left."""
        ended = ConnectionEnded(CloseReason.CLOSED_LOCALLY)
        self.peer, self._was_connected = peer, True
        self._attempts.connected(self._plan.clock.now())
        try:
            with anyio.CancelScope() as self._holding:
                self._audience.tell(Connected(attempt, peer))
                self.settled.set()
                self._gate.wake()
                ended = await end_of(events)
        finally:
            self.peer = self._holding = None
        return ended


class _Failed(Exception):
    """Carries the failure of a hook out of the connection, which is cut by it."""

    def __init__(self, error: Exception, is_useless: bool) -> None:
        self.error = error
        self.is_useless = is_useless


async def greet(peer: Peer, hook: Hook | None) -> None:
    """Run the hook. The end of the connection is the end of it, whatever it waits for. Raises what it raises."""
    if hook is None:
        return
    failures: list[Exception] = [NotConnected("the connection ended while on_connect was at work")]

    async def run() -> None:
        try:
            waiting = hook(peer)
            if inspect.isawaitable(waiting):
                await waiting
            failures.clear()
        except Exception as exc:
            failures[:] = [exc]
        finally:
            group.cancel_scope.cancel()

    async with anyio.create_task_group() as group:
        group.start_soon(run)
        await peer.wait_closed()
        group.cancel_scope.cancel()
    if failures:
        raise failures[0]


async def end_of(events: AsyncIterator[PeerEvent]) -> ConnectionEnded:
    """Wait for the end of a connection, and see what was said just before."""
    reported = ""
    async for event in events:
        match event:
            case PeerClosed(reason=reason, detail=detail):
                return ConnectionEnded(reason, detail, reported)
            case ErrorReported(kind=kind, cid=0, text=text) if kind in _NOT_UNDERSTOOD:
                reported = f"{kind.value}: {text}" if text else kind.value
            case _:
                reported = ""
    raise AssertionError("a peer's events end with PeerClosed")
