"""Two connections, a third that shares a budget, a link that cuts anywhere, a remote that misbehaves, and a model.

A `Story` is told in steps. Each takes its arguments from small tables (`STEPS`), so that Hypothesis can tell it, or a
generator of random numbers, or a test that knows what it wants. After each step `look` compares everything that can be seen
of each connection with what the model says (model.py), and asserts the invariants from what was seen, without the model.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import pytest
from tests.core.harness import TestRoute, decode_body, encode_body, frame, split_frames
from tests.core.model import NO_TEXT, Model, weight
from tests.core.model_parts import ERROR, HEADER, RESPONSE, Budget, Own, Seen

from duologue.protocol import deadlines, outbox
from duologue.protocol.budget import CallBudget
from duologue.protocol.connection import Connection, ErrorBodies
from duologue.protocol.errors import CallError, CloseReason, DuologueError, FailureKind, RemoteError
from duologue.protocol.events import (
    CallFailed,
    CallReceived,
    ErrorReported,
    Event,
    IncomingRequest,
    PeerClosed,
    RequestCancelled,
    RequestFailed,
    ResponseReceived,
    SendAccepted,
    SendFailed,
    SendReceived,
    WritingFinished,
)
from duologue.protocol.failures import connection_error_body
from duologue.protocol.lifecycle import Phase
from duologue.protocol.limits import Limits
from duologue.protocol.pending import OutgoingCall, OutgoingSend
from duologue.protocol.routes import Route

HAND_OUT = 400
"""In place of 256 KiB: so that a batch is cut with the small frames of these tests, too."""

ROUTES: dict[int, Route] = {
    10: TestRoute("test::Plain"),
    11: TestRoute("test::Ordered", ordered=True),
    12: TestRoute("test::Free", takes_permit=False),
    13: TestRoute("test::OrderedFree", ordered=True, takes_permit=False),
    14: TestRoute("test::Unserved", has_handler=False),
}
UNKNOWN_SID = 99
FOREIGN = 1000
"""From here on, ids of calls that the misbehaving remote made: the link keeps their answers."""


def encode(body: Any) -> bytes:
    """Error bodies as JSON; what the text says about a broken stream is left out, so that the model need not know it."""
    match body:
        case {"DeserializeWireFormat": {"context": str(text)}} if text and len(text) < 200:
            body = connection_error_body(NO_TEXT)
    return encode_body(body)


BODIES = ErrorBodies(encode, decode_body)

# -- what a story is made of ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Choice:
    """One of these values, or a list of up to `most` of them."""

    values: Sequence[Any]
    most: int = 0

    def draw(self, chance: random.Random) -> Any:
        if not self.most:
            return chance.choice(self.values)
        return [chance.choice(self.values) for _ in range(chance.randint(1, self.most))]


@dataclass(frozen=True)
class Step:
    """How often a step is told, beside the others, and what it may be told with."""

    weight: int
    arguments: dict[str, Choice]


LIMITS: dict[str, tuple[Any, ...]] = {
    "max_frame": (152, 200, 500),
    "calls": (1, 2, 3),
    "lent": (0, 1, 2),
    "parked": (1, 2, 3),
    "parked_bytes": (30, 100, 10_000),
    "sends": (1, 2, 3),
    "sends_bytes": (30, 100, 10_000),
    "sends_policy": ("pause", "pause", "drop"),
    "owed": (1, 2, 3),
    "waiting": (0, 1, 3, 6),
    "outbox_high": (1, 100, 300, 1000),
    "outbox_low": (0, 50, 300),
    "frame_timeout": (2.0, 30.0),
    "answers_stalled": (2.0, 10.0),
    "requests_stalled": (4.0, 60.0),
    "eof_grace": (0.0, 3.0),
    "discard_timeout": (0.0, 1.0),
    "close_timeout": (0.0, 2.0, 10.0),
    "given_up": (0.0, 2.0, 60.0),
    "strays": (0, 2, 100),
}


def small_limits(seed: int) -> Limits:
    """Some limits that are small enough to be met in a few steps."""
    chance = random.Random(seed)
    drawn = {name: chance.choice(values) for name, values in LIMITS.items()}
    drawn["outbox_low"] = min(drawn["outbox_low"], drawn["outbox_high"])
    return Limits(**drawn)


SIDS = (10, 10, 11, 11, 12, 13, 14, UNKNOWN_SID)
SIZES = (0, 1, 30, 128, 400)
WHICH = Choice(range(3))
PICK = Choice(range(8))
IDS = (0, 1, 2, 3, 4, 2**64 - 1, 2**64 - 2, 2**63, 777)
ERROR_BODIES = (
    b'{"UnknownService":{"sid":null,"cid":null}}',
    b'{"Deserialize":{}}',
    b'{"InternalServerError":null}',
    b'{"PubSubNoCall":{}}',
    b'{"Timeout":{"sid":{"inner":{"id":1}}}}',
    b'{"DeserializeWireFormat":{"context":"' + 90 * b"x" + b'"}}',
    b'{"Unreadable":{}}',
    b'{"Timeout":{},"Deserialize":{}}',
    b'{"7":{}}',
    b'["Timeout"]',
    b'"Timeout"',
    b"{",
    b"\xff",
    b"",
)
INJECTED: tuple[tuple[str, int, int, bytes], ...] = (
    *(("send", sid, 0, size * b"s") for sid in SIDS for size in SIZES),
    *(("call", sid, 0, size * b"c") for sid in SIDS for size in SIZES),
    *(("again", sid, cid, b"") for sid in SIDS for cid in (1, 2, 3)),
    *(("answer", RESPONSE, cid, b"answer") for cid in IDS),
    *(("answer", ERROR, cid, body) for cid in (0, 1, 2, 3, 2**64 - 1) for body in ERROR_BODIES),
)
"""Frames, and what they are: the id of a call is found when it is sent."""
BROKEN = (
    *(length.to_bytes(8, "little") + bytes(16) for length in (0, 1, 8, 23)),
    *(length.to_bytes(8, "little") for length in (501, 2**63, 2**64 - 1)),
    b"GET / HTTP/1.1\r\n",
    b"\x18",
    bytes(range(200, 240)),
)

STEPS = {
    "request": Step(
        8,
        {
            "which": WHICH,
            "what": Choice(("call", "call", "nested", "send")),
            "sid": Choice(SIDS),
            "size": Choice(SIZES),
            "timeout": Choice((None, None, 0.0, 0.5, 2.0, 5.0)),
            "count": Choice((1, 1, 2, 4)),
        },
    ),
    "cancel": Step(2, {"which": WHICH, "pick": PICK}),
    "end_request": Step(
        6, {"pick": PICK, "how": Choice(("answer", "answer", "fail", "too large")), "size": Choice(SIZES)}
    ),
    "end_all_requests": Step(1, {"which": WHICH}),
    "wait_for_a_remote": Step(4, {"pick": PICK, "lend": Choice((True, False))}),
    "heed_free_permits": Step(2, {"everyone": Choice((True, False))}),
    "take": Step(4, {"which": WHICH}),
    "data_sent": Step(4, {"which": WHICH, "part": Choice((0.0, 0.3, 0.7, 1.0, 1.0, 1.0))}),
    "deliver": Step(
        6,
        {
            "which": WHICH,
            "pieces": Choice((0, 1, 3, 8, 24, 60, 200, 10_000), 4),
            "view": Choice((True, False)),
        },
    ),
    "flow": Step(3, {"rounds": Choice((1, 2, 4))}),
    "inject": Step(6, {"which": WHICH, "frames": Choice(INJECTED, 5), "now": Choice((True, False))}),
    "garbage": Step(1, {"which": WHICH, "data": Choice(BROKEN), "rarely": Choice(range(8))}),
    "time_passes": Step(3, {"seconds": Choice((0.0, 0.5, 1.0, 2.0, 5.0)), "in_time": Choice((True, False))}),
    "next_timer": Step(1, {"which": WHICH}),
    "come_to_an_end": Step(
        3,
        {
            "which": WHICH,
            "how": Choice(("close", "grace", "grace", "grace", "eof", "truncated", "lost", "abort")),
            "rarely": Choice(range(6)),
        },
    ),
    "replace": Step(4, {"which": WHICH}),
    "do_wrong": Step(1, {"which": WHICH}),
}


# -- one end ---------------------------------------------------------------------------------------------


@dataclass(eq=False)
class End:
    """A connection, its model, the driver's part for both, and what was seen."""

    name: str
    connection: Connection
    model: Model
    budget: CallBudget
    inbound: bytearray = field(default_factory=bytearray)
    """On the way to this end."""
    inbound_ended: bool = False
    eof_given: bool = False
    other: End | None = None
    own: list[OutgoingCall | OutgoingSend] = field(default_factory=list)
    """Every own call, and every send that had to wait. Their `waiter` is the model's."""
    requests: list[IncomingRequest] = field(default_factory=list)
    """Delivered and not ended."""
    ended: IncomingRequest | None = None
    """The last one that ended."""
    in_flight: int = 0
    """Bytes that the transport was given and has not taken."""
    outcomes: set[OutgoingCall | OutgoingSend] = field(default_factory=set)
    cancelled: set[OutgoingCall | OutgoingSend] = field(default_factory=set)
    answers_sent: Counter[int] = field(default_factory=Counter)
    closed_events: list[PeerClosed] = field(default_factory=list)
    foreign_ids: int = FOREIGN

    def both(self, command: Callable[[], Any], model_command: Callable[[], Any]) -> tuple[Any, Any]:
        """Give a command to the connection and to the model: they give the same, or raise the same."""
        results: list[Any] = []
        for one in (command, model_command):
            try:
                results.append(one())
            except (DuologueError, ValueError) as error:
                results.append(type(error))
        raised = [result for result in results if isinstance(result, type)]
        assert not raised or results[0] is results[1], f"{self.name}: {results}"
        return results[0], results[1]

    def collect(self) -> None:
        """Look at the events, and compare them with the model's."""
        expected = self.model.events[:]
        self.model.events.clear()
        observed = self.connection.events()
        for event, seen in zip(observed, expected, strict=False):
            if isinstance(event, IncomingRequest):
                event.handler = seen[1]
                self.requests.append(event)
            self._note(event)
        assert [describe(event) for event in observed] == expected, self.name

    def _note(self, event: Event) -> None:
        assert not self.closed_events, f"{self.name}: {event} after the end"
        match event:
            case ResponseReceived() | CallFailed():
                self._note_outcome(event.call)
            case SendAccepted() | SendFailed():
                self._note_outcome(event.send)
            case WritingFinished() | PeerClosed():
                if isinstance(event, PeerClosed):
                    self.closed_events.append(event)
                    self.in_flight = 0
                if self.other is not None:
                    self.other.inbound_ended = True
            case _:
                pass

    def _note_outcome(self, item: OutgoingCall | OutgoingSend) -> None:
        assert item.is_ended
        assert item not in self.outcomes, f"{self.name}: {item} has a second outcome"
        assert item not in self.cancelled, f"{self.name}: {item} has an outcome, and nobody to read it"
        self.outcomes.add(item)

    def compare(self) -> None:
        """Everything that can be seen from outside, beside the model's."""
        real, model = self.connection, self.model
        incoming, outgoing, sends = real.incoming, real.outgoing, real.incoming.sends
        seen = {
            "phase": real.phase,
            "reason": real.reason,
            "level": real.outbox.level,
            "answers": real.outbox.answers,
            "refusals": real.outbox.refusals,
            "gated": real.outbox.gated_since,
            "running": incoming.running,
            "parked": incoming.parking.calls,
            "parked bytes": incoming.parking.bytes,
            "unanswered": incoming.unanswered,
            "sends": (sends.running, sends.bytes, sends.lent),
            "lined up": (sends.waiting, sends.waiting_bytes),
            "dropped": incoming.dropped,
            "permits": (self.budget.in_use, self.budget.lent, self.budget.waiting),
            "pending": len(outgoing.pending),
            "owed": outgoing.pending.owed,
            "waiting": (outgoing.waiting, outgoing.is_blocked),
            "wants read": real.wants_read,
            "late": real.late,
            "strays": real.strays,
        }
        expected = {
            "phase": model.phase,
            "reason": model.reason,
            "level": model.outbox.level,
            "answers": model.outbox.answers,
            "refusals": model.outbox.refusals,
            "gated": model.outbox.gated_since,
            "running": len(model.running),
            "parked": len(model.parked),
            "parked bytes": weight(model.parked),
            "unanswered": len(model.unanswered),
            "sends": (len(model.slots), weight(model.slots), len(model.lent_slots)),
            "lined up": (len(model.lined_up), weight(model.lined_up)),
            "dropped": model.dropped,
            "permits": (model.budget.in_use, model.budget.lent, len(model.budget.line)),
            "pending": len(model.outgoing.pending),
            "owed": model.outgoing.owed,
            "waiting": (len(model.outgoing.waiting), model.outgoing.blocked),
            "wants read": model.wants_read,
            "late": model.late,
            "strays": model.strays,
        }
        assert seen == expected, self.name
        assert 0 <= len(model.inbox) - real.buffered <= HEADER, (
            "what is held is what came, but perhaps for one header"
        )
        due = min(model.deadlines(), default=None)
        planned = real.next_deadline()
        if due is not None:
            assert planned is not None, f"{self.name} sleeps for ever, and misses {due}"
            assert planned <= due, f"{self.name} sleeps until {planned}, and misses {due}"

    def check(self) -> None:
        """The invariants, from what was seen and from nothing else."""
        real, limits = self.connection, self.connection.limits
        for item in self.own:
            has_outcome = item in self.outcomes or item in self.cancelled
            assert item.is_ended == has_outcome, f"{self.name}: {item} has ended without an outcome"
        self.own = [item for item in self.own if not item.is_ended] + [
            item for item in self.own[-8:] if item.is_ended
        ]
        for cid, answers in self.answers_sent.items():
            assert answers <= self.model.calls_seen[cid], f"{self.name} answered call {cid} more than once"
        slots = [send for send in self.requests if not send.cid]
        assert real.incoming.sends.running == sum(not send.waits for send in slots)
        assert real.incoming.sends.lent == sum(bool(send.waits) for send in slots)
        self._check_bounds(limits)
        assert len(self.closed_events) == (real.phase is Phase.CLOSED), self.name
        if real.phase is not Phase.OPEN:
            assert all(item.is_ended for item in self.own)
            assert real.outgoing.deadlines == real.outgoing.pending.owed == 0
        if real.phase in (Phase.CLOSING, Phase.CLOSED):
            assert all(request.is_cancelled for request in self.requests)
            assert real.incoming.unanswered == real.buffered == 0
        if real.phase is Phase.CLOSED:
            assert self.closed_events[0].reason is real.reason
            assert real.outbox.level == 0
            assert real.next_deadline() is None
            assert not real.wants_read
            assert real.data_to_send() == []

    def _check_bounds(self, limits: Limits) -> None:
        """What the remote sends makes nothing grow over its limit, by more than the one frame that is in hand."""
        parking, sends, box = (
            self.connection.incoming.parking,
            self.connection.incoming.sends,
            self.connection.outbox,
        )
        assert parking.calls <= limits.parked
        assert parking.bytes <= limits.parked_bytes + limits.max_frame
        assert sends.waiting <= limits.sends
        assert sends.waiting_bytes <= limits.sends_bytes + limits.max_frame
        if self.connection.phase is Phase.OPEN:
            assert box.refusals <= 2 * limits.owed * 160 + 152

    def parse_sent(self, data: bytes) -> bytes:
        """What leaves is whole frames. Gives what the link carries on: not the answers to the misbehaving remote."""
        carried = b""
        for sid, cid, payload in split_frames(data):
            if sid in (ERROR, RESPONSE):
                self.answers_sent[cid] += cid != 0
                if FOREIGN <= cid < 2**32:
                    continue
            carried += frame(sid, cid, payload)
        return carried


def describe(event: Event) -> Seen:
    """An event as the model writes it down."""
    match event:
        case CallReceived() | SendReceived():
            name = "call" if isinstance(event, CallReceived) else "send"
            return (name, event.handler, event.sid, event.cid, event.payload)
        case RequestCancelled():
            return ("cancelled", event.request.handler)
        case ResponseReceived():
            return ("answered", event.call.waiter, event.payload)
        case CallFailed():
            return ("failed", event.call.waiter, *details(event.error))
        case SendAccepted():
            return ("accepted", event.send.waiter)
        case SendFailed():
            return ("failed", event.send.waiter, *details(event.error))
        case WritingFinished():
            return ("writing finished", None)
        case RequestFailed():
            return ("request failed", None, event.kind, event.sid, event.cid)
        case ErrorReported():
            return ("error reported", None, event.kind, event.cid)
        case PeerClosed():
            return ("closed", None, event.reason)


def details(error: DuologueError) -> Seen:
    found: Seen = (type(error),)
    if isinstance(error, CallError):
        found += (error.executed,)
    reason = getattr(error, "reason", None)
    if reason is not None:
        found += (reason,)
    return (*found, error.kind) if isinstance(error, RemoteError) else found


# -- the story -------------------------------------------------------------------------------------------


class Story:
    """`left` and `right` are linked; `third` hears the misbehaving remote alone, and may share a budget with them."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 100.0
        self.ends: list[End] = []
        self.former: list[End] = []
        """Closed ends that were replaced, and whose handlers still run."""
        self.budgets: list[tuple[CallBudget, Budget]] = []
        self.woken: list[End] = []
        """Who was told that a permit is free, and has not looked yet."""
        self.serial = 0
        self.patches = ExitStack()
        self.patches.enter_context(mock.patch.object(outbox, "HAND_OUT", HAND_OUT))
        self.patches.enter_context(mock.patch.object(outbox, "JOIN_LIMIT", 80))
        self.patches.enter_context(mock.patch.object(deadlines, "_SLACK", 1))

    def begin(self, limits: Sequence[Limits], shared: int = 0, first_id: int = 1) -> None:
        """`shared`: how many of the ends share the budget of the last."""
        self.limits, self.first_id = limits, first_id
        self.budgets = [
            (CallBudget(each.calls, lent_limit=each.lent), Budget(each.calls, each.lent)) for each in limits
        ]
        for index in range(3 - shared, 3):
            self.budgets[index] = self.budgets[2]
        self.ends = [self._end(index) for index in range(3)]
        self._link()

    def _end(self, index: int) -> End:
        limits, (budget, model_budget) = self.limits[index], self.budgets[index]
        end = End(
            ("left", "right", "third")[index],
            Connection(ROUTES.get, BODIES, limits=limits, budget=budget, first_call_id=self.first_id),
            Model(ROUTES, limits, model_budget, self.first_id, HAND_OUT),
            budget,
        )
        end.connection.incoming.on_permit = lambda: self._note_permit(end)
        return end

    def _link(self) -> None:
        self.ends[0].other, self.ends[1].other = self.ends[1], self.ends[0]

    def _note_permit(self, end: End) -> None:
        if end not in self.woken:
            self.woken.append(end)

    def _payload(self, size: int) -> bytes:
        """No two are alike."""
        self.serial += 1
        return b"%d" % self.serial + size * b"."

    # -- own requests ---------------------------------------------------------------------------------

    def request(self, which: int, what: str, sid: int, size: int, timeout: float | None, count: int) -> None:
        end = self.ends[which]
        deadline = None if timeout is None else self.now + timeout
        for _ in range(count):
            own = Own(sid, self._payload(size), deadline, is_call=what != "send", nested=what == "nested")
            self._request(end, own)

    def _request(self, end: End, own: Own) -> None:
        real, model = end.both(lambda: self._issue(end, own), lambda: end.model.issue(own, self.now))
        if isinstance(real, OutgoingCall | OutgoingSend):
            real.waiter = model
            end.own.append(real)
        else:
            assert real is model

    def _issue(self, end: End, own: Own) -> OutgoingCall | OutgoingSend | None:
        if own.is_call:
            return end.connection.call(own.sid, own.payload, own.deadline, self.now, own.nested)
        return end.connection.send(own.sid, own.payload, own.deadline, self.now)

    def cancel(self, which: int, pick: int) -> None:
        end = self.ends[which]
        if end.own:
            item = end.own[-1 - pick % len(end.own)]
            if not item.is_ended:
                end.cancelled.add(item)
            said, expected = end.both(
                lambda: end.connection.cancel(item, self.now), lambda: end.model.cancel(item.waiter, self.now)
            )
            assert said is expected

    # -- the remote's requests ------------------------------------------------------------------------

    def _requests(self) -> list[tuple[End, IncomingRequest]]:
        return [(end, request) for end in self.ends + self.former for request in end.requests]

    def end_request(self, pick: int, how: str, size: int) -> None:
        if requests := self._requests():
            end, request = requests[pick % len(requests)]
            self._end_request(end, request, how, size)

    def end_all_requests(self, which: int) -> None:
        end = self.ends[which]
        for request in list(end.requests):
            self._end_request(end, request, "answer", 1)

    def _end_request(self, end: End, request: IncomingRequest, how: str, size: int) -> None:
        model, real = request.handler, end.connection
        answer = self._payload(min(size, real.limits.max_frame - 34) if how == "answer" else 500)
        if how == "fail":
            end.both(
                lambda: real.fail(request, FailureKind.DESERIALIZE, self.now),
                lambda: end.model.end(model, "fail", FailureKind.DESERIALIZE, self.now),
            )
        elif request.cid:
            end.both(
                lambda: real.respond(request, answer, self.now),
                lambda: end.model.end(model, "respond", answer, self.now),
            )
        else:
            end.both(
                lambda: real.done(request, self.now), lambda: end.model.end(model, "done", None, self.now)
            )
        assert request.is_ended
        end.requests.remove(request)
        end.ended = request

    def wait_for_a_remote(self, pick: int, lend: bool) -> None:
        if not (requests := self._requests()):
            return
        end, request = requests[pick % len(requests)]
        if lend:
            said, expected = end.both(
                lambda: end.connection.lend(request, self.now),
                lambda: end.model.lend(request.handler, self.now),
            )
            assert said is expected
        else:
            end.both(
                lambda: end.connection.unlend(request, self.now), lambda: end.model.unlend(request.handler)
            )

    def heed_free_permits(self, everyone: bool) -> None:
        """A driver looks later, and not inside of another connection's command."""
        while self.woken:
            self._heed_free_permit(self.woken.pop(0))
            if not everyone:
                return

    def _heed_free_permit(self, end: End) -> None:
        end.both(lambda: end.connection.permit_freed(self.now), lambda: end.model.permit_freed(self.now))

    # -- bytes --------------------------------------------------------------------------------------------

    def take(self, which: int) -> None:
        end = self.ends[which]
        data, expected = end.both(lambda: b"".join(end.connection.data_to_send()), end.model.outbox.take)
        assert data == expected
        end.in_flight += len(data)
        carried = end.parse_sent(data)
        if end.other is not None and not end.other.eof_given:
            end.other.inbound += carried

    def data_sent(self, which: int, part: float) -> None:
        end = self.ends[which]
        end.in_flight -= int(end.in_flight * part)
        end.both(
            lambda: end.connection.data_sent(self.now, end.in_flight),
            lambda: end.model.data_sent(end.in_flight, self.now),
        )

    def deliver(self, which: int, pieces: list[int], view: bool) -> None:
        """Also while the connection does not want to read: it has to keep what comes then."""
        for piece in pieces:
            self._deliver(self.ends[which], piece, view)

    def _deliver(self, end: End, size: int, view: bool) -> None:
        data = bytes(end.inbound[:size])
        del end.inbound[:size]
        if not end.eof_given and (data or not size):
            memory = bytearray(data)
            end.both(
                lambda: end.connection.receive_data(memoryview(memory) if view else data, self.now),
                lambda: end.model.receive_data(data, self.now),
            )
            memory[:] = bytes(len(memory))  # the driver's buffer is used again
        elif end.inbound_ended and not end.eof_given:
            self._eof(end)

    def _eof(self, end: End) -> None:
        end.eof_given = True
        end.both(lambda: end.connection.receive_eof(self.now), lambda: end.model.receive_eof(self.now))

    def flow(self, rounds: int) -> None:
        """Both ends work as with a driver and a good link."""
        for _ in range(rounds):
            self.heed_free_permits(True)
            for which, end in enumerate(self.ends):
                self.take(which)
                self.data_sent(which, 1.0)
                if end.connection.wants_read:
                    self._deliver(end, 10_000, False)
            self.look()

    # -- a remote that misbehaves -------------------------------------------------------------------

    def inject(self, which: int, frames: list[tuple[str, int, int, bytes]], now: bool) -> None:
        """Frames that no well-behaved remote would send, or not now, or not as many."""
        end = self.ends[which]
        for kind, sid, cid, payload in frames:
            if kind == "call":
                cid = end.foreign_ids
                end.foreign_ids += 1
            elif kind == "again" and end.requests:
                cid = end.requests[cid % len(end.requests)].cid  # an id that may be in use
            end.inbound += frame(sid, cid, payload[: end.connection.limits.max_frame - HEADER])
        if now:
            self._deliver(end, 10_000, False)

    def garbage(self, which: int, data: bytes, rarely: int) -> None:
        if rarely == 0:
            self.ends[which].inbound += data

    # -- time ---------------------------------------------------------------------------------------------

    def time_passes(self, seconds: float, in_time: bool) -> None:
        """A driver may be late, too: then commands come at a time when a deadline has passed already."""
        self.now += seconds
        if in_time:
            for end in self.ends + self.former:
                self._serve_timer(end)

    def next_timer(self, which: int) -> None:
        """The clock goes on to the very moment that an end waits for."""
        end = self.ends[which]
        deadline = end.connection.next_deadline()
        if deadline is not None and deadline < self.now + 20:
            self.now = max(self.now, deadline)
            self._serve_timer(end)

    def _serve_timer(self, end: End) -> None:
        end.both(lambda: end.connection.handle_timer(self.now), lambda: end.model.handle_timer(self.now))
        following = end.connection.next_deadline()
        assert following is None or following > self.now, (
            "a timer that is due for ever would keep a driver busy"
        )

    # -- ends ---------------------------------------------------------------------------------------------

    def come_to_an_end(self, which: int, how: str, rarely: int) -> None:
        end = self.ends[which]
        real, model = end.connection, end.model
        if rarely % 4 and real.phase is Phase.OPEN:
            return
        match how:
            case "close" | "grace":
                grace = 20.0 if how == "grace" else 0.0
                end.both(lambda: real.close("tired", grace, self.now), lambda: model.close(grace, self.now))
            case "abort":
                end.both(
                    lambda: real.abort("", self.now), lambda: model.cut(CloseReason.CLOSED_LOCALLY, self.now)
                )
            case "lost":
                end.both(
                    lambda: real.transport_lost("", self.now),
                    lambda: model.cut(CloseReason.TRANSPORT_FAILED, self.now),
                )
            case "truncated" if not end.eof_given:
                end.inbound += frame(10, 0, b"cut")[: 4 * rarely + 7]
                self._deliver(end, 10_000, False)
                self._eof(end)
            case "eof":
                self._eof(end)

    def replace(self, which: int) -> None:
        """New connections in place of closed ones: nothing of the old ones may come through."""
        chosen = [2] if which == 2 else [0, 1]
        if all(self.ends[index].connection.phase is Phase.CLOSED for index in chosen):
            for index in chosen:
                self.former.append(self.ends[index])
                self.ends[index] = self._end(index)
            self._link()

    def do_wrong(self, which: int) -> None:
        """Commands that are mistakes raise, and leave everything as it was."""
        end, now = self.ends[which], self.now
        real = end.connection
        for request in end.requests:
            if not request.is_cancelled:
                with pytest.raises(ValueError, match="end it with"):
                    real.done(request, now) if request.cid else real.respond(request, b"", now)
        if end.ended is not None:
            self._end_again(end, end.ended)
        for grace in (-1.0, float("nan")):
            with pytest.raises(ValueError, match="grace"):
                real.close("", grace, now)
        if real.phase is Phase.OPEN:
            for sid in (0, 2**64 - 1, 2**64, -1, 0xF782274C9450AA07):
                with pytest.raises(ValueError, match="reserved"):
                    real.call(sid, b"", None, now)
            with pytest.raises(ValueError, match="not a number"):
                real.send(10, b"", float("nan"), now)

    def _end_again(self, end: End, ended: IncomingRequest) -> None:
        real, now = end.connection, self.now
        with pytest.raises(ValueError, match="has ended"):
            real.respond(ended, b"", now)
        with pytest.raises(ValueError, match="has ended"):
            real.done(ended, now)
        with pytest.raises(ValueError, match="has ended"):
            real.fail(ended, FailureKind.HANDLER_FAILED, now)
        # A handler that goes on after its end has nothing to lend any more.
        said = end.both(lambda: real.lend(ended, now), lambda: end.model.lend(ended.handler, now))
        assert said == (True, True)
        end.both(lambda: real.unlend(ended, now), lambda: end.model.unlend(ended.handler))

    # -- after each step --------------------------------------------------------------------------------

    def look(self) -> None:
        ends = self.ends + self.former
        for end in ends:
            end.collect()
        for end in ends:
            end.compare()
            end.check()
        for budget, model in self.budgets:
            self._check_permits(ends, budget, model)
        self.former = [end for end in self.former if end.requests]

    def _check_permits(self, ends: list[End], budget: CallBudget, model: Budget) -> None:
        """Permits in use are those of the calls delivered, not ended and not lent. No wake-up is lost."""
        calls = [
            call for end in ends if end.budget is budget for call in end.requests if call.cid and call.permit
        ]
        assert budget.in_use == sum(not call.waits for call in calls)
        assert budget.lent == sum(bool(call.waits) for call in calls) <= model.lent_limit
        if budget.in_use < budget.limit and model.line:
            first = next(end for end in ends if end.model is model.line[0])
            assert first in self.woken, f"{first.name} is the next, a permit is free, and nobody told it"

    def finish(self) -> None:
        """Everything is closed, and every handler ends: nothing may be left."""
        for which in range(len(self.ends)):
            self.come_to_an_end(which, "abort", 0)
        self.look()
        for end, request in self._requests():
            self._end_request(end, request, "answer", 0)
        self.look()
        for budget, _ in self.budgets:
            assert (budget.in_use, budget.lent, budget.waiting) == (0, 0, 0)

    def tear_down(self) -> None:
        self.patches.close()
