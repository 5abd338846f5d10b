"""Requests of one connection that another is to answer (docs/relay.md).

A relayed call is one entry among the unanswered calls of both connections: no task, no permit. Its payload is not
looked at, its id is another one on each connection, and a failure there keeps its kind here.

Two connections take part, and only one of them is being looked at by its driver. So what is done to the other is no
more than a note: bytes in its outbox, an event, a bound that may have become free. `on_work` tells its driver to look.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter

from duologue.protocol.errors import (
    CallTimeout,
    CloseReason,
    ConnectionClosed,
    ConnectionLost,
    DuologueError,
    ErrorKind,
    FailureKind,
    FrameTooLarge,
    Overloaded,
    RelayRefused,
    RemoteError,
    RequestError,
    SendTimeout,
)
from duologue.protocol.events import Event, RelayedCall, RelayedSend, RelayTargetLost
from duologue.protocol.incoming import Incoming
from duologue.protocol.lifecycle import Lifecycle
from duologue.protocol.outgoing import Outgoing

SEND_PATIENCE = 10.0
"""Seconds that a one-way message waits for room at the connection that it is relayed to. It keeps its slot meanwhile,
and is dropped then: the only way out of a ring of relays that are all full (docs/flow.md, F5)."""


class Relays:
    """What the remote of one connection asks, and others are to answer; and the other way round."""

    __slots__ = (
        "_events",
        "_incoming",
        "_life",
        "_outgoing",
        "_requests",
        "_sources",
        "_targets",
        "_waiting",
        "name",
        "on_work",
        "wireformat",
    )

    def __init__(self, life: Lifecycle, incoming: Incoming, outgoing: Outgoing, events: list[Event]) -> None:
        self._life = life
        self._incoming = incoming
        self._requests = incoming.requests
        self._outgoing = outgoing
        self._events = events
        # Made when they are needed: most connections are no part of a relay.
        self._targets: dict[Relays, None] | None = None
        self._sources: dict[Relays, None] | None = None
        self._waiting: dict[RelayedCall, None] = {}
        """Calls of the remote's that wait for answers to others, for as long as it owes none itself."""
        self.on_work: Callable[[], None] = _nobody
        """Told that another connection has left something to be seen to here."""
        self.name = ""
        """Of the other end, for people."""
        self.wireformat = ""
        """Its name. Payloads are passed on as they are, so it must be the same on both sides of a relay."""

    # -- the one that was asked ------------------------------------------------------------------

    def try_relay(self, call: RelayedCall, target: Relays, now: float) -> bool:
        """Pass a call on, if nothing stands in the way: the common case. False: nothing was done."""
        targets = self._targets
        if targets is None or target not in targets or not target._outgoing.try_relay(call, now):
            return False
        target.on_work()
        return True

    def try_relay_send(self, sid: int, payload: bytes, target: Relays, now: float) -> bool:
        """The same for a one-way message. It needs no slot then, as it is nowhere but in the outbox."""
        if self._targets is None or target not in self._targets:
            return False
        if not target._outgoing.try_relay_send(sid, payload, now):
            return False
        target.on_work()
        return True

    def relay(self, request: RelayedCall | RelayedSend, now: float) -> None:
        """Pass a request on, or fail it, or let it wait for room."""
        target = request.target
        refusal = self._link(target)
        if refusal is not None:
            self.failed(request, refusal, now)
            return
        try:
            if isinstance(request, RelayedCall):
                self._relay_call(request, now)
            else:
                self._relay_send(request, now)
        except (FrameTooLarge, Overloaded) as error:
            self.failed(request, error, now)
            return
        target.on_work()

    def _relay_call(self, call: RelayedCall, now: float) -> None:
        target = call.target
        # If this remote owes answers, what it asks may be needed for them: then it never waits for others to be answered.
        is_owed = self._outgoing.pending.owed > 0
        if target._outgoing.relay(call, is_owed, now):
            return
        if is_owed and self._incoming.parking.refuses:
            target._outgoing.cancel(call, now)
            self._requests.refuse_relayed(call, now)
            return
        self._incoming.parking.hold(call)
        if not is_owed:
            self._waiting[call] = None
            self._outgoing.on_owed = self.hurry

    def hurry(self, now: float) -> None:
        """Now this remote owes an answer. What waits may be needed for it, and so waits for others no longer."""
        self._outgoing.on_owed = None
        waiting = tuple(self._waiting)
        self._waiting.clear()
        # One after the other: what one of them sets off may end another.
        for call in filter(_is_held, waiting):
            call.target._outgoing.hurry(call, now)
            call.target.on_work()

    def _relay_send(self, send: RelayedSend, now: float) -> None:
        target = send.target
        target._outgoing.check_size(len(send.payload))
        if target._outgoing.try_relay_send(send.sid, send.payload, now):
            self._requests.release(send, now)
            return
        send.deadline = now + SEND_PATIENCE
        target._outgoing.line_up(send)

    def give_up(self, request: RelayedCall | RelayedSend, now: float) -> None:
        """The connection that it came by ends: nobody waits for it any more."""
        self._waits_no_longer(request)
        request.target._outgoing.cancel(request, now)
        request.target.on_work()

    # -- what became of it, as the other connection tells ------------------------------------------

    def has_room(self, call: RelayedCall) -> None:
        """A call that waited for room is in the outbox there."""
        self._waits_no_longer(call)
        self._incoming.parking.let_go(call)
        self.on_work()

    def sent(self, send: RelayedSend, now: float) -> None:
        """The same for a one-way message, which has ended with that."""
        self._requests.release(send, now)
        self.on_work()

    def answered(self, call: RelayedCall, payload: bytes, now: float) -> None:
        """The answer has come."""
        self._requests.relay_answered(call, payload, now)
        self.on_work()

    def failed(self, request: RelayedCall | RelayedSend, error: DuologueError, now: float) -> None:
        """It was not passed on, or not answered."""
        self._waits_no_longer(request)
        if isinstance(error, RequestError):
            error.peer, error.sid = request.target.name, request.sid
        self._requests.fail(request, failure_of(error), now, error)
        self.on_work()

    def _waits_no_longer(self, request: RelayedCall | RelayedSend) -> None:
        if self._waiting and isinstance(request, RelayedCall):
            self._waiting.pop(request, None)
            if not self._waiting:
                self._outgoing.on_owed = None

    # -- who has to do with whom ---------------------------------------------------------------------

    def _link(self, target: Relays) -> DuologueError | None:
        """Know each other, so that the end of one is told to the other. Gives why it can't be."""
        if not target._life.is_open:
            return target._life.refusal()
        if self._targets is None:
            self._targets = {}
        if target in self._targets:
            return None
        if target is self:
            return RelayRefused(
                "it would go back to where it came from: two ends relay the same service to each other"
            )
        refusal = check_wireformats(self.wireformat, target.wireformat, target.name)
        if refusal is not None:
            return refusal
        self._targets[target] = None
        if target._sources is None:
            target._sources = {}
        target._sources[self] = None
        return None

    def leave_open(self, reason: CloseReason, detail: str) -> None:
        """This connection takes no more requests, since it ends or drains: those that relayed to it learn it."""
        sources, self._sources = self._sources or {}, None
        for source in sources:
            assert source._targets is not None
            del source._targets[self]
            source._events.append(RelayTargetLost(self.name, reason, detail))
            source.on_work()

    def end(self) -> None:
        """This connection has ended: nobody need tell it anything."""
        for target in self._targets or ():
            assert target._sources is not None
            del target._sources[self]
        self._targets = None


def check_wireformats(came_in: str, other: str, name: str) -> RelayRefused | None:
    """Payloads are passed on as they are: why they can't be, if they can't. `name` is whose the other wire format is."""
    if came_in == other:
        return None
    return RelayRefused(
        f"it came in {came_in}, and {name or 'the other peer'} speaks {other}: a relay passes payloads on as they "
        "are, so use the same wire format on both connections"
    )


def failure_of(error: DuologueError) -> FailureKind:
    """What the failure of a relayed request is to the one who asked. Kinds are kept, texts are not passed on."""
    match error:
        case RemoteError():
            return _KINDS.get(error.kind, FailureKind.RELAY_FAILED)
        case CallTimeout():
            return FailureKind.TIMEOUT
        case ConnectionLost() | ConnectionClosed():
            return FailureKind.RELAY_GONE
        case RelayRefused():
            return FailureKind.RELAY_REFUSED
        case Overloaded():
            return FailureKind.OVERLOADED
        case FrameTooLarge():
            return FailureKind.FRAME_TOO_LARGE
        case SendTimeout():
            return FailureKind.DROPPED
        case _:
            return FailureKind.HANDLER_FAILED


_is_held = attrgetter("is_held")

_KINDS = {
    ErrorKind.UNKNOWN_SERVICE: FailureKind.UNKNOWN_SERVICE,
    ErrorKind.DESERIALIZE: FailureKind.DESERIALIZE,
    ErrorKind.PUBSUB_NO_CALL: FailureKind.PUBSUB_NO_CALL,
}


def _nobody() -> None:
    """There is no driver that could be told."""
