"""A connection with what a driver does for it, which notes what it sees, and asserts after each step what must be true of it.

There is no model here: only what can be told from outside. Bytes that came and bytes that left are taken apart on their own, to
compare with what the connection said of them.
"""

from __future__ import annotations

from collections import Counter

from tests.core.harness import assert_closed_and_empty

from duologue.protocol.budget import CallBudget
from duologue.protocol.connection import Connection
from duologue.protocol.errors import CallError, DuologueError, ErrorKind, Executed, RemoteError
from duologue.protocol.events import (
    CallFailed,
    CallReceived,
    Event,
    IncomingRequest,
    PeerClosed,
    RelayedCall,
    RequestCancelled,
    ResponseReceived,
    SendAccepted,
    SendFailed,
    SendReceived,
    WritingFinished,
)
from duologue.protocol.failures import read_error
from duologue.protocol.feed import Feed
from duologue.protocol.frames import LENGTH_PREFIXED, Frame, FrameDecoder
from duologue.protocol.ids import ERROR_SID, RESPONSE_SID
from duologue.protocol.lifecycle import Phase
from duologue.protocol.pending import OutgoingCall, OutgoingSend
from duologue.protocol.room import NESTED_SHARE
from duologue.protocol.unanswered import REFUSAL_SIZE

Own = OutgoingCall | OutgoingSend


class Watched:
    """One connection."""

    def __init__(self, connection: Connection, budget: CallBudget) -> None:
        self.connection = connection
        self.budget = budget
        self.inbound = bytearray()
        """On the way to it."""
        self.feed = Feed(3, 200)
        self.own: list[Own] = []
        self.cancelled: set[Own] = set()
        self.outcomes: Counter[Own] = Counter()
        self.requests: list[IncomingRequest] = []
        """Delivered, and not ended."""
        self.ended: IncomingRequest | None = None
        self.in_flight = 0
        """Bytes that the transport was given and has not taken."""
        self.has_eof = False
        self.permit_came = False
        self.closed: PeerClosed | None = None
        self._has_finished_writing = False
        self._slack = 0
        """Bytes that came since it last wanted to read: it has to keep what came when it did not."""
        self._came = _reader(connection)
        self._left = _reader(connection)
        self._calls_in: Counter[int] = Counter()
        self._answers_out: Counter[int] = Counter()
        self._ids_out: set[int] = set()
        connection.incoming.on_permit = self._note_permit

    def _note_permit(self) -> None:
        self.permit_came = True

    # -- bytes ------------------------------------------------------------------------------------------

    def deliver(self, size: int, now: float, *, view: bool) -> None:
        data = bytes(self.inbound[:size])
        del self.inbound[:size]
        if self.has_eof:
            return
        self._slack += len(data)
        for _, cid, _ in _frames(self._came, data):
            self._calls_in[cid] += 1  # answers among them too: more than there are calls does no harm
        memory = bytearray(data)
        self.connection.receive_data(memoryview(memory) if view else data, now)
        memory[:] = b"\xee" * len(memory)  # the buffer is used again

    def take(self) -> None:
        """What is to be sent is taken apart: whole frames, each of which may be there."""
        data = b"".join(self.connection.data_to_send())
        assert not (data and self._has_finished_writing), "it writes after it said that it had finished"
        assert not (data and self.in_flight), "it gives more before the transport has taken the last"
        self.in_flight += len(data)
        for frame in _frames(self._left, data):
            self._look_at(frame)
        assert not self._left.is_inside_frame, "a piece of a frame was given"

    def _look_at(self, frame: Frame) -> None:
        sid, cid, payload = frame
        if sid in (ERROR_SID, RESPONSE_SID):
            if sid == ERROR_SID:
                kind, _ = read_error(payload, self.connection._intake._decode_error)
                assert kind is not ErrorKind.UNREADABLE
                assert (kind is ErrorKind.DESERIALIZE_WIREFORMAT) == (cid == 0)
            self._answers_out[cid] += 1
            # About the whole connection there is one at most, maybe when it ends already, for another reason.
            allowed = self._calls_in[cid] if cid else self.connection.reason is not None
            assert self._answers_out[cid] <= allowed, f"call {cid} is answered more often than it was made"
        elif cid:
            assert cid not in self._ids_out, f"the id {cid} is given twice"
            self._ids_out.add(cid)

    # -- events -----------------------------------------------------------------------------------------

    def collect(self) -> None:
        for event in self.connection.events():
            assert self.closed is None, f"{event} after the end"
            self._one_event(event)
        assert not self.connection.has_events

    def _one_event(self, event: Event) -> None:
        match event:
            case CallReceived() | SendReceived():
                assert event.is_delivered
                assert not event.is_ended
                assert event not in self.requests, "delivered twice"
                self.requests.append(event)
            case RequestCancelled():
                assert event.request.is_cancelled
            case ResponseReceived():
                self._outcome(
                    event.call
                )  # it may not have left: a remote may guess ids, and answer itself (row 18)
            case CallFailed():
                self._outcome(event.call)
                self._look_at_error(event.call, event.error)
            case SendAccepted():
                self._outcome(event.send)
            case SendFailed():
                self._outcome(event.send)
                assert isinstance(event.error, DuologueError)
            case WritingFinished():
                assert not self._has_finished_writing
                self._has_finished_writing = True
            case PeerClosed():
                self.closed = event
            case _:
                pass
        assert repr(event)

    def _outcome(self, own: Own) -> None:
        self.outcomes[own] += 1
        assert own.is_ended
        assert own not in self.cancelled, "an event for what was cancelled"
        assert self.outcomes[own] == 1, "two outcomes"

    def _look_at_error(self, call: OutgoingCall, error: CallError) -> None:
        assert isinstance(error, CallError)
        if error.executed is Executed.NO and not isinstance(error, RemoteError):
            assert call.id not in self._ids_out, (
                "it says that the handler can't have run, and the call has left"
            )

    # -- what must be true ------------------------------------------------------------------------------

    def check(self) -> None:
        real = self.connection
        limits, incoming, outgoing, outbox = real.limits, real.incoming, real.outgoing, real.outbox
        parking, sends = incoming.parking, incoming.sends
        largest = limits.max_frame
        if real.wants_read:
            self._slack = 0
        assert 0 <= real.buffered <= largest + self._slack, "more is held than what came"
        assert 0 <= parking.calls + parking.held <= limits.parked
        assert 0 <= parking.bytes <= limits.parked_bytes + largest
        # A link that is lost behind a pause: what came before the end is handled, though it is more at once than it should be.
        is_hurried = real._reading.is_hurried
        assert 0 <= sends.waiting <= limits.sends or is_hurried
        assert 0 <= sends.lent <= limits.lent
        running = [each for each in self.requests if not each.cid and each.permit]
        held = sends.running + sends.lent
        assert sends.running >= sum(not each.waits for each in running)
        assert held <= limits.sends + limits.lent + 1 or is_hurried
        assert 0 <= outgoing.waiting <= limits.waiting + NESTED_SHARE * limits.owed
        assert 0 <= len(outgoing.pending) <= outgoing.pending.owed <= NESTED_SHARE * limits.owed + limits.owed
        assert 0 <= outbox.refusals <= NESTED_SHARE * limits.owed * REFUSAL_SIZE + REFUSAL_SIZE
        assert 0 <= outbox.refusals <= outbox.answers <= outbox.level
        assert self.in_flight <= outbox.level or not outbox.level, "less waits than the transport has"
        assert self.feed.waiting <= 3
        assert (self.closed is not None) == (real.phase is Phase.CLOSED), "the end is told when it has come"
        if self.closed is not None:
            assert self.closed.reason is real.reason
            assert real.next_deadline() is None
            assert not real.wants_read

    def finish(self, now: float) -> None:
        """Its end has come, and that of all its handlers: every own request has one outcome, and nothing is left."""
        self.connection.abort("the end", now)
        self.collect()
        self.check()
        for request in self.requests:
            if not request.is_ended:
                self.connection.done(request, now)
                assert request.is_ended
        self.requests = []
        self.collect()
        assert_closed_and_empty(self.connection)
        for own in self.own:
            assert own.is_ended
            assert self.outcomes[own] == (own not in self.cancelled), "not exactly one outcome"


def check_budget(budget: CallBudget, ends: list[Watched]) -> None:
    """The permits in use are those of the calls that run, and have not lent theirs."""
    calls = [
        request
        for end in ends
        if end.budget is budget
        for request in end.requests
        if request.cid and request.permit and not request.is_ended and not isinstance(request, RelayedCall)
    ]
    assert budget.in_use == sum(not call.waits for call in calls)
    assert budget.lent == sum(bool(call.waits) for call in calls) <= budget.lent_limit


def _reader(connection: Connection) -> FrameDecoder:
    return LENGTH_PREFIXED.decoder(connection.limits.max_frame)


def _frames(decoder: FrameDecoder, data: bytes) -> list[Frame]:
    decoder.feed(data)
    found: list[Frame] = []
    try:
        found.extend(decoder.frames())
    except DuologueError:
        pass  # what is wrong with a stream is for the connection to say
    return found
