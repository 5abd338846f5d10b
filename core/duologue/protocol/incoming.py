"""The remote's requests: what is done with each, decided once and here (docs/flow.md).

A request that arrives is delivered, parked, refused, dropped, or fails. What was delivered is the business of `Running`
from then on, until it ends.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from duologue.protocol.budget import CallBudget, SendBudget
from duologue.protocol.errors import FailureKind, ProtocolError
from duologue.protocol.events import (
    CallReceived,
    Event,
    RelayedCall,
    RelayedSend,
    SendReceived,
)
from duologue.protocol.frames import Framing
from duologue.protocol.limits import Limits
from duologue.protocol.outbox import Outbox
from duologue.protocol.parking import Parking
from duologue.protocol.routes import Mode, Router
from duologue.protocol.running import Running
from duologue.protocol.unanswered import Unanswered

if TYPE_CHECKING:
    from duologue.protocol.relaying import Relays


class Incoming:
    """Decides what starts, and when: by permits and slots, by the gate, and by the order where there is one."""

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
        self._overhead = framing.overhead
        self._drop_sends = limits.sends_policy == "drop"
        self._outbox = outbox
        self._events = events
        self.calls = Unanswered(framing, encode_error, outbox, events)
        """Calls that are not answered, and the place where failures are told, those of one-way messages too."""
        self.requests = Running(budget, self.sends, self.parking, self.calls, limits, framing, outbox, events)
        """Requests that were delivered."""
        self.requests.on_freed = self.advance
        # What is looked up for each frame, without the way over its owner.
        self._unanswered = self.calls.by_id
        self._running = self.requests.running
        self.relays: Relays
        """Where the requests go that others are to answer."""

    # -- requests arrive ---------------------------------------------------------------------

    def call_received(self, sid: int, cid: int, payload: bytes, may_refuse: bool, now: float) -> None:
        """Deliver, park or refuse. Raises `ProtocolError` if a call of this id is not answered yet."""
        if cid in self._unanswered:
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
                self._relay_call(RelayedCall(sid, cid, payload, route, self.relays, target), now)
                return
        self._unanswered[cid] = call = CallReceived(sid, cid, payload, route)
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
                elif not self._refuse_if_full(call, may_refuse, now):  # calls that are held may fill it
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
            self.calls.report(send, FailureKind.UNKNOWN_SERVICE)
        elif not route.has_handler:
            self.calls.report(send, FailureKind.NO_HANDLER)
        elif not route.ordered and not self.sends.is_full:
            # The common case, and in it no call for nothing.
            send.permit = send.is_delivered = True
            self.sends.start(len(payload) + self._overhead)
            self._running[send] = None
            self._events.append(send)
        elif self._drop_sends and self.sends.is_full:
            self.calls.drop(send)
        elif route.ordered and self.sends.lane_is_full and self.lane_waits_for_remote:
            self.calls.drop(send)  # reading could not stop for it (F6)
        elif route.ordered:
            self.parking.line_up(send)
            self._take_turns(0.0)
        else:
            self._start_send(send)

    def refuse_new(self, sid: int, cid: int, payload: bytes, now: float) -> None:
        """The connection is ending: a call is told so, a one-way message is let go. Raises what `call_received` raises."""
        if cid == 0:
            self.calls.dropped += 1
        else:
            if cid in self._unanswered:
                raise _id_in_use(cid)
            self.calls.refuse(CallReceived(sid, cid, payload, None), FailureKind.UNAVAILABLE, now)

    # -- what may go on --------------------------------------------------------------------------

    @property
    def running(self) -> int:
        """Requests delivered and not ended."""
        return len(self._running)

    @property
    def unanswered(self) -> int:
        """Calls received and not answered."""
        return len(self._unanswered)

    @property
    def dropped(self) -> int:
        """One-way messages that were let go."""
        return self.calls.dropped

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
                self.calls.drop(request)
            elif answer:
                self.calls.refuse(request, FailureKind.UNAVAILABLE, now)
            else:
                del self._unanswered[request.cid]
        if keep_sends:
            self.advance(now)  # a message may be the next in the lane

    # -- inside ---------------------------------------------------------------------------------------

    def _may_start(self) -> bool:
        """Take a permit, if one is free and no other call of this connection waits for it already."""
        return not self.parking.has_calls and self.budget.try_acquire(self)

    def _start_call(self, call: CallReceived, now: float) -> None:
        """Deliver the call, which has its permit if it takes one, or answer that it can't be."""
        route = call.route
        if route is None:
            self.calls.report(call, FailureKind.UNKNOWN_SERVICE)
            self.calls.fail(call, FailureKind.UNKNOWN_SERVICE, now)
        elif not route.has_handler:
            self.calls.report(call, FailureKind.NO_HANDLER)
            self.calls.fail(call, FailureKind.NO_HANDLER, now)
        else:
            call.permit = route.takes_permit
            if route.mode is Mode.RELAY:
                # No permit bounds how many look for their target at once, so the parking does.
                self.parking.hold(call)
            self.requests.deliver(call)

    def _start_send(self, send: SendReceived) -> None:
        send.permit = True
        self.sends.start(len(send.payload) + self._overhead)
        self.requests.deliver(send)

    def _relay_call(self, call: RelayedCall, now: float) -> None:
        self._unanswered[call.cid] = call
        self._running[call] = None
        if not self.relays.try_relay(call, call.target, now):
            # To the one that was picked, and to no other: a pick that is thrown away is somebody's turn.
            self.relays.relay(call, now)

    def _relay_send(self, send: RelayedSend, now: float) -> None:
        """It may have to wait for room, and holds a slot meanwhile."""
        if self._drop_sends and self.sends.is_full:
            self.calls.drop(send)
            return
        self.sends.start(len(send.payload) + self._overhead)
        self._running[send] = None
        self.relays.relay(send, now)

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
        """Over the bound of the parking the newest call goes, if we are owed answers and so can't stop reading (F3, F9)."""
        if may_refuse and self.parking.refuses:
            self.calls.refuse(call, FailureKind.OVERLOADED, now)
            if not self.parking.has_calls:
                # It had got into the line for a permit. Who has nothing to start must not stand in the way there.
                self.budget.withdraw(self)
            return True
        return False


def _id_in_use(cid: int) -> ProtocolError:
    return ProtocolError(f"call id {cid} is in use: an id may be used again only when its call is answered")
