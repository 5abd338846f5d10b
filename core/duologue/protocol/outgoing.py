"""Own calls and sends: from the command, through the wait for room, to the one outcome."""

from __future__ import annotations

import math
from collections.abc import Callable

from duologue.protocol.deadlines import Deadlines, earlier
from duologue.protocol.errors import (
    CallError,
    CallTimeout,
    DuologueError,
    Executed,
    FrameTooLarge,
    Overloaded,
    SendTimeout,
)
from duologue.protocol.events import (
    CallFailed,
    Event,
    RelayedCall,
    RelayedSend,
    ResponseReceived,
    SendAccepted,
    SendFailed,
)
from duologue.protocol.feed import Feed
from duologue.protocol.frames import Framing
from duologue.protocol.ids import CONTROL_SIDS, is_reserved
from duologue.protocol.limits import Limits
from duologue.protocol.line import Line
from duologue.protocol.outbox import Outbox
from duologue.protocol.pending import OutgoingCall, OutgoingSend, PendingCall, PendingCalls
from duologue.protocol.room import Room

_FIRST_RESERVED = CONTROL_SIDS.start
"""Ids under this, but for 0, are surely not reserved: one comparison for nearly all of them."""

ROOM_SHARE = 0.5
"""A relayed call waits for room at the other connection for at most this part of its time. What goes round in a ring of relays
waits for itself: so its end comes before the first of its hops times out and gives it room again (docs/relay.md)."""


class Outgoing:
    """Own requests. Each waits in the core for room, so that one wait and one deadline cover all of its life."""

    __slots__ = (
        "_events",
        "_header",
        "_line",
        "_max_payload",
        "_next_relayed_expires",
        "_outbox",
        "_overhead",
        "deadlines",
        "on_owed",
        "pending",
        "room",
    )

    def __init__(
        self, limits: Limits, framing: Framing, outbox: Outbox, events: list[Event], first_id: int
    ) -> None:
        self.pending = PendingCalls(limits.given_up, first_id)
        self._header = framing.header
        self._overhead = framing.overhead
        self._max_payload = limits.max_frame - framing.overhead
        self._outbox = outbox
        self._events = events
        self.deadlines = Deadlines()
        self._line = Line()
        self.room = Room(limits, outbox, self.pending, self._line)
        self._next_relayed_expires = math.inf
        """When the first of the relayed calls expires. They are not in the heap: nearly all have the same time-out, and are
        answered long before, so it pays to look through those that are left when that time comes."""
        self.on_owed: Callable[[float], None] | None = None
        """Told that something is owed, by whoever waits for just that."""

    # -- commands ------------------------------------------------------------------------------

    def call(
        self, sid: int, payload: bytes, deadline: float | None, now: float, nested: bool = False
    ) -> OutgoingCall:
        """See `Connection.call`. `nested`: it is made in a handler, and so never waits for answers to others."""
        if not 0 < sid < _FIRST_RESERVED or len(payload) > self._max_payload or deadline != deadline:
            self._check(sid, payload, deadline)
        call = OutgoingCall(sid, payload, deadline)
        if deadline is not None and deadline <= now:
            call.is_ended = True
            self._events.append(CallFailed(call, CallTimeout(Executed.NO)))
        else:
            self._begin(call, nested, now)
        return call

    def relay(self, call: RelayedCall, nested: bool, now: float) -> bool:
        """The same for another connection's remote. Is it in the outbox? Else it waits for at most `ROOM_SHARE` of its time."""
        self.check_size(len(call.payload))
        has_room = self._begin(call, nested, now)
        assert call.route is not None
        timeout = call.route.relay_timeout
        if timeout is not None:
            call.expires = now + timeout
            self._next_relayed_expires = min(self._next_relayed_expires, call.expires)
            if not has_room:
                call.deadline = now + ROOM_SHARE * timeout
                self.deadlines.add(call.deadline, call)
        return has_room

    def try_relay(self, call: RelayedCall, now: float) -> bool:
        """The common case of that: straight into the outbox. False, and nothing was done, if it would have to wait, or fails."""
        payload = call.payload
        size, outbox, room = len(payload), self._outbox, self.room
        if self._line.calls or self.pending.owed >= room.owed_limit or size > self._max_payload:
            return False
        if (room.is_blocked or outbox.level >= room.high) and not room.in_outbox():
            return False
        assert call.route is not None
        timeout = call.route.relay_timeout
        if timeout is not None:
            call.expires = expires = now + timeout
            if expires < self._next_relayed_expires:
                self._next_relayed_expires = expires
        call_id = self.pending.add(call)
        outbox.put_request(call_id, self._header(self._overhead + size, call.sid, call_id), payload, now)
        call.payload = b""
        if self.on_owed is not None:
            self.on_owed(now)
        return True

    def try_relay_send(self, sid: int, payload: bytes, now: float) -> bool:
        """Send what another connection's remote has sent. False, and nothing was done, if it would have to wait, or fails."""
        if self._line.sends or len(payload) > self._max_payload or not self.room.in_outbox():
            return False
        self._outbox.put_request(0, self._header(self._overhead + len(payload), sid, 0), payload, now)
        return True

    def check_size(self, size: int) -> None:
        """Raise `FrameTooLarge` for a payload that is over the limit here."""
        if size > self._max_payload:
            raise FrameTooLarge(size + self._overhead, self._max_payload + self._overhead)

    def line_up(self, send: OutgoingSend | RelayedSend) -> None:
        """Let it wait for the room that there was not. Raises `Overloaded`."""
        self.room.check_line("sends")
        self._line.add_send(send)
        if send.deadline is not None:
            self.deadlines.add(send.deadline, send)

    def send(self, sid: int, payload: bytes, deadline: float | None, now: float) -> OutgoingSend | None:
        """See `Connection.send`."""
        if not 0 < sid < _FIRST_RESERVED or len(payload) > self._max_payload or deadline != deadline:
            self._check(sid, payload, deadline)
        if not self._line.sends and self.room.in_outbox():
            self._outbox.put_request(0, self._header(self._overhead + len(payload), sid, 0), payload, now)
            return None
        send = OutgoingSend(sid, payload, deadline)
        if deadline is not None and deadline <= now:
            send.is_ended = True
            self._events.append(SendFailed(send, SendTimeout()))
            return send
        self.line_up(send)
        return send

    def cancel(self, item: PendingCall | OutgoingSend | RelayedSend, now: float) -> Executed:
        """The one who waited gave up: no event, since nobody is left to read it."""
        if item.is_ended:
            return Executed.UNKNOWN
        item.is_ended = True
        if item.deadline is not None:
            self.deadlines.note_ended()
        if isinstance(item, OutgoingSend | RelayedSend):
            del self._line.sends[item]
            return Executed.NO
        executed = self._executed(item)
        self._forget(item, executed, now)
        if item.id and executed is Executed.NO:
            self._outbox.remove_calls({item.id})
        self.admit(now)
        return executed

    def hurry(self, call: RelayedCall, now: float) -> None:
        """It waits for room, and waits for answers to others no longer: like a call that is made in a handler."""
        try:
            self.room.check_nested()
        except Overloaded as error:
            del self._line.calls[call]
            self._tell_failed(call, error, now)
            if call.deadline is not None:
                self.deadlines.note_ended()
            return
        self._line.hurry(call)
        self.admit(now)

    def publish(self, feed: Feed, sid: int, payload: bytes, now: float) -> None:
        """Send to a subscriber, or let it wait in the feed. Nobody waits for it, so nothing tells when it leaves."""
        if not 0 < sid < _FIRST_RESERVED or len(payload) > self._max_payload:
            self._check(sid, payload, None)
        if not feed.waiting and not self._line.sends and self.room.in_outbox():
            feed.sent += 1
            self._outbox.put_request(0, self._header(self._overhead + len(payload), sid, 0), payload, now)
            return
        self._line.add_published(feed, sid, payload)

    def end_feed(self, feed: Feed) -> None:
        """The subscription is over: what waits will not be sent."""
        self._line.remove_feed(feed)

    # -- what the remote answers ------------------------------------------------------------

    def response_received(self, call_id: int, payload: bytes, now: float) -> bool:
        """Resolve the call, if one waits for this."""
        call = self.pending.pop(call_id)
        if call is None:
            return False
        if isinstance(call, RelayedCall):
            call.relays.answered(call, payload, now)
        else:
            call.is_ended = True
            self._events.append(ResponseReceived(call, payload))
        if call.deadline is not None:
            self.deadlines.note_ended()
        return True

    def error_received(self, call_id: int, error: CallError, now: float) -> bool:
        """Fail the call, if one waits for this."""
        call = self.pending.pop(call_id)
        if call is None:
            return False
        self._tell_failed(call, error, now)
        if call.deadline is not None:
            self.deadlines.note_ended()
        return True

    # -- room, time, and the end --------------------------------------------------------

    @property
    def has_waiting(self) -> bool:
        """Whether a request waits for room, what is published aside."""
        line = self._line
        return bool(line.calls or line.sends or line.nested)

    @property
    def is_idle(self) -> bool:
        """Whether nobody waits for an answer, or for room, and no feed for room. Calls that were given up don't count."""
        return not (len(self.pending) or self.has_waiting or self._line.feeds)

    @property
    def waiting(self) -> int:
        """How many wait for room."""
        return len(self._line)

    @property
    def unanswered(self) -> int:
        """Calls that wait for their answer, or for room."""
        return len(self.pending) + len(self._line.calls) + len(self._line.nested)

    def admit(self, now: float) -> None:
        """Let those who wait go on as far as there is room, in order; only calls that wait for answers let others pass."""
        line = self._line
        while (self.room.is_blocked or self.has_waiting or line.feeds) and self.room.in_outbox():
            place = line.first(self.pending.owed + len(line.nested) < self.room.owed_limit)
            if place is None:
                return
            if isinstance(place, Feed):
                sid, payload = line.take_published(place)
                self._put_send(sid, payload, now)
                continue
            item, _ = place.popitem(last=False)
            if isinstance(item, OutgoingCall | RelayedCall):
                if isinstance(item, RelayedCall):
                    item.relays.has_room(item)
                self._enter(item, now)
                continue
            self._put_send(item.sid, item.payload, now)
            if isinstance(item, RelayedSend):
                item.relays.sent(item, now)
            else:
                item.is_ended = True
                self._events.append(SendAccepted(item))
            if item.deadline is not None:
                self.deadlines.note_ended()

    def _put_send(self, sid: int, payload: bytes, now: float) -> None:
        self._outbox.put_request(0, self._header(self._overhead + len(payload), sid, 0), payload, now)

    def next_deadline(self) -> float | None:
        """When `handle_timer` is due."""
        # Even if nothing waits for room: what is owed also decides whether calls are refused or reading pauses (F3).
        first = earlier(self.deadlines.next(), self.pending.next_forgetting())
        return first if self._next_relayed_expires == math.inf else earlier(first, self._next_relayed_expires)

    def handle_timer(self, now: float) -> None:
        """Whoever has no time left learns it. What is owed for longer than it counts is forgotten."""
        unsent: set[int] = set()
        for item in self.deadlines.pop_expired(now):
            if isinstance(item, OutgoingSend | RelayedSend):
                del self._line.sends[item]
                self._tell_send_failed(item, SendTimeout(), now)
                continue
            assert isinstance(item, OutgoingCall | RelayedCall)
            if isinstance(item, RelayedCall) and item.id:
                item.deadline = None  # that was for the wait for room, which it has found
                continue
            self._time_out(item, unsent, now)
        if self._next_relayed_expires <= now:
            self._expire_relayed(unsent, now)
        if unsent:
            self._outbox.remove_calls(unsent)
        self.pending.forget(now)
        self.admit(now)

    def _expire_relayed(self, unsent: set[int], now: float) -> None:
        self._next_relayed_expires = math.inf
        for call in self.pending.relayed():
            if call.expires > now:
                self._next_relayed_expires = min(self._next_relayed_expires, call.expires)
                continue
            self._time_out(call, unsent, now)

    def _time_out(self, call: PendingCall, unsent: set[int], now: float) -> None:
        executed = self._executed(call)
        self._forget(call, executed, now)
        if call.id and executed is Executed.NO:
            unsent.add(call.id)
        self._tell_failed(call, CallTimeout(executed), now)

    def fail_all(self, error: Callable[[Executed], CallError], now: float) -> None:
        """The connection ends: everyone who waits learns it at once. Frames of calls that have not left never will."""
        unsent: set[int] = set()
        for call in self.pending.clear():
            executed = self._executed(call)
            if executed is Executed.NO:
                unsent.add(call.id)
            self._tell_failed(call, error(executed), now)
        if unsent:
            self._outbox.remove_calls(unsent)
        calls, sends = self._line.clear()
        self.deadlines.clear()
        self._next_relayed_expires = math.inf
        for call in calls:
            self._tell_failed(call, error(Executed.NO), now)
        for send in sends:
            self._tell_send_failed(send, error(Executed.NO), now)

    # -- inside ------------------------------------------------------------------------------

    def _check(self, sid: int, payload: bytes, deadline: float | None) -> None:
        if is_reserved(sid):
            raise ValueError(f"service id {sid} is reserved or not a 64-bit number: no request can go there")
        self.check_size(len(payload))
        if deadline is not None and deadline != deadline:
            raise ValueError("the deadline is not a number: give seconds, or None to wait for ever")

    def _begin(self, call: PendingCall, nested: bool, now: float) -> bool:
        """Into the outbox, or into the line of those who wait for room."""
        if nested:
            self.room.check_nested()
        has_room = self.room.for_call(nested)
        if has_room:
            self._enter(call, now)
        else:
            self.room.check_line("calls")
            self._line.add_call(call, nested)
        if call.deadline is not None:
            self.deadlines.add(call.deadline, call)
        return has_room

    def _enter(self, call: PendingCall, now: float) -> None:
        payload, call.payload = call.payload, b""
        call_id = self.pending.add(call)
        self._outbox.put_request(
            call_id, self._header(self._overhead + len(payload), call.sid, call_id), payload, now
        )
        if self.on_owed is not None:
            self.on_owed(now)

    def _tell_failed(self, call: PendingCall, error: CallError, now: float) -> None:
        if isinstance(call, RelayedCall):
            call.relays.failed(call, error, now)
        else:
            call.is_ended = True
            self._events.append(CallFailed(call, error))

    def _tell_send_failed(self, send: OutgoingSend | RelayedSend, error: DuologueError, now: float) -> None:
        if isinstance(send, RelayedSend):
            send.relays.failed(send, error, now)
        else:
            send.is_ended = True
            self._events.append(SendFailed(send, error))

    def _executed(self, call: PendingCall) -> Executed:
        return Executed.UNKNOWN if call.id and self._outbox.was_handed_out(call.id) else Executed.NO

    def _forget(self, call: PendingCall, executed: Executed, now: float) -> None:
        """It waits no longer, neither for its answer nor for room."""
        if call.id:
            self.pending.give_up(call, executed, now)
        else:
            self._line.remove_call(call)
