"""What one end of a connection must do, said a second time, as plainly as possible and from the documents.

Where the real one keeps counters, heaps and bytes in pieces, the model keeps lists and counts them anew; it has no thought
for speed. The stateful test gives each command and each input to both, and compares them after each step.

Events of the model are tuples: a name, the token that it is about (an `Own` or a `Request`), and what else is to be seen.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from duologue.protocol.errors import (
    CallTimeout,
    CloseReason,
    ConnectionClosed,
    ConnectionLost,
    ErrorKind,
    Executed,
    FailureKind,
    FrameTooLarge,
    Overloaded,
    RemoteError,
    SendTimeout,
)
from duologue.protocol.failures import WIRE_KINDS, connection_error_body, error_body
from duologue.protocol.lifecycle import Phase
from duologue.protocol.limits import Limits
from duologue.protocol.routes import Route
from tests.core.harness import decode_body, encode_body, frame

ERROR, RESPONSE = 0, 2**64 - 1
NO_TEXT = "the text is not compared"
HEADER = 24

Seen = tuple[Any, ...]
"""An event."""


@dataclass(eq=False)
class Own:
    """An own call or send."""

    sid: int
    payload: bytes
    deadline: float | None
    serial: int
    is_call: bool = True
    id: int = 0
    handed_out: bool = False
    """A byte of its frame was given to the transport: what `executed` depends on."""


@dataclass(eq=False)
class Request:
    """A request of the remote's."""

    sid: int
    cid: int
    payload: bytes
    route: Route | None
    permit: bool = False
    waits: int = 0
    delivered: bool = False
    cancelled: bool = False
    ended: bool = False

    @property
    def size(self) -> int:
        return HEADER + len(self.payload)


@dataclass(eq=False)
class Unsent:
    """A frame in the outbox."""

    data: bytes
    kind: str
    """`answer`, `refusal` or `own`."""
    own: Own | None = None


class Broken(Exception):
    """The remote is out of step."""


@dataclass
class Budget:
    """Permits for the calls of several ends. Who finds none stands in a line, and nobody passes the first."""

    limit: int
    lent_limit: int
    ends: list[Model] = field(default_factory=list)
    line: list[Model] = field(default_factory=list)

    @property
    def held(self) -> list[Request]:
        return [request for end in self.ends for request in end.running if request.cid and request.permit]

    @property
    def in_use(self) -> int:
        return sum(not request.waits for request in self.held)

    @property
    def lent(self) -> int:
        return sum(bool(request.waits) for request in self.held)

    def may_start(self, end: Model) -> bool:
        """Whether the end may start a call now. If not, it stands in the line."""
        if self.in_use < self.limit and (not self.line or self.line[0] is end):
            self.leave(end)
            return True
        if end not in self.line:
            self.line.append(end)
        return False

    def leave(self, end: Model) -> None:
        if end in self.line:
            self.line.remove(end)


class ModelOutbox:
    """Frames in order, and how far the transport is."""

    def __init__(self, limits: Limits, hand_out: int) -> None:
        self.limits = limits
        self.hand_out = hand_out
        self.queue: list[Unsent] = []
        self.out = self.out_answers = 0
        self.progress_at = 0.0
        self.gated_since: float | None = None

    @property
    def level(self) -> int:
        return self.out + sum(len(unsent.data) for unsent in self.queue)

    @property
    def answers(self) -> int:
        return self.out_answers + sum(len(unsent.data) for unsent in self.queue if unsent.kind != "own")

    @property
    def refusals(self) -> int:
        return sum(len(unsent.data) for unsent in self.queue if unsent.kind == "refusal")

    @property
    def gated(self) -> bool:
        return self.answers > self.limits.outbox_high

    def put(self, now: float, kind: str, data: bytes, own: Own | None = None) -> None:
        if not self.level:
            self.progress_at = now
        self.queue.append(Unsent(data, kind, own))
        if self.gated and self.gated_since is None:
            self.gated_since = now

    def take(self) -> bytes:
        taken: list[Unsent] = []
        while not self.out and self.queue and sum(len(unsent.data) for unsent in taken) < self.hand_out:
            taken.append(self.queue.pop(0))
        for unsent in taken:
            if unsent.own is not None:
                unsent.own.handed_out = True
        if taken:
            self.out = sum(len(unsent.data) for unsent in taken)
            self.out_answers = sum(len(unsent.data) for unsent in taken if unsent.kind != "own")
        return b"".join(unsent.data for unsent in taken)

    def taken(self, unsent: int, now: float) -> bool:
        if unsent >= self.out:
            return False
        self.out = unsent
        self.out_answers = min(self.out_answers, unsent)  # the transport does not say which bytes, so as many as can be
        self.progress_at = now
        if not self.gated:
            self.gated_since = None
        return True

    def remove(self, own: Own) -> None:
        self.queue = [unsent for unsent in self.queue if unsent.own is not own]

    def clear(self) -> None:
        self.queue.clear()
        self.out = self.out_answers = 0
        self.gated_since = None

    def stalls_at(self) -> float | None:
        """10 s without progress while the answers are over high water, 60 s otherwise (F4)."""
        if not self.level:
            return None
        ends = self.progress_at + self.limits.requests_stalled
        if self.gated_since is not None:
            ends = min(ends, max(self.progress_at, self.gated_since) + self.limits.answers_stalled)
        return ends


class ModelOutgoing:
    """Own calls and sends."""

    def __init__(self, limits: Limits, outbox: ModelOutbox, events: list[Seen], first_id: int) -> None:
        self.limits = limits
        self.outbox = outbox
        self.events = events
        self.next_id = first_id
        self.serials = 0
        self.calls: list[Own] = []
        """Waiting for room."""
        self.sends: list[Own] = []
        """Waiting for room."""
        self.pending: list[Own] = []
        """Written, and waiting for the answer."""
        self.given_up: list[tuple[int, float]] = []
        """Ids of calls that the remote may be at work on though nobody waits, and when they count no longer."""
        self.blocked = False

    @property
    def owed(self) -> int:
        return len(self.pending) + len(self.given_up)

    def issue(self, is_call: bool, sid: int, payload: bytes, deadline: float | None, now: float) -> Own | None:
        if sid in (ERROR, RESPONSE) or (deadline is not None and deadline != deadline):
            raise ValueError
        if HEADER + len(payload) > self.limits.max_frame:
            raise FrameTooLarge(HEADER + len(payload), self.limits.max_frame)
        self.serials += 1
        own = Own(sid, payload, deadline, self.serials, is_call)
        expired = deadline is not None and deadline <= now
        if is_call and expired:
            self.events.append(("failed", own, CallTimeout, Executed.NO))
            return own
        if is_call and not self.calls and self.owed < self.limits.owed and self.has_room():
            self.enter(own, now)
            return own
        if not is_call and not self.sends and self.has_room():
            self.enter(own, now)
            return None
        if expired:
            self.events.append(("failed", own, SendTimeout))
            return own
        if len(self.calls) + len(self.sends) >= self.limits.waiting:
            raise Overloaded("")
        (self.calls if is_call else self.sends).append(own)
        return own

    def has_room(self) -> bool:
        """Full at the high-water mark, and then until the low one."""
        if self.blocked:
            self.blocked = self.outbox.level > self.limits.outbox_low
        else:
            self.blocked = self.outbox.level >= self.limits.outbox_high
        return not self.blocked

    def enter(self, own: Own, now: float) -> None:
        if own.is_call:
            in_use = {0, *(call.id for call in self.pending), *(id for id, _ in self.given_up)}
            while self.next_id in in_use:
                self.next_id = (self.next_id + 1) % 2**64
            own.id = self.next_id
            self.next_id = (self.next_id + 1) % 2**64
            self.pending.append(own)
        self.outbox.put(now, "own", frame(own.sid, own.id, own.payload), own)

    def admit(self, now: float) -> None:
        while self.sends and self.has_room():
            self.events.append(("accepted", self.sends[0]))
            self.enter(self.sends.pop(0), now)
        while self.calls and self.owed < self.limits.owed and self.has_room():
            self.enter(self.calls.pop(0), now)

    def give_up(self, own: Own, now: float) -> Executed:
        """What is left behind by a call that nobody waits for any more."""
        if own in self.sends:
            self.sends.remove(own)
        elif own in self.calls:
            self.calls.remove(own)
        else:
            self.pending.remove(own)
            if own.handed_out:
                self.given_up.append((own.id, now + self.limits.given_up))
                return Executed.UNKNOWN
            self.outbox.remove(own)
        return Executed.NO

    def cancel(self, own: Own, now: float) -> Executed:
        if own not in self.sends + self.calls + self.pending:
            return Executed.UNKNOWN
        executed = self.give_up(own, now)
        if own.is_call:
            self.admit(now)
        return executed

    def answered(self, cid: int, *outcome: Any) -> bool:
        """An answer to one of our calls. Says whether one waits for it."""
        for call in self.pending:
            if call.id == cid:
                self.pending.remove(call)
                self.events.append((outcome[0], call, *outcome[1:]))
                return True
        return False

    def is_late(self, cid: int) -> bool:
        self.given_up = [(id, until) for id, until in self.given_up if id != cid]
        return cid != 0 and 0 < (self.next_id - cid) % 2**64 < 2**63

    def handle_timer(self, now: float) -> None:
        expired = [own for own in self.sends + self.calls + self.pending if own.deadline is not None and own.deadline <= now]
        for own in sorted(expired, key=lambda own: (own.deadline, own.serial)):
            executed = self.give_up(own, now)
            self.events.append(("failed", own, CallTimeout, executed) if own.is_call else ("failed", own, SendTimeout))
        self.given_up = [(id, until) for id, until in self.given_up if until > now]
        self.admit(now)

    def fail_all(self, reason: CloseReason) -> None:
        error = ConnectionClosed if reason is CloseReason.CLOSED_LOCALLY else ConnectionLost
        for own in self.pending + self.calls + self.sends:
            executed = Executed.UNKNOWN if own.handed_out else Executed.NO
            self.events.append(("failed", own, error, executed, reason))
            if not own.handed_out:
                self.outbox.remove(own)
        self.pending, self.calls, self.sends, self.given_up = [], [], [], []

    def deadlines(self) -> list[float]:
        found = [own.deadline for own in self.sends + self.calls + self.pending if own.deadline is not None]
        return found + [until for _, until in self.given_up if self.calls]


class Model:
    """One end: what it is given, what is to be seen of it then."""

    def __init__(self, routes: dict[int, Route], limits: Limits, budget: Budget, first_id: int, hand_out: int) -> None:
        self.routes = routes
        self.limits = limits
        self.budget = budget
        budget.ends.append(self)
        self.events: list[Seen] = []
        self.outbox = ModelOutbox(limits, hand_out)
        self.outgoing = ModelOutgoing(limits, self.outbox, self.events, first_id)
        self.phase = Phase.OPEN
        self.reason: CloseReason | None = None
        self.grace_ends = self.close_ends = 0.0
        self.discard_ends: float | None = None
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
        self.paused_at: float | None = None
        self.eof_waits = self.eof_seen = False

    # -- counted anew each time -----------------------------------------------------------------------

    @property
    def parked(self) -> list[Request]:
        return [request for request in self.plain + self.lane if request.cid]

    @property
    def unanswered(self) -> set[int]:
        """Ids of the calls that the remote may not use again yet."""
        return {request.cid for request in self.parked + self.running if request.cid and not request.cancelled}

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
    def sends_are_full(self) -> bool:
        return any(
            len(sends) >= self.limits.sends or weight(sends) >= self.limits.sends_bytes
            for sends in (self.slots, self.lined_up)
        )

    @property
    def must_pause(self) -> bool:
        """F3, F4, F5."""
        if self.outbox.refusals > self.limits.owed * 128:
            return self.phase in (Phase.OPEN, Phase.GRACE)
        return self.phase is Phase.OPEN and (
            (self.sends_are_full and self.limits.sends_policy == "pause")
            or (self.parking_is_full and self.outgoing.owed == 0)
        )

    @property
    def wants_read(self) -> bool:
        return self.paused_at is None and not self.eof_seen and self.phase is not Phase.CLOSED

    def deadlines(self) -> list[float]:
        """Everything that this end waits for the time of."""
        found = self.outgoing.deadlines()
        if self.began is not None and self.paused_at is None:
            found.append(self.began + self.limits.frame_timeout)
        if (stalls := self.outbox.stalls_at()) is not None:
            found.append(stalls)
        if self.phase is Phase.GRACE:
            found.append(self.grace_ends)
        return found + self.closing_ends()

    def closing_ends(self) -> list[float]:
        if self.phase is not Phase.CLOSING:
            return []
        return [self.close_ends] if self.discard_ends is None else [self.close_ends, self.discard_ends]

    # -- commands ---------------------------------------------------------------------------------------

    def issue(self, is_call: bool, sid: int, payload: bytes, deadline: float | None, now: float) -> Own | None:
        if self.phase is not Phase.OPEN:
            assert self.reason is not None
            raise ConnectionClosed(self.reason)
        own = self.outgoing.issue(is_call, sid, payload, deadline, now)
        self.look_again(now)
        return own

    def cancel(self, own: Own, now: float) -> Executed:
        return self.outgoing.cancel(own, now)

    def end(self, request: Request, how: str, detail: Any, now: float) -> None:
        """`respond` with a payload, `fail` with a kind, or `done`."""
        if not request.delivered or request.ended:
            raise ValueError
        if not request.cancelled and ((how == "respond" and not request.cid) or (how == "done" and request.cid)):
            raise ValueError
        if how == "respond" and HEADER + len(detail) > self.limits.max_frame:
            how, detail = "fail", FailureKind.FRAME_TOO_LARGE
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
        if request.ended or not request.permit:
            return True
        if not request.waits and (self.budget.lent if request.cid else len(self.lent_slots)) >= self.limits.lent:
            return False
        request.waits += 1
        self.advance(now)
        self.look_again(now)
        return True

    def unlend(self, request: Request) -> None:
        if not request.ended and request.permit:
            request.waits -= 1

    def permit_freed(self, now: float) -> None:
        self.advance(now)
        self.look_again(now)

    def close(self, grace: float, now: float) -> None:
        if not grace >= 0:
            raise ValueError
        if self.phase is Phase.OPEN:
            self.leave_open(CloseReason.CLOSED_LOCALLY)
            self.clear_parking(now, answer=True)
            if self.running and grace:
                self.phase = Phase.GRACE
                self.grace_ends = now + grace
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
        if self.phase is Phase.OPEN:
            self.leave_open(reason)
        self.clear_parking(now, answer=False)
        self.cancel_running(now, answer=False)
        self.finish()

    # -- input --------------------------------------------------------------------------------------------

    def receive_data(self, data: bytes, now: float) -> None:
        if self.phase in (Phase.CLOSING, Phase.CLOSED) or self.eof_seen:
            return
        in_payload = len(self.inbox) >= HEADER
        self.inbox += data
        if self.paused_at is not None or (in_payload and len(self.inbox) < int.from_bytes(self.inbox[:8], "little")):
            return
        self.read(now)

    def receive_eof(self, now: float) -> None:
        if self.paused_at is not None:
            self.eof_waits = True
        else:
            self.end_of_stream(now)

    def data_sent(self, unsent: int, now: float) -> None:
        if self.outbox.taken(unsent, now):
            self.outgoing.admit(now)
            self.advance(now)
            self.look_again(now)

    def handle_timer(self, now: float) -> None:
        self.outgoing.handle_timer(now)
        if self.began is not None and self.paused_at is None and now >= self.began + self.limits.frame_timeout:
            self.cut(CloseReason.FRAME_TIMEOUT, now)
        stalls_at = self.outbox.stalls_at()
        if stalls_at is not None and now >= stalls_at:
            self.cut(CloseReason.WRITE_STALLED, now)
        if self.phase is Phase.GRACE and now >= self.grace_ends:
            self.enter_closing(now)
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
            self.leave_open(CloseReason.PROTOCOL_ERROR)
            self.clear_parking(now, answer=False)
            self.outbox.put(now, "answer", frame(ERROR, 0, encode_body(connection_error_body(NO_TEXT))))
            self.enter_closing(now, answer=False)
            self.settle(now)
            return
        self.paused_at = now
        if completed:
            self.began = None

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
            self.outgoing.admit(now)
        elif cid:
            self.call_received(Request(sid, cid, payload, self.routes.get(sid)), now)
        else:
            self.send_received(Request(sid, 0, payload, self.routes.get(sid)), now)

    def unexpected(self, cid: int, now: float) -> None:
        if self.outgoing.is_late(cid):
            self.late += 1
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
        if self.paused_at is not None and not self.must_pause:
            if self.began is not None:
                self.began += now - self.paused_at
            self.paused_at = None
            self.read(now)
            if self.eof_waits and self.paused_at is None:
                self.end_of_stream(now)
        self.settle(now)

    def end_of_stream(self, now: float) -> None:
        if self.eof_seen or self.phase is Phase.CLOSED:
            return
        if self.phase is Phase.OPEN:
            self.leave_open(CloseReason.TRUNCATED if self.inbox else CloseReason.CLOSED_BY_REMOTE)
            self.clear_parking(now, answer=False)
            if self.running and self.limits.eof_grace:
                self.phase = Phase.GRACE
                self.grace_ends = now + self.limits.eof_grace
            else:
                self.enter_closing(now)
        self.eof_seen = True
        self.stop_reading()
        self.settle(now)

    def stop_reading(self) -> None:
        self.inbox.clear()
        self.began = self.paused_at = None
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
        if self.phase is not Phase.OPEN:
            self.dropped += 1
        elif send.route is None:
            self.report(send, FailureKind.UNKNOWN_SERVICE)
        elif not send.route.has_handler:
            self.report(send, FailureKind.NO_HANDLER)
        elif self.sends_are_full and self.limits.sends_policy == "drop":
            self.drop(send)
        elif send.route.ordered:
            self.lane.append(send)
            self.take_turns(now)
        else:
            self.start(send, now)

    def needs_permit(self, request: Request) -> bool:
        return bool(request.cid and request.route is not None and request.route.has_handler and request.route.takes_permit)

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
        self.events.append(("call" if request.cid else "send", request, request.sid, request.cid, request.payload))

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
        self.outbox.put(now, tag, frame(ERROR, call.cid, encode_body(error_body(WIRE_KINDS[kind], call.sid, call.cid))))

    def report(self, request: Request, kind: FailureKind) -> None:
        self.events.append(("request failed", None, kind, request.sid, request.cid))

    def drop(self, send: Request) -> None:
        self.dropped += 1
        self.report(send, FailureKind.DROPPED)

    # -- the end ----------------------------------------------------------------------------------------------

    def leave_open(self, reason: CloseReason) -> None:
        self.reason = self.reason or reason
        self.outgoing.fail_all(self.reason)

    def clear_parking(self, now: float, *, answer: bool) -> None:
        self.budget.leave(self)
        waiting = self.plain + self.lane
        self.plain, self.lane = [], []
        for request in waiting:
            if not request.cid:
                self.drop(request)
            elif answer:
                self.refuse(request, FailureKind.UNAVAILABLE, now)

    def cancel_running(self, now: float, *, answer: bool) -> None:
        for request in self.running:
            if not request.cancelled:
                if request.cid and answer:
                    self.answer_failure(request, FailureKind.CANCELLED, now)
                request.cancelled = True
                self.events.append(("cancelled", request))

    def enter_closing(self, now: float, *, answer: bool = True) -> None:
        self.cancel_running(now, answer=answer)
        self.phase = Phase.CLOSING
        self.close_ends = now + self.limits.close_timeout
        self.stop_reading()

    def settle(self, now: float) -> None:
        """Has the phase come to its end?"""
        if self.phase is not Phase.OPEN and self.paused_at is not None and not self.must_pause:
            self.look_again(now)
        if self.phase is Phase.GRACE and not self.running:
            self.enter_closing(now)
        if self.phase is Phase.CLOSING and not self.outbox.level:
            if self.discard_ends is None:
                self.discard_ends = now + self.limits.discard_timeout
                self.events.append(("writing finished", None))
            if self.eof_seen:
                self.finish()

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


WIRE_NAMES = {"UnknownService", "Deserialize", "InternalServerError", "PubSubNoCall", "Timeout", "DeserializeWireFormat"}


def outcome_of(kind: ErrorKind) -> Seen:
    """What an error frame makes of a call: the table of PROTOCOL, section 4."""
    if kind is ErrorKind.TIMEOUT:
        return CallTimeout, Executed.UNKNOWN
    never_ran = kind in (ErrorKind.UNKNOWN_SERVICE, ErrorKind.DESERIALIZE, ErrorKind.PUBSUB_NO_CALL)
    return RemoteError, Executed.NO if never_ran else Executed.UNKNOWN, kind
