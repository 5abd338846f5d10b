"""One end of a story: a connection, its model, the driver's part for both, and what was seen of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.core.harness import frame, split_frames
from tests.core.model import LIVE, Model, weight
from tests.core.model_parts import ERROR, HEADER, RESPONSE, Seen

from duologue.protocol.budget import CallBudget
from duologue.protocol.connection import Connection
from duologue.protocol.errors import CallError, DuologueError, RemoteError
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
from duologue.protocol.lifecycle import Phase
from duologue.protocol.limits import Limits
from duologue.protocol.pending import OutgoingCall, OutgoingSend

FOREIGN = 1000
"""From here on, ids of calls that the misbehaving remote made: the link keeps their answers."""


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
    deadlines: set[float | None] = field(default_factory=set)
    """All that own requests ever had."""
    ended: IncomingRequest | None = None
    """The last one that ended."""
    in_flight: int = 0
    """Bytes that the transport was given and has not taken."""
    outcomes: set[OutgoingCall | OutgoingSend] = field(default_factory=set)
    cancelled: set[OutgoingCall | OutgoingSend] = field(default_factory=set)
    answers_sent: Counter[int] = field(default_factory=Counter)
    closed_events: list[PeerClosed] = field(default_factory=list)
    has_finished_writing: bool = False
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
                event.peer = seen[1]
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
                assert not self.has_finished_writing or isinstance(event, PeerClosed)
                self.has_finished_writing = True
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
            "parked": (incoming.parking.waiting, incoming.parking.calls),
            "parked bytes": incoming.parking.bytes,
            "unanswered": incoming.unanswered,
            "sends": (sends.running, sends.bytes, sends.lent),
            "lined up": (sends.waiting, sends.waiting_bytes),
            "dropped": incoming.dropped,
            "permits": (self.budget.in_use, self.budget.lent, self.budget.waiting),
            "pending": len(outgoing.pending),
            "owed": outgoing.pending.owed,
            "waiting": (outgoing.waiting, outgoing.room.is_blocked and real.phase in LIVE),
            "drained": real.is_drained,
            "goes on": incoming.requests.goes_on,
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
            "parked": (len(model.plain) + len(model.lane), len(model.parked)),
            "parked bytes": weight(model.parked),
            "unanswered": len(model.unanswered),
            "sends": (len(model.slots), weight(model.slots), len(model.lent_slots)),
            "lined up": (len(model.lined_up), weight(model.lined_up)),
            "dropped": model.dropped,
            "permits": (model.budget.in_use, model.budget.lent, len(model.budget.line)),
            "pending": len(model.outgoing.pending),
            "owed": model.outgoing.owed,
            "waiting": (
                len(model.outgoing.waiting),
                model.outgoing.blocked and model.phase in LIVE,
            ),
            "drained": model.drained,
            "goes on": model.going_on,
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
        if planned != due:  # it may look once too often, at the deadline of an own request that has ended
            assert planned in self.deadlines, f"{self.name} sleeps until {planned}, not {due}"
            assert due is None or (planned is not None and planned < due)

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
        self._check_reasons(limits)
        assert len(self.closed_events) == (real.phase is Phase.CLOSED), self.name
        timed = sum(item.deadline is not None and not item.is_ended for item in self.own)
        assert timed <= len(real.outgoing.deadlines) <= 2 * timed + 2, (
            "timers of own requests that have ended pile up"
        )
        if real.phase is Phase.DRAINING:
            assert real.outbox.level or not self.model.idle, "drained, and nobody has noticed"
        if real.phase not in LIVE:
            assert all(item.is_ended for item in self.own)
            assert len(real.outgoing.deadlines) == real.outgoing.pending.owed == 0
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
        if not self.model.hurried:  # by the loss of the transport behind an end of stream that waited
            assert sends.waiting <= limits.sends
            assert sends.waiting_bytes <= limits.sends_bytes + limits.max_frame
        if self.connection.phase in LIVE:
            assert box.refusals <= 2 * limits.owed * 160 + 152

    def _check_reasons(self, limits: Limits) -> None:
        """Nothing waits without a reason that somebody will take away: or it would wait for ever."""
        model, outgoing = self.model, self.model.outgoing
        gated = self.connection.outbox.gated_since is not None
        assert not model.plain or gated or model in model.budget.line, (
            "parked, and not in the line for a permit"
        )
        if model in model.budget.line:
            assert model.plain, "in the line for a permit, with nothing to start"
        if model.lane and model.turn is None:
            assert model.lane[0].cid, "a one-way message waits for its turn, and nobody has it"
            assert gated
        nested = sum(own.nested for own in outgoing.waiting)
        for own in outgoing.waiting:
            level = self.connection.outbox.level
            is_full = level > limits.outbox_low or level >= limits.outbox_high
            assert is_full or not outgoing.may_be_owed(own, nested), "room, and somebody who waits for it"
        if model.paused:  # what was taken makes room for refusals when it is sent
            assert model.must_pause or self.in_flight, "reading is paused for nothing"

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
            return (name, event.peer, event.sid, event.cid, event.payload)
        case RequestCancelled():
            return ("cancelled", event.request.peer)
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
