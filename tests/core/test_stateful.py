"""Two connections, a third that shares a budget, a link that cuts anywhere, a remote that misbehaves, and a model.

Hypothesis invents the story: commands, pieces of the stream, garbage, answers to calls that never were, time that passes.
After each step everything that can be seen of each connection is compared with what the model says (model.py), and the
invariants are asserted for themselves, without the model, from what was seen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import pytest
from hypothesis import Phase as Stage
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from duologue.protocol import deadlines, outbox
from duologue.protocol.budget import CallBudget
from duologue.protocol.connection import Connection, ErrorBodies
from duologue.protocol.errors import CallError, CloseReason, DuologueError, Executed, FailureKind, RemoteError
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
from duologue.protocol.incoming import Incoming
from duologue.protocol.lifecycle import Lifecycle, Phase
from duologue.protocol.limits import Limits
from duologue.protocol.outbox import Outbox
from duologue.protocol.pending import OutgoingCall, OutgoingSend
from duologue.protocol.routes import Route
from tests.core import model as m
from tests.core.harness import TestRoute, decode_body, encode_body, frame, split_frames
from tests.core.profiles import look

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
            body = connection_error_body(m.NO_TEXT)
    return encode_body(body)


BODIES = ErrorBodies(encode, decode_body)

# -- what Hypothesis draws from ------------------------------------------------------------------------

small_limits = st.builds(
    lambda **drawn: Limits(**{**drawn, "outbox_low": min(drawn["outbox_low"], drawn["outbox_high"])}),
    max_frame=st.sampled_from([152, 200, 500]),
    calls=st.integers(1, 3),
    lent=st.integers(0, 2),
    parked=st.integers(1, 3),
    parked_bytes=st.sampled_from([30, 100, 10_000]),
    sends=st.integers(1, 3),
    sends_bytes=st.sampled_from([30, 100, 10_000]),
    sends_policy=st.sampled_from(["pause", "drop"]),
    owed=st.integers(1, 3),
    waiting=st.integers(0, 3),
    outbox_high=st.sampled_from([1, 100, 300, 1000]),
    outbox_low=st.sampled_from([0, 50, 300]),
    frame_timeout=st.sampled_from([2.0, 30.0]),
    answers_stalled=st.sampled_from([2.0, 10.0]),
    requests_stalled=st.sampled_from([4.0, 60.0]),
    eof_grace=st.sampled_from([0.0, 3.0]),
    discard_timeout=st.sampled_from([0.0, 1.0]),
    close_timeout=st.sampled_from([0.0, 2.0, 10.0]),
    given_up=st.sampled_from([0.0, 2.0, 60.0]),
    strays=st.sampled_from([0, 2, 100]),
)
sids = st.sampled_from([10, 10, 11, 11, 12, 13, 14, UNKNOWN_SID])
sizes = st.sampled_from([0, 1, 30, 128, 400])
timeouts = st.sampled_from([None, None, 0.0, 0.5, 2.0, 5.0])
picks = st.integers(0, 5)
whose_id = st.sampled_from([0, 1, 2, 3, 4, 2**64 - 1, 2**64 - 2, 2**63, 777])
error_bodies = st.sampled_from(
    [
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
    ]
)
valid_frames = st.one_of(
    st.builds(lambda sid, size: ("send", sid, 0, size * b"s"), sids, sizes),
    st.builds(lambda sid, size: ("call", sid, 0, size * b"c"), sids, sizes),
    st.builds(lambda sid, size: ("call", sid, 0, size * b"c"), sids, sizes),
    st.builds(lambda sid, cid: ("again", sid, cid, b"again"), sids, whose_id),
    st.builds(lambda cid: ("answer", m.RESPONSE, cid, b"answer"), whose_id),
    st.builds(lambda cid, body: ("answer", m.ERROR, cid, body), whose_id, error_bodies),
)
broken_streams = st.one_of(
    st.integers(0, 23).map(lambda length: length.to_bytes(8, "little") + bytes(16)),
    st.sampled_from([501, 2**63, 2**64 - 1]).map(lambda length: length.to_bytes(8, "little")),
    st.just(b"GET / HTTP/1.1\r\n"),
    st.binary(min_size=1, max_size=40),
)


# -- one end ---------------------------------------------------------------------------------------------


@dataclass(eq=False)
class End:
    """A connection, its model, the driver's part for both, and what was seen."""

    name: str
    connection: Connection
    model: m.Model
    budget: CallBudget
    inbound: bytearray = field(default_factory=bytearray)
    """On the way to this end."""
    inbound_ended: bool = False
    eof_given: bool = False
    other: End | None = None
    own: list[tuple[OutgoingCall | OutgoingSend, m.Own]] = field(default_factory=list)
    """Every own call, and every send that had to wait, with its model."""
    requests: list[IncomingRequest] = field(default_factory=list)
    """Delivered and not ended."""
    in_flight: int = 0
    """Bytes that the transport was given and has not taken."""
    outcomes: Counter[OutgoingCall | OutgoingSend] = field(default_factory=Counter)
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
                self.outcomes[event.call] += 1
            case SendAccepted() | SendFailed():
                self.outcomes[event.send] += 1
            case WritingFinished() | PeerClosed():
                if isinstance(event, PeerClosed):
                    self.closed_events.append(event)
                    self.in_flight = 0
                if self.other is not None:
                    self.other.inbound_ended = True
            case _:
                pass

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
            "waiting": outgoing.waiting,
            "buffered": real.buffered,
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
            "parked bytes": m.weight(model.parked),
            "unanswered": len(model.unanswered),
            "sends": (len(model.slots), m.weight(model.slots), len(model.lent_slots)),
            "lined up": (len(model.lined_up), m.weight(model.lined_up)),
            "dropped": model.dropped,
            "permits": (model.budget.in_use, model.budget.lent, len(model.budget.line)),
            "pending": len(model.outgoing.pending),
            "owed": model.outgoing.owed,
            "waiting": len(model.outgoing.calls) + len(model.outgoing.sends),
            "buffered": len(model.inbox),
            "wants read": model.wants_read,
            "late": model.late,
            "strays": model.strays,
        }
        assert seen == expected, self.name
        due = min(model.deadlines(), default=None)
        planned = real.next_deadline()
        if due is not None:
            assert planned is not None, f"{self.name} sleeps for ever, and misses {due}"
            assert planned <= due, f"{self.name} sleeps until {planned}, and misses {due}"

    def check(self) -> None:
        """The invariants, from what was seen and from nothing else."""
        real, limits = self.connection, self.connection.limits
        for item, _ in self.own:
            ended = item.is_ended and item not in self.cancelled
            assert self.outcomes[item] == ended, f"{self.name}: {item} has {self.outcomes[item]} outcomes"
        for cid, answers in self.answers_sent.items():
            assert answers <= self.model.calls_seen[cid], f"{self.name} answered call {cid} more than once"
        slots = [send for send in self.requests if not send.cid]
        assert real.incoming.sends.running == sum(not send.waits for send in slots)
        assert real.incoming.sends.lent == sum(bool(send.waits) for send in slots)
        self._check_bounds(limits)
        assert len(self.closed_events) == (real.phase is Phase.CLOSED), self.name
        if real.phase is not Phase.OPEN:
            assert all(item.is_ended for item, _ in self.own)
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
        parking, sends, box = self.connection.incoming.parking, self.connection.incoming.sends, self.connection.outbox
        assert parking.calls <= limits.parked
        assert parking.bytes <= limits.parked_bytes + limits.max_frame
        assert sends.waiting <= limits.sends
        assert sends.waiting_bytes <= limits.sends_bytes + limits.max_frame
        if self.connection.phase is Phase.OPEN:
            assert box.refusals <= limits.owed * 128 + 152

    def parse_sent(self, data: bytes) -> bytes:
        """What leaves is whole frames. Gives what the link carries on: not the answers to the misbehaving remote."""
        carried = b""
        for sid, cid, payload in split_frames(data):
            if sid in (m.ERROR, m.RESPONSE):
                self.answers_sent[cid] += cid != 0
                if FOREIGN <= cid < 2**32:
                    continue
            carried += frame(sid, cid, payload)
        return carried


def describe(event: Event) -> m.Seen:
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


def details(error: DuologueError) -> m.Seen:
    found: m.Seen = (type(error),)
    if isinstance(error, CallError):
        found += (error.executed,)
    reason = getattr(error, "reason", None)
    if reason is not None:
        found += (reason,)
    return (*found, error.kind) if isinstance(error, RemoteError) else found


# -- the story -------------------------------------------------------------------------------------------


class Story(RuleBasedStateMachine):
    """`left` and `right` are linked; `third` hears the misbehaving remote alone, and may share a budget with `right`."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 100.0
        self.ends: list[End] = []
        self.former: list[End] = []
        """Closed ends that were replaced, and whose handlers may still run."""
        self.woken: list[End] = []
        """Who was told that a permit is free, and has not looked yet."""
        self.serial = 0
        self.patches = ExitStack()
        self.patches.enter_context(mock.patch.object(outbox, "HAND_OUT", HAND_OUT))
        self.patches.enter_context(mock.patch.object(outbox, "JOIN_LIMIT", 40))
        self.patches.enter_context(mock.patch.object(deadlines, "_SLACK", 1))

    @initialize(
        drawn=st.tuples(small_limits, small_limits, small_limits),
        shared=st.booleans(),
        first_id=st.sampled_from([1, 1, 3, 2**64 - 2]),
    )
    def begin(self, drawn: tuple[Limits, Limits, Limits], shared: bool, first_id: int) -> None:
        self.drawn, self.first_id = drawn, first_id
        budgets = [(CallBudget(limits.calls, lent_limit=limits.lent), m.Budget(limits.calls, limits.lent)) for limits in drawn]
        if shared:
            budgets[2] = budgets[1]
        self.budgets = budgets
        self.ends = [self._end(index) for index in range(3)]
        self._link()

    def _end(self, index: int) -> End:
        limits, (budget, model_budget) = self.drawn[index], self.budgets[index]
        end = End(
            ("left", "right", "third")[index],
            Connection(ROUTES.get, BODIES, limits=limits, budget=budget, first_call_id=self.first_id),
            m.Model(ROUTES, limits, model_budget, self.first_id, HAND_OUT),
            budget,
        )
        end.connection.incoming.on_permit = lambda: self._note_permit(end)
        return end

    def _link(self) -> None:
        self.ends[0].other, self.ends[1].other = self.ends[1], self.ends[0]

    def _note_permit(self, end: End) -> None:
        if end not in self.woken:
            self.woken.append(end)

    def _pick(self, which: int, ends: list[End]) -> End | None:
        return ends[which % len(ends)] if ends else None

    def _payload(self, size: int) -> bytes:
        """No two are alike."""
        self.serial += 1
        return b"%d" % self.serial + size * b"."

    # -- own requests ---------------------------------------------------------------------------------

    @rule(which=picks, is_call=st.booleans(), sid=sids, size=sizes, timeout=timeouts, count=st.integers(1, 3))
    def request(self, which: int, is_call: bool, sid: int, size: int, timeout: float | None, count: int) -> None:
        end = self.ends[which % 3]
        for _ in range(count):
            payload = self._payload(size)
            deadline = None if timeout is None else self.now + timeout
            command = end.connection.call if is_call else end.connection.send
            real, model = end.both(
                lambda: command(sid, payload, deadline, self.now),
                lambda: end.model.issue(is_call, sid, payload, deadline, self.now),
            )
            if isinstance(real, OutgoingCall | OutgoingSend):
                real.waiter = model
                end.own.append((real, model))
            else:
                assert real is model or real is None is model

    @rule(which=picks, pick=picks)
    def cancel(self, which: int, pick: int) -> None:
        end = self.ends[which % 3]
        if end.own:
            real, model = end.own[-1 - pick % len(end.own)]
            before = real.is_ended
            said, expected = end.both(
                lambda: end.connection.cancel(real, self.now), lambda: end.model.cancel(model, self.now)
            )
            assert said is expected
            if not before:
                end.cancelled.add(real)

    # -- the remote's requests ------------------------------------------------------------------------

    def _requests(self) -> list[tuple[End, IncomingRequest]]:
        return [(end, request) for end in self.ends + self.former for request in end.requests]

    @precondition(lambda self: self._requests())
    @rule(pick=st.integers(0, 20), how=st.sampled_from(["answer", "answer", "fail", "too large"]), size=sizes)
    def end_request(self, pick: int, how: str, size: int) -> None:
        requests = self._requests()
        end, request = requests[pick % len(requests)]
        self._end_request(end, request, how, size)

    @rule(which=picks)
    def end_all_requests(self, which: int) -> None:
        end = self.ends[which % 3]
        for request in list(end.requests):
            self._end_request(end, request, "answer", 1)

    def _end_request(self, end: End, request: IncomingRequest, how: str, size: int) -> None:
        model, real = request.handler, end.connection
        answer = self._payload(min(size, end.connection.limits.max_frame - 34) if how == "answer" else 500)
        if how == "fail":
            end.both(
                lambda: real.fail(request, FailureKind.DESERIALIZE, self.now),
                lambda: end.model.end(model, "fail", FailureKind.DESERIALIZE, self.now),
            )
        elif request.cid:
            end.both(
                lambda: real.respond(request, answer, self.now), lambda: end.model.end(model, "respond", answer, self.now)
            )
        else:
            end.both(lambda: real.done(request, self.now), lambda: end.model.end(model, "done", None, self.now))
        assert request.is_ended
        end.requests.remove(request)

    @precondition(lambda self: self._requests())
    @rule(pick=st.integers(0, 20), lend=st.booleans())
    def wait_for_a_remote(self, pick: int, lend: bool) -> None:
        requests = self._requests()
        end, request = requests[pick % len(requests)]
        if lend:
            said, expected = end.both(
                lambda: end.connection.lend(request, self.now), lambda: end.model.lend(request.handler, self.now)
            )
            assert said is expected
        elif request.waits:
            end.both(lambda: end.connection.unlend(request, self.now), lambda: end.model.unlend(request.handler))

    @rule(everyone=st.booleans())
    def heed_free_permits(self, everyone: bool) -> None:
        """A driver looks later, and not inside of another connection's command."""
        while self.woken:
            end = self.woken.pop(0)
            end.both(lambda: end.connection.permit_freed(self.now), lambda: end.model.permit_freed(self.now))
            if not everyone:
                return

    # -- bytes --------------------------------------------------------------------------------------------

    @rule(which=picks)
    def take(self, which: int) -> None:
        self._take(self.ends[which % 3])

    def _take(self, end: End) -> None:
        data, expected = end.both(lambda: b"".join(end.connection.data_to_send()), end.model.outbox.take)
        assert data == expected
        end.in_flight += len(data)
        carried = end.parse_sent(data)
        if end.other is not None and not end.other.eof_given:
            end.other.inbound += carried

    @rule(which=picks, part=st.sampled_from([0.0, 0.3, 0.7, 1.0, 1.0, 1.0]))
    def data_sent(self, which: int, part: float) -> None:
        self._data_sent(self.ends[which % 3], part)

    def _data_sent(self, end: End, part: float) -> None:
        end.in_flight -= int(end.in_flight * part)
        end.both(
            lambda: end.connection.data_sent(self.now, end.in_flight),
            lambda: end.model.data_sent(end.in_flight, self.now),
        )

    @rule(which=picks, pieces=st.lists(st.sampled_from([1, 3, 8, 24, 60, 200, 10_000]), min_size=1, max_size=4), view=st.booleans())
    def deliver(self, which: int, pieces: list[int], view: bool) -> None:
        """Also while the connection does not want to read: it has to keep what comes then."""
        for piece in pieces:
            self._deliver(self.ends[which % 3], piece, view)

    def _deliver(self, end: End, size: int, view: bool) -> None:
        data = bytes(end.inbound[:size])
        del end.inbound[:size]
        if data and not end.eof_given:
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

    @rule(rounds=st.integers(1, 4))
    def flow(self, rounds: int) -> None:
        """Both ends work as with a driver and a good link."""
        for _ in range(rounds):
            self.heed_free_permits(True)
            for end in self.ends:
                self._take(end)
                self._data_sent(end, 1.0)
                if end.connection.wants_read:
                    self._deliver(end, 10_000, False)
            self.look()

    # -- a remote that misbehaves -------------------------------------------------------------------

    @rule(which=picks, frames=st.lists(valid_frames, min_size=1, max_size=5), now=st.booleans())
    def inject(self, which: int, frames: list[tuple[str, int, int, bytes]], now: bool) -> None:
        """Frames that no well-behaved remote would send, or not now, or not as many."""
        end = self.ends[which % 3]
        for kind, sid, cid, payload in frames:
            if kind == "call":
                cid = end.foreign_ids
                end.foreign_ids += 1
            elif kind == "again" and end.requests:
                cid = end.requests[cid % len(end.requests)].cid  # an id that may be in use
            data = frame(sid, cid, payload[: end.connection.limits.max_frame - m.HEADER])
            end.inbound += data
        if now:
            self._deliver(end, 10_000, False)

    @rule(which=picks, data=broken_streams, rarely=st.integers(0, 3))
    def garbage(self, which: int, data: bytes, rarely: int) -> None:
        if rarely == 0:
            self.ends[which % 3].inbound += data

    # -- time ---------------------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([0.0, 0.5, 1.0, 2.0, 5.0]), in_time=st.booleans())
    def time_passes(self, seconds: float, in_time: bool) -> None:
        """A driver may be late, too: then commands come at a time when a deadline has passed already."""
        self.now += seconds
        if in_time:
            for end in self.ends + self.former:
                self._serve_timer(end)

    @rule(which=picks)
    def next_timer(self, which: int) -> None:
        """The clock goes on to the very moment that an end waits for."""
        end = self.ends[which % 3]
        deadline = end.connection.next_deadline()
        if deadline is not None and deadline < self.now + 20:
            self.now = max(self.now, deadline)
            self._serve_timer(end)

    def _serve_timer(self, end: End) -> None:
        end.both(lambda: end.connection.handle_timer(self.now), lambda: end.model.handle_timer(self.now))
        following = end.connection.next_deadline()
        assert following is None or following > self.now, "a timer that is due for ever would keep a driver busy"

    # -- ends ---------------------------------------------------------------------------------------------

    @rule(which=picks, how=st.sampled_from(["close", "close", "grace", "eof", "lost", "abort"]), rarely=st.integers(0, 3))
    def come_to_an_end(self, which: int, how: str, rarely: int) -> None:
        end = self.ends[which % 3]
        real, model = end.connection, end.model
        if rarely and real.phase is Phase.OPEN:
            return
        match how:
            case "close" | "grace":
                grace = 3.0 if how == "grace" else 0.0
                end.both(lambda: real.close("tired", grace, self.now), lambda: model.close(grace, self.now))
            case "abort":
                end.both(lambda: real.abort("", self.now), lambda: model.cut(CloseReason.CLOSED_LOCALLY, self.now))
            case "lost":
                end.both(
                    lambda: real.transport_lost("", self.now), lambda: model.cut(CloseReason.TRANSPORT_FAILED, self.now)
                )
            case "eof" if not end.eof_given:
                self._eof(end)

    @rule(which=picks)
    def replace(self, which: int) -> None:
        """A new connection in place of a closed one: nothing of the old one may come through."""
        if which % 3 == 2:
            chosen = [2]
        else:
            chosen = [0, 1]
        if all(self.ends[index].connection.phase is Phase.CLOSED for index in chosen):
            for index in chosen:
                self.former.append(self.ends[index])
                self.ends[index] = self._end(index)
            self._link()

    @rule(which=picks, pick=picks)
    def do_wrong(self, which: int, pick: int) -> None:
        """Commands that are mistakes raise, and leave everything as it was."""
        end = self.ends[which % 3]
        real, now = end.connection, self.now
        for request in end.requests:
            if not request.is_cancelled:
                with pytest.raises(ValueError, match="end it with"):
                    real.done(request, now) if request.cid else real.respond(request, b"", now)
        with pytest.raises(ValueError, match="grace"):
            real.close("", (-1.0, float("nan"))[pick % 2], now)
        if real.phase is Phase.OPEN:
            for sid in (0, 2**64 - 1, 2**64, -1, 0xF782274C9450AA07):
                with pytest.raises(ValueError, match="reserved"):
                    real.call(sid, b"", None, now)
            with pytest.raises(ValueError, match="not a number"):
                real.send(10, b"", float("nan"), now)

    # -- after each step --------------------------------------------------------------------------------

    @invariant()
    def look(self) -> None:
        for end in self.ends + self.former:
            end.collect()
        for end in self.ends + self.former:
            end.compare()
            end.check()
        for budget, model in self.budgets if self.ends else ():
            self._check_permits(budget, model)

    def _check_permits(self, budget: CallBudget, model: m.Budget) -> None:
        calls = [
            request
            for end in self.ends + self.former
            if end.budget is budget
            for request in end.requests
            if request.cid and request.permit
        ]
        assert budget.in_use == sum(not call.waits for call in calls)
        assert budget.lent == sum(bool(call.waits) for call in calls)
        if budget.in_use < budget.limit and model.line:
            first = next(end for end in self.ends + self.former if end.model is model.line[0])
            assert first in self.woken, f"{first.name} is the next, a permit is free, and nobody told it"

    def teardown(self) -> None:
        try:
            for end in self.ends:
                end.both(
                    lambda end=end: end.connection.abort("", self.now),
                    lambda end=end: end.model.cut(CloseReason.CLOSED_LOCALLY, self.now),
                )
                self.look()
            for end, request in self._requests():
                self._end_request(end, request, "answer", 0)
            self.look()
            for budget, _ in self.budgets if self.ends else ():
                assert (budget.in_use, budget.lent, budget.waiting) == (0, 0, 0)
        finally:
            self.patches.close()


StoryTest = Story.TestCase
StoryTest.settings = look(brief=150, thorough=20_000, steps=50)
