"""What users hold and call: a `Peer` over any link, run by any engine."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

from duologue import (
    DEFAULT,
    CloseReason,
    DuologueError,
    Namespace,
    Peer,
    PeerEvent,
    PeerInfo,
    RegistrationError,
    Remote,
    RequestError,
    ServiceMap,
    ServiceMaps,
)
from duologue.peer import Timeout
from duologue.protocol.feed import Feed
from duologue.protocol.lifecycle import Phase
from duologue.protocol.pending import OutgoingCall, OutgoingSend
from duologue_adapters.context import lend, running_request, unlend
from duologue_adapters.driver import Driver, no_services
from duologue_adapters.observers import Observer
from duologue_adapters.waiting import deadline_of, seconds_of, wait_among


class DriverPeer(Driver):
    """One end of one connection: what users call, over the half that works."""

    _services: ServiceMap | None = None
    """What is served."""
    _is_combined = False
    """That is a map of maps, and this peer's own."""
    _is_draining = False
    """It was told to drain, so what is sent in a handler has to say so."""

    def __repr__(self) -> str:
        """Who it is, and what would have to be looked at if it stood still."""
        connection = self._connection
        reason = connection.reason
        counts = {
            "calls out": connection.outgoing.unanswered,
            "handlers": connection.incoming.running,
            "parked": connection.incoming.parking.waiting,
            "bytes unsent": connection.outbox.level,
        }
        return (
            f"<Peer {self._label or 'without name'}, {connection.phase.value}{f' ({reason.value})' if reason else ''}, "
            f"{self.wireformat.name}, {', '.join(f'{count} {what}' for what, count in counts.items())}>"
        )

    # -- what users call ---------------------------------------------------------------------

    @property
    def info(self) -> PeerInfo:
        return self._info

    @property
    def is_open(self) -> bool:
        return self._connection.phase is Phase.OPEN

    @property
    def outstanding(self) -> int:
        return self._connection.outgoing.unanswered

    def add_services(self, services: ServiceMap) -> None:
        if self._services is None:
            self._serve(services)
            return
        maps = self._own_maps()
        maps.add(services)
        self._serve_own(maps)

    def remove_services(self, services: ServiceMap) -> None:
        if services is self._services and not self._is_combined:
            self._services, self._connection.incoming.router = None, no_services
            return
        maps = self._own_maps()
        try:
            maps.remove(services)
        except RegistrationError:
            raise RegistrationError(
                f"{services!r} is not served to {self!r}, so it can't be removed"
            ) from None
        self._serve_own(maps)

    def _own_maps(self) -> ServiceMaps:
        """A map of maps that is this peer's alone: what was given may be served to others too, so it is not changed."""
        if self._is_combined:
            assert isinstance(self._services, ServiceMaps)
            return self._services
        return ServiceMaps() if self._services is None else ServiceMaps(self._services)

    def _serve_own(self, maps: ServiceMaps) -> None:
        if not self._is_combined:
            self._serve(maps)
            self._is_combined = True

    def _serve(self, services: ServiceMap) -> None:
        self._connection.incoming.router = services.router(self.wireformat)
        self._services = services

    def when_closed(self, callback: Callable[[Peer], object]) -> Callable[[], None]:
        if self._closed is not None:
            callback(self)
            return _nothing
        token = object()
        self._on_closed[token] = callback
        return partial(_drop, self._on_closed, token)

    def publish(self, feed: Feed, sid: int, payload: bytes) -> None:
        self._connection.publish(feed, sid, payload, self._now())
        if not self._is_scheduled:
            self.touch()

    def end_feed(self, feed: Feed) -> None:
        self._connection.end_feed(feed)

    def remote(self, namespace: Namespace) -> Remote:
        return Remote(self, namespace)

    async def call_raw(self, sid: int, payload: bytes, *, timeout: Timeout = DEFAULT) -> bytes:
        if type(payload) is not bytes:
            payload = _bytes_of(payload)
        now = self._now()
        deadline = deadline_of(timeout, self._limits.call_timeout, now)
        running = running_request()
        if running is not None:
            lend(running)
        call: OutgoingCall | None = None
        try:
            call = self._connection.call(sid, payload, deadline, now, running)
            call.waiter = waiter = self._engine.waiter()
            if not self._is_scheduled:
                self.touch()
            outcome = await waiter
        except BaseException as exc:
            # Whoever waited was cancelled. The call lets go of all it holds, and a late answer is dropped.
            if call is not None:
                self._give_up(call)
            self._name(exc, sid)
            raise
        finally:
            if running is not None:
                unlend(running)
        if isinstance(outcome, bytes):
            return outcome
        self._name(outcome, sid, call.id)
        try:
            raise outcome
        finally:
            del outcome, waiter  # its traceback holds this frame

    async def send_raw(self, sid: int, payload: bytes, *, timeout: Timeout = DEFAULT) -> None:
        if type(payload) is not bytes:
            payload = _bytes_of(payload)
        now = self._now()
        handled = running_request() if self._is_draining else None
        try:
            send = self._connection.send(
                sid, payload, deadline_of(timeout, self._limits.send_timeout, now), now, handled
            )
        except DuologueError as exc:
            self._name(exc, sid)
            raise
        if not self._is_scheduled:
            self.touch()
        if send is None:
            return
        running = running_request()
        try:
            if running is not None:
                lend(running)
            try:
                send.waiter = waiter = self._engine.waiter()
                error = await waiter
            finally:
                if running is not None:
                    unlend(running)
        except BaseException:
            self._give_up(send)
            raise
        if error is not None:
            self._name(error, sid)
            try:
                raise error
            finally:
                del error, waiter

    def events(self) -> AsyncIterator[PeerEvent]:
        observer = Observer(self._engine, self._limits.observer_queue, self._label)
        if self._closed is not None:
            observer.put(self._closed)
        else:
            self._audience.add(observer)
        return observer

    async def drain(self, reason: str = "", *, timeout: Timeout = DEFAULT) -> bool:
        self.begin_drain(reason, timeout)
        if not self._is_waited_for():
            await self.wait_closed()
        return self.is_drained

    def begin_drain(self, reason: str, timeout: Timeout) -> None:
        """What `drain` does before it waits."""
        self._connection.drain(reason, seconds_of(timeout, self._limits.drain_timeout), self._now())
        self._is_draining = True
        self.touch()

    @property
    def is_drained(self) -> bool:
        """Whether it was drained, and all that was under way had ended in time."""
        return self._connection.is_drained

    async def close(self, reason: str = "", *, grace: float = 0.0) -> None:
        self.begin_close(reason, grace)
        if not self._is_waited_for():
            await self.wait_closed()

    def _is_waited_for(self) -> bool:
        """Whether the one who runs here is a handler of this peer's, which must not wait for its own end."""
        running = running_request()
        return running is not None and running.peer is self

    def begin_close(self, reason: str, grace: float) -> None:
        """What `close` does before it waits."""
        self._connection.close(reason, grace, self._now())
        self.touch()

    async def wait_closed(self) -> CloseReason:
        if self._closed is None:
            await wait_among(self._close_waiters, self._engine.waiter())
        assert self._closed is not None
        return self._closed.reason

    def abort(self, reason: str = "") -> None:
        """End the connection here and now: nothing more is sent, and nothing waited for."""
        self._connection.abort(reason, self._now())
        self.drive()

    def start(self, services: ServiceMap | None) -> None:
        """Begin: from now on the link calls back."""
        if services is not None:
            self.add_services(services)
        self._link.start(self)
        if self._account is not None:
            self._account.on_change = self.pressure_changed
            self.pressure_changed()  # it may be tight already

    def _give_up(self, item: OutgoingCall | OutgoingSend) -> None:
        self._connection.cancel(item, self._now())
        self.touch()

    def _name(self, error: BaseException, sid: int, call_id: int = 0) -> None:
        """Say in an error what it is about: for people at this end, and nothing of it goes to the other."""
        if isinstance(error, RequestError):
            error.peer, error.sid, error.call_id = self._label, sid, call_id


def _nothing() -> None:
    """There is nothing to take back."""


def _drop(callbacks: dict[object, Callable[[Peer], object]], token: object) -> None:
    callbacks.pop(token, None)


def _bytes_of(payload: Any) -> bytes:
    """A payload must never change, and its length must be that of its bytes: a copy of whatever else holds bytes."""
    if isinstance(payload, memoryview):
        return payload.tobytes()
    if not isinstance(payload, bytes | bytearray):
        raise TypeError(f"a payload is bytes, not {type(payload).__name__}: encode the message first")
    return bytes(payload)
