"""Own calls and sends: from the command, through the wait for room, to the one outcome."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from operator import attrgetter
from typing import Any

from duologue.protocol.deadlines import Deadlines
from duologue.protocol.errors import CallError, CallTimeout, Executed, FrameTooLarge, Overloaded, SendTimeout
from duologue.protocol.events import (
    CallAccepted,
    CallFailed,
    Event,
    ResponseReceived,
    SendAccepted,
    SendFailed,
)
from duologue.protocol.feed import Feed
from duologue.protocol.frames import Framing
from duologue.protocol.ids import CONTROL_SIDS, is_reserved
from duologue.protocol.limits import Limits
from duologue.protocol.outbox import Outbox
from duologue.protocol.pending import OutgoingCall, OutgoingSend, PendingCalls

_FIRST_RESERVED = CONTROL_SIDS.start
"""Ids under this, but for 0, are surely not reserved: one comparison for nearly all of them."""

NESTED_SHARE = 2
"""Calls made in handlers may go so many times over `Limits.owed`: there is room for them when other calls have to wait."""


class Outgoing:
    """Own requests. Each waits in the core for room, so that one wait and one deadline cover all of its life."""

    __slots__ = (
        "_arrivals",
        "_deadlines",
        "_events",
        "_feeds",
        "_header",
        "_high",
        "_limits",
        "_low",
        "_max_payload",
        "_nested_limit",
        "_outbox",
        "_overhead",
        "_owed_limit",
        "_waiting_calls",
        "_waiting_nested",
        "_waiting_sends",
        "is_blocked",
        "pending",
    )

    def __init__(
        self, limits: Limits, framing: Framing, outbox: Outbox, events: list[Event], first_id: int
    ) -> None:
        self.pending = PendingCalls(limits.given_up, first_id)
        self._header = framing.header
        self._overhead = framing.overhead
        self._limits = limits
        self._max_payload = limits.max_frame - framing.overhead
        self._owed_limit = limits.owed
        self._nested_limit = NESTED_SHARE * limits.owed
        self._high = limits.outbox_high
        self._low = limits.outbox_low
        self._outbox = outbox
        self._events = events
        self._deadlines = Deadlines()
        self._waiting_calls: OrderedDict[OutgoingCall, int] = OrderedDict()
        """Those who wait for room, each with its number in the order of arrival."""
        self._waiting_nested: OrderedDict[OutgoingCall, int] = OrderedDict()
        """Those of them that handlers made. They wait for room in the outbox alone."""
        self._waiting_sends: OrderedDict[OutgoingSend, int] = OrderedDict()
        self._feeds: dict[Feed, None] | None = None
        """Those in which something waits. Made when one is needed: most connections have no subscriber at the other end."""
        self._arrivals = 0
        self.is_blocked = False
        """A request found the outbox full, and it is not yet down to its low-water mark."""

    # -- commands ------------------------------------------------------------------------------

    def call(
        self, sid: int, payload: bytes, deadline: float | None, now: float, nested: bool = False
    ) -> OutgoingCall:
        if not 0 < sid < _FIRST_RESERVED or len(payload) > self._max_payload or deadline != deadline:
            self._check(sid, payload, deadline)
        call = OutgoingCall(sid, b"", deadline)
        if deadline is not None and deadline <= now:
            call.is_ended = True
            self._events.append(CallFailed(call, CallTimeout(Executed.NO)))
            return call
        if nested:
            self._check_nested()
        line = self._waiting_nested if nested else self._waiting_calls
        if not line and (nested or self.pending.owed < self._owed_limit) and self._has_room():
            call_id = self.pending.add(call)
            header = self._header(self._overhead + len(payload), sid, call_id)
            self._outbox.put_request(call_id, header, payload, now)
        else:
            self._check_line("calls")
            call.payload = payload
            self._arrivals += 1
            line[call] = self._arrivals
        if deadline is not None:
            self._deadlines.add(deadline, call)
        return call

    def send(self, sid: int, payload: bytes, deadline: float | None, now: float) -> OutgoingSend | None:
        if not 0 < sid < _FIRST_RESERVED or len(payload) > self._max_payload or deadline != deadline:
            self._check(sid, payload, deadline)
        if not self._waiting_sends and self._has_room():
            self._outbox.put_request(0, self._header(self._overhead + len(payload), sid, 0), payload, now)
            return None
        send = OutgoingSend(sid, payload, deadline)
        if deadline is not None and deadline <= now:
            send.is_ended = True
            self._events.append(SendFailed(send, SendTimeout()))
            return send
        self._check_line("sends")
        self._arrivals += 1
        self._waiting_sends[send] = self._arrivals
        if deadline is not None:
            self._deadlines.add(deadline, send)
        return send

    def cancel(self, item: OutgoingCall | OutgoingSend, now: float) -> Executed:
        """The one who waited gave up: no event, since nobody is left to read it."""
        if item.is_ended:
            return Executed.UNKNOWN
        if isinstance(item, OutgoingSend):
            del self._waiting_sends[item]
            self._end(item)
            return Executed.NO
        executed = self._give_up(item, now)
        if item.id and executed is Executed.NO:
            self._outbox.remove_calls({item.id})
        self.admit(now)
        return executed

    def publish(self, feed: Feed, sid: int, payload: bytes, now: float) -> None:
        """Send to a subscriber, or let it wait in the feed. Nobody waits for it, so nothing tells when it leaves."""
        if not 0 < sid < _FIRST_RESERVED or len(payload) > self._max_payload:
            self._check(sid, payload, None)
        if not feed.waiting and not self._waiting_sends and self._has_room():
            feed.sent += 1
            self._outbox.put_request(0, self._header(self._overhead + len(payload), sid, 0), payload, now)
            return
        self._arrivals += 1
        feed.put(self._arrivals, sid, payload)
        if self._feeds is None:
            self._feeds = {}
        self._feeds[feed] = None

    def end_feed(self, feed: Feed) -> None:
        """The subscription is over: what waits will not be sent."""
        feed.clear()
        if self._feeds is not None:
            self._feeds.pop(feed, None)

    # -- what the remote answers ------------------------------------------------------------

    def response_received(self, call_id: int, payload: bytes) -> bool:
        """Resolve the call, if one waits for this."""
        call = self.pending.pop(call_id)
        if call is None:
            return False
        call.is_ended = True
        if call.deadline is not None:
            self._deadlines.note_ended()
        self._events.append(ResponseReceived(call, payload))
        return True

    def error_received(self, call_id: int, error: CallError) -> bool:
        """Fail the call, if one waits for this."""
        call = self.pending.pop(call_id)
        if call is None:
            return False
        self._end(call)
        self._events.append(CallFailed(call, error))
        return True

    # -- room, time, and the end --------------------------------------------------------

    @property
    def has_waiting(self) -> bool:
        """Whether a request waits for room."""
        return bool(self._waiting_calls or self._waiting_sends or self._waiting_nested)

    @property
    def waiting(self) -> int:
        """How many wait for room."""
        return len(self._waiting_calls) + len(self._waiting_sends) + len(self._waiting_nested)

    @property
    def unanswered(self) -> int:
        """Calls that wait for their answer, or for room."""
        return len(self.pending) + len(self._waiting_calls) + len(self._waiting_nested)

    @property
    def deadlines(self) -> int:
        """Entries in the heap of deadlines, ended ones included."""
        return len(self._deadlines)

    def admit(self, now: float) -> None:
        """Let those who wait go on, as far as there is room now, in the order in which they came, so that none starves.

        Only calls that wait for answers to others let sends and nested calls pass.
        """
        while (self.is_blocked or self.has_waiting or self._feeds) and self._has_room():
            line: OrderedDict[Any, int] | None = None
            if self._waiting_calls and self.pending.owed + len(self._waiting_nested) < self._owed_limit:
                line = self._waiting_calls
            for other in (self._waiting_nested, self._waiting_sends):
                if other and (line is None or next(iter(other.values())) < next(iter(line.values()))):
                    line = other
            if self._feeds and self._draw(self._feeds, line, now):
                continue
            if line is None:
                return
            item, _ = line.popitem(last=False)
            if isinstance(item, OutgoingCall):
                self._enter(item, now)
            else:
                self._end(item)
                header = self._header(self._overhead + len(item.payload), item.sid, 0)
                self._outbox.put_request(0, header, item.payload, now)
                self._events.append(SendAccepted(item))

    def _draw(self, feeds: dict[Feed, None], line: OrderedDict[Any, int] | None, now: float) -> bool:
        """Send the next of what is published, if it came before the first in the line."""
        feed = min(feeds, key=_first_arrival)
        if line is not None and next(iter(line.values())) < feed.first_arrival:
            return False
        sid, payload = feed.take()
        if not feed.waiting:
            del feeds[feed]
        self._outbox.put_request(0, self._header(self._overhead + len(payload), sid, 0), payload, now)
        return True

    def next_deadline(self) -> float | None:
        first = self._deadlines.next()
        # Even if nothing waits for room: what is owed also decides whether calls are refused or reading pauses (F3).
        forgetting = self.pending.next_forgetting()
        if first is None or forgetting is None:
            return forgetting if first is None else first
        return min(first, forgetting)

    def handle_timer(self, now: float) -> None:
        unsent: set[int] = set()
        for item in self._deadlines.pop_expired(now):
            if isinstance(item, OutgoingSend):
                del self._waiting_sends[item]
                item.is_ended = True
                self._events.append(SendFailed(item, SendTimeout()))
                continue
            assert isinstance(item, OutgoingCall)
            executed = self._give_up(item, now, popped=True)
            if item.id and executed is Executed.NO:
                unsent.add(item.id)
            self._events.append(CallFailed(item, CallTimeout(executed)))
        if unsent:
            self._outbox.remove_calls(unsent)
        self.pending.forget(now)
        self.admit(now)

    def fail_all(self, error: Callable[[Executed], CallError]) -> None:
        """The connection ends: everyone who waits learns it at once. Frames of calls that have not left never will."""
        unsent: set[int] = set()
        for call in self.pending.clear():
            executed = self._executed(call)
            if executed is Executed.NO:
                unsent.add(call.id)
            call.is_ended = True
            self._events.append(CallFailed(call, error(executed)))
        if unsent:
            self._outbox.remove_calls(unsent)
        for call in (*self._waiting_nested, *self._waiting_calls):
            call.is_ended = True
            self._events.append(CallFailed(call, error(Executed.NO)))
        for send in self._waiting_sends:
            send.is_ended = True
            self._events.append(SendFailed(send, error(Executed.NO)))
        self._waiting_nested.clear()
        self._waiting_calls.clear()
        self._waiting_sends.clear()
        self._deadlines.clear()
        for feed in self._feeds or ():
            feed.clear()
        self._feeds = None

    # -- inside ------------------------------------------------------------------------------

    def _check(self, sid: int, payload: bytes, deadline: float | None) -> None:
        if is_reserved(sid):
            raise ValueError(f"service id {sid} is reserved or not a 64-bit number: no request can go there")
        if len(payload) > self._max_payload:
            raise FrameTooLarge(len(payload) + self._overhead, self._limits.max_frame)
        if deadline is not None and deadline != deadline:
            raise ValueError("the deadline is not a number: give seconds, or None to wait for ever")

    def _check_nested(self) -> None:
        """A handler's call never waits for answers to others: those may be waiting, at the other end, for this handler."""
        unanswered = self.pending.owed + len(self._waiting_nested)
        if unanswered >= self._nested_limit:
            raise Overloaded(
                f"{unanswered} calls are not answered, so a handler may make no further one: "
                "calls go round in circles, or raise Limits.owed"
            )

    def _check_line(self, what: str) -> None:
        if self.waiting >= self._limits.waiting:
            raise Overloaded(
                f"{self.waiting} {what} and sends wait for room already: make fewer at once, or raise Limits.waiting"
            )

    def _has_room(self) -> bool:
        self.is_blocked = (
            self._outbox.level > self._low if self.is_blocked else self._outbox.level >= self._high
        )
        return not self.is_blocked

    def _enter(self, call: OutgoingCall, now: float) -> None:
        payload = call.payload
        call_id = self.pending.add(call)
        header = self._header(self._overhead + len(payload), call.sid, call_id)
        self._outbox.put_request(call_id, header, payload, now)
        call.payload = b""
        if call.tells_of_room:
            self._events.append(CallAccepted(call))

    def _end(self, item: OutgoingCall | OutgoingSend) -> None:
        item.is_ended = True
        if item.deadline is not None:
            self._deadlines.note_ended()

    def _executed(self, call: OutgoingCall) -> Executed:
        return Executed.UNKNOWN if call.id and self._outbox.was_handed_out(call.id) else Executed.NO

    def _give_up(self, call: OutgoingCall, now: float, *, popped: bool = False) -> Executed:
        executed = self._executed(call)
        if call.id:
            self.pending.give_up(call, executed, now)
        else:
            del (self._waiting_nested if call in self._waiting_nested else self._waiting_calls)[call]
        if popped:
            call.is_ended = True
        else:
            self._end(call)
        return executed


_first_arrival = attrgetter("first_arrival")
