"""The remote's requests: what is done with each, decided once and here (docs/flow.md).

A request that arrives is delivered, parked, refused, or fails; a request that was delivered ends with one of `respond`,
`fail` and `done`. Whatever it held, it gives back exactly once, by its own token, on every way it can end.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

from duologue.protocol.budget import CallBudget, SendBudget
from duologue.protocol.errors import FailureKind, ProtocolError
from duologue.protocol.events import (
    CallReceived,
    Event,
    IncomingRequest,
    RelayedCall,
    RelayedSend,
    RequestCancelled,
    RequestFailed,
    SendReceived,
)
from duologue.protocol.failures import WIRE_KINDS, error_body
from duologue.protocol.frames import Framing
from duologue.protocol.ids import ERROR_SID, RESPONSE_SID
from duologue.protocol.limits import Limits
from duologue.protocol.outbox import Outbox
from duologue.protocol.parking import Parking
from duologue.protocol.routes import Mode, Router

if TYPE_CHECKING:
    from duologue.protocol.relaying import Relays

REFUSAL_SIZE = 160
"""An upper bound for the frame of a refusal, in any of the wire formats."""


class Incoming:
    """Requests of the remote's, and the permits and slots that they hold."""

    def __init__(
        self,
        router: Router,
        budget: CallBudget,
        limits: Limits,
        framing: Framing,
        encode_error: Callable[[Any], bytes],
        outbox: Outbox,
        events: list[Event],
    ) -> None:
        self.router = router
        self.budget = budget
        self.sends = SendBudget(limits)
        self.parking = Parking(limits, self.sends, framing.overhead)
        self.on_permit: Callable[[], None] | None = None
        """Told that a permit may have become free by what another connection did."""
        self.dropped = 0
        """One-way messages that were let go."""
        self._header = framing.header
        self._overhead = framing.overhead
        self._max_payload = limits.max_frame - framing.overhead
        self._drop_sends = limits.sends_policy == "drop"
        self._encode_error = encode_error
        self._outbox = outbox
        self._events = events
        self._calls: dict[int, CallReceived] = {}
        """Every call that is not answered, parked ones too, by id."""
        self._running: dict[IncomingRequest, None] = {}
        """Every request that was delivered and has not ended."""
        self.relays: Relays
        """Where the requests go that others are to answer."""

    # -- requests arrive ---------------------------------------------------------------------

    def call_received(self, sid: int, cid: int, payload: bytes, may_refuse: bool, now: float) -> None:
        """Deliver, park or refuse. Raises `ProtocolError` if a call of this id is not answered yet."""
        if cid in self._calls:
            raise _id_in_use(cid)
        route = self.router(sid)
        parking = self.parking
        if (
            route is not None
            and route.relays_to is not None
            and not parking.waiting
            and self._outbox.gated_since is None
        ):
            target = route.relays_to()
            if target is not None:
                self._calls[cid] = relayed = RelayedCall(sid, cid, payload, route, self.relays, target)
                self._running[relayed] = None
                if not self.relays.try_relay(relayed, target, now):
                    # To the one that was picked, and to no other: a pick that is thrown away is somebody's turn.
                    self.relays.relay(relayed, now)
                return
        self._calls[cid] = call = CallReceived(sid, cid, payload, route)
        if route is not None and route.has_handler:
            if (
                not parking.waiting
                and not route.ordered
                and route.takes_permit
                and self._outbox.gated_since is None
            ):
                # The common case, without a call too many: nothing waits here, so a free permit is this call's.
                if self.budget.try_acquire(self):
                    call.permit = call.is_delivered = True
                    self._running[call] = None
                    self._events.append(call)
                else:
                    parking.park(call)
                return
            if route.ordered:
                if not self._refuse_if_full(call, may_refuse, now):
                    parking.line_up(call)
                    self._take_turns(now)
                return
            must_wait = self._outbox.gated_since is not None or (route.takes_permit and not self._may_start())
        else:
            must_wait = self._outbox.gated_since is not None  # even "there is no such service" is an answer
        if not must_wait:
            if (
                route is None
                or route.mode is not Mode.RELAY
                or not self._refuse_if_full(call, may_refuse, now)
            ):
                self._start_call(call, now)
        elif not self._refuse_if_full(call, may_refuse, now):
            parking.park(call)

    def send_received(self, sid: int, payload: bytes, now: float) -> None:
        """Deliver, line up or drop. One-way messages owe no answer, so the gate is nothing to them."""
        route = self.router(sid)
        if route is not None and route.relays_to is not None:
            target = route.relays_to()
            if target is not None:
                if not self.relays.try_relay_send(sid, payload, target, now):
                    self._relay_send(RelayedSend(sid, payload, route, self.relays, target), now)
                return
        send = SendReceived(sid, 0, payload, route)
        if route is None:
            self._report(send, FailureKind.UNKNOWN_SERVICE)
        elif not route.has_handler:
            self._report(send, FailureKind.NO_HANDLER)
        elif not route.ordered and not self.sends.is_full:
            # The common case, and in it no call for nothing.
            send.permit = send.is_delivered = True
            self.sends.start(len(payload) + self._overhead)
            self._running[send] = None
            self._events.append(send)
        elif self._drop_sends and self.sends.is_full:
            self._drop(send)
        elif route.ordered and self.sends.lane_is_full and self.lane_waits_for_remote:
            self._drop(send)  # reading could not stop for it (F6)
        elif route.ordered:
            self.parking.line_up(send)
            self._take_turns(0.0)
        else:
            self._start_send(send)

    def refuse_new(self, sid: int, cid: int, payload: bytes, now: float) -> None:
        """The connection is ending: a call is told so, a one-way message is let go. Raises what `call_received` raises."""
        if cid == 0:
            self.dropped += 1
        else:
            if cid in self._calls:
                raise _id_in_use(cid)
            self._refuse(CallReceived(sid, cid, payload, None), FailureKind.UNAVAILABLE, now)

    # -- requests end ---------------------------------------------------------------------------

    def respond(self, request: IncomingRequest, payload: bytes, now: float) -> None:
        """The handler has ended, with this answer."""
        if not request.is_delivered or request.is_ended:
            raise not_delivered(request)
        if not request.is_cancelled:
            if request.cid == 0:
                raise ValueError("a one-way message is not answered: end it with done")
            size = len(payload)
            if size > self._max_payload:
                self.fail(request, FailureKind.FRAME_TOO_LARGE, now)
                return
            del self._calls[request.cid]
            header = self._header(self._overhead + size, RESPONSE_SID, request.cid)
            self._outbox.put_answer(header, payload, now)
        self.release(request, now)

    def fail(
        self, request: IncomingRequest, kind: FailureKind, now: float, error: BaseException | None = None
    ) -> None:
        """The handler has ended, and failed. The remote learns the kind, if it called."""
        if not request.is_delivered or request.is_ended:
            raise not_delivered(request)
        if not request.is_cancelled:
            self._report(request, kind, error)
            if request.cid:
                self._answer_failure(request, kind, now)
        self.release(request, now)

    def release(self, request: IncomingRequest, now: float) -> None:
        """The request has ended: give back what it holds. Nothing else gives anything back at the end of a request."""
        request.is_ended = True
        del self._running[request]
        if request.is_held:
            self.let_go(request)
        size = len(request.payload) + self._overhead
        # Whoever holds the request for longer, a context or a task that outlives the handler, holds nothing else by it.
        request.payload = b""
        request.handler = None
        if request.permit:
            if request.cid:
                if request.waits:
                    self.budget.end_lent()
                else:
                    self.budget.release()
            elif request.waits:
                self.sends.end_lent()
            else:
                self.sends.end(size)
        parking = self.parking
        if parking.turn is request:
            parking.turn = None
        if parking.waiting:
            self.advance(now)

    def lend(self, request: IncomingRequest, now: float) -> bool:
        """The handler begins to wait for a remote. False if too many do, and then it must not wait."""
        if request.is_ended:
            return True
        if request.waits == 0 and request.permit:
            if request.cid:
                if not self.budget.try_lend():
                    return False
            elif not self.sends.try_lend(len(request.payload) + self._overhead):
                return False
            request.waits = 1
            self.advance(now)
        else:
            request.waits += 1
        return True

    def unlend(self, request: IncomingRequest) -> None:
        """A wait is over."""
        if request.is_ended:
            return
        if not request.waits:
            raise ValueError(f"{request!r} has not lent what it holds: each unlend follows one lend")
        request.waits -= 1
        if request.waits == 0 and request.permit:
            if request.cid:
                self.budget.unlend()
            else:
                self.sends.unlend(len(request.payload) + self._overhead)

    def hand_over(self, request: IncomingRequest, target: Relays) -> RelayedCall | RelayedSend:
        """A request that was delivered is to be relayed after all: the driver has found out where."""
        if not request.is_delivered or request.is_ended or request.route is None:
            raise not_delivered(request)
        sid, cid, payload, route = request.sid, request.cid, request.payload, request.route
        relayed: RelayedCall | RelayedSend
        if request.is_held:
            self.let_go(request)
        if request.waits and request.permit:
            # What still waits for a remote on its behalf waits for itself from now on: the slot is that of what is relayed.
            request.waits = 0
            self.sends.unlend(len(payload) + self._overhead)
        if cid:
            relayed = self._calls[cid] = RelayedCall(sid, cid, payload, route, self.relays, target)
        else:
            relayed = RelayedSend(sid, payload, route, self.relays, target)
        del self._running[request]
        self._running[relayed] = None
        request.is_ended = True
        request.payload = b""
        request.handler = None
        return relayed

    def relay_answered(self, call: RelayedCall, payload: bytes, now: float) -> None:
        """The other connection has the answer to a call. It holds nothing here, so there is nothing to give back."""
        size = len(payload)
        if size > self._max_payload:
            self.fail(call, FailureKind.FRAME_TOO_LARGE, now)
            return
        call.is_ended = True
        cid = call.cid
        del self._calls[cid], self._running[call]
        self._outbox.put_answer(self._header(self._overhead + size, RESPONSE_SID, cid), payload, now)

    def refuse_relayed(self, call: RelayedCall, now: float) -> None:
        """There is neither room for it at the other connection, nor in the parking."""
        self._refuse(call, FailureKind.OVERLOADED, now)
        self.release(call, now)

    def hold(self, call: CallReceived) -> None:
        """A call waits until it is known where it goes, or for room there. It counts as parked, but nothing stands behind it."""
        call.is_held = True
        self.parking.hold(len(call.payload) + self._overhead)

    def let_go(self, call: IncomingRequest) -> None:
        """It waits no longer."""
        call.is_held = False
        self.parking.let_go(len(call.payload) + self._overhead)

    # -- what may go on --------------------------------------------------------------------------

    @property
    def running(self) -> int:
        """Requests delivered and not ended."""
        return len(self._running)

    @property
    def requests(self) -> Collection[IncomingRequest]:
        """Those, to look at: what each of them holds is written in it."""
        return self._running.keys()

    @property
    def goes_on(self) -> bool:
        """Whether a request waits or runs, but for those whose handlers were cancelled and only have not ended yet."""
        return self.parking.waiting > 0 or any(not request.is_cancelled for request in self._running)

    def runs(self, request: IncomingRequest) -> bool:
        """Whether it is one of this connection's, and its handler runs."""
        return request in self._running

    @property
    def unanswered(self) -> int:
        """Calls received and not answered."""
        return len(self._calls)

    @property
    def lane_waits_for_remote(self) -> bool:
        """Whether the lane can't go on by itself: whoever has the turn waits for a remote, or the gate is closed to it."""
        turn = self.parking.turn
        if turn is not None and turn.is_delivered:
            return turn.waits > 0
        return self._outbox.gated_since is not None

    def holds_reading(self, is_awaited: bool) -> bool:
        """Whether reading must pause, whatever the calls do: there is no place for a further one-way message.

        A full lane is no reason if it waits for the remote while something of the remote's is awaited: what the
        lane waits for may be behind that message.
        """
        sends = self.sends
        if self._drop_sends or not sends.is_full:
            return False
        return sends.slots_are_full or not (is_awaited and self.lane_waits_for_remote)

    def advance(self, now: float) -> None:
        """Start what can start. Called whenever a permit, the gate or the turn may have become free."""
        parking = self.parking
        while (call := parking.first) is not None:
            if self._outbox.gated_since is not None:
                self.budget.withdraw(self)
                break
            route = call.route
            if (
                route is not None
                and route.has_handler
                and route.takes_permit
                and not self.budget.try_acquire(self)
            ):
                break
            parking.unpark()
            self._start_call(call, now)
        self._take_turns(now)

    def permit_available(self) -> None:
        """A `PermitWaiter`'s turn: it must not act here, inside of another connection's command."""
        if self.on_permit is not None:
            self.on_permit()

    # -- the end ------------------------------------------------------------------------------------

    def clear_parking(self, now: float, *, answer: bool, keep_sends: bool = False) -> None:
        """What has not started never will: refused, if there is someone to tell. One-way messages may keep their place."""
        self.budget.withdraw(self)
        for request in self.parking.clear(keep_sends):
            if isinstance(request, SendReceived):
                self._drop(request)
            elif answer:
                self._refuse(request, FailureKind.UNAVAILABLE, now)
            else:
                del self._calls[request.cid]
        if keep_sends:
            self.advance(now)  # a message may be the next in the lane

    def cancel_running(self, now: float, *, answer: bool, sends: bool = True) -> None:
        """The handlers' time is over, or but for `sends` that of calls. They keep what they hold until the driver says
        that they have ended.
        """
        for request in tuple(self._running):
            if request.is_cancelled or not (sends or request.cid):
                continue
            if request.cid:
                if answer:
                    self._answer_failure(request, FailureKind.CANCELLED, now)
                else:
                    del self._calls[request.cid]
            if isinstance(request, RelayedCall | RelayedSend):
                self.relays.give_up(request, now)
                self.release(request, now)
            else:
                request.is_cancelled = True
                self._events.append(RequestCancelled(request))

    # -- inside ---------------------------------------------------------------------------------------

    def _may_start(self) -> bool:
        """Take a permit, if one is free and no other call of this connection waits for it already."""
        return not self.parking.has_calls and self.budget.try_acquire(self)

    def _start_call(self, call: CallReceived, now: float) -> None:
        """Deliver the call, which has its permit if it takes one, or answer that it can't be."""
        route = call.route
        if route is None:
            self._report(call, FailureKind.UNKNOWN_SERVICE)
            self._answer_failure(call, FailureKind.UNKNOWN_SERVICE, now)
        elif not route.has_handler:
            self._report(call, FailureKind.NO_HANDLER)
            self._answer_failure(call, FailureKind.NO_HANDLER, now)
        else:
            call.permit = route.takes_permit
            if route.mode is Mode.RELAY:
                self.hold(
                    call
                )  # no permit bounds how many look for their target at once, so the parking does
            self._deliver(call)

    def _start_send(self, send: SendReceived) -> None:
        send.permit = True
        self.sends.start(len(send.payload) + self._overhead)
        self._deliver(send)

    def _relay_send(self, send: RelayedSend, now: float) -> None:
        """It may have to wait for room, and holds a slot meanwhile."""
        if self._drop_sends and self.sends.is_full:
            self._drop(send)
            return
        self.sends.start(len(send.payload) + self._overhead)
        self._running[send] = None
        self.relays.relay(send, now)

    def _deliver(self, request: CallReceived | SendReceived) -> None:
        request.is_delivered = True
        self._running[request] = None
        self._events.append(request)

    def _take_turns(self, now: float) -> None:
        """Start the next of the ordered requests, if nobody has the turn (F6)."""
        parking = self.parking
        if (request := parking.next_turn(self._outbox.gated_since is not None)) is not None:
            if isinstance(request, SendReceived):
                self._start_send(request)
                return
            assert isinstance(request, CallReceived)
            assert request.route is not None
            if not request.route.takes_permit or self._may_start():
                self._start_call(request, now)
            else:
                parking.park(request)

    def _refuse_if_full(self, call: CallReceived, may_refuse: bool, now: float) -> bool:
        """Over the bound of the parking the newest call goes, if we are owed answers and so can't stop reading (F3)."""
        if may_refuse and self.parking.is_full:
            self._refuse(call, FailureKind.OVERLOADED, now)
            if not self.parking.has_calls:
                # It had got into the line for a permit. Who has nothing to start must not stand in the way there.
                self.budget.withdraw(self)
            return True
        return False

    def _refuse(self, call: IncomingRequest, kind: FailureKind, now: float) -> None:
        self._report(call, kind)
        self._answer_failure(call, kind, now, refused=True)

    def _answer_failure(
        self, call: IncomingRequest, kind: FailureKind, now: float, *, refused: bool = False
    ) -> None:
        payload = self._encode_error(error_body(WIRE_KINDS[kind], call.sid, call.cid))
        header = self._header(self._overhead + len(payload), ERROR_SID, call.cid)
        self._calls.pop(call.cid, None)
        if refused:
            self._outbox.put_refusal(header, payload, now)
        else:
            self._outbox.put_answer(header, payload, now)

    def _report(
        self, request: IncomingRequest, kind: FailureKind, error: BaseException | None = None
    ) -> None:
        name = request.route.name if request.route is not None else ""
        self._events.append(RequestFailed(kind, request.sid, request.cid, name, error))

    def _drop(self, send: IncomingRequest) -> None:
        self.dropped += 1
        self._report(send, FailureKind.DROPPED)


def not_delivered(request: IncomingRequest) -> ValueError:
    """The error for ending a request that is not running."""
    return ValueError(
        f"{request!r} was not delivered, or has ended: each ends with one of respond, fail and done"
    )


def _id_in_use(cid: int) -> ProtocolError:
    return ProtocolError(f"call id {cid} is in use: an id may be used again only when its call is answered")
