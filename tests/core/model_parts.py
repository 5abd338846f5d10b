"""Parts of the model of one end: its requests, its budget, its outbox, its own calls and sends (see model.py).

Events of the model are tuples: a name, the token that it is about (an `Own` or a `Request`), and what else is to be seen.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.core.harness import frame

from duologue.protocol.errors import (
    CallTimeout,
    CloseReason,
    ConnectionClosed,
    ConnectionLost,
    Executed,
    FrameTooLarge,
    Overloaded,
    SendTimeout,
)
from duologue.protocol.limits import Limits
from duologue.protocol.routes import Route

if TYPE_CHECKING:
    from tests.core.model import Model

ERROR, RESPONSE = 0, 2**64 - 1
HEADER = 24

Seen = tuple[Any, ...]
"""An event."""


@dataclass(eq=False)
class Own:
    """An own call or send."""

    sid: int
    payload: bytes
    deadline: float | None
    serial: int = 0
    """Its place in the order of commands."""
    is_call: bool = True
    nested: bool = False
    """Made in a handler: it waits for room in the outbox, and never for answers to other calls."""
    handled: Request | None = None
    """The request of this end in whose handler it is made."""
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
        self.out_answers = min(
            self.out_answers, unsent
        )  # the transport does not say which bytes, so as many as can be
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
        self.waiting: list[Own] = []
        """For room, in the order of arrival."""
        self.pending: list[Own] = []
        """Written, and waiting for the answer."""
        self.given_up: list[tuple[int, float]] = []
        """Ids of calls that the remote may be at work on though nobody waits, and when they count no longer."""
        self.blocked = False

    @property
    def owed(self) -> int:
        return len(self.pending) + len(self.given_up)

    def issue(self, own: Own, now: float) -> Own | None:
        sid, payload, deadline = own.sid, own.payload, own.deadline
        if sid in (ERROR, RESPONSE) or (deadline is not None and deadline != deadline):
            raise ValueError
        if HEADER + len(payload) > self.limits.max_frame:
            raise FrameTooLarge(HEADER + len(payload), self.limits.max_frame)
        self.serials += 1
        own.serial = self.serials
        expired = deadline is not None and deadline <= now
        if own.is_call and expired:
            self.events.append(("failed", own, CallTimeout, Executed.NO))
            return own
        line = self.line(own)
        if own.nested and self.owed + len(line) >= 2 * self.limits.owed:
            raise Overloaded("")
        if not line and self.may_be_owed(own) and self.has_room():
            self.enter(own, now)
            return own if own.is_call else None
        if expired:
            self.events.append(("failed", own, SendTimeout))
            return own
        if len(self.waiting) >= self.limits.waiting:
            raise Overloaded("")
        self.waiting.append(own)
        return own

    def line(self, own: Own) -> list[Own]:
        """Who has to go on before it."""
        return [other for other in self.waiting if (other.is_call, other.nested) == (own.is_call, own.nested)]

    def may_be_owed(self, own: Own, nested: int = 0) -> bool:
        """Nested calls that wait take a place already."""
        return not own.is_call or own.nested or self.owed + nested < self.limits.owed

    def has_room(self) -> bool:
        """Full at the high-water mark, and then until the low one."""
        if self.blocked:
            low = min(self.limits.outbox_low, self.limits.outbox_high - 1)
            requests = self.outbox.level - self.outbox.answers
            self.blocked = self.outbox.level >= self.limits.outbox_high or requests > low
        else:
            self.blocked = self.outbox.level >= self.limits.outbox_high
        return not self.blocked

    def enter(self, own: Own, now: float) -> None:
        if own.is_call:
            in_use = {0, *(call.id for call in self.pending), *(cid for cid, _ in self.given_up)}
            while self.next_id in in_use:
                self.next_id = (self.next_id + 1) % 2**64
            own.id = self.next_id
            self.next_id = (self.next_id + 1) % 2**64
            self.pending.append(own)
        self.outbox.put(now, "own", frame(own.sid, own.id, own.payload), own)

    def admit(self, now: float) -> None:
        """In the order of arrival; only calls that wait for answers to others let the rest pass."""
        while (self.blocked or self.waiting) and self.has_room():
            nested = sum(own.nested for own in self.waiting)
            own = next((own for own in self.waiting if self.may_be_owed(own, nested)), None)
            if own is None:
                return
            self.waiting.remove(own)
            self.enter(own, now)
            if not own.is_call:
                self.events.append(("accepted", own))

    def give_up(self, own: Own, now: float) -> Executed:
        """What is left behind by a call that nobody waits for any more."""
        if own in self.waiting:
            self.waiting.remove(own)
        else:
            self.pending.remove(own)
            if own.handed_out:
                self.given_up.append((own.id, now + self.limits.given_up))
                return Executed.UNKNOWN
            self.outbox.remove(own)
        return Executed.NO

    def cancel(self, own: Own, now: float) -> Executed:
        if own not in self.waiting + self.pending:
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
        self.given_up = [(given, until) for given, until in self.given_up if given != cid]
        return cid != 0 and 0 < (self.next_id - cid) % 2**64 < 2**63

    def handle_timer(self, now: float) -> None:
        expired = [
            own for own in self.waiting + self.pending if own.deadline is not None and own.deadline <= now
        ]
        for own in sorted(expired, key=lambda own: (own.deadline, own.serial)):
            executed = self.give_up(own, now)
            self.events.append(
                ("failed", own, CallTimeout, executed) if own.is_call else ("failed", own, SendTimeout)
            )
        self.given_up = [(cid, until) for cid, until in self.given_up if until > now]
        self.admit(now)

    def fail_all(self, reason: CloseReason) -> None:
        error = ConnectionClosed if reason is CloseReason.CLOSED_LOCALLY else ConnectionLost
        waiting = sorted(self.waiting, key=lambda own: (not own.is_call, not own.nested, own.serial))
        for own in self.pending + waiting:
            executed = Executed.UNKNOWN if own.handed_out else Executed.NO
            self.events.append(("failed", own, error, executed, reason))
            if not own.handed_out:
                self.outbox.remove(own)
        self.pending, self.waiting, self.given_up = [], [], []

    def deadlines(self) -> list[float]:
        found = [own.deadline for own in self.waiting + self.pending if own.deadline is not None]
        return found + [until for _, until in self.given_up]
