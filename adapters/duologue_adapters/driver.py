"""The driver, for all transports. It moves bytes, events and the time between a link and the core.

Everything here is callbacks: `drive` is called when bytes came, when a timer is due, when the link has taken what it was
given, and soon after a command. It decides nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import assert_never

from duologue import CallBudget, Limits, Peer, PeerClosed, PeerInfo, WireFormat
from duologue.protocol.connection import Connection
from duologue.protocol.deadlines import earlier
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
from duologue.protocol.failures import ErrorBodies
from duologue.protocol.lifecycle import Phase
from duologue.protocol.received import ByteBudget
from duologue.protocol.routes import Route
from duologue_adapters.dispatch import Dispatcher
from duologue_adapters.engines.endings import end_of_process_in
from duologue_adapters.observers import Audience, logger
from duologue_adapters.ports import Engine, Link, Receiver, Timer, Waiter
from duologue_adapters.waiting import resolve, tell_all

FLUSH_EVERY = 64
"""Events dispatched before what they have put into the outbox leaves: outgoing goes before incoming, and neither starves."""

LITTLE = 4096
"""Bytes that are read at once while the connections of a server hold a lot (docs/flow.md, F9): 10,000 of them bring 40 MB then, and not 2.5 GB."""

ASK_EVERY = 0.5
"""Seconds after which a link that has not taken all is asked how much is left: so much later than it should a stalled one is cut."""


class Driver(Peer, Receiver):
    """The half of a peer that works: over any link, run by any engine. `DriverPeer` has what users call."""

    def __init__(
        self,
        engine: Engine,
        link: Link,
        wireformat: WireFormat,
        *,
        limits: Limits,
        budget: CallBudget | None = None,
        received: ByteBudget | None = None,
        name: str = "",
    ) -> None:
        self.wireformat = wireformat
        self._engine = engine
        self._now = engine.now
        self._link = link
        self._limits = limits
        self._info = PeerInfo(name, link.address, link.extra)
        self._label = str(self._info)
        self._account = account = None if received is None else received.open()
        self._connection = connection = Connection(
            no_services,
            ErrorBodies(wireformat.encode_plain, wireformat.decode_plain),
            limits=limits,
            budget=budget,
            framing=wireformat.framing,
            account=account,
        )
        connection.incoming.on_permit = self._permit_available
        self.relays = relays = connection.relays
        relays.name, relays.wireformat, relays.on_work = name or link.address, wireformat.name, self.touch
        self._dispatcher = Dispatcher(self, engine, connection)
        self._slice = self._dispatcher.time_slice
        self.is_driving = False
        """It looks at the core right now, so whoever gives a command need not ask for that."""
        self._is_scheduled = False
        self._is_writing = False
        """The link has not taken all that it was given."""
        self._ask_every = min(ASK_EVERY, limits.answers_stalled / 20)
        self._is_reading = True
        self._reads_little = False
        self._permit_came = False
        self._undispatched: list[Event] = []
        """Events that were left when an exception broke out, or time was over."""
        self._timer: Timer | None = None
        self._timer_at = 0.0
        self._closed: PeerClosed | None = None
        self._close_waiters: list[Waiter] = []
        self._audience = Audience(self._label)
        self._on_closed: dict[object, Callable[[Peer], object]] = {}

    @property
    def connection(self) -> Connection:
        """The state machine, to look at: for tests, and for people who ask why something waits."""
        return self._connection

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

    def data_received(self, data: bytes | memoryview) -> None:
        self._connection.receive_data(data, self._now())
        self.drive()

    def eof_received(self, cut_short: str = "") -> None:
        self._connection.receive_eof(self._now(), cut_short, self._link.end_detail)
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
        self._slice.begin()
        try:
            while True:
                if self._permit_came:
                    self._permit_came = False
                    connection.permit_freed(self._now())
                self._dispatch(connection.events())
                if connection.needs_look:
                    connection.look(self._now())
                self._flush()
                if self._undispatched or not (connection.has_events or self._permit_came):
                    break
                if self._slice.is_used_up() and connection.phase is not Phase.CLOSED:
                    # What has ended lets others begin: ordered handlers and those that wait for a permit, one by one without end.
                    self._undispatched = connection.events()
                    self._slice.pause()
                    break
        except BaseException as exc:
            # The end of the process, out of a handler. What else has happened must still be told while it ends.
            self.is_driving = False
            self.touch()
            self._engine.raise_on(exc)
        finally:
            self.is_driving = False
        if self._undispatched:
            if not self._slice.is_paused:
                self.touch()
        elif self._slice.is_busy and not self._dispatcher.has_ready:
            self._slice.note_done()
        if connection.wants_read is not self._is_reading:
            self._switch_reading()
        if self._closed is not None:
            return  # nothing is due any more, not even of what the link had not taken: a timer would keep all of this for ever
        deadline = connection.next_deadline()
        if self._is_writing:
            # What a slow link has taken is known only when it is asked, and counts as taken at that time.
            deadline = earlier(deadline, self._now() + self._ask_every)
        if deadline is not None and (self._timer is None or deadline < self._timer_at):
            self._set_timer(deadline)

    def _dispatch(self, events: list[Event]) -> None:
        start = self._dispatcher.start
        has_left = bool(self._undispatched)
        if has_left:
            events = self._undispatched + events
            if self._slice.is_paused and self._connection.phase is not Phase.CLOSED:
                self._undispatched = events
                return
            self._undispatched = []
        rest = iter(events)
        try:
            if has_left:
                self._dispatcher.run_ready()  # what was left of them came before what is left of the events
            for _ in range(0, len(events), FLUSH_EVERY):
                for event in islice(rest, FLUSH_EVERY):
                    # The kinds that come with every message are told apart by the cheapest question there is.
                    if type(event) is ResponseReceived:
                        call = event.call
                        waiter, call.waiter = call.waiter, None
                        if not waiter.done():
                            waiter.set_result(event.payload)
                    elif type(event) is CallReceived or type(event) is SendReceived:
                        if start(event) and self._connection.phase is not Phase.CLOSED:
                            self._undispatched = list(rest)  # others have their turn now, and then these
                            if self._undispatched:
                                self._slice.pause()
                            break
                    else:
                        self._dispatch_other(event)
                self._flush()
            self._dispatcher.run_ready()
        except BaseException:
            self._undispatched += rest
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
                event.peer = self._label
                self._audience.tell_failure(event, self._now())
            case ErrorReported() | RelayTargetLost():
                event.peer = self._label
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
                if connection.needs_look:
                    connection.look(self._now())  # reading need not wait for refusals that were handed out
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

    def pressure_changed(self) -> None:
        """There is less room for what comes in at the server, or more: it may not, or may again, be read."""
        assert self._account is not None
        if self._account.is_tight is not self._reads_little:
            self._reads_little = self._account.is_tight
            self._link.read_at_most(LITTLE if self._reads_little else None)
        if not self._is_reading:
            self.touch()
        elif not self._connection.wants_read:
            # Now: all the others that are readable in this pass of the loop would bring as much again, each of them.
            self._switch_reading()

    # -- the rest ---------------------------------------------------------------------------------------

    def _ended(self, event: PeerClosed) -> None:
        event.peer = self._label
        self._closed = event
        self._link.abort()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._audience.tell(event)
        tell_all(self._close_waiters)
        self._call_back()

    def _call_back(self) -> None:
        """Tell those of this process that the connection has ended. One that fails keeps it from none of the others."""
        end: BaseException | None = None
        while self._on_closed:
            # One at a time: what one of them does may take back the wish of another.
            callback = self._on_closed.pop(next(iter(self._on_closed)))
            try:
                callback(self)
            except BaseException as exc:
                end = end or end_of_process_in(exc)
                logger.exception("%r failed, which was to be told of the end of %s", callback, self._label)
        if end is not None:
            raise end


def no_services(sid: int) -> Route | None:
    """The router of a peer that serves nothing."""
    return None
