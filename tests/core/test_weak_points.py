"""The weak points of the original, `thespis_remote`, as far as they are the core's business. None of them is here.

28 were found. Those that are not in this file are about service maps, relays, observers and transports, and tested there.
"""

from __future__ import annotations

import tracemalloc

import pytest
from tests.core.harness import (
    ECHO,
    FREE,
    SLOW,
    Ask,
    Pair,
    Solo,
    Steps,
    call_error_of,
    call_frame,
    decode_body,
    error_kind,
    frame,
    names,
    only,
    requests,
    send_frame,
)

from duologue.protocol.budget import CallBudget
from duologue.protocol.errors import (
    CallTimeout,
    CloseReason,
    ConnectionLost,
    ErrorKind,
    Executed,
    FailureKind,
    FrameTooLarge,
    Overloaded,
    RemoteError,
)
from duologue.protocol.events import CallFailed, IncomingRequest, PeerClosed, RequestCancelled
from duologue.protocol.frames import HEADER_SIZE
from duologue.protocol.ids import ERROR_SID, RESPONSE_SID
from duologue.protocol.lifecycle import Phase
from duologue.protocol.limits import Limits


@pytest.mark.parametrize("data", [bytes(24), frame(5, 1, bytes(2**20))[:8]], ids=["too short", "too large"])
def test_weak_point_01_no_zombie_after_a_codec_error(data: bytes) -> None:
    """One bad packet makes nobody deaf: the remote is told, whoever waits fails, and the connection closes with an event."""
    pair = Pair()
    pair.left.handlers[SLOW] = lambda request: None
    own = pair.left.call(SLOW)
    theirs = pair.right.call(SLOW)
    pair.run()
    pair.rightward.data += data
    pair.run()
    assert pair.right.connection.reason is CloseReason.PROTOCOL_ERROR
    for end, call in ((pair.left, own), (pair.right, theirs)):
        assert isinstance(end.outcomes[call], ConnectionLost)
    pair.wait(2)
    pair.assert_nothing_left()


@pytest.mark.parametrize(
    "kind", [FailureKind.DESERIALIZE, FailureKind.HANDLER_FAILED, FailureKind.NO_HANDLER]
)
def test_weak_point_02_failed_calls_give_their_permits_back(kind: FailureKind) -> None:
    """As many failed calls as there are permits, and once more: the next call still runs."""
    solo = Solo(Limits(calls=3))
    for cid in range(1, 8):
        solo.connection.fail(solo.deliver(call_frame(cid)), kind, solo.now)
    assert solo.budget.in_use == 0
    assert solo.deliver(call_frame(9)).is_delivered


def test_weak_point_03_answers_of_a_relay_take_no_permits() -> None:
    """A request that holds no permit gives none back when it is answered: the limit holds for the others."""
    solo = Solo(Limits(calls=1))
    local, relayed = requests(solo.feed(call_frame(1), call_frame(2, sid=FREE), call_frame(3)))
    solo.connection.respond(relayed, b"", solo.now)
    assert requests(solo.connection.events()) == []
    assert solo.budget.in_use == 1
    solo.connection.respond(local, b"", solo.now)
    assert solo.budget.in_use == 1


def test_weak_point_04_answers_are_read_behind_a_call_without_permit() -> None:
    """Two handlers wait for each other's ends, with one permit each and a further call in between: nobody waits for a timeout."""
    pair = Pair(Limits(calls=1))

    def asks_back(request: IncomingRequest) -> Steps:
        answer = yield Ask(ECHO, request.payload)
        return answer + b"!"

    for end in pair.ends:
        end.handlers[SLOW] = asks_back
    calls = {end: [end.call(SLOW, bytes([number])) for number in range(3)] for end in pair.ends}
    pair.run()
    for end, made in calls.items():
        assert [end.outcomes[call] for call in made] == [bytes([number]) + b"!" for number in range(3)]
    assert pair.now == 100.0


def test_weak_point_05_both_ends_write_and_neither_blocks() -> None:
    """Both flood each other through a tiny pipe: all of it arrives; and if nothing moves any more, timeouts still fire."""
    pair = Pair(Limits(outbox_high=4096, outbox_low=1024), capacity=64)
    calls = {end: [end.call(ECHO, bytes(1000)) for _ in range(100)] for end in pair.ends}
    pair.run()
    for end, made in calls.items():
        assert all(end.outcomes[call] == bytes(1000) for call in made)
    pair.leftward.held = pair.rightward.held = True
    stuck = {end: end.call(ECHO, bytes(5000), timeout=5) for end in pair.ends}
    pair.wait(5)
    for end, call in stuck.items():
        assert isinstance(end.outcomes[call], CallTimeout)


@pytest.mark.parametrize("length", [0, 7, 8, 23, 2**32, 2**63, 2**64 - 1])
@pytest.mark.parametrize("piece", [1, 24])
def test_weak_point_06_no_length_makes_it_panic(length: int, piece: int) -> None:
    """Short and huge lengths, whole or byte by byte: nothing is raised, it closes."""
    solo = Solo()
    data = length.to_bytes(8, "little") + bytes(16)
    solo.feed(*(data[start : start + piece] for start in range(0, len(data), piece)))
    assert solo.connection.reason is CloseReason.PROTOCOL_ERROR


def test_weak_point_07_no_memory_for_a_promise() -> None:
    """A header that promises the largest frame costs what it weighs, and only for as long as a frame may take."""
    solo = Solo()
    header = frame(ECHO, 1, bytes(2**20 - HEADER_SIZE))[:HEADER_SIZE]
    tracemalloc.start()
    solo.feed(header)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 16 * 1024
    assert solo.connection.buffered <= HEADER_SIZE
    assert only(solo.wait(30), PeerClosed).reason is CloseReason.FRAME_TIMEOUT


def test_weak_point_08_an_end_of_stream_does_not_spin() -> None:
    """After the end there is nothing to read, nothing to do and no timer, however often it is told."""
    solo = Solo()
    for _ in range(3):
        solo.connection.receive_eof(solo.now)
        solo.feed(b"")
    assert not solo.connection.wants_read
    assert solo.connection.next_deadline() is None
    solo.assert_nothing_left()


def test_weak_point_09_going_on_after_an_error_is_harmless() -> None:
    """More bytes, the end, a timer, a loss: after a protocol error nothing raises, and there is one closed event."""
    solo = Solo()
    events = solo.feed(bytes(24), bytes(24), call_frame(1))
    solo.serve_timer()
    solo.connection.receive_eof(solo.now)
    solo.connection.transport_lost("reset", solo.now)
    solo.connection.receive_data(bytes(24), solo.now)
    only(events + solo.connection.events(), PeerClosed)
    solo.assert_nothing_left()


def test_weak_point_10_sends_are_bounded() -> None:
    """A thousand one-way messages run, or 4 MiB of them; then reading pauses."""
    solo = Solo()
    assert len(requests(solo.feed(b"".join(send_frame() for _ in range(1500))))) == 1000
    assert not solo.connection.wants_read
    weighed = Solo()
    assert len(requests(weighed.feed(*(send_frame(bytes(2**20 - 24)) for _ in range(10))))) == 4


def test_weak_point_11_an_answer_that_is_too_large_is_an_error_at_once() -> None:
    """The caller does not wait for its timeout, and this end learns it, too; an own send that is too large raises."""
    pair = Pair(Limits(max_frame=1000))
    pair.right.handlers[SLOW] = lambda request: bytes(1000)
    call = pair.left.call(SLOW)
    pair.run()
    assert isinstance(pair.left.outcomes[call], RemoteError)
    assert pair.now == 100.0
    with pytest.raises(FrameTooLarge):
        pair.left.send(ECHO, bytes(1000))


def test_weak_point_12_every_local_failure_has_its_own_error() -> None:
    """Too large is not closed, overloaded is not closed, and closed is."""
    solo = Solo(Limits(max_frame=200, owed=1, waiting=0))
    with pytest.raises(FrameTooLarge):
        solo.call(bytes(200))
    solo.call()
    with pytest.raises(Overloaded):
        solo.call()
    with pytest.raises(ValueError, match="reserved"):
        solo.call(sid=0)


def test_weak_point_13_an_error_that_can_not_be_read_ends_its_call() -> None:
    """The caller learns at once that the remote answered with something that nobody understands."""
    solo = Solo()
    call = solo.call(timeout=60)
    solo.sent()
    events = solo.feed(frame(ERROR_SID, 1, b"\xff\x00"))
    assert only(events, CallFailed).call is call
    error = call_error_of(events)
    assert isinstance(error, RemoteError)
    assert error.kind is ErrorKind.UNREADABLE
    assert solo.connection.phase is Phase.OPEN


@pytest.mark.parametrize("kind", [kind for kind in FailureKind if kind is not FailureKind.TIMEOUT])
def test_weak_point_14_an_error_names_the_call_it_answers(kind: FailureKind) -> None:
    """The id in the body is the caller's, as in the header, whoever failed behind."""
    solo = Solo()
    solo.connection.fail(solo.deliver(call_frame(77, sid=FREE)), kind, solo.now)
    ((_, cid, payload),) = solo.sent()
    ((_, body),) = decode_body(payload).items()
    assert cid == body["cid"]["inner"]["id"] == 77
    assert body["sid"]["inner"]["id"] == FREE


def test_weak_point_16_a_truncated_stream_is_not_clean() -> None:
    """The end in the middle of a frame has a reason of its own, and says how much was there."""
    solo = Solo()
    solo.feed(call_frame(1, b"abc")[:26])
    solo.connection.receive_eof(solo.now)
    closed = only(solo.connection.events(), PeerClosed)
    assert (closed.reason, closed.detail) == (CloseReason.TRUNCATED, "26 of 27 bytes of a frame")


def test_weak_point_16_a_transport_knows_that_its_stream_was_cut() -> None:
    """Between two frames, but without the transport's goodbye: truncated, in the transport's words."""
    solo = Solo()
    solo.connection.receive_eof(solo.now, "no close_notify")
    closed = only(solo.connection.events(), PeerClosed)
    assert (closed.reason, closed.detail) == (CloseReason.TRUNCATED, "no close_notify")


def test_weak_point_17_closed_once_for_one_reason() -> None:
    """Close, close again, the remote's end, a loss: one event, with the first reason and its words."""
    solo = Solo()
    solo.connection.close("maintenance", 0, solo.now)
    solo.connection.close("again", 0, solo.now)
    solo.connection.receive_eof(solo.now)
    solo.connection.transport_lost("reset", solo.now)
    solo.connection.close("and again", 5, solo.now)
    solo.connection.abort("enough", solo.now)
    closed = only(solo.connection.events(), PeerClosed)
    assert (closed.reason, closed.detail) == (CloseReason.CLOSED_LOCALLY, "maintenance")


def test_weak_point_18_grace_lasts_as_long_as_handlers_do() -> None:
    """Many answers in the grace all go out, it ends with the last handler, and the remote need not hang up first."""
    pair = Pair()
    pair.right.handlers[SLOW] = lambda request: None
    own = pair.right.call(SLOW)
    pair.left.handlers[SLOW] = lambda request: None
    for _ in range(20):
        pair.left.call(SLOW)
    pair.run()
    pair.leftward.held = True
    pair.right.close("bye", 60)
    for request in list(pair.right.requests):
        pair.right.end(request, b"in time")
    pair.wait(1)
    assert pair.right.connection.phase is Phase.CLOSED
    assert pair.right.outcomes[own] is not None
    pair.leftward.held = False
    pair.wait(1)
    answers = [outcome for outcome in pair.left.outcomes.values() if outcome == b"in time"]
    assert len(answers) == 20
    pair.assert_nothing_left()


@pytest.mark.parametrize("data", [call_frame(1), send_frame()], ids=["call", "send"])
@pytest.mark.parametrize("kind", list(FailureKind))
def test_weak_point_19_no_failure_is_unreachable(kind: FailureKind, data: bytes) -> None:
    """Whatever a service map says went wrong, for calls and for sends: the connection lives on."""
    solo = Solo()
    solo.connection.fail(solo.deliver(data), kind, solo.now)
    assert solo.connection.phase is Phase.OPEN
    assert solo.deliver(data).is_delivered


def test_weak_point_20_the_transport_is_told_when_the_last_byte_is_out() -> None:
    """One event says that our half may end now, after the last answer and before the end of it all."""
    solo = Solo()
    request = solo.deliver(call_frame(1))
    solo.connection.close("bye", 5, solo.now)
    solo.connection.respond(request, b"last", solo.now)
    assert solo.connection.events() == []
    assert solo.sent() == [(RESPONSE_SID, 1, b"last")]
    assert names(solo.connection.events()) == ["WritingFinished"]


def test_weak_point_21_one_timer_for_all_calls() -> None:
    """10,000 calls with timeouts that are answered at once: one next deadline, and no entries that wait for theirs."""
    pair = Pair()
    for _ in range(100):
        for _ in range(100):
            pair.left.call(ECHO, timeout=60)
        pair.run()
    assert len(pair.left.outcomes) == 10_000
    assert len(pair.left.connection.outgoing.deadlines) <= 201
    pair.wait(60)
    assert pair.left.connection.next_deadline() is None


def test_weak_point_22_a_caller_that_gives_up_leaves_nothing() -> None:
    """Cancelled before it left, the remote never sees it; after, its entry is gone and it counts until it is answered."""
    pair = Pair()
    pair.right.handlers[SLOW] = lambda request: None
    unseen = pair.left.call(SLOW)
    assert pair.left.connection.cancel(unseen, pair.now) is Executed.NO
    pair.run()
    assert pair.right.requests == []
    seen = pair.left.call(SLOW)
    pair.run()
    assert pair.left.connection.cancel(seen, pair.now) is Executed.UNKNOWN
    assert len(pair.left.connection.outgoing.pending) == 0
    pair.right.end(pair.right.requests[0], b"")
    pair.run()
    assert pair.left.connection.outgoing.pending.owed == 0
    assert pair.left.outcomes == {}


def test_weak_point_23_nobody_who_reads_events_can_block_it() -> None:
    """Events lie there until somebody looks; meanwhile bytes come and go, and timers fire."""
    solo = Solo()
    solo.call(timeout=1)
    assert solo.sent()
    solo.connection.receive_data(call_frame(1), solo.now)
    solo.now += 1
    solo.serve_timer()
    solo.call()
    assert [cid for _, cid, _ in solo.sent()] == [2]
    assert names(solo.connection.events()) == ["CallReceived", "CallFailed"]


def test_weak_point_25_timeouts_do_not_queue_behind_work() -> None:
    """Reading is paused, the outbox is full, the transport is stuck: a timeout is still on time."""
    solo = Solo(Limits(sends=1, outbox_high=100, outbox_low=10))
    solo.feed(send_frame(), send_frame())
    assert not solo.connection.wants_read
    first = solo.call(bytes(100), timeout=3)
    solo.connection.data_to_send()
    second = solo.call(timeout=3)
    assert [event.call for event in solo.wait(3) if isinstance(event, CallFailed)] == [first, second]


def test_weak_point_25_incoming_does_not_starve() -> None:
    """Under constant outgoing traffic the remote's calls are answered all the same."""
    pair = Pair(Limits(outbox_high=1000, outbox_low=500), capacity=200)
    call = pair.right.call(ECHO, b"still there?")
    for _ in range(100):
        pair.left.send(ECHO, bytes(100))
        pair.left.call(ECHO, bytes(100))
    for _ in range(100):
        pair.left.pump(pair.rightward, pair.leftward)
        pair.right.pump(pair.leftward, pair.rightward)
    assert pair.right.outcomes[call] == b"still there?"


@pytest.mark.parametrize("cause", ["transport", "garbage", "dribble", "stall", "end of stream"])
def test_weak_point_26_every_way_to_fail_ends_it(cause: str) -> None:
    """Whatever breaks, the connection gets to its end by itself, with one event, and tells its handlers and its callers."""
    solo = Solo()
    solo.call()
    solo.sent()
    solo.call(b"unsent")
    solo.feed(call_frame(1))
    if cause == "transport":
        solo.connection.transport_lost("reset", solo.now)
    elif cause == "garbage":
        solo.feed(bytes(24))
    elif cause == "dribble":
        solo.feed(call_frame(2)[:9])
    elif cause == "end of stream":
        solo.connection.receive_eof(solo.now)
    events = solo.connection.events() + solo.wait(100)
    assert solo.connection.phase is Phase.CLOSED
    only(events, PeerClosed)


def test_weak_point_26_nobody_can_close_the_permits() -> None:
    """A budget has no closed state: a connection that ends leaves it in order for the others."""
    budget = CallBudget(1)
    one, other = Solo(budget=budget), Solo(budget=budget)
    one.feed(call_frame(1), call_frame(2))
    one.connection.abort("bye", one.now)
    for event in one.connection.events():
        if isinstance(event, RequestCancelled):
            one.connection.done(event.request, one.now)
    one.assert_nothing_left()
    request = other.deliver(call_frame(1))
    other.connection.fail(request, FailureKind.HANDLER_FAILED, other.now)
    assert [error_kind(each) for each in other.sent()] == ["InternalServerError"]
