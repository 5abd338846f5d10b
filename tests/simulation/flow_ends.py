"""The ends of links of a flow simulation. They move bytes when they are told to.

An `End` does with its `Connection` what the real driver does, in the same order; only the loop around it is missing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, assert_never

from tests.simulation.flow_plan import LinkPlan
from tests.simulation.flow_scripts import NUMBER_SIZE, Script, Service
from tests.simulation.flow_tasks import Cancelled, Task, Waiter

from duologue.protocol.connection import Connection
from duologue.protocol.errors import FailureKind, Overloaded
from duologue.protocol.events import (
    CallFailed,
    CallReceived,
    ErrorReported,
    Event,
    IncomingRequest,
    PeerClosed,
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
from duologue.protocol.frames import HEADER_SIZE
from duologue.protocol.limits import Limits
from duologue.protocol.pending import OutgoingSend
from duologue.protocol.routes import Mode, Route


class FlowRoute(Route):
    """Says how a service is to be run; the simulation runs it."""

    def __init__(self, service: Service) -> None:
        self.name = service.name
        self.ordered = service in (Service.ORDERED, Service.ORDERED_FREE)
        self.takes_permit = service not in (Service.FREE, Service.ORDERED_FREE)
        self.has_handler = service is not Service.NOBODY


class FlowRelayRoute(Route):
    """Says that a script is passed on, and at which end."""

    mode = Mode.RELAY
    takes_permit = False

    def __init__(self, script: Script, target: End) -> None:
        self.name = f"relayed {script}"
        self.script = script
        self.target = target
        relays = target.connection.relays
        self.relays_to = None if script.picks >= 0 else lambda: relays


ROUTES: dict[int, Route] = {
    service: FlowRoute(service) for service in Service if service is not Service.UNKNOWN
}


@dataclass(slots=True)
class Held:
    """What the handlers of an end hold, counted without the core, to compare."""

    calls: int = 0
    """Calls that are delivered and not ended, those without a permit too."""
    permits: int = 0
    lent: int = 0
    slots: int = 0
    slots_bytes: int = 0
    slots_lent: int = 0

    def count(self, running: Running, sign: int) -> None:
        """Add or remove a handler, as it is now."""
        if running.request.cid:
            self.calls += sign
            if running.takes_permit and running.waits:
                self.lent += sign
            elif running.takes_permit:
                self.permits += sign
        elif running.waits:
            self.slots_lent += sign
        else:
            self.slots += sign
            self.slots_bytes += sign * (HEADER_SIZE + len(running.request.payload))


class Running:
    """A request whose handler runs. It counts its waits itself."""

    __slots__ = ("end", "lends", "request", "script", "takes_permit", "task", "waits")

    def __init__(self, end: End, request: IncomingRequest, script: Script, *, lends: bool) -> None:
        self.end = end
        self.request = request
        self.script = script
        self.lends = lends
        self.waits = 0
        self.task: Task | None = None
        self.takes_permit = script.service not in (Service.FREE, Service.ORDERED_FREE)

    def lend(self) -> None:
        if not self.lends:
            return
        if not self.end.lend(self.request):
            self.end.counts["too many lent"] += 1
            raise Overloaded("too many handlers wait for a remote already")
        self._wait(1)

    def unlend(self) -> None:
        if self.lends:
            self._wait(-1)
            self.end.unlend(self.request)

    def _wait(self, sign: int) -> None:
        has_ended = self.request not in self.end.running
        if not has_ended:
            self.end.held.count(self, -1)
        self.waits += sign
        if not has_ended:
            self.end.held.count(self, 1)


@dataclass(slots=True)
class Hooks:
    """What an end needs of the simulation around it."""

    clock: Callable[[], float]
    start: Callable[[End, IncomingRequest], None]
    pick: Callable[[End, IncomingRequest], None]
    cancel: Callable[[End, IncomingRequest], None]
    touched: dict[End, None]


class End:
    """One end of a link, with the driver's work: dispatch, write, and read when the core wants it."""

    def __init__(
        self, name: str, node: int, connection: Connection, limits: Limits, link: LinkPlan, hooks: Hooks
    ) -> None:
        self.name = name
        self.node = node
        self.connection = connection
        self.limits = limits
        self.clock = hooks.clock
        self.touched = hooks.touched
        self.other: End
        self.counts: Counter[str] = Counter()
        self.started: list[int] = []
        """The numbers of all scripts that were begun here."""
        self.requested: list[int] = []
        """The numbers of all that were called or sent from here."""
        self.running: dict[IncomingRequest, Running] = {}
        self.held = Held()
        self.may_relay = 0
        """How many calls can be passed on to other ends, or wait for that: when the gate closes they go on."""
        self.picking: dict[IncomingRequest, Task | None] = {}
        """Requests of which it is not known yet where they are to be relayed."""
        self.waiting: dict[Waiter, None] = {}
        self.pipe = bytearray()
        """Bytes on their way to the other end."""
        self.capacity = link.capacity
        self._takes_at_once = link.takes_at_once
        self.unsent = memoryview(b"")
        """Bytes that the link was given, and that did not fit into the pipe yet."""
        self.is_reading = True
        self.is_scheduled = False
        self._is_driving = False
        self._is_writing = False
        self._permit_came = False
        self._start = hooks.start
        self._pick = hooks.pick
        self._cancel = hooks.cancel
        connection.relays.name = name
        connection.relays.on_work = self.touch
        connection.incoming.on_permit = self._permit_available

    def __repr__(self) -> str:
        return self.name

    # -- what handlers do ------------------------------------------------------------------------

    def call(self, script: Script, deadline: float | None, handled: IncomingRequest | None) -> Waiter:
        call = self.connection.call(script.sid, script.request_payload, deadline, self.clock(), handled)
        call.waiter = waiter = Waiter(f"the answer to {script} over {self.name}", call)
        self.waiting[waiter] = None
        self.counts["calls"] += 1
        self.requested.append(script.number)
        self.touch()
        return waiter

    def send(self, script: Script, deadline: float | None) -> Waiter | None:
        send = self.connection.send(script.sid, script.request_payload, deadline, self.clock())
        self.counts["sends"] += 1
        self.requested.append(script.number)
        self.touch()
        if send is None:
            return None
        send.waiter = waiter = Waiter(f"room for {script} on {self.name}", send)
        self.waiting[waiter] = None
        return waiter

    def cancel(self, waiter: Waiter) -> None:
        """Whoever waits is cancelled."""
        self.forget(waiter)
        self.counts["cancelled"] += 1
        waiter.set_result(Cancelled())

    def forget(self, waiter: Waiter) -> None:
        """Nobody waits for this any more. If it has its outcome already, the event is on its way."""
        item = waiter.item
        assert item is not None
        waiter.is_abandoned = True
        if not item.is_ended:
            del self.waiting[waiter]
            self.counts["sends"] -= isinstance(item, OutgoingSend)
        self.connection.cancel(item, self.clock())
        self.touch()

    def lend(self, request: IncomingRequest) -> bool:
        lent = self.connection.lend(request, self.clock())
        self.touch()
        return lent

    def unlend(self, request: IncomingRequest) -> None:
        self.connection.unlend(request, self.clock())
        self.touched[self] = None

    def begin_request(self, running: Running) -> None:
        self.running[running.request] = running
        self.started.append(running.script.number)
        self.held.count(running, 1)

    def relay(self, request: IncomingRequest) -> None:
        """It is known where the request goes."""
        del self.picking[request]
        route = request.route
        assert isinstance(route, FlowRelayRoute)
        self.connection.relay(request, route.target.connection.relays, self.clock())
        self.touch()

    def end_request(self, request: IncomingRequest, outcome: bytes | BaseException) -> None:
        self.held.count(self.running.pop(request), -1)
        now = self.clock()
        if isinstance(outcome, BaseException):
            self.connection.fail(request, FailureKind.HANDLER_FAILED, now, outcome)
        elif request.cid:
            self.connection.respond(request, outcome, now)
        else:
            self.connection.done(request, now)
        self.touch()

    # -- what the scheduler does -------------------------------------------------------------------

    def push(self, size: int) -> None:
        """The link moves up to so many bytes into the pipe. The driver learns it when all are in it."""
        size = min(size, self.capacity - len(self.pipe))
        self.pipe += self.unsent[:size]
        self.unsent = self.unsent[size:]
        if not self.unsent:
            self._is_writing = False
            self.connection.data_sent(self.clock())
            self.drive()
            self.touched[self] = None

    def pull(self, size: int) -> None:
        """The link reads up to so many bytes out of the pipe."""
        pipe = self.other.pipe
        data = bytes(pipe[:size])
        del pipe[:size]
        self.connection.receive_data(data, self.clock())
        self.drive()

    def touch(self) -> None:
        self.touched[self] = None
        if not self.is_scheduled and not self._is_driving:
            self.is_scheduled = True

    def drive(self) -> None:
        """As the driver does it: dispatch, write, and set the link to what the core wants."""
        if self._is_driving:
            return
        self.is_scheduled = False
        self._is_driving = True
        connection = self.connection
        if self._permit_came:
            self._permit_came = False
            connection.permit_freed(self.clock())
        while True:
            for event in connection.events():
                self._dispatch(event)
            if connection.needs_look:
                connection.look(self.clock())
            self._flush()
            if not connection.has_events:
                break
        self._is_driving = False
        self.is_reading = connection.wants_read

    # -- inside ---------------------------------------------------------------------------------------

    def _dispatch(self, event: Event) -> None:
        match event:
            case CallReceived() | SendReceived():
                if isinstance(event.route, FlowRelayRoute):
                    self._pick(self, event)
                    return
                self.counts["sends delivered"] += event.cid == 0
                self._start(self, event)
            case ResponseReceived():
                self._tell(event.call.waiter, event.payload)
            case CallFailed():
                self._tell(event.call.waiter, event.error)
            case SendAccepted():
                self._tell(event.send.waiter, None)
            case SendFailed():
                self.counts["sends"] -= 1
                self._tell(event.send.waiter, event.error)
            case RequestFailed():
                self.counts[f"failed: {event.kind.value}"] += 1
                self.counts["sends failed unstarted"] += event.cid == 0 and event.kind in _UNSTARTED
            case RequestCancelled():
                self._cancel(self, event.request)
            case ErrorReported():
                self.counts["late errors"] += 1
            case PeerClosed():
                self.counts["closed"] += 1
            case RelayTargetLost():
                self.counts["targets lost"] += 1
            case WritingFinished():
                pass
            case _:
                assert_never(event)

    def _tell(self, waiter: Waiter, result: Any) -> None:
        del self.waiting[waiter]
        if not waiter.is_abandoned:
            waiter.set_result(result)

    def _flush(self) -> None:
        if self._is_writing:
            return
        while buffers := self.connection.data_to_send():
            data = b"".join(buffers)
            if not self._takes_at_once or len(data) > self.capacity - len(self.pipe):
                self.unsent = memoryview(data)
                self._is_writing = True
                return
            self.pipe += data
            self.connection.data_sent(self.clock())

    def _permit_available(self) -> None:
        self._permit_came = True
        self.touch()


_UNSTARTED = (
    FailureKind.DROPPED,
    FailureKind.UNKNOWN_SERVICE,
    FailureKind.NO_HANDLER,
    FailureKind.OVERLOADED,  # it was to be relayed, and too many wait for room there already
)


def error_bodies() -> ErrorBodies:
    """The simulation needs no wire format: it tells only one error from another."""
    return ErrorBodies(lambda body: str(next(iter(body))).encode(), lambda data: {data.decode(): {}})


def number_of(payload: bytes) -> int:
    """Whose request or answer this is."""
    return int.from_bytes(payload[:NUMBER_SIZE], "little")
