"""What one end of a connection must do, said a second time, as plainly as possible and from the documents.

Where the real one keeps counters, heaps and bytes in pieces, the model keeps lists and counts them anew; it has no thought
for speed. The stateful test gives each command and each input to both, and compares them after each step.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from tests.core.harness import decode_body, encode_body, frame
from tests.core.model_parts import (
    ERROR,
    HEADER,
    RESPONSE,
    Budget,
    ModelOutbox,
    ModelOutgoing,
    Own,
    Request,
    Seen,
)

from duologue.protocol.errors import (
    CallTimeout,
    CloseReason,
    ConnectionClosed,
    ErrorKind,
    Executed,
    FailureKind,
    RemoteError,
)
from duologue.protocol.failures import WIRE_KINDS, connection_error_body, error_body
from duologue.protocol.lifecycle import Phase
from duologue.protocol.limits import Limits
from duologue.protocol.routes import Route

LIVE = (Phase.OPEN, Phase.DRAINING)
"""What is under way goes on."""

NO_TEXT = "the text is not compared"
NEVER = float("inf")


class Broken(Exception):
    """The remote is out of step."""


class Model:
    """One end: what it is given, what is to be seen of it then."""

    def __init__(
        self, routes: dict[int, Route], limits: Limits, budget: Budget, first_id: int, hand_out: int
    ) -> None:
        self.routes = routes
        self.limits = limits
        self.budget = budget
        budget.ends.append(self)
        self.events: list[Seen] = []
        self.outbox = ModelOutbox(limits, hand_out)
        self.outgoing = ModelOutgoing(limits, self.outbox, self.events, first_id)
        self.phase = Phase.OPEN
        self.reason: CloseReason | None = None
        self.drain_ends = self.grace_ends = self.calls_end = NEVER
        self.close_ends = 0.0
        self.discard_ends: float | None = None
        self.drained = self.ended_cleanly = self.finished_writing = self.hurried = False
        # the remote's requests
        self.plain: list[Request] = []
        self.lane: list[Request] = []
        self.turn: Request | None = None
        self.running: list[Request] = []
        self.dropped = self.late = self.strays = self.recent_strays = 0
        self.stray_began = 0.0
        self.calls_seen: Counter[int] = Counter()
        # reading
        self.inbox = bytearray()
        self.began: float | None = None
        self.paused = False
        self.eof_waits = self.eof_seen = False

    # -- counted anew each time -----------------------------------------------------------------------

    @property
    def parked(self) -> list[Request]:
        return [request for request in self.plain + self.lane if request.cid]

    @property
    def unanswered(self) -> set[int]:
        """Ids of the calls that the remote may not use again yet."""
        return {
            request.cid for request in self.parked + self.running if request.cid and not request.cancelled
        }

    @property
    def slots(self) -> list[Request]:
        return [send for send in self.running if not send.cid and not send.waits]

    @property
    def lent_slots(self) -> list[Request]:
        return [send for send in self.running if not send.cid and send.waits]

    @property
    def lined_up(self) -> list[Request]:
        return [send for send in self.lane if not send.cid]

    @property
    def parking_is_full(self) -> bool:
        return len(self.parked) >= self.limits.parked or weight(self.parked) >= self.limits.parked_bytes

    @property
    def slots_are_full(self) -> bool:
        return len(self.slots) >= self.limits.sends or weight(self.slots) >= self.limits.sends_bytes

    @property
    def lane_is_full(self) -> bool:
        return len(self.lined_up) >= self.limits.sends or weight(self.lined_up) >= self.limits.sends_bytes

    @property
    def lane_waits_for_remote(self) -> bool:
        if self.turn is not None and self.turn.delivered:
            return self.turn.waits > 0
        return self.outbox.gated

    @property
    def must_pause(self) -> bool:
        """F3 to F6."""
        if self.hurried:
            return False
        if self.outbox.refusals > 2 * self.limits.owed * 160:
            return True
        if self.phase not in LIVE:
            return False
        if self.phase is Phase.OPEN and self.parking_is_full and not self.outgoing.owed:
            return True
        awaited = bool(self.outgoing.owed or self.outgoing.waiting)
        return self.limits.sends_policy == "pause" and (
            self.slots_are_full or (self.lane_is_full and not (awaited and self.lane_waits_for_remote))
        )

    @property
    def wants_read(self) -> bool:
        return not self.paused and not self.eof_seen and self.phase is not Phase.CLOSED

    def deadlines(self) -> list[float]:
        """Everything that this end waits for the time of."""
        found = self.outgoing.deadlines()
        if self.began is not None:
            found.append(self.began + self.limits.frame_timeout)
        if (stalls := self.outbox.stalls_at()) is not None:
            found.append(stalls)
        if self.phase is Phase.DRAINING:
            found.append(self.drain_ends)
        if self.phase is Phase.GRACE:
            found += [self.grace_ends, self.calls_end]
        return [time for time in found + self.closing_ends() if time < NEVER]

    def closing_ends(self) -> list[float]:
        if self.phase is not Phase.CLOSING:
            return []
        return [self.close_ends] if self.discard_ends is None else [self.close_ends, self.discard_ends]

    # -- commands ---------------------------------------------------------------------------------------

    def issue(self, own: Own, now: float) -> Own | None:
        for_own_handler = own.handled is not None and own.handled in self.running
        if self.phase is not Phase.OPEN and not (self.phase is Phase.DRAINING and for_own_handler):
            raise ConnectionClosed(self.reason or CloseReason.CLOSED_LOCALLY)
        waits = self.outgoing.issue(own, now)
        self.look_again(now)
        return waits

    def cancel(self, own: Own, now: float) -> Executed:
        executed = self.outgoing.cancel(own, now)
        self.look_again(now)
        return executed

    def end(self, request: Request, how: str, detail: Any, now: float) -> None:
        """`respond` with a payload, `fail` with a kind, or `done`."""
        if not request.delivered or request.ended:
            raise ValueError
        if not request.cancelled and (
            (how == "respond" and not request.cid) or (how == "done" and request.cid)
        ):
            raise ValueError
        if how == "respond" and HEADER + len(detail) > self.limits.max_frame:
            how, detail = "fail", FailureKind.FRAME_TOO_LARGE
        elif how == "respond" and not request.permit:
            # Nothing else bounds how many of these there are: not even who gives the answers knows of them.
            most = self.limits.outbox_high + self.limits.calls * self.limits.max_frame
            if self.outbox.answers + len(detail) > most:
                how, detail = "fail", FailureKind.OVERLOADED
        if how == "respond" and not request.cancelled:
            self.outbox.put(now, "answer", frame(RESPONSE, request.cid, detail))
        elif how == "fail" and not request.cancelled:
            self.report(request, detail)
            if request.cid:
                self.answer_failure(request, detail, now)
        self.running.remove(request)
        request.ended = True
        if self.turn is request:
            self.turn = None
        self.advance(now)
        self.look_again(now)

    def lend(self, request: Request, now: float) -> bool:
        if request.ended:
            self.look_again(now)
            return True
        lends = request.permit and not request.waits
        lent = self.budget.lent if request.cid else len(self.lent_slots)
        if lends and lent >= (self.budget.lent_limit if request.cid else self.limits.lent):
            self.look_again(now)
            return False
        request.waits += 1
        if lends:
            self.advance(now)
        self.look_again(now)
        return True

    def unlend(self, request: Request) -> None:
        if not request.ended:
            if not request.waits:
                raise ValueError
            request.waits -= 1

    def permit_freed(self, now: float) -> None:
        self.advance(now)
        self.look_again(now)

    def drain(self, timeout: float | None, now: float) -> None:
        if timeout is not None and not timeout >= 0:
            raise ValueError
        if timeout == 0:
            self.close(0, now)
            return
        if self.phase in LIVE:
            self.phase = Phase.DRAINING
            self.drain_ends = min(self.drain_ends, NEVER if timeout is None else now + timeout)
        self.settle(now)

    def close(self, grace: float, now: float) -> None:
        if not grace >= 0:
            raise ValueError
        if self.phase in LIVE:
            self.end_by(CloseReason.CLOSED_LOCALLY)
            self.clear_parking(now, answer=True)
            if self.running and grace:
                self.phase = Phase.GRACE
                self.grace_ends = min(self.drain_ends, now + grace)
            else:
                self.enter_closing(now)
        elif self.phase is Phase.GRACE:
            self.grace_ends = min(self.grace_ends, now + grace)
            if not grace:
                self.enter_closing(now)
        self.settle(now)

    def cut(self, reason: CloseReason, now: float) -> None:
        """`abort`, the loss of the transport, and every timeout that leaves no way to say anything."""
        if self.phase is Phase.CLOSED:
            return
        if self.phase in LIVE:
            self.end_by(reason)
        self.clear_parking(now, answer=False)
        self.cancel_running(now, answer=False)
        self.finish()

    def transport_lost(self, now: float) -> None:
        if self.paused and self.eof_waits:
            self.hurried = True  # everything is here, so all of it is taken up
            self.look_again(now)
        self.lose(CloseReason.TRANSPORT_FAILED, now)

    def lose(self, reason: CloseReason, now: float) -> None:
        """Nothing can be written any more. One-way messages that came before a clean end need nothing to be written."""
        if self.phase is Phase.GRACE and self.ended_cleanly:
            self.cancel_running(now, answer=False, sends=False)
            self.outbox.clear()
            self.finished_writing = True
            self.settle(now)
        else:
            self.cut(reason, now)

    # -- input --------------------------------------------------------------------------------------------

    def receive_data(self, data: bytes, now: float) -> None:
        if self.phase in (Phase.CLOSING, Phase.CLOSED) or self.eof_seen:
            return
        in_payload = len(self.inbox) >= HEADER
        self.inbox += data
        if self.paused or (in_payload and len(self.inbox) < int.from_bytes(self.inbox[:8], "little")):
            return
        self.read(now)
        if self.phase is Phase.DRAINING:
            self.settle(now)

    def receive_eof(self, now: float) -> None:
        if self.paused:
            self.eof_waits = True
        else:
            self.end_of_stream(now)

    def data_sent(self, unsent: int, now: float) -> None:
        if self.outbox.taken(unsent, now):
            if self.outgoing.blocked:
                self.outgoing.admit(now)
            self.advance(now)
            self.look_again(now)

    def handle_timer(self, now: float) -> None:
        self.outgoing.handle_timer(now)
        if self.began is not None and now >= self.began + self.limits.frame_timeout:
            self.cut(CloseReason.FRAME_TIMEOUT, now)
        stalls_at = self.outbox.stalls_at()
        if stalls_at is not None and now >= stalls_at:
            self.lose(CloseReason.WRITE_STALLED, now)
        if self.phase is Phase.DRAINING and now >= self.drain_ends:
            self.end_by(CloseReason.CLOSED_LOCALLY)
            self.enter_closing(now)
        if self.phase is Phase.GRACE and now >= self.grace_ends:
            self.enter_closing(now)
        if self.phase is Phase.GRACE and now >= self.calls_end:
            self.calls_end = NEVER
            self.cancel_running(now, answer=True, sends=False)
        self.settle(now)
        if self.phase is Phase.CLOSING and any(now >= end for end in self.closing_ends()):
            self.finish()
        self.look_again(now)

    # -- reading --------------------------------------------------------------------------------------------

    def read(self, now: float) -> None:
        completed = False
        try:
            while not self.must_pause:
                if (received := self.next_frame()) is None:
                    if not self.inbox:
                        self.began = None
                    elif completed or self.began is None:
                        self.began = now
                    return
                completed = True
                self.dispatch(*received, now)
        except Broken:
            self.end_by(CloseReason.PROTOCOL_ERROR)
            self.clear_parking(now, answer=False)
            self.outbox.put(now, "answer", frame(ERROR, 0, encode_body(connection_error_body(NO_TEXT))))
            self.enter_closing(now, answer=False)
            self.settle(now)
            return
        self.paused = True
        self.began = None  # while it is paused no frame has begun

    def next_frame(self) -> tuple[int, int, bytes] | None:
        if len(self.inbox) < 8:
            return None
        length, sid, cid = (int.from_bytes(self.inbox[i : i + 8], "little") for i in (0, 8, 16))
        if not HEADER <= length <= self.limits.max_frame:
            raise Broken
        if len(self.inbox) < length:
            return None
        payload = bytes(self.inbox[HEADER:length])
        del self.inbox[:length]
        return sid, cid, payload

    def dispatch(self, sid: int, cid: int, payload: bytes, now: float) -> None:
        if sid == ERROR:
            kind = kind_of(payload)
            if not self.outgoing.answered(cid, "failed", *outcome_of(kind)):
                self.events.append(("error reported", None, kind, cid))
                self.unexpected(cid, now)
            self.outgoing.admit(now)
        elif sid == RESPONSE:
            if not self.outgoing.answered(cid, "answered", payload):
                self.unexpected(cid, now)
            else:
                self.outgoing.admit(now)
        elif cid:
            self.call_received(Request(sid, cid, payload, self.routes.get(sid)), now)
        else:
            self.send_received(Request(sid, 0, payload, self.routes.get(sid)), now)

    def unexpected(self, cid: int, now: float) -> None:
        if self.outgoing.is_late(cid):
            self.late += 1
            self.outgoing.admit(now)
            return
        self.strays += 1
        if not self.recent_strays or now - self.stray_began >= 10:
            self.stray_began = now
            self.recent_strays = 0
        self.recent_strays += 1
        if self.recent_strays > self.limits.strays:
            raise Broken

    def look_again(self, now: float) -> None:
        """After a command: need reading be paused any more, and has the phase come to its end?"""
        if self.paused and not self.must_pause:
            self.paused = False
            self.read(now)
            if self.eof_waits and not self.paused:
                self.end_of_stream(now)
        self.settle(now)

    def end_of_stream(self, now: float) -> None:
        if self.eof_seen or self.phase is Phase.CLOSED:
            return
        self.ended_cleanly = not self.inbox
        if self.phase in LIVE:
            if self.inbox:
                self.end_by(CloseReason.TRUNCATED)
            elif self.phase is Phase.DRAINING and self.idle:
                self.drained = True
                self.end_by(CloseReason.CLOSED_LOCALLY)
            else:
                self.end_by(CloseReason.CLOSED_BY_REMOTE)
            self.let_handlers_end(now)
        self.eof_seen = True
        self.stop_reading()
        self.settle(now)

    def let_handlers_end(self, now: float) -> None:
        """After the remote's end: calls have the one grace, one-way messages the longer of both if it was a clean end."""
        for_calls = for_sends = self.limits.eof_grace
        if self.ended_cleanly:
            for_sends = max(for_sends, self.limits.eof_grace_sends)
        self.clear_parking(now, answer=False, keep_sends=for_sends > 0)
        if not for_calls:
            self.cancel_running(now, answer=True, sends=not for_sends)
        if self.going_on:
            self.phase = Phase.GRACE
            self.grace_ends = now + for_sends
            self.calls_end = now + for_calls if for_calls else NEVER
        else:
            self.enter_closing(now)

    def stop_reading(self) -> None:
        self.inbox.clear()
        self.began = None
        self.paused = False
        self.eof_seen |= self.eof_waits

    # -- the remote's requests ------------------------------------------------------------------------

    def call_received(self, call: Request, now: float) -> None:
        if call.cid in self.unanswered:
            raise Broken
        self.calls_seen[call.cid] += 1
        if self.phase is not Phase.OPEN:
            call.route = None
            self.refuse(call, FailureKind.UNAVAILABLE, now)
            return
        served = call.route is not None and call.route.has_handler
        may_refuse = self.parking_is_full and self.outgoing.owed > 0
        if call.route is not None and served and call.route.ordered:
            if may_refuse:
                self.refuse(call, FailureKind.OVERLOADED, now)
            else:
                self.lane.append(call)
                self.take_turns(now)
        elif not self.outbox.gated and (not self.needs_permit(call) or self.may_start()):
            self.start(call, now)
        elif may_refuse:
            self.refuse(call, FailureKind.OVERLOADED, now)
            if not self.plain:
                self.budget.leave(self)
        else:
            self.plain.append(call)

    def send_received(self, send: Request, now: float) -> None:
        if self.phase not in LIVE:
            self.dropped += 1
        elif send.route is None:
            self.report(send, FailureKind.UNKNOWN_SERVICE)
        elif not send.route.has_handler:
            self.report(send, FailureKind.NO_HANDLER)
        elif self.limits.sends_policy == "drop" and (self.slots_are_full or self.lane_is_full):
            self.drop(send)
        elif send.route.ordered and self.lane_is_full and self.lane_waits_for_remote:
            self.drop(send)  # what the lane waits for may be behind it, so reading can't stop for it
        elif send.route.ordered:
            self.lane.append(send)
            self.take_turns(now)
        else:
            self.start(send, now)

    def needs_permit(self, request: Request) -> bool:
        return bool(
            request.cid
            and request.route is not None
            and request.route.has_handler
            and request.route.takes_permit
        )

    def may_start(self) -> bool:
        return not self.plain and self.budget.may_start(self)

    def start(self, request: Request, now: float) -> None:
        """Deliver it, or answer that it can't be."""
        if request.route is None or not request.route.has_handler:
            kind = FailureKind.NO_HANDLER if request.route is not None else FailureKind.UNKNOWN_SERVICE
            self.report(request, kind)
            self.answer_failure(request, kind, now)
            return
        request.delivered = True
        request.permit = not request.cid or request.route.takes_permit
        self.running.append(request)
        self.events.append(
            ("call" if request.cid else "send", request, request.sid, request.cid, request.payload)
        )

    def advance(self, now: float) -> None:
        """Start what can start: first the plain queue, then the lane, which waits for nothing but its own turn (F6)."""
        while self.plain:
            if self.outbox.gated:
                self.budget.leave(self)
                break
            if self.needs_permit(self.plain[0]) and not self.budget.may_start(self):
                break
            self.start(self.plain.pop(0), now)
        self.take_turns(now)

    def take_turns(self, now: float) -> None:
        while self.turn is None and self.lane:
            request = self.lane[0]
            if request.cid and self.outbox.gated:
                return  # one-way messages owe no answer: the gate is nothing to them
            self.turn = self.lane.pop(0)
            if not self.needs_permit(request) or self.may_start():
                self.start(request, now)
            else:
                self.plain.append(request)

    def refuse(self, call: Request, kind: FailureKind, now: float) -> None:
        self.report(call, kind)
        self.answer_failure(call, kind, now, "refusal")

    def answer_failure(self, call: Request, kind: FailureKind, now: float, tag: str = "answer") -> None:
        self.outbox.put(
            now, tag, frame(ERROR, call.cid, encode_body(error_body(WIRE_KINDS[kind], call.sid, call.cid)))
        )

    def report(self, request: Request, kind: FailureKind) -> None:
        self.events.append(("request failed", None, kind, request.sid, request.cid))

    def drop(self, send: Request) -> None:
        self.dropped += 1
        self.report(send, FailureKind.DROPPED)

    # -- the end ----------------------------------------------------------------------------------------------

    @property
    def going_on(self) -> bool:
        """Whether a request waits, or has a handler that was not cancelled."""
        return bool(self.plain or self.lane) or not all(request.cancelled for request in self.running)

    @property
    def idle(self) -> bool:
        return not (self.going_on or self.outgoing.pending or self.outgoing.waiting)

    def end_by(self, reason: CloseReason) -> None:
        self.reason = self.reason or reason
        self.outgoing.fail_all(self.reason)

    def clear_parking(self, now: float, *, answer: bool, keep_sends: bool = False) -> None:
        self.budget.leave(self)
        if self.turn is not None and not self.turn.delivered:
            self.turn = None
        kept = [request for request in self.lane if keep_sends and not request.cid]
        waiting = [request for request in self.plain + self.lane if request not in kept]
        self.plain, self.lane = [], kept
        for request in waiting:
            if not request.cid:
                self.drop(request)
            elif answer:
                self.refuse(request, FailureKind.UNAVAILABLE, now)
        self.take_turns(now)

    def cancel_running(self, now: float, *, answer: bool, sends: bool = True) -> None:
        for request in self.running:
            if not request.cancelled and (sends or request.cid):
                if request.cid and answer:
                    self.answer_failure(request, FailureKind.CANCELLED, now)
                request.cancelled = True
                self.events.append(("cancelled", request))

    def enter_closing(self, now: float, *, answer: bool = True) -> None:
        self.clear_parking(now, answer=answer)
        self.cancel_running(now, answer=answer)
        self.phase = Phase.CLOSING
        self.close_ends = now + self.limits.close_timeout
        self.stop_reading()

    def settle(self, now: float) -> None:
        """Has the phase come to its end?"""
        if self.phase is not Phase.OPEN and self.paused and not self.must_pause:
            self.look_again(now)
        if self.phase is Phase.DRAINING and self.idle and not self.outbox.level:
            self.drained = True
            self.end_by(CloseReason.CLOSED_LOCALLY)
            self.enter_closing(now)
        if self.phase is Phase.GRACE and not self.going_on:
            self.enter_closing(now)
        elif self.phase is Phase.GRACE and self.ended_cleanly and not (self.unanswered or self.outbox.level):
            self.finish_writing()
        if self.phase is Phase.CLOSING and not self.outbox.level:
            self.finish_writing()
            if self.discard_ends is None:
                self.discard_ends = now + self.limits.discard_timeout
            if self.eof_seen:
                self.finish()

    def finish_writing(self) -> None:
        if not self.finished_writing:
            self.finished_writing = True
            self.events.append(("writing finished", None))

    def finish(self) -> None:
        self.phase = Phase.CLOSED
        self.stop_reading()
        self.outbox.clear()
        self.events.append(("closed", None, self.reason))


def weight(requests: list[Request]) -> int:
    return sum(request.size for request in requests)


def kind_of(payload: bytes) -> ErrorKind:
    """What an error body says."""
    try:
        body = decode_body(payload)
        (name,) = body
        return ErrorKind(name) if name in WIRE_NAMES and isinstance(body, dict) else ErrorKind.UNREADABLE
    except Exception:
        return ErrorKind.UNREADABLE


WIRE_NAMES = {
    "UnknownService",
    "Deserialize",
    "InternalServerError",
    "PubSubNoCall",
    "Timeout",
    "DeserializeWireFormat",
}


def outcome_of(kind: ErrorKind) -> Seen:
    """What an error frame makes of a call: the table of PROTOCOL, section 4."""
    if kind is ErrorKind.TIMEOUT:
        return CallTimeout, Executed.UNKNOWN
    never_ran = kind in (ErrorKind.UNKNOWN_SERVICE, ErrorKind.DESERIALIZE, ErrorKind.PUBSUB_NO_CALL)
    return RemoteError, Executed.NO if never_ran else Executed.UNKNOWN, kind
