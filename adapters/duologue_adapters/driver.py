"""The driver: one `Peer` for all transports. It moves bytes, events and the time between a link and the core.

Everything here is callbacks: `drive` is called when bytes came, when a timer is due, when the link has taken what it was
given, and soon after a command. It decides nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from functools import partial
from itertools import islice
from typing import Any, assert_never

from duologue import (
    DEFAULT,
    CallBudget,
    CloseReason,
    Limits,
    Namespace,
    Peer,
    PeerClosed,
    PeerEvent,
    PeerInfo,
    RegistrationError,
    Remote,
    ServiceMap,
    ServiceMaps,
    WireFormat,
)
from duologue.peer import Timeout
from duologue.protocol.connection import Connection, ErrorBodies
from duologue.protocol.events import (
    CallFailed,
    CallReceived,
    ErrorReported,
    Event,
    IncomingRequest,
    RelayTargetLost,
    RequestCancelled,
    RequestFailed,
    ResponseReceived,
    SendAccepted,
    SendFailed,
    SendReceived,
    WritingFinished,
)
from duologue.protocol.feed import Feed
from duologue.protocol.lifecycle import Phase
from duologue.protocol.pending import OutgoingCall, OutgoingSend
from duologue.protocol.routes import Route
from duologue_adapters.context import lend, running_request, unlend
from duologue_adapters.dispatch import Dispatcher
from duologue_adapters.observers import Audience, Observer
from duologue_adapters.ports import Engine, Link, Receiver, Timer, Waiter
from duologue_adapters.waiting import deadline_of, resolve, tell_all, wait_among

FLUSH_EVERY = 64
"""Events dispatched before what they have put into the outbox leaves: outgoing goes before incoming, and neither starves."""


class DriverPeer(Peer, Receiver):
    """One end of one connection, over any link, run by any engine."""

    def __init__(
        self,
        engine: Engine,
        link: Link,
        wireformat: WireFormat,
        *,
        limits: Limits,
        budget: CallBudget | None = None,
        name: str = "",
    ) -> None:
        self.wireformat = wireformat
        self._engine = engine
        self._now = engine.now
        self._link = link
        self._limits = limits
        self._info = PeerInfo(name, link.address, link.extra)
        self._connection = connection = Connection(
            _no_services,
            ErrorBodies(wireformat.encode_plain, wireformat.decode_plain),
            limits=limits,
            budget=budget,
            framing=wireformat.framing,
        )
        connection.incoming.on_permit = self._permit_available
        self.relays = relays = connection.relays
        relays.name, relays.wireformat, relays.on_work = name or link.address, wireformat.name, self.touch
        self._dispatcher = Dispatcher(self, engine, connection)
        self.is_driving = False
        """It looks at the core right now, so whoever gives a command need not ask for that."""
        self._is_scheduled = False
        self._is_writing = False
        """The link has not taken all that it was given."""
        self._is_reading = True
        self._permit_came = False
        self._services: ServiceMap | None = None
        self._is_combined = False
        """What is served is a map of maps that is this peer's own."""
        self._undispatched: list[Event] = []
        """Events that were left when an exception broke out."""
        self._timer: Timer | None = None
        self._timer_at = 0.0
        self._closed: PeerClosed | None = None
        self._close_waiters: list[Waiter] = []
        self._audience = Audience()
        self._on_closed: dict[object, Callable[[Peer], object]] = {}

    def __repr__(self) -> str:
        connection = self._connection
        return (
            f"<Peer {self._info.name or self._info.address or 'without name'}, {connection.phase.value}, "
            f"{self.wireformat.name}, {len(connection.outgoing.pending)} calls out, {connection.incoming.running} handlers>"
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
        # The map that was given may be served to others too, so it is not changed.
        maps = self._services if self._is_combined else ServiceMaps(self._services)
        assert isinstance(maps, ServiceMaps)
        maps.add(services)
        if not self._is_combined:
            self._serve(maps)
            self._is_combined = True

    def remove_services(self, services: ServiceMap) -> None:
        if self._is_combined:
            assert isinstance(self._services, ServiceMaps)
            self._services.remove(services)
        elif services is self._services:
            self._services, self._connection.incoming.router = None, _no_services
        else:
            raise RegistrationError(f"{services!r} is not served to {self!r}, so it can't be removed")

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
            call = self._connection.call(sid, payload, deadline, now, running is not None)
            call.waiter = waiter = self._engine.waiter()
            if not self._is_scheduled:
                self.touch()
            outcome = await waiter
        except BaseException:
            # Whoever waited was cancelled. The call lets go of all it holds, and a late answer is dropped.
            if call is not None:
                self._give_up(call)
            raise
        finally:
            if running is not None:
                unlend(running)
        if isinstance(outcome, bytes):
            return outcome
        try:
            raise outcome
        finally:
            del outcome  # its traceback holds this frame

    async def send_raw(self, sid: int, payload: bytes, *, timeout: Timeout = DEFAULT) -> None:
        if type(payload) is not bytes:
            payload = _bytes_of(payload)
        now = self._now()
        send = self._connection.send(sid, payload, deadline_of(timeout, self._limits.send_timeout, now), now)
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
            try:
                raise error
            finally:
                del error

    def events(self) -> AsyncIterator[PeerEvent]:
        observer = Observer(self._engine, self._limits.observer_queue)
        if self._closed is not None:
            observer.put(self._closed)
        else:
            self._audience.add(observer)
        return observer

    async def close(self, reason: str = "", *, grace: float = 0.0) -> None:
        self.begin_close(reason, grace)
        running = running_request()
        if running is None or running.peer is not self:
            await self.wait_closed()

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

    # -- for the handlers of this connection's requests ---------------------------------------------

    def lend(self, request: IncomingRequest) -> bool:
        """Lend a request's permit while its handler waits."""
        lent = self._connection.lend(request, self._now())
        self.touch()
        return lent

    def unlend(self, request: IncomingRequest) -> None:
        """Take it back."""
        self._connection.unlend(request, self._now())

    # -- what the link calls ------------------------------------------------------------------------

    def start(self, services: ServiceMap | None) -> None:
        """Begin: from now on the link calls back."""
        if services is not None:
            self.add_services(services)
        self._link.start(self)

    def data_received(self, data: bytes | memoryview) -> None:
        self._connection.receive_data(data, self._now())
        self.drive()

    def eof_received(self, cut_short: str = "") -> None:
        self._connection.receive_eof(self._now(), cut_short)
        self.drive()

    def connection_lost(self, detail: str) -> None:
        self._connection.transport_lost(detail, self._now(), refused=self._link.is_refused)
        self.drive()

    def all_written(self) -> None:
        self._is_writing = False
        self._connection.data_sent(self._now())
        self.drive()

    # -- the driving ---------------------------------------------------------------------------------

    def touch(self) -> None:
        """A command was given: see to what follows from it, soon, and once for all commands of this pass."""
        if not self._is_scheduled and not self.is_driving:
            self._is_scheduled = True
            self._engine.call_soon(self._scheduled)

    def _scheduled(self) -> None:
        self._is_scheduled = False
        self.drive()

    def push(self) -> None:
        """See to what follows from the commands that were given, now, though more are to come."""
        if self.is_driving:
            self._flush()
        else:
            self.drive()

    def drive(self) -> None:
        """Dispatch events, write, and set the link and the timer to what the core wants now."""
        if self.is_driving:
            return
        connection = self._connection
        self.is_driving = True
        try:
            while True:
                if self._permit_came:
                    self._permit_came = False
                    connection.permit_freed(self._now())
                self._dispatch(connection.events())
                if connection.needs_look:
                    connection.look(self._now())
                self._flush()
                if not connection.has_events and not self._permit_came:
                    break
        except BaseException as exc:
            # The end of the process, out of a handler. What else has happened must still be told while it ends.
            self.is_driving = False
            self.touch()
            self._engine.raise_on(exc)
        finally:
            self.is_driving = False
        if connection.wants_read is not self._is_reading:
            self._switch_reading()
        deadline = connection.next_deadline()
        if deadline is not None and (self._timer is None or deadline < self._timer_at):
            self._set_timer(deadline)

    def _dispatch(self, events: list[Event]) -> None:
        start = self._dispatcher.start
        if self._undispatched:
            events = self._undispatched + events
            self._undispatched = []
        rest = iter(events)
        try:
            for _ in range(0, len(events), FLUSH_EVERY):
                for event in islice(rest, FLUSH_EVERY):
                    # The kinds that come with every message are told apart by the cheapest question there is.
                    if type(event) is ResponseReceived:
                        call = event.call
                        waiter, call.waiter = call.waiter, None
                        if not waiter.done():
                            waiter.set_result(event.payload)
                    elif type(event) is CallReceived or type(event) is SendReceived:
                        start(event)
                    else:
                        self._dispatch_other(event)
                self._flush()
            self._dispatcher.run_ready()
        except BaseException:
            self._undispatched = list(rest)
            raise

    def _dispatch_other(self, event: Event) -> None:
        match event:
            case CallReceived() | SendReceived() | ResponseReceived():
                raise AssertionError(event)
            case CallFailed():
                resolve(event.call, event.error)
            case SendAccepted():
                resolve(event.send, None)
            case SendFailed():
                resolve(event.send, event.error)
            case RequestCancelled():
                self._dispatcher.cancel(event.request)
            case RequestFailed():
                self._audience.tell_failure(event, self._now())
            case ErrorReported() | RelayTargetLost():
                self._audience.tell(event)
            case WritingFinished():
                self._link.end_writing()
            case PeerClosed():
                self._ended(event)
            case _:
                assert_never(event)

    def _flush(self) -> None:
        if self._is_writing:
            return
        connection = self._connection
        while buffers := connection.data_to_send():
            if not self._link.write(buffers):
                self._is_writing = True
                return
            connection.data_sent(self._now())

    def _switch_reading(self) -> None:
        self._is_reading = not self._is_reading
        if self._is_reading:
            # Not in the context of whoever let reading go on: the loop would keep it for as long as it reads.
            self._engine.context.copy().run(self._link.resume_reading)
        else:
            self._link.pause_reading()

    def _set_timer(self, deadline: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = deadline
        self._timer = self._engine.call_at(deadline, self._timer_due)

    def _timer_due(self) -> None:
        self._timer = None
        now = self._now()
        if self._is_writing:
            self._connection.data_sent(now, self._link.unsent)  # a slow link makes progress, too
        self._connection.handle_timer(now)
        self.drive()

    def _permit_available(self) -> None:
        self._permit_came = True
        self.touch()

    def _give_up(self, item: OutgoingCall | OutgoingSend) -> None:
        self._connection.cancel(item, self._now())
        self.touch()

    # -- the rest ---------------------------------------------------------------------------------------

    def _ended(self, event: PeerClosed) -> None:
        self._closed = event
        self._link.abort()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._audience.tell(event)
        tell_all(self._close_waiters)
        for callback in tuple(self._on_closed.values()):
            callback(self)
        self._on_closed.clear()


def _no_services(sid: int) -> Route | None:
    return None


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
