"""What tests of the protocol core share: frames by hand, one connection alone, and two connected in memory.

Nothing here has a clock, a socket or a thread: the time is a number, the link is a `bytearray`.

`Solo` is one connection and its test, which speaks for the remote in frames. `Pair` is two connections and a link that
can be narrow, slow, cut into pieces or broken; handlers are functions, or generators that call back.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from duologue.protocol.budget import CallBudget
from duologue.protocol.connection import Connection
from duologue.protocol.errors import CallError, DecodeError, ErrorKind, FailureKind
from duologue.protocol.events import (
    CallFailed,
    CallReceived,
    Event,
    IncomingRequest,
    PeerClosed,
    RequestCancelled,
    ResponseReceived,
    SendAccepted,
    SendFailed,
    SendReceived,
    WritingFinished,
)
from duologue.protocol.failures import ErrorBodies, connection_error_body, error_body
from duologue.protocol.frames import LENGTH_PREFIXED, Frame
from duologue.protocol.ids import ERROR_SID, RESPONSE_SID
from duologue.protocol.lifecycle import Phase
from duologue.protocol.limits import Limits
from duologue.protocol.pending import OutgoingCall, OutgoingSend
from duologue.protocol.received import ByteBudget
from duologue.protocol.routes import Mode, Route

E = TypeVar("E", bound=Event)

START = 100.0
"""When tests begin. Not 0, so that a time that was never set shows."""

ECHO = 0x1111
SLOW = 0x2222
ORDERED = 0x3333
FREE = 0x4444
UNSERVED = 0x5555
UNKNOWN = 0x9999


class TestRoute(Route):
    """A service of the tests. The tests run it themselves."""

    __test__ = False

    def __init__(
        self,
        name: str,
        *,
        ordered: bool = False,
        takes_permit: bool = True,
        has_handler: bool = True,
        mode: Mode = Mode.TASK,
    ) -> None:
        self.name = name
        self.ordered = ordered
        self.takes_permit = takes_permit
        self.has_handler = has_handler
        self.mode = mode

    async def run(self, payload: bytes, context: Any, answered: bool) -> bytes:
        raise NotImplementedError

    def run_sync(self, payload: bytes, context: Any, answered: bool) -> bytes:
        raise NotImplementedError


def standard_routes() -> dict[int, Route]:
    """A service of each sort. `UNKNOWN` is none."""
    return {
        ECHO: TestRoute("test::Echo"),
        SLOW: TestRoute("test::Slow"),
        ORDERED: TestRoute("test::Ordered", ordered=True),
        FREE: TestRoute("test::Free", takes_permit=False),
        UNSERVED: TestRoute("test::Unserved", has_handler=False),
    }


# -- frames by hand ------------------------------------------------------------------------------------


def encode_body(body: Any) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()


def decode_body(payload: bytes) -> Any:
    try:
        return json.loads(payload)
    except ValueError as exc:
        raise DecodeError(str(exc)) from exc


BODIES = ErrorBodies(encode_body, decode_body)


def frame(sid: int, cid: int, payload: bytes = b"") -> bytes:
    return LENGTH_PREFIXED.header(24 + len(payload), sid, cid) + payload


def call_frame(cid: int, payload: bytes = b"", sid: int = ECHO) -> bytes:
    return frame(sid, cid, payload)


def send_frame(payload: bytes = b"", sid: int = ECHO) -> bytes:
    return frame(sid, 0, payload)


def response_frame(cid: int, payload: bytes = b"") -> bytes:
    return frame(RESPONSE_SID, cid, payload)


def error_frame(cid: int, kind: ErrorKind = ErrorKind.INTERNAL_SERVER_ERROR, sid: int = ECHO) -> bytes:
    if kind is ErrorKind.DESERIALIZE_WIREFORMAT:
        return frame(ERROR_SID, cid, encode_body(connection_error_body("out of step")))
    return frame(ERROR_SID, cid, encode_body(error_body(kind, sid, cid)))


def split_frames(data: bytes) -> list[Frame]:
    """What a stream of bytes holds. Fails if it does not end with a frame's end."""
    decoder = LENGTH_PREFIXED.decoder(2**62)
    decoder.feed(data)
    frames = list(decoder.frames())
    assert not decoder.is_inside_frame, "the stream ends inside a frame"
    return frames


def error_kind(sent: Frame) -> str:
    """What an error frame says."""
    assert sent[0] == ERROR_SID, f"not an error frame: {sent}"
    (kind,) = decode_body(sent[2])
    assert isinstance(kind, str)
    return kind


# -- one connection --------------------------------------------------------------------------------------


class Solo:
    """One connection. The test is the remote, the driver and the clock."""

    def __init__(
        self,
        limits: Limits = Limits(),
        *,
        routes: Mapping[int, Route] | None = None,
        budget: CallBudget | None = None,
        first_call_id: int = 1,
        bodies: ErrorBodies = BODIES,
        received: ByteBudget | None = None,
    ) -> None:
        self.routes = dict(standard_routes() if routes is None else routes)
        self.budget = budget or CallBudget(limits.calls, lent_limit=limits.lent)
        self.account = None if received is None else received.open()
        self.connection = Connection(
            self.routes.get,
            bodies,
            limits=limits,
            budget=self.budget,
            first_call_id=first_call_id,
            account=self.account,
        )
        self.now = START

    def feed(self, *data: bytes) -> list[Event]:
        """The remote's bytes come, in as many pieces as there are arguments. Gives the events that follow."""
        for piece in data:
            self.connection.receive_data(piece, self.now)
        return self.connection.events()

    def deliver(self, data: bytes) -> IncomingRequest:
        """Feed one request, and give what was delivered of it."""
        (request,) = requests(self.feed(data))
        return request

    def sent(self) -> list[Frame]:
        """Everything that is to be sent is sent. Gives it, frame by frame."""
        data = b""
        while buffers := self.connection.data_to_send():
            data += b"".join(buffers)
            self.connection.data_sent(self.now)
        return split_frames(data)

    def call(self, payload: bytes = b"", *, sid: int = ECHO, timeout: float | None = None) -> OutgoingCall:
        return self.connection.call(sid, payload, self._deadline(timeout), self.now)

    def send(
        self, payload: bytes = b"", *, sid: int = ECHO, timeout: float | None = None
    ) -> OutgoingSend | None:
        return self.connection.send(sid, payload, self._deadline(timeout), self.now)

    def _deadline(self, timeout: float | None) -> float | None:
        return None if timeout is None else self.now + timeout

    def wait(self, seconds: float) -> list[Event]:
        """Time passes, and each timer is served when it is due. Gives the events that follow."""
        return pass_time(self, self.now + seconds)

    def serve_timer(self) -> None:
        self.connection.handle_timer(self.now)
        deadline = self.connection.next_deadline()
        assert deadline is None or deadline > self.now, (
            "a timer that is due for ever would keep a driver busy"
        )

    def assert_nothing_left(self) -> None:
        """The connection is closed, and holds nothing any more."""
        assert_closed_and_empty(self.connection)
        assert (self.budget.in_use, self.budget.lent, self.budget.waiting) == (0, 0, 0)


def pass_time(solo: Solo, until: float) -> list[Event]:
    while (deadline := solo.connection.next_deadline()) is not None and deadline <= until:
        solo.now = max(solo.now, deadline)
        solo.serve_timer()
    solo.now = until
    return solo.connection.events()


def only(events: Iterable[Event], kind: type[E]) -> E:
    """The one event of this class."""
    (event,) = [event for event in events if isinstance(event, kind)]
    return event


def requests(events: Iterable[Event]) -> list[IncomingRequest]:
    return [event for event in events if isinstance(event, IncomingRequest)]


def call_error_of(events: Iterable[Event]) -> CallError:
    """The error of the one call that failed."""
    return only(events, CallFailed).error


def names(events: Iterable[Event]) -> list[str]:
    """The classes of events, to compare orders."""
    return [type(event).__name__ for event in events]


def assert_closed_and_empty(connection: Connection) -> None:
    """What must be true of any closed connection whose handlers have ended."""
    assert connection.phase is Phase.CLOSED
    assert len(connection.outgoing.pending) == connection.outgoing.pending.owed == 0
    assert (connection.outgoing.waiting, len(connection.outgoing.deadlines)) == (0, 0)
    incoming = connection.incoming
    assert (incoming.running, incoming.unanswered, incoming.parking.calls, incoming.parking.bytes) == (
        0,
        0,
        0,
        0,
    )
    sends = incoming.sends
    assert (sends.running, sends.bytes, sends.lent, sends.waiting, sends.waiting_bytes) == (0, 0, 0, 0, 0)
    outbox = connection.outbox
    assert (outbox.level, outbox.answers, outbox.refusals, connection.buffered) == (0, 0, 0, 0)
    assert connection.next_deadline() is None
    assert not connection.wants_read
    assert connection.data_to_send() == []


# -- two connections -------------------------------------------------------------------------------------


@dataclass
class Ask:
    """Yielded by a handler: call the other end, and come back with the answer (or have the `CallError` thrown in)."""

    sid: int
    payload: bytes = b""
    timeout: float | None = None


Steps = Generator[Ask, bytes, bytes]
Handler = Callable[[IncomingRequest], "bytes | FailureKind | Steps | None"]
"""Gives the answer, a failure, or None: then the test answers. A generator may call the other end in between."""


@dataclass
class Pipe:
    """One direction of the link."""

    capacity: int | None = None
    """Bytes that it holds at most; None for no bound."""
    piece: int | None = None
    """The reader gets at most so many at once."""
    held: bool = False
    """Nothing comes out, for as long as this is set."""
    data: bytearray = field(default_factory=bytearray)
    ended: bool = False
    """The writer has ended it."""
    moved: int = 0
    """Bytes that came out."""


class End:
    """One of the two connections, with what a driver would do for it."""

    def __init__(self, pair: Pair, connection: Connection, budget: CallBudget) -> None:
        self.pair = pair
        self.connection = connection
        self.budget = budget
        self.handlers: dict[int, Handler] = {ECHO: lambda request: request.payload}
        self.log: list[Event] = []
        """Every event so far."""
        self.requests: list[IncomingRequest] = []
        """Delivered, and not ended."""
        self.outcomes: dict[OutgoingCall | OutgoingSend, bytes | Exception | None] = {}
        """What own requests came to. None: a send is in the outbox."""
        self.most_running = 0
        """How many permits were held at once."""
        self._unsent = b""
        """What the transport has been given and has not taken."""
        self._steps: dict[OutgoingCall, tuple[IncomingRequest, Steps]] = {}
        self._eof_given = False
        self._permit_came = False
        connection.incoming.on_permit = self._note_permit

    # -- commands; call `pair.run()` after them -----------------------------------------------------

    def call(
        self,
        sid: int = ECHO,
        payload: bytes = b"",
        timeout: float | None = None,
        handled: IncomingRequest | None = None,
    ) -> OutgoingCall:
        deadline = None if timeout is None else self.pair.now + timeout
        return self.connection.call(sid, payload, deadline, self.pair.now, handled)

    def send(
        self, sid: int = ECHO, payload: bytes = b"", timeout: float | None = None
    ) -> OutgoingSend | None:
        deadline = None if timeout is None else self.pair.now + timeout
        return self.connection.send(sid, payload, deadline, self.pair.now)

    def end(self, request: IncomingRequest, answer: bytes | FailureKind) -> None:
        """End a request, in the way that it has to end."""
        self.requests.remove(request)
        if isinstance(answer, FailureKind):
            self.connection.fail(request, answer, self.pair.now)
        elif request.cid:
            self.connection.respond(request, answer, self.pair.now)
        else:
            self.connection.done(request, self.pair.now)

    def close(self, reason: str = "", grace: float = 0.0) -> None:
        self.connection.close(reason, grace, self.pair.now)

    def events(self, kind: type[E]) -> list[E]:
        """Those of a class, of all so far."""
        return [event for event in self.log if isinstance(event, kind)]

    # -- the driver's part ------------------------------------------------------------------------------

    def pump(self, outgoing: Pipe, incoming: Pipe) -> bool:
        """Do one round of what there is to do. Says whether there was anything."""
        worked = self._dispatch()
        worked |= self._write(outgoing)
        return self._read(incoming) or worked

    def _note_permit(self) -> None:
        self._permit_came = True

    def _dispatch(self) -> bool:
        worked = self._permit_came
        if self._permit_came:
            self._permit_came = False
            self.connection.permit_freed(self.pair.now)
        for event in self.connection.events():
            worked = True
            self.log.append(event)
            self._one_event(event)
            self.most_running = max(self.most_running, self.budget.in_use)
        return worked

    def _one_event(self, event: Event) -> None:
        match event:
            case CallReceived() | SendReceived():
                self.requests.append(event)
                self._run(event)
            case RequestCancelled():
                if event.request in self.requests:
                    self.requests.remove(event.request)
                    self.connection.done(event.request, self.pair.now)
            case ResponseReceived():
                self._outcome(event.call, event.payload)
            case CallFailed():
                self._outcome(event.call, event.error)
            case SendAccepted():
                self._outcome(event.send, None)
            case SendFailed():
                self._outcome(event.send, event.error)
            case WritingFinished():
                self.pair.pipe_from(self).ended = True
            case PeerClosed():
                self._unsent = b""
                self.pair.pipe_from(self).ended = True
            case _:
                pass

    def _run(self, request: IncomingRequest) -> None:
        handler = self.handlers.get(request.sid)
        result = handler(request) if handler is not None else None
        if isinstance(result, Generator):
            self._step(request, result, None)
        elif result is not None:
            self.end(request, result)

    def _step(self, request: IncomingRequest, steps: Steps, outcome: bytes | Exception | None) -> None:
        """Run a handler until its next question, or its end."""
        try:
            ask = steps.throw(outcome) if isinstance(outcome, Exception) else steps.send(outcome)  # type: ignore[arg-type]
        except StopIteration as stop:
            self.end(request, stop.value)
        except CallError:
            self.end(request, FailureKind.HANDLER_FAILED)
        else:
            if self.connection.lend(request, self.pair.now):
                call = self.call(ask.sid, ask.payload, ask.timeout, request)
                self._steps[call] = request, steps
            else:
                self.end(request, FailureKind.HANDLER_FAILED)

    def _outcome(self, item: OutgoingCall | OutgoingSend, outcome: bytes | Exception | None) -> None:
        assert item not in self.outcomes, "a call or send has one outcome"
        self.outcomes[item] = outcome
        if isinstance(item, OutgoingCall) and item in self._steps:
            request, steps = self._steps.pop(item)
            if not request.is_ended:
                self.connection.unlend(request, self.pair.now)
                self._step(request, steps, outcome)

    def _write(self, pipe: Pipe) -> bool:
        worked = False
        while True:
            if not self._unsent:
                self._unsent = b"".join(self.connection.data_to_send())
                if not self._unsent:
                    return worked
            room = len(self._unsent) if pipe.capacity is None else pipe.capacity - len(pipe.data)
            if room <= 0:
                return worked
            pipe.data += self._unsent[:room]
            self._unsent = self._unsent[room:]
            self.connection.data_sent(self.pair.now, len(self._unsent))
            worked = True

    def _read(self, pipe: Pipe) -> bool:
        connection = self.connection
        if connection.phase is Phase.CLOSED:
            worked = bool(pipe.data)
            pipe.data.clear()  # nobody is there to read it
            return worked
        if pipe.held or not connection.wants_read:
            return False
        if pipe.data:
            data = bytes(pipe.data[: pipe.piece])
            del pipe.data[: pipe.piece]
            pipe.moved += len(data)
            connection.receive_data(data, self.pair.now)
            return True
        if pipe.ended and not self._eof_given:
            self._eof_given = True
            connection.receive_eof(self.pair.now)
            return True
        return False


class Pair:
    """Two connections, `left` and `right`, on a link and a clock in memory."""

    def __init__(
        self,
        limits: Limits = Limits(),
        right_limits: Limits | None = None,
        *,
        capacity: int | None = None,
        piece: int | None = None,
    ) -> None:
        self.now = START
        self.rightward = Pipe(capacity, piece)
        self.leftward = Pipe(capacity, piece)
        self.left = self._end(limits)
        self.right = self._end(limits if right_limits is None else right_limits)

    def _end(self, limits: Limits) -> End:
        budget = CallBudget(limits.calls, lent_limit=limits.lent)
        return End(self, Connection(standard_routes().get, BODIES, limits=limits, budget=budget), budget)

    @property
    def ends(self) -> tuple[End, End]:
        return self.left, self.right

    def pipe_from(self, end: End) -> Pipe:
        return self.rightward if end is self.left else self.leftward

    def run(self, rounds: int = 1_000_000) -> None:
        """Let both ends work until nothing moves any more."""
        for _ in range(rounds):
            worked = self.left.pump(self.rightward, self.leftward)
            if not self.right.pump(self.leftward, self.rightward) and not worked:
                return
        raise AssertionError(f"still busy after {rounds} rounds")

    def wait(self, seconds: float) -> None:
        """Time passes, and each timer of both ends is served when it is due."""
        until = self.now + seconds
        self.run()
        while (deadline := self._next_deadline()) is not None and deadline <= until:
            self.now = max(self.now, deadline)
            for end in self.ends:
                end.connection.handle_timer(self.now)
            self.run()
            following = self._next_deadline()
            assert following is None or following > self.now, (
                "a timer that is due for ever would keep a driver busy"
            )
        self.now = until

    def _next_deadline(self) -> float | None:
        deadlines = [end.connection.next_deadline() for end in self.ends]
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def cut(self, detail: str = "cut by the test") -> None:
        """The link breaks: both ends learn it at once, and what was on its way is gone."""
        for end in self.ends:
            self.pipe_from(end).data.clear()
            end.connection.transport_lost(detail, self.now)

    def check(self) -> None:
        """The invariants of DESIGN that can be seen from outside, for both ends."""
        for end in self.ends:
            check_permits(end)

    def assert_nothing_left(self) -> None:
        """Both ends are closed, and hold nothing any more."""
        for end in self.ends:
            assert_closed_and_empty(end.connection)
            assert (end.budget.in_use, end.budget.lent, end.budget.waiting) == (0, 0, 0)
            assert len(end.events(PeerClosed)) == 1
            assert isinstance(end.log[-1], PeerClosed)


def check_permits(end: End) -> None:
    """Permits in use are those of the calls that were delivered, have not ended and wait for nobody; slots likewise."""
    running = [request for request in end.requests if request.permit]
    calls = [request for request in running if request.cid]
    sends = [request for request in running if not request.cid]
    assert end.budget.in_use == sum(not request.waits for request in calls)
    assert end.budget.lent == sum(bool(request.waits) for request in calls)
    slots = end.connection.incoming.sends
    assert slots.running == sum(not request.waits for request in sends)
    assert slots.lent == sum(bool(request.waits) for request in sends)
