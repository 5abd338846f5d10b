"""Faults and bad input, as far as the core decides what happens: one or more tests for each row of docs/faults.md."""

from __future__ import annotations

import gc
import pickle
import random
import struct
import sys
import time
import tracemalloc
import weakref

import pytest
from tests.core.harness import (
    ECHO,
    FREE,
    SLOW,
    UNKNOWN,
    Ask,
    End,
    Pair,
    Solo,
    Steps,
    call_error_of,
    call_frame,
    decode_body,
    encode_body,
    error_frame,
    error_kind,
    frame,
    names,
    only,
    requests,
    response_frame,
    send_frame,
    split_frames,
)

from duologue.protocol.budget import CallBudget
from duologue.protocol.errors import (
    CallTimeout,
    CloseReason,
    ConnectionLost,
    ErrorKind,
    Executed,
    FailureKind,
    Overloaded,
    RemoteError,
)
from duologue.protocol.events import (
    CallFailed,
    ErrorReported,
    IncomingRequest,
    PeerClosed,
    RequestCancelled,
    RequestFailed,
    ResponseReceived,
)
from duologue.protocol.failures import ErrorBodies
from duologue.protocol.ids import ERROR_SID, RESPONSE_SID
from duologue.protocol.lifecycle import Phase
from duologue.protocol.limits import Limits

MAX = Limits().max_frame


def header(length: int) -> bytes:
    return struct.pack("<QQQ", length, 5, 1)


def assert_closed_by(solo: Solo, reason: CloseReason) -> None:
    """Closed, with one event that says why, and everything given back."""
    solo.sent()
    solo.connection.receive_eof(solo.now)
    closed = only(solo.connection.events(), PeerClosed)
    assert closed.reason is reason
    solo.assert_nothing_left()


# -- B1, framing -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [0, 7, 8, 23])
@pytest.mark.fault(1)
def test_a_length_that_can_not_be(length: int) -> None:
    """A frame shorter than its header: the remote is told by an error frame with id 0, and the connection closes."""
    solo = Solo()
    own = solo.call()
    solo.sent()
    events = solo.feed(header(length))
    assert only(events, CallFailed).call is own
    ((sid, cid, payload),) = solo.sent()
    assert (sid, cid) == (ERROR_SID, 0)
    assert f"a frame of {length} bytes" in decode_body(payload)["DeserializeWireFormat"]["context"]
    assert_closed_by(solo, CloseReason.PROTOCOL_ERROR)


@pytest.mark.parametrize("length", [MAX + 1, 2**63, 2**64 - 1])
@pytest.mark.fault(2)
def test_a_length_over_the_limit(length: int) -> None:
    """A frame over the limit: decided from its first 8 bytes, nothing is allocated, an error frame goes out, and it closes."""
    solo = Solo()
    tracemalloc.start()
    solo.feed(header(length)[:8])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 64 * 1024
    assert [error_kind(each) for each in solo.sent()] == ["DeserializeWireFormat"]
    assert_closed_by(solo, CloseReason.PROTOCOL_ERROR)


@pytest.mark.fault(3)
def test_the_largest_and_the_smallest_frame() -> None:
    """A frame of just the limit, and one without payload: both are delivered; what does not decode fails alone."""
    solo = Solo(Limits(max_frame=500))
    largest, smallest = requests(solo.feed(call_frame(1, bytes(476)), call_frame(2)))
    assert (len(largest.payload), len(smallest.payload)) == (476, 0)
    solo.connection.fail(smallest, FailureKind.DESERIALIZE, solo.now)
    assert [error_kind(each) for each in solo.sent()] == ["Deserialize"]
    assert solo.connection.phase is Phase.OPEN


@pytest.mark.fault(4)
def test_a_promise_of_bytes_and_then_silence() -> None:
    """A large frame is announced and does not come: only what has arrived is held, and after 30 s the connection closes."""
    solo = Solo()
    solo.feed(header(MAX), b"abc")
    assert solo.connection.buffered <= 27
    assert solo.wait(29.9) == []
    closed = only(solo.wait(0.1), PeerClosed)
    assert (closed.reason, closed.detail) == (CloseReason.FRAME_TIMEOUT, f"27 of {MAX} bytes of a frame")
    solo.assert_nothing_left()


@pytest.mark.parametrize("size", [1, 7, 24, 31])
@pytest.mark.fault(5)
def test_the_same_bytes_in_other_pieces(size: int) -> None:
    """A stream byte by byte, or all at once: the same events in the same order, a protocol error at its end included."""
    stream = b"".join(
        (
            *(
                call_frame(1, b"one"),
                send_frame(b"two"),
                response_frame(1, b"three"),
                error_frame(2),
                response_frame(9),
            ),
            *(error_frame(0), call_frame(3, sid=UNKNOWN), send_frame(sid=UNKNOWN), call_frame(1, b"again")),
        )
    )

    def events(piece: int) -> list[str]:
        solo = Solo()
        solo.call()
        solo.call()
        solo.sent()
        pieces = (stream[start : start + piece] for start in range(0, len(stream), piece))
        return [
            repr(event) if isinstance(event, IncomingRequest) else type(event).__name__
            for event in solo.feed(*pieces)
        ]

    assert events(size) == events(len(stream))
    assert "RequestCancelled" in events(size)


@pytest.mark.fault(6)
def test_a_large_frame_byte_by_byte() -> None:
    """1 MiB in pieces of one byte: at most 2 s of work, and nothing is copied twice."""
    data = call_frame(1, bytes(MAX - 24))

    def seconds() -> float:
        solo = Solo()
        receive, now = solo.connection.receive_data, solo.now
        began = time.process_time()
        for byte in range(len(data)):
            receive(data[byte : byte + 1], now)
        (request,) = requests(solo.connection.events())
        assert len(request.payload) == MAX - 24
        return time.process_time() - began

    most = 2 if sys.gettrace() is None else 20  # coverage makes every line cost more
    assert any(seconds() <= most for _ in range(3)), "a busy machine may need a second try"


@pytest.mark.parametrize("length", [1, 7, 8, 23, 24, 26])
@pytest.mark.fault(7)
def test_the_end_inside_a_frame(length: int) -> None:
    """The stream ends inside a header or a payload: closed as truncated, not clean; nothing half is delivered."""
    solo = Solo()
    solo.call()
    solo.sent()
    assert solo.feed(call_frame(1, b"abc")[:length]) == []
    solo.connection.receive_eof(solo.now)
    events = solo.connection.events()
    error = call_error_of(events)
    assert isinstance(error, ConnectionLost)
    assert error.reason is CloseReason.TRUNCATED
    closed = only(events, PeerClosed)
    assert closed.reason is CloseReason.TRUNCATED
    assert closed.detail.startswith(f"{length} of ")
    assert not solo.connection.wants_read
    solo.assert_nothing_left()


@pytest.mark.fault(8)
def test_the_end_between_frames() -> None:
    """The stream ends where a frame ends: closed by the remote, clean; whoever waits gets `ConnectionLost`."""
    solo = Solo()
    solo.call()
    solo.sent()
    (running,) = requests(solo.feed(call_frame(1)))
    solo.connection.receive_eof(solo.now)
    solo.sent()
    events = solo.connection.events()
    error = call_error_of(events)
    assert isinstance(error, ConnectionLost)
    assert error.reason is CloseReason.CLOSED_BY_REMOTE
    assert only(events, PeerClosed).reason is CloseReason.CLOSED_BY_REMOTE
    solo.connection.done(running, solo.now)
    solo.assert_nothing_left()


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.fault(9)
def test_garbage(seed: int) -> None:
    """Random bytes: one protocol error, and whatever comes after it is dropped without a further word."""
    chance = random.Random(seed)
    solo = Solo(Limits(max_frame=10_000))
    solo.feed(*(chance.randbytes(chance.randrange(1, 50)) for _ in range(100)))
    assert solo.connection.reason is CloseReason.PROTOCOL_ERROR
    assert len(solo.sent()) == 1
    solo.connection.events()
    assert solo.feed(call_frame(1), chance.randbytes(1000)) == []
    assert solo.connection.buffered == 0
    assert_closed_by(solo, CloseReason.PROTOCOL_ERROR)


@pytest.mark.parametrize(
    "data",
    [b"GET / HTTP/1.1\r\nHost: secret\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03secret"],
    ids=["HTTP", "TLS"],
)
@pytest.mark.fault(10)
def test_another_protocol(data: bytes) -> None:
    """A browser or a TLS client on our port: closed as over the limit, and no byte of what it sent is echoed to it."""
    solo = Solo()
    solo.feed(data)
    ((_, _, payload),) = solo.sent()
    text = decode_body(payload)["DeserializeWireFormat"]["context"]
    assert text == "a frame is over the size limit"
    assert_closed_by(solo, CloseReason.PROTOCOL_ERROR)


@pytest.mark.parametrize(
    ("payload", "kind"),
    [
        (encode_body({"DeserializeWireFormat": {"context": "x"}}), ErrorKind.DESERIALIZE_WIREFORMAT),
        (b"\xff\xff", ErrorKind.UNREADABLE),
    ],
    ids=["readable", "undecodable"],
)
@pytest.mark.fault(11)
def test_an_error_about_the_connection(payload: bytes, kind: ErrorKind) -> None:
    """An error frame with id 0: an event, whether it can be read or not; the connection stays, and no error answers an error."""
    solo = Solo()
    assert only(solo.feed(frame(ERROR_SID, 0, payload)), ErrorReported).kind is kind
    assert solo.sent() == []
    assert solo.connection.phase is Phase.OPEN


@pytest.mark.fault(12)
def test_a_response_to_nothing() -> None:
    """A response with id 0: dropped and counted."""
    solo = Solo()
    assert solo.feed(response_frame(0)) == []
    assert (solo.connection.strays, solo.connection.late) == (1, 0)
    assert solo.sent() == []


@pytest.mark.fault(13)
def test_an_answer_over_the_limit() -> None:
    """Our answer is too large: the remote gets InternalServerError at once in its place, and the connection stays."""
    solo = Solo(Limits(max_frame=200))
    solo.connection.respond(solo.deliver(call_frame(1)), bytes(177), solo.now)
    assert [error_kind(each) for each in solo.sent()] == ["InternalServerError"]
    assert solo.connection.phase is Phase.OPEN
    assert solo.budget.in_use == 0


@pytest.mark.parametrize("end", ["cancel", "timeout", "close"])
@pytest.mark.fault(14)
def test_a_frame_is_never_cut_in_half(end: str) -> None:
    """A caller gives up while half of its frame is written: the frame is finished, and the next one begins behind it."""
    solo = Solo()
    call = solo.call(b"x" * 100, timeout=1)
    written = b"".join(solo.connection.data_to_send())
    solo.connection.data_sent(solo.now, 60)
    solo.send(b"next")
    if end == "cancel":
        solo.connection.cancel(call, solo.now)
    elif end == "timeout":
        solo.wait(1)
    else:
        solo.connection.close("bye", 0, solo.now)
    assert solo.connection.data_to_send() == []
    solo.connection.data_sent(solo.now)
    assert [payload for _, _, payload in split_frames(written)] == [b"x" * 100]
    assert [payload for _, _, payload in solo.sent()] == [b"next"]


# -- B2, correlation -------------------------------------------------------------------------------------


@pytest.mark.fault(15)
def test_answers_that_nobody_waits_for() -> None:
    """An id that was issued is late, one that never was is stray: both are dropped and counted, and nothing is kept of them."""
    solo = Solo()
    solo.call()
    solo.sent()
    solo.feed(response_frame(1))
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for _ in range(1000):
        assert solo.feed(response_frame(1, b"again")) == []
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after - before < 4096
    assert solo.feed(response_frame(2)) == []
    assert (solo.connection.late, solo.connection.strays) == (1000, 1)


@pytest.mark.parametrize("stray", [response_frame(0), response_frame(5), error_frame(5), error_frame(0)])
@pytest.mark.fault(15)
def test_too_many_answers_to_calls_that_never_were(stray: bytes) -> None:
    """Over 100 stray answers in 10 s: the remote is broken, and the connection closes; slower ones are only counted."""
    solo = Solo()
    solo.feed(stray * 100)
    solo.now += 10
    solo.feed(stray * 100)
    assert solo.connection.phase is Phase.OPEN
    solo.feed(stray)
    assert [error_kind(each) for each in solo.sent()] == ["DeserializeWireFormat"]
    assert_closed_by(solo, CloseReason.PROTOCOL_ERROR)


@pytest.mark.parametrize(
    ("first", "second", "event"),
    [
        pytest.param(
            response_frame(1, b"1"), response_frame(1, b"2"), "ResponseReceived", marks=pytest.mark.fault(16)
        ),
        pytest.param(error_frame(1), response_frame(1, b"2"), "CallFailed", marks=pytest.mark.fault(17)),
        pytest.param(
            response_frame(1, b"1"), error_frame(1), "ResponseReceived", marks=pytest.mark.fault(17)
        ),
    ],
    ids=["two responses", "error, response", "response, error"],
)
def test_two_answers_to_one_call(first: bytes, second: bytes, event: str) -> None:
    """Two answers to one call, responses or errors: the first is its outcome, the second is late and dropped."""
    solo = Solo()
    solo.call()
    solo.sent()
    events = solo.feed(first, second)
    assert [name for name in names(events) if name != "ErrorReported"] == [event]
    assert solo.connection.late == 1
    assert solo.connection.phase is Phase.OPEN


@pytest.mark.fault(18, 22)
def test_ids_belong_to_one_connection() -> None:
    """An answer to an id of another connection, or of one before a reconnect: it is stray here, and resolves nothing."""
    former, present = Solo(), Solo()
    for _ in range(7):
        former.call()
    call = present.call()
    present.sent()
    former.connection.transport_lost("reset", former.now)
    assert present.feed(response_frame(7, b"old")) == []
    assert present.connection.strays == 1
    assert not call.is_ended


@pytest.mark.fault(18)
def test_a_guessed_id() -> None:
    """The remote guesses the id of a call that it has not seen yet: it is trusted with its own calls, and answers this one."""
    solo = Solo()
    call = solo.call()
    assert only(solo.feed(response_frame(1, b"guess")), ResponseReceived).call is call


@pytest.mark.parametrize("where", ["running", "parked", "in the lane"])
@pytest.mark.fault(19)
def test_an_id_in_use(where: str) -> None:
    """A second call with the id of one that is not answered: protocol error, close; what is known of the first stays untouched."""
    solo = Solo(Limits(calls=1))
    sid = 0x3333 if where == "in the lane" else ECHO
    first, second = (call_frame(1, sid=sid), call_frame(2, sid=sid))
    (running,) = requests(solo.feed(first, second))
    assert only(solo.feed(call_frame(1 if where == "running" else 2)), RequestCancelled).request is running
    (sent,) = solo.sent()
    assert "is in use" in decode_body(sent[2])["DeserializeWireFormat"]["context"]
    solo.connection.done(running, solo.now)
    assert_closed_by(solo, CloseReason.PROTOCOL_ERROR)


@pytest.mark.fault(19)
def test_an_id_may_be_used_again_when_it_is_answered() -> None:
    """The bookkeeping ends with the answer, so the same id is a new call then."""
    solo = Solo()
    for _ in range(3):
        solo.connection.respond(solo.deliver(call_frame(1)), b"", solo.now)
    assert len(solo.sent()) == 3
    assert solo.connection.phase is Phase.OPEN


@pytest.mark.fault(21)
def test_an_answer_after_the_timeout() -> None:
    """The answer comes after `CallTimeout`: late, dropped; the timer is gone, and what was owed is settled."""
    solo = Solo()
    solo.call(timeout=2)
    solo.sent()
    error = call_error_of(solo.wait(2))
    assert isinstance(error, CallTimeout)
    assert solo.connection.outgoing.pending.owed == 1
    assert solo.feed(response_frame(1)) == []
    assert (solo.connection.late, solo.connection.outgoing.pending.owed) == (1, 0)
    assert solo.connection.next_deadline() is None


@pytest.mark.fault(21)
def test_a_timer_ends_with_its_answer() -> None:
    """Calls that were answered in time leave no timers behind, however many they were."""
    solo = Solo()
    for number in range(1, 1001):
        solo.call(timeout=60)
        solo.sent()
        solo.feed(response_frame(number))
    assert len(solo.connection.outgoing.deadlines) <= 65
    assert solo.wait(100) == []
    assert len(solo.connection.outgoing.deadlines) == 0


@pytest.mark.fault(23)
def test_calls_that_are_never_answered() -> None:
    """A remote that never answers: 1,024 calls are out, 8,192 wait, further ones are refused; each costs at most 1 KiB."""
    solo = Solo()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    accepted = 0
    for _ in range(20_000):
        try:
            solo.call(b"question", timeout=60)
        except Overloaded:
            break
        accepted += 1
        while solo.connection.data_to_send():
            solo.connection.data_sent(solo.now)
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert accepted == 1024 + 8192
    assert (after - before) / accepted < 1024
    assert len(solo.connection.outgoing.pending) == 1024
    errors = [event.error for event in solo.wait(60) if isinstance(event, CallFailed)]
    assert len(errors) == accepted
    assert sum(error.executed is Executed.UNKNOWN for error in errors) == 1024


# -- B4, flow and overload -------------------------------------------------------------------------------


@pytest.mark.fault(37)
def test_a_flood_of_calls() -> None:
    """More calls than permits: never more handlers run than the limit says, the others wait, and all are answered."""
    pair = Pair(Limits(calls=5, outbox_high=4096, outbox_low=1024), capacity=4096)
    pair.right.handlers[SLOW] = lambda request: None
    calls = [pair.left.call(SLOW, bytes([number % 256])) for number in range(2000)]
    pair.run()
    while pair.right.requests:
        assert len(pair.right.requests) <= 5
        pair.check()
        pair.right.end(pair.right.requests[0], pair.right.requests[0].payload)
        pair.run()
    assert [pair.left.outcomes[call] for call in calls] == [bytes([number % 256]) for number in range(2000)]
    assert pair.right.most_running == 5


@pytest.mark.fault(38)
def test_a_flood_of_sends() -> None:
    """Messages that are handled slowly: the sender waits at its own end, both ends hold a bounded amount, nothing is lost."""
    limits = Limits(sends=10, outbox_high=4096, outbox_low=1024)
    pair = Pair(limits, capacity=4096)
    pair.right.handlers[SLOW] = lambda request: None
    waiting = [pair.left.send(SLOW, number.to_bytes(2, "big")) for number in range(3000)]
    pair.run()
    assert len(pair.right.requests) == 10
    assert pair.right.connection.buffered + pair.left.connection.outbox.level < 3 * 4096
    seen = []
    while pair.right.requests:
        seen.append(int.from_bytes(pair.right.requests[0].payload, "big"))
        pair.right.end(pair.right.requests[0], b"")
        pair.run()
    assert seen == list(range(3000))
    assert all(pair.left.outcomes[send] is None for send in waiting if send is not None)


def recursion(end: End) -> None:
    """`FREE` and `ECHO` at this end call the other one until the number in the payload is 0."""

    def handler(request: IncomingRequest) -> Steps:
        depth = request.payload[0]
        if depth == 0:
            return b"bottom"
        answer = yield Ask(ECHO, bytes([depth - 1]))
        return answer

    end.handlers[ECHO] = handler


@pytest.mark.fault(39)
def test_answers_pass_calls_that_wait() -> None:
    """Two ends that call each other 50 deep with one permit each: answers are read behind parked calls, and it completes."""
    pair = Pair(Limits(calls=1), capacity=64)
    for end in pair.ends:
        recursion(end)
    call = pair.left.call(ECHO, bytes([50]))
    others = [end.call(ECHO, bytes([20])) for end in pair.ends for _ in range(5)]
    pair.run()
    assert pair.left.outcomes[call] == b"bottom"
    assert all({**pair.left.outcomes, **pair.right.outcomes}[other] == b"bottom" for other in others)
    pair.check()
    assert pair.now == 100.0


@pytest.mark.fault(39)
def test_recursion_without_end() -> None:
    """Two ends that call each other for ever: over the limit of lent permits a handler's call fails, and all of it unwinds."""
    pair = Pair(Limits(calls=1, lent=20))
    for end in pair.ends:
        recursion(end)
    call = pair.left.call(ECHO, bytes([255]))
    pair.run()
    assert isinstance(pair.left.outcomes[call], RemoteError)
    assert (pair.left.budget.lent, pair.right.budget.lent) == (0, 0)
    pair.check()


@pytest.mark.parametrize("sid", [UNKNOWN, ECHO])
@pytest.mark.fault(40)
def test_a_flood_from_one_who_does_not_read(sid: int) -> None:
    """Calls, good or bad, from a remote that never reads: parked over the mark, then not read, then closed as stalled."""
    limits = Limits(outbox_high=4096, outbox_low=1024, parked=50, calls=10)
    pair = Pair(Limits(), limits)
    pair.leftward.held = True
    pair.leftward.capacity = 1000
    for _ in range(3000):
        pair.left.call(sid)
    pair.run()
    connection = pair.right.connection
    assert connection.outbox.level < 4096 + 300, "the mark, and the answers of the ten that ran"
    assert connection.incoming.parking.calls == 50
    assert not connection.wants_read
    pair.wait(9.9)
    assert connection.phase is Phase.OPEN
    pair.wait(0.2)
    assert connection.reason is CloseReason.WRITE_STALLED


@pytest.mark.fault(44)
def test_a_handler_that_never_ends() -> None:
    """It keeps its permit; the caller has its own timeout; and the end of the connection cancels it."""
    pair = Pair()
    pair.right.handlers[SLOW] = lambda request: None
    call = pair.left.call(SLOW, timeout=5)
    pair.wait(5)
    assert isinstance(pair.left.outcomes[call], CallTimeout)
    assert pair.right.budget.in_use == 1
    pair.right.close()
    pair.wait(2)
    assert len(pair.right.events(RequestCancelled)) == 1
    pair.assert_nothing_left()


@pytest.mark.parametrize("way", ["cut", "closed"])
@pytest.mark.fault(46)
def test_one_of_many_dies_with_all_permits(way: str) -> None:
    """Connections share permits and one ends while it holds them all: they are free when its handlers are, and others go on."""
    budget = CallBudget(3)
    dying, other = Solo(budget=budget), Solo(budget=budget)
    told = []
    other.connection.incoming.on_permit = lambda: told.append(True)
    running = requests(dying.feed(*(call_frame(cid) for cid in (1, 2, 3, 4))))
    assert requests(other.feed(call_frame(1), call_frame(2))) == []
    if way == "cut":
        dying.connection.transport_lost("reset", dying.now)
    else:
        dying.connection.close("bye", 0, dying.now)
    assert budget.in_use == 3, "the handlers have not ended: a thread would still run"
    for request in running:
        dying.connection.done(request, dying.now)
    assert told
    other.connection.permit_freed(other.now)
    assert len(requests(other.connection.events())) == 2
    assert budget.in_use == 2


@pytest.mark.fault(46)
def test_one_dies_first_in_the_line() -> None:
    """A connection that waits for a permit ends: its place goes to the next at once."""
    budget = CallBudget(1)
    running, dying, other = (Solo(budget=budget) for _ in range(3))
    request = running.deliver(call_frame(1))
    dying.feed(call_frame(1))
    other.feed(call_frame(1))
    dying.connection.transport_lost("reset", dying.now)
    assert budget.waiting == 1
    running.connection.respond(request, b"", running.now)
    other.connection.permit_freed(other.now)
    assert len(requests(other.connection.events())) == 1


# -- B5, liveness, close, cancellation -------------------------------------------------------------------


@pytest.mark.parametrize("grace", [0.0, 3.0])
@pytest.mark.fault(55)
def test_both_ends_close_at_once(grace: float) -> None:
    """Both ends close at the same moment, and twice: one event each, nothing left, and no waiting for each other."""
    pair = Pair()
    for end in pair.ends:
        end.handlers[SLOW] = lambda request: None
        end.call(SLOW)
    pair.run()
    for end in pair.ends:
        end.close("first", grace)
        end.close("second", grace)
    pair.wait(grace + 1)
    assert [end.connection.phase for end in pair.ends] == [Phase.CLOSED, Phase.CLOSED]
    assert [end.connection.reason for end in pair.ends] == [CloseReason.CLOSED_LOCALLY] * 2
    pair.assert_nothing_left()


@pytest.mark.parametrize("grace", [0.0, 3.0])
@pytest.mark.fault(55)
def test_a_handler_closes_its_own_connection(grace: float) -> None:
    """`close` in a handler: with grace its answer still goes out, without it is cancelled; either way it ends."""
    pair = Pair()

    def closer(request: IncomingRequest) -> bytes | None:
        pair.right.close("from within", grace)
        return b"done" if grace else None

    pair.right.handlers[SLOW] = closer
    call = pair.left.call(SLOW)
    pair.run()
    assert (pair.left.outcomes[call] == b"done") is bool(grace)
    pair.wait(1)
    pair.assert_nothing_left()


@pytest.mark.fault(56)
def test_a_call_that_waits_for_room_when_it_closes() -> None:
    """Calls and sends that wait for room when the connection closes: each fails at once, and never hangs."""
    solo = Solo(Limits(outbox_high=100, outbox_low=10))
    solo.send(bytes(100))
    solo.call()
    solo.send()
    solo.connection.close("bye", 60, solo.now)
    assert names(solo.connection.events())[:2] == ["CallFailed", "SendFailed"]


@pytest.mark.fault(57)
def test_the_grace_period() -> None:
    """A close with grace: callers fail first, then handlers have their time, then they are cancelled; its state can be asked."""
    solo = Solo()
    own = solo.call()
    solo.sent()
    quick, slow = requests(solo.feed(call_frame(1), call_frame(2)))
    solo.connection.close("bye", 5, solo.now)
    assert only(solo.connection.events(), CallFailed).call is own
    assert (solo.connection.phase, solo.connection.reason) == (Phase.GRACE, CloseReason.CLOSED_LOCALLY)
    assert (solo.connection.incoming.running, solo.connection.outbox.level) == (2, 0)
    solo.wait(2)
    solo.connection.respond(quick, b"in time", solo.now)
    assert solo.sent() == [(RESPONSE_SID, 1, b"in time")]
    assert only(solo.wait(3), RequestCancelled).request is slow
    assert [error_kind(each) for each in solo.sent()] == ["InternalServerError"]


@pytest.mark.parametrize("sent", [False, True])
@pytest.mark.fault(58)
def test_a_caller_that_is_cancelled(sent: bool) -> None:
    """Whoever waited gave up: entry and timer are gone, an unsent frame is taken back, a late answer is dropped."""
    solo = Solo()
    call = solo.call(timeout=60)
    if sent:
        solo.sent()
    solo.connection.cancel(call, solo.now)
    assert len(solo.connection.outgoing.pending) == 0
    assert solo.sent() == []
    assert solo.feed(response_frame(1)) == []
    assert solo.connection.late == 1
    assert solo.wait(100) == []


@pytest.mark.parametrize(
    "error", [ValueError("x"), ExceptionGroup("x", [ValueError("y")]), KeyboardInterrupt(), SystemExit(1)]
)
@pytest.mark.fault(59)
def test_a_handler_that_raises(error: BaseException) -> None:
    """Whatever a handler raises: the caller gets InternalServerError without a word of it, and the connection serves on."""
    solo = Solo()
    solo.connection.fail(solo.deliver(call_frame(1)), FailureKind.HANDLER_FAILED, solo.now, error)
    assert only(solo.connection.events(), RequestFailed).error is error
    assert [error_kind(each) for each in solo.sent()] == ["InternalServerError"]
    assert solo.deliver(call_frame(1)).is_delivered


@pytest.mark.fault(60)
def test_nobody_else_holds_the_handler() -> None:
    """A task that nothing refers to may be collected: the connection holds every request, and its handler, until it ends."""

    class Task:
        pass

    solo = Solo()
    task = Task()
    watched = weakref.ref(task)
    solo.deliver(call_frame(1)).handler = task
    del task
    gc.collect()
    assert watched() is not None
    solo.connection.transport_lost("reset", solo.now)
    request = only(solo.connection.events(), RequestCancelled).request
    assert request.handler is watched()


@pytest.mark.fault(63)
def test_the_clock_is_only_what_it_is_told() -> None:
    """The wall clock may jump: the core knows no time but the number that each command brings."""
    solo = Solo()
    solo.now = 1e12
    solo.call(timeout=5)
    assert solo.connection.next_deadline() == 1e12 + 5
    assert isinstance(call_error_of(solo.wait(5)), CallTimeout)


# -- B6 ----------------------------------------------------------------------------------------------------


@pytest.mark.fault(82)
def test_payloads_are_opaque() -> None:
    """A pickle as payload: the core hands it on as the bytes that it is, and decodes nothing but bodies of errors."""

    def refuse(payload: bytes) -> object:
        raise AssertionError("nobody asked to decode this")

    solo = Solo(bodies=ErrorBodies(encode_body, refuse))
    payload = pickle.dumps(ValueError("x"))
    solo.call()
    solo.sent()
    first, second, answer = solo.feed(call_frame(1, payload), send_frame(payload), response_frame(1, payload))
    assert isinstance(first, IncomingRequest)
    assert isinstance(second, IncomingRequest)
    assert isinstance(answer, ResponseReceived)
    assert first.payload == second.payload == answer.payload == payload


@pytest.mark.fault(83)
def test_a_scan_of_service_ids() -> None:
    """Every id that nobody serves here gets the same answer, but for the ids in it; no permit is touched."""
    solo = Solo()
    events = solo.feed(*(call_frame(cid, sid=2**cid) for cid in range(20, 60)))
    assert {event.kind for event in events if isinstance(event, RequestFailed)} == {
        FailureKind.UNKNOWN_SERVICE
    }
    bodies = [decode_body(payload)["UnknownService"] for _, _, payload in solo.sent()]
    assert [(body["sid"]["inner"]["id"], body["cid"]["inner"]["id"]) for body in bodies] == [
        (2**n, n) for n in range(20, 60)
    ]
    assert solo.budget.in_use == 0


@pytest.mark.fault(40)
def test_calls_without_permit_are_bounded_by_the_gate() -> None:
    """A relay's calls take no permits: while our answers are not read they are parked like any others."""
    solo = Solo(Limits(outbox_high=100, outbox_low=10, parked=3))
    solo.connection.respond(solo.deliver(call_frame(1, sid=FREE)), bytes(200), solo.now)
    assert requests(solo.feed(*(call_frame(cid, sid=FREE) for cid in range(2, 10)))) == []
    assert solo.connection.incoming.parking.calls == 3
    assert not solo.connection.wants_read


@pytest.mark.fault(49)
def test_a_small_answer_behind_large_requests() -> None:
    """Ten messages of the largest size wait to be sent: a small answer goes out behind the one that has left, before the others."""
    solo = Solo()
    for _ in range(10):
        solo.send(bytes(Limits().max_frame - 24))
    solo.connection.respond(solo.deliver(call_frame(7)), b"small", solo.now)
    sent = solo.sent()
    assert [len(payload) for _, _, payload in sent[:3]] == [2**20 - 24, 5, 2**20 - 24]
    assert len(sent) == 11
