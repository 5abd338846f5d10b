"""Requests of the remote's that were delivered, and have not ended (docs/flow.md, F1 and F8).

Each ends with one of `respond`, `fail` and `release` (`Connection.done`), or is handed over to another connection's remote.
Whatever it held, it gives back exactly once, by its own token, on every way it can end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from duologue.protocol.budget import CallBudget, SendBudget
from duologue.protocol.errors import FailureKind
from duologue.protocol.events import (
    CallReceived,
    Event,
    IncomingRequest,
    RelayedCall,
    RelayedSend,
    RequestCancelled,
    SendReceived,
)
from duologue.protocol.frames import Framing
from duologue.protocol.ids import RESPONSE_SID
from duologue.protocol.limits import Limits
from duologue.protocol.outbox import Outbox
from duologue.protocol.parking import Parking
from duologue.protocol.unanswered import Unanswered

if TYPE_CHECKING:
    from duologue.protocol.relaying import Relays


class Running:
    """Has each of them, and gives back what it holds when it ends."""

    def __init__(
        self,
        budget: CallBudget,
        sends: SendBudget,
        parking: Parking,
        calls: Unanswered,
        limits: Limits,
        framing: Framing,
        outbox: Outbox,
        events: list[Event],
    ) -> None:
        self._budget = budget
        self._sends = sends
        self._parking = parking
        self._calls = calls
        self._by_id = calls.by_id
        self._header = framing.header
        self._overhead = framing.overhead
        self._max_payload = limits.max_frame - framing.overhead
        self._most_unread = limits.outbox_high + limits.calls * limits.max_frame
        """Bytes of answers that may wait for the remote to read: as much as the handlers here could leave there. Relayed calls
        take no permits, so nothing else bounds their answers while the gate is closed."""
        self._outbox = outbox
        self._events = events
        self.running: dict[IncomingRequest, None] = {}
        """In the order in which they were delivered."""
        self.on_freed: Callable[[float], None]
        """Told that what waits may go on."""
        self.relays: Relays
        """Where the requests go that others are to answer."""

    def __iter__(self) -> Iterator[IncomingRequest]:
        return iter(self.running)

    def __len__(self) -> int:
        return len(self.running)

    def __contains__(self, request: object) -> bool:
        return request in self.running

    def deliver(self, request: CallReceived | SendReceived) -> None:
        """Let it start: the driver runs its handler, or finds out whom to ask."""
        request.is_delivered = True
        self.running[request] = None
        self._events.append(request)

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
            if not request.permit and self._outbox.answers + size > self._most_unread:
                self.fail(request, FailureKind.OVERLOADED, now)
                return
            del self._by_id[request.cid]
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
            self._calls.report(request, kind, error)
            if request.cid:
                self._calls.fail(request, kind, now)
        self.release(request, now)

    def release(self, request: IncomingRequest, now: float) -> None:
        """The request has ended: give back what it holds. Nothing else gives anything back at the end of a request."""
        request.is_ended = True
        del self.running[request]
        if request.is_held:
            self._parking.let_go(request)
        size = len(request.payload) + self._overhead
        # Whoever holds the request for longer, a context or a task that outlives the handler, holds nothing else by it.
        request.payload = b""
        request.handler = None
        if request.permit:
            if request.cid:
                if request.waits:
                    self._budget.end_lent()
                else:
                    self._budget.release()
            elif request.waits:
                self._sends.end_lent()
            else:
                self._sends.end(size)
        parking = self._parking
        if parking.turn is request:
            parking.turn = None
        if parking.waiting:
            self.on_freed(now)

    def lend(self, request: IncomingRequest, now: float) -> bool:
        """The handler begins to wait for a remote. False if too many do, and then it must not wait."""
        if request.is_ended:
            return True
        if request.waits == 0 and request.permit:
            if request.cid:
                if not self._budget.try_lend():
                    return False
            elif not self._sends.try_lend(len(request.payload) + self._overhead):
                return False
            request.waits = 1
            self.on_freed(now)
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
                self._budget.unlend()
            else:
                self._sends.unlend(len(request.payload) + self._overhead)

    def hand_over(self, request: IncomingRequest, target: Relays) -> RelayedCall | RelayedSend:
        """A request that was delivered is to be relayed after all: the driver has found out where."""
        if not request.is_delivered or request.is_ended or request.route is None:
            raise not_delivered(request)
        sid, cid, payload, route = request.sid, request.cid, request.payload, request.route
        relayed: RelayedCall | RelayedSend
        if request.is_held:
            self._parking.let_go(request)
        if request.waits and request.permit:
            # What still waits for a remote on its behalf waits for itself from now on: the slot is that of what is relayed.
            request.waits = 0
            self._sends.unlend(len(payload) + self._overhead)
        if cid:
            relayed = self._by_id[cid] = RelayedCall(sid, cid, payload, route, self.relays, target)
        else:
            relayed = RelayedSend(sid, payload, route, self.relays, target)
        del self.running[request]
        self.running[relayed] = None
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
        if self._outbox.answers + size > self._most_unread:
            self.fail(call, FailureKind.OVERLOADED, now)
            return
        call.is_ended = True
        cid = call.cid
        del self._by_id[cid], self.running[call]
        self._outbox.put_answer(self._header(self._overhead + size, RESPONSE_SID, cid), payload, now)

    def refuse_relayed(self, call: RelayedCall, now: float) -> None:
        """There is neither room for it at the other connection, nor in the parking."""
        self._calls.refuse(call, FailureKind.OVERLOADED, now)
        self.release(call, now)

    def cancel(self, now: float, *, answer: bool, sends: bool = True) -> None:
        """The handlers' time is over, or but for `sends` that of calls. They keep what they hold until the driver says
        that they have ended.
        """
        for request in tuple(self.running):
            # A relayed message may have ended in this loop: what was given up before it has made room for it.
            if request.is_ended or request.is_cancelled or not (sends or request.cid):
                continue
            if request.cid:
                if answer:
                    self._calls.fail(request, FailureKind.CANCELLED, now)
                else:
                    del self._by_id[request.cid]
            if isinstance(request, RelayedCall | RelayedSend):
                self.relays.give_up(request, now)
                self.release(request, now)
            else:
                request.is_cancelled = True
                self._events.append(RequestCancelled(request))

    @property
    def goes_on(self) -> bool:
        """Whether a request waits or runs, but for those whose handlers were cancelled and only have not ended yet."""
        return self._parking.waiting > 0 or any(not request.is_cancelled for request in self.running)


def not_delivered(request: IncomingRequest) -> ValueError:
    """The error for ending a request that is not running."""
    return ValueError(
        f"{request!r} was not delivered, or has ended: each ends with one of respond, fail and done"
    )
