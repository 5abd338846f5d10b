"""The life-cycle table: what each command and each input does in each phase (docs/lifecycle.md).

Draining is not here: base mode has no word for it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from tests.core.harness import (
    BODIES,
    ECHO,
    ORDERED,
    Solo,
    call_frame,
    error_frame,
    error_kind,
    frame,
    names,
    only,
    requests,
    response_frame,
    send_frame,
    standard_routes,
)

from duologue.protocol.connection import Connection
from duologue.protocol.errors import (
    CloseReason,
    ConnectionClosed,
    ConnectionLost,
    ErrorKind,
    Executed,
    FailureKind,
)
from duologue.protocol.events import (
    CallFailed,
    IncomingRequest,
    PeerClosed,
    RequestFailed,
    ResponseReceived,
)
from duologue.protocol.feed import Feed
from duologue.protocol.ids import ERROR_SID, RESPONSE_SID
from duologue.protocol.lifecycle import Phase
from duologue.protocol.limits import Limits
from duologue.protocol.pending import OutgoingCall

OPEN, DRAINING, GRACE, CLOSING, CLOSED = Phase


@dataclass
class Scene:
    """A connection in some phase: with a handler that runs, a call that is parked, and an own call that waits."""

    solo: Solo
    running: IncomingRequest
    own: OutgoingCall


def scene(phase: Phase, limits: Limits = Limits(calls=1)) -> Scene:
    """Get there in the usual way: by draining, by a close with grace, by one without, by the loss of the transport."""
    solo = Solo(limits)
    own = solo.call()
    solo.sent()
    (running,) = requests(solo.feed(call_frame(1), call_frame(2)))
    if phase is DRAINING:
        solo.connection.drain("bye", 60, solo.now)
    elif phase is GRACE:
        solo.connection.close("bye", 5, solo.now)
    elif phase is CLOSING:
        solo.connection.close("bye", 0, solo.now)
    elif phase is CLOSED:
        solo.connection.transport_lost("reset", solo.now)
    assert solo.connection.phase is phase
    if phase in (GRACE, CLOSED):
        solo.sent()
    solo.connection.events()
    return Scene(solo, running, own)


Action = Callable[[Scene], object]
"""A command or an input; what it returns is nobody's business here."""


def call(at: Scene) -> object:
    return at.solo.call()


def send(at: Scene) -> object:
    return at.solo.send()


def publish(at: Scene) -> None:
    at.solo.connection.publish(Feed(), ECHO, b"", at.solo.now)


def call_in_a_handler(at: Scene) -> object:
    return at.solo.connection.call(ECHO, b"", None, at.solo.now, at.running)


def send_in_a_handler(at: Scene) -> object:
    return at.solo.connection.send(ECHO, b"", None, at.solo.now, at.running)


def respond(at: Scene) -> None:
    at.solo.connection.respond(at.running, b"answer", at.solo.now)


def fail(at: Scene) -> None:
    at.solo.connection.fail(at.running, FailureKind.HANDLER_FAILED, at.solo.now)


def cancel(at: Scene) -> object:
    return at.solo.connection.cancel(at.own, at.solo.now)


def close(at: Scene) -> None:
    at.solo.connection.close("again", 0, at.solo.now)


def close_with_grace(at: Scene) -> None:
    at.solo.connection.close("again", 3, at.solo.now)


def drain(at: Scene) -> None:
    at.solo.connection.drain("again", 40, at.solo.now)


def abort(at: Scene) -> None:
    at.solo.connection.abort("enough", at.solo.now)


def receive(data: bytes) -> Action:
    return lambda at: at.solo.connection.receive_data(data, at.solo.now)


def end_of_stream(at: Scene) -> None:
    at.solo.connection.receive_eof(at.solo.now)


def end_inside_a_frame(at: Scene) -> None:
    at.solo.connection.receive_data(call_frame(9)[:5], at.solo.now)
    at.solo.connection.receive_eof(at.solo.now)


def transport_lost(at: Scene) -> None:
    at.solo.connection.transport_lost("reset", at.solo.now)


def data_sent(at: Scene) -> None:
    at.solo.connection.data_sent(at.solo.now)


call_arrives = receive(call_frame(9))
send_arrives = receive(send_frame())
response_arrives = receive(response_frame(1, b"answer"))
error_arrives = receive(error_frame(1))
garbage_arrives = receive(bytes(24))

R = "response"
INTERNAL = "InternalServerError"
CALL = "call"
SEND = "send"

CELLS: list[tuple[str, Action, Phase, Phase, list[str], list[str]]] = [
    # name, action, before, after, events, what goes out
    ("call", call, OPEN, OPEN, [], [CALL]),
    ("send", send, OPEN, OPEN, [], [SEND]),
    ("call in a handler", call_in_a_handler, OPEN, OPEN, [], [CALL]),
    ("call in a handler", call_in_a_handler, DRAINING, DRAINING, [], [CALL]),
    ("send in a handler", send_in_a_handler, OPEN, OPEN, [], [SEND]),
    ("send in a handler", send_in_a_handler, DRAINING, DRAINING, [], [SEND]),
    ("respond", respond, OPEN, OPEN, ["CallReceived"], [R]),
    ("respond", respond, DRAINING, DRAINING, ["CallReceived"], [R]),
    ("respond", respond, GRACE, CLOSING, ["WritingFinished"], [R]),
    ("respond", respond, CLOSING, CLOSING, ["WritingFinished"], [INTERNAL, INTERNAL]),
    ("respond", respond, CLOSED, CLOSED, [], []),
    ("fail", fail, OPEN, OPEN, ["RequestFailed", "CallReceived"], [INTERNAL]),
    ("fail", fail, DRAINING, DRAINING, ["RequestFailed", "CallReceived"], [INTERNAL]),
    ("fail", fail, GRACE, CLOSING, ["RequestFailed", "WritingFinished"], [INTERNAL]),
    ("fail", fail, CLOSING, CLOSING, ["WritingFinished"], [INTERNAL, INTERNAL]),
    ("fail", fail, CLOSED, CLOSED, [], []),
    ("cancel", cancel, OPEN, OPEN, [], []),
    ("cancel", cancel, DRAINING, DRAINING, [], []),
    ("cancel", cancel, GRACE, GRACE, [], []),
    ("cancel", cancel, CLOSING, CLOSING, ["WritingFinished"], [INTERNAL, INTERNAL]),
    ("cancel", cancel, CLOSED, CLOSED, [], []),
    (
        *("close", close, OPEN, CLOSING),
        *(["CallFailed", "RequestFailed", "RequestCancelled", "WritingFinished"], [INTERNAL, INTERNAL]),
    ),
    (
        *("close", close, DRAINING, CLOSING),
        *(["CallFailed", "RequestFailed", "RequestCancelled", "WritingFinished"], [INTERNAL, INTERNAL]),
    ),
    ("close", close, GRACE, CLOSING, ["RequestCancelled", "WritingFinished"], [INTERNAL]),
    ("close", close, CLOSING, CLOSING, ["WritingFinished"], [INTERNAL, INTERNAL]),
    ("close", close, CLOSED, CLOSED, [], []),
    ("close with grace", close_with_grace, OPEN, GRACE, ["CallFailed", "RequestFailed"], [INTERNAL]),
    ("close with grace", close_with_grace, DRAINING, GRACE, ["CallFailed", "RequestFailed"], [INTERNAL]),
    ("close with grace", close_with_grace, GRACE, GRACE, [], []),
    ("close with grace", close_with_grace, CLOSING, CLOSING, ["WritingFinished"], [INTERNAL, INTERNAL]),
    ("close with grace", close_with_grace, CLOSED, CLOSED, [], []),
    ("drain", drain, OPEN, DRAINING, [], []),
    ("drain", drain, DRAINING, DRAINING, [], []),
    ("drain", drain, GRACE, GRACE, [], []),
    ("drain", drain, CLOSING, CLOSING, ["WritingFinished"], [INTERNAL, INTERNAL]),
    ("drain", drain, CLOSED, CLOSED, [], []),
    ("abort", abort, OPEN, CLOSED, ["CallFailed", "RequestCancelled", "PeerClosed"], []),
    ("abort", abort, DRAINING, CLOSED, ["CallFailed", "RequestCancelled", "PeerClosed"], []),
    ("abort", abort, GRACE, CLOSED, ["RequestCancelled", "PeerClosed"], []),
    ("abort", abort, CLOSING, CLOSED, ["PeerClosed"], []),
    ("abort", abort, CLOSED, CLOSED, [], []),
    ("call arrives", call_arrives, OPEN, OPEN, [], []),
    ("call arrives", call_arrives, DRAINING, DRAINING, ["RequestFailed"], [INTERNAL]),
    ("call arrives", call_arrives, GRACE, GRACE, ["RequestFailed"], [INTERNAL]),
    ("call arrives", call_arrives, CLOSING, CLOSING, ["WritingFinished"], [INTERNAL, INTERNAL]),
    ("call arrives", call_arrives, CLOSED, CLOSED, [], []),
    ("send arrives", send_arrives, OPEN, OPEN, ["SendReceived"], []),
    ("send arrives", send_arrives, DRAINING, DRAINING, ["SendReceived"], []),
    ("send arrives", send_arrives, GRACE, GRACE, [], []),
    ("send arrives", send_arrives, CLOSING, CLOSING, ["WritingFinished"], [INTERNAL, INTERNAL]),
    ("send arrives", send_arrives, CLOSED, CLOSED, [], []),
    ("response arrives", response_arrives, OPEN, OPEN, ["ResponseReceived"], []),
    ("response arrives", response_arrives, DRAINING, DRAINING, ["ResponseReceived"], []),
    ("response arrives", response_arrives, GRACE, GRACE, [], []),
    ("response arrives", response_arrives, CLOSING, CLOSING, ["WritingFinished"], [INTERNAL, INTERNAL]),
    ("response arrives", response_arrives, CLOSED, CLOSED, [], []),
    ("error arrives", error_arrives, OPEN, OPEN, ["CallFailed"], []),
    ("error arrives", error_arrives, DRAINING, DRAINING, ["CallFailed"], []),
    ("error arrives", error_arrives, GRACE, GRACE, ["ErrorReported"], []),
    ("error arrives", error_arrives, CLOSING, CLOSING, ["WritingFinished"], [INTERNAL, INTERNAL]),
    ("error arrives", error_arrives, CLOSED, CLOSED, [], []),
    (
        *("end of stream", end_of_stream, OPEN, CLOSED),
        *(["CallFailed", "RequestCancelled", "WritingFinished", "PeerClosed"], [INTERNAL]),
    ),
    (
        *("end of stream", end_of_stream, DRAINING, CLOSED),
        *(["CallFailed", "RequestCancelled", "WritingFinished", "PeerClosed"], [INTERNAL]),
    ),
    ("end of stream", end_of_stream, GRACE, GRACE, [], []),
    (
        "end of stream",
        end_of_stream,
        CLOSING,
        CLOSED,
        ["WritingFinished", "PeerClosed"],
        [INTERNAL, INTERNAL],
    ),
    ("end of stream", end_of_stream, CLOSED, CLOSED, [], []),
    (
        *("end inside a frame", end_inside_a_frame, OPEN, CLOSED),
        *(["CallFailed", "RequestCancelled", "WritingFinished", "PeerClosed"], [INTERNAL]),
    ),
    (
        *("end inside a frame", end_inside_a_frame, DRAINING, CLOSED),
        *(["CallFailed", "RequestCancelled", "WritingFinished", "PeerClosed"], [INTERNAL]),
    ),
    ("end inside a frame", end_inside_a_frame, GRACE, GRACE, [], []),
    (
        "end inside a frame",
        end_inside_a_frame,
        CLOSING,
        CLOSED,
        ["WritingFinished", "PeerClosed"],
        [INTERNAL, INTERNAL],
    ),
    ("end inside a frame", end_inside_a_frame, CLOSED, CLOSED, [], []),
    (
        *("garbage", garbage_arrives, OPEN, CLOSING),
        *(["CallFailed", "RequestCancelled", "WritingFinished"], ["DeserializeWireFormat"]),
    ),
    (
        *("garbage", garbage_arrives, DRAINING, CLOSING),
        *(["CallFailed", "RequestCancelled", "WritingFinished"], ["DeserializeWireFormat"]),
    ),
    (
        "garbage",
        garbage_arrives,
        GRACE,
        CLOSING,
        ["RequestCancelled", "WritingFinished"],
        ["DeserializeWireFormat"],
    ),
    ("garbage", garbage_arrives, CLOSING, CLOSING, ["WritingFinished"], [INTERNAL, INTERNAL]),
    ("garbage", garbage_arrives, CLOSED, CLOSED, [], []),
    ("transport lost", transport_lost, OPEN, CLOSED, ["CallFailed", "RequestCancelled", "PeerClosed"], []),
    (
        *("transport lost", transport_lost, DRAINING, CLOSED),
        *(["CallFailed", "RequestCancelled", "PeerClosed"], []),
    ),
    ("transport lost", transport_lost, GRACE, CLOSED, ["RequestCancelled", "PeerClosed"], []),
    ("transport lost", transport_lost, CLOSING, CLOSED, ["PeerClosed"], []),
    ("transport lost", transport_lost, CLOSED, CLOSED, [], []),
    ("data sent", data_sent, OPEN, OPEN, [], []),
    ("data sent", data_sent, DRAINING, DRAINING, [], []),
    ("data sent", data_sent, GRACE, GRACE, [], []),
    ("data sent", data_sent, CLOSING, CLOSING, ["WritingFinished"], [INTERNAL, INTERNAL]),
    ("data sent", data_sent, CLOSED, CLOSED, [], []),
]


def described(sent: tuple[int, int, bytes]) -> str:
    sid, cid, _ = sent
    if sid == ERROR_SID:
        return error_kind(sent)
    return R if sid == RESPONSE_SID else CALL if cid else SEND


@pytest.mark.parametrize(
    ("action", "before", "after", "events", "sent"),
    [pytest.param(*cell[1:], id=f"{cell[0]}, {cell[2].value}") for cell in CELLS],
)
def test_cell(action: Action, before: Phase, after: Phase, events: list[str], sent: list[str]) -> None:
    """One cell of the table: the phase that follows, the events, and the frames that go out (all of them, at the end)."""
    at = scene(before)
    action(at)
    frames = at.solo.sent()
    assert names(at.solo.connection.events()) == events
    assert at.solo.connection.phase is after
    assert [described(each) for each in frames] == sent
    assert at.solo.feed() == []


@pytest.mark.parametrize("phase", [DRAINING, GRACE, CLOSING, CLOSED])
@pytest.mark.parametrize("action", [call, send, publish])
@pytest.mark.fault(56)
def test_requests_while_it_ends(phase: Phase, action: Action) -> None:
    """A call or send while the connection ends, or after: `ConnectionClosed` at once, executed no, with the reason."""
    at = scene(phase)
    with pytest.raises(ConnectionClosed) as caught:
        action(at)
    assert caught.value.executed is Executed.NO
    assert caught.value.reason is (
        CloseReason.TRANSPORT_FAILED if phase is CLOSED else CloseReason.CLOSED_LOCALLY
    )
    assert at.solo.connection.events() == []


def test_a_transport_that_refused_this_end() -> None:
    """What its end means the transport may know: the remote does not want this end, and won't the next time."""
    at = scene(OPEN)
    at.solo.connection.transport_lost("who are you?", at.solo.now, refused=True)
    (closed,) = [event for event in at.solo.connection.events() if isinstance(event, PeerClosed)]
    assert (closed.reason, closed.detail) == (CloseReason.REFUSED, "who are you?")


# -- time ----------------------------------------------------------------------------------------------


def test_the_grace_is_over() -> None:
    """Handlers that still run are cancelled and their calls answered; it goes on as every end does."""
    at = scene(GRACE)
    assert at.solo.wait(4.9) == []
    assert names(at.solo.wait(0.1)) == ["RequestCancelled"]
    assert [described(each) for each in at.solo.sent()] == [INTERNAL]
    assert at.solo.connection.phase is CLOSING


def test_input_is_dropped_for_a_while() -> None:
    """After the last byte: until the remote's end, or for one second, so that no reset destroys our last answers."""
    at = scene(CLOSING)
    at.solo.sent()
    assert names(at.solo.connection.events()) == ["WritingFinished"]
    assert at.solo.connection.wants_read
    assert at.solo.wait(0.9) == []
    event = only(at.solo.wait(0.1), PeerClosed)
    assert (event.reason, event.detail) == (CloseReason.CLOSED_LOCALLY, "bye")


def test_closing_has_an_end() -> None:
    """The transport takes nothing: after `close_timeout` it is cut."""
    at = scene(CLOSING)
    at.solo.connection.data_to_send()
    assert at.solo.wait(9.9) == []
    assert names(at.solo.wait(0.1)) == ["PeerClosed"]


@pytest.mark.parametrize("phase", [OPEN, DRAINING, GRACE, CLOSING])
def test_a_stall_cuts_the_connection(phase: Phase) -> None:
    """The transport takes no byte for too long: nothing can be said any more, so it ends at once."""
    at = scene(OPEN, Limits(calls=1, requests_stalled=2))
    at.solo.call()
    at.solo.connection.data_to_send()
    if phase is DRAINING:
        at.solo.connection.drain("bye", None, at.solo.now)
    elif phase is not OPEN:
        at.solo.connection.close("bye", 100 if phase is GRACE else 0, at.solo.now)
    at.solo.connection.events()
    events = at.solo.wait(2)
    assert isinstance(events[-1], PeerClosed)
    reason = CloseReason.WRITE_STALLED if phase in (OPEN, DRAINING) else CloseReason.CLOSED_LOCALLY
    assert events[-1].reason is reason


def test_answers_stall_sooner() -> None:
    """The remote asks and does not read: with answers over the mark it has 10 s, counted from the last byte that left."""
    solo = Solo(Limits(outbox_high=100, outbox_low=10, answers_stalled=10, requests_stalled=60))
    running = requests(solo.feed(call_frame(1), call_frame(2)))
    solo.connection.respond(running[0], bytes(50), solo.now)
    solo.wait(20)
    assert solo.connection.phase is OPEN, "under the mark it has the time of any request"
    solo.connection.respond(running[1], bytes(500), solo.now)
    solo.connection.data_to_send()
    solo.wait(9)
    solo.connection.data_sent(solo.now, 500)
    assert solo.wait(9.9) == []
    event = only(solo.wait(0.1), PeerClosed)
    assert (event.reason, event.detail) == (CloseReason.WRITE_STALLED, "500 bytes unsent")


@pytest.mark.parametrize("phase", [OPEN, DRAINING, GRACE])
def test_a_frame_that_does_not_end(phase: Phase) -> None:
    """30 s after its first byte the connection is cut, also while it ends."""
    at = scene(phase, Limits(calls=1, frame_timeout=4))
    at.solo.feed(call_frame(9)[:20])
    assert at.solo.wait(3) == []
    event = only(at.solo.wait(1), PeerClosed)
    assert event.reason is (CloseReason.CLOSED_LOCALLY if phase is GRACE else CloseReason.FRAME_TIMEOUT)
    assert event.detail == ("bye" if phase is GRACE else "20 of 24 bytes of a frame")


def test_there_is_no_timer_when_nothing_is_to_come() -> None:
    """An idle connection wakes nobody."""
    solo = Solo()
    assert solo.connection.next_deadline() is None
    solo.call()
    solo.sent()
    solo.feed(response_frame(1), call_frame(1))
    assert solo.connection.next_deadline() is None
    assert not solo.connection.has_events


# -- the end, in detail --------------------------------------------------------------------------------


@pytest.mark.parametrize("phase", [GRACE, CLOSING, CLOSED])
@pytest.mark.parametrize("action", [call_in_a_handler, send_in_a_handler])
@pytest.mark.fault(56)
def test_handlers_requests_while_it_ends(phase: Phase, action: Action) -> None:
    """What a handler asks while the connection ends is refused as well: its own time runs, and nobody would wait for it."""
    at = scene(phase)
    with pytest.raises(ConnectionClosed):
        action(at)


@pytest.mark.parametrize("grace", [math.nan, -1.0])
def test_a_grace_that_is_none(grace: float) -> None:
    """`ValueError`, and the connection is as it was."""
    solo = Solo()
    with pytest.raises(ValueError, match="give 0 or more"):
        solo.connection.close("bye", grace, solo.now)
    assert solo.connection.phase is OPEN
    assert solo.connection.reason is None


def test_close_without_handlers_needs_no_grace() -> None:
    """Nothing runs, so nothing is waited for."""
    solo = Solo()
    solo.connection.close("bye", 60, solo.now)
    assert solo.connection.phase is CLOSING
    solo.connection.receive_eof(solo.now)
    assert names(solo.connection.events()) == ["WritingFinished", "PeerClosed"]


@pytest.mark.parametrize(("first", "second", "ends"), [(5, 3, 3), (3, 5, 3), (math.inf, 4, 4)])
def test_the_earlier_end_wins(first: float, second: float, ends: float) -> None:
    """Closing twice with grace: the handlers have the shorter one, and the first words stay."""
    solo = Solo()
    solo.deliver(call_frame(1))
    solo.connection.close("first", first, solo.now)
    solo.connection.close("second", second, solo.now)
    assert solo.wait(ends - 0.1) == []
    assert names(solo.wait(0.1)) == ["RequestCancelled"]
    solo.connection.abort("third", solo.now)
    assert only(solo.connection.events(), PeerClosed).detail == "first"


def test_handlers_that_end_in_grace_are_answered() -> None:
    """The answers go out in the grace, and with the last one it is over."""
    solo = Solo()
    first, second = requests(solo.feed(call_frame(1), call_frame(2)))
    solo.connection.close("bye", 5, solo.now)
    solo.connection.respond(first, b"1", solo.now)
    assert solo.sent() == [(RESPONSE_SID, 1, b"1")]
    assert solo.connection.phase is GRACE
    solo.connection.respond(second, b"2", solo.now)
    assert solo.connection.phase is CLOSING
    assert solo.sent() == [(RESPONSE_SID, 2, b"2")]
    solo.connection.receive_eof(solo.now)
    solo.assert_nothing_left()


def test_one_way_messages_that_wait_are_dropped_at_the_end() -> None:
    """They are told as dropped; calls that wait are refused, if there is anyone to tell."""
    solo = Solo()
    solo.deliver(send_frame(sid=ORDERED))
    solo.feed(send_frame(sid=ORDERED), call_frame(5, sid=ORDERED))
    solo.connection.close("bye", 5, solo.now)
    kinds = [event.kind for event in solo.connection.events() if isinstance(event, RequestFailed)]
    assert kinds == [FailureKind.DROPPED, FailureKind.UNAVAILABLE]
    assert [cid for _, cid, _ in solo.sent()] == [5]
    assert solo.connection.incoming.dropped == 1


def test_the_remotes_end_may_leave_handlers_time() -> None:
    """With `eof_grace` they may end, and their answers are sent, in case the remote still reads; new input there is none."""
    solo = Solo(Limits(eof_grace=5))
    own = solo.call()
    solo.sent()
    first, second = requests(solo.feed(call_frame(1), call_frame(2)))
    solo.connection.receive_eof(solo.now)
    event = only(solo.connection.events(), CallFailed)
    assert event.call is own
    assert isinstance(event.error, ConnectionLost)
    assert event.error.reason is CloseReason.CLOSED_BY_REMOTE
    assert (solo.connection.phase, solo.connection.wants_read) == (GRACE, False)
    assert solo.feed(call_frame(3)) == [], "a transport that gives bytes after its end is not listened to"
    solo.connection.respond(first, b"1", solo.now)
    assert solo.sent() == [(RESPONSE_SID, 1, b"1")]
    assert names(solo.wait(5)) == ["RequestCancelled"]
    solo.sent()
    assert names(solo.connection.events()) == ["WritingFinished", "PeerClosed"]
    assert solo.budget.in_use == 1, "its handler has not ended yet"
    solo.connection.done(second, solo.now)
    solo.assert_nothing_left()


@pytest.mark.parametrize("end", ["respond", "fail", "done"])
def test_a_handler_that_was_cancelled_holds_what_it_has_until_it_ended(end: str) -> None:
    """A thread can't be cancelled: it gives its permit back when it ends, whichever way, and nothing is told twice."""
    solo = Solo()
    running = requests(solo.feed(call_frame(1), send_frame()))
    solo.connection.transport_lost("reset", solo.now)
    assert names(solo.connection.events()) == ["RequestCancelled", "RequestCancelled", "PeerClosed"]
    assert (solo.budget.in_use, solo.connection.incoming.sends.running) == (1, 1)
    for request in running:
        if end == "respond":
            solo.connection.respond(request, b"late", solo.now)
        elif end == "fail":
            solo.connection.fail(request, FailureKind.HANDLER_FAILED, solo.now)
        else:
            solo.connection.done(request, solo.now)
    assert solo.connection.events() == []
    solo.assert_nothing_left()


def test_a_call_with_an_id_in_use_while_ending() -> None:
    """A second call under the id of one that still runs is a protocol error in grace as well, and hurts nobody here."""
    solo = Solo()
    running = solo.deliver(call_frame(1))
    solo.connection.close("bye", 5, solo.now)
    assert names(solo.feed(call_frame(1))) == ["RequestCancelled"]
    assert solo.connection.phase is CLOSING
    assert [error_kind(each) for each in solo.sent()] == ["DeserializeWireFormat"]
    solo.connection.respond(running, b"answer", solo.now)
    assert solo.budget.in_use == 0


def test_refusals_are_bounded_while_ending() -> None:
    """A remote that goes on calling and does not read: in grace, too, reading pauses over the mark of refusals."""
    solo = Solo(Limits(owed=1))
    running = solo.deliver(call_frame(1))
    solo.connection.close("bye", 5, solo.now)
    for cid in range(2, 1000):
        solo.feed(call_frame(cid))
    assert not solo.connection.wants_read
    assert solo.connection.outbox.level < 1000
    assert len(solo.sent()) == 998
    assert solo.connection.wants_read
    solo.connection.respond(running, b"", solo.now)
    assert solo.sent() == [(RESPONSE_SID, 1, b"")]


def test_an_end_of_stream_behind_refusals() -> None:
    """Reading pauses in grace, the remote's end waits behind the bytes, and both are taken up when it goes on."""
    solo = Solo(Limits(owed=1))
    running = solo.deliver(call_frame(1))
    solo.connection.close("bye", 5, solo.now)
    solo.feed(b"".join(call_frame(cid) for cid in range(2, 9)))
    solo.connection.receive_eof(solo.now)
    assert not solo.connection.wants_read
    assert len(solo.sent()) == 7
    assert solo.connection.phase is GRACE
    solo.connection.respond(running, b"", solo.now)
    assert solo.sent() == [(RESPONSE_SID, 1, b"")]
    assert names(solo.connection.events())[-2:] == ["WritingFinished", "PeerClosed"]


# -- pauses, ends of stream, and both ------------------------------------------------------------------


def paused(*frames: bytes, sends: int = 1) -> tuple[Solo, IncomingRequest]:
    """Reading is paused by a one-way message that runs; the frames are received, and not looked at."""
    solo = Solo(Limits(sends=sends))
    running = solo.deliver(send_frame(b"running"))
    solo.call()
    solo.sent()
    solo.feed(*frames)
    assert not solo.connection.wants_read
    return solo, running


def test_an_end_of_stream_waits_behind_what_was_received() -> None:
    """The answer came before the end: whoever waits for it gets it, not the loss of the connection."""
    solo, running = paused(response_frame(1, b"answer"))
    solo.connection.receive_eof(solo.now)
    assert solo.connection.events() == []
    assert solo.connection.phase is OPEN
    solo.connection.done(running, solo.now)
    assert names(solo.connection.events()) == ["ResponseReceived", "WritingFinished", "PeerClosed"]
    assert solo.connection.reason is CloseReason.CLOSED_BY_REMOTE
    solo.assert_nothing_left()


def test_an_end_of_stream_waits_through_several_pauses() -> None:
    """Each message pauses reading anew; the end comes after the last of them."""
    solo, running = paused(send_frame(b"1") + send_frame(b"2"))
    solo.connection.receive_eof(solo.now)
    for number in (b"1", b"2"):
        solo.connection.done(running, solo.now)
        (running,) = requests(solo.connection.events())
        assert running.payload == number
    assert solo.connection.phase is OPEN
    solo.connection.done(running, solo.now)
    assert solo.connection.phase is CLOSED


def test_a_frame_cut_behind_a_pause() -> None:
    """The stream ends inside of a frame that was not looked at: truncated, with what is known of it."""
    solo, running = paused(call_frame(1, b"xyz")[:20])
    solo.connection.receive_eof(solo.now)
    solo.connection.done(running, solo.now)
    closed = only(solo.connection.events(), PeerClosed)
    assert (closed.reason, closed.detail) == (CloseReason.TRUNCATED, "20 of 27 bytes of a frame")


def test_garbage_behind_a_pause() -> None:
    """It is found when reading goes on, and the end of stream behind it is the end."""
    solo, running = paused(bytes(24))
    solo.connection.receive_eof(solo.now)
    solo.connection.done(running, solo.now)
    assert solo.connection.reason is CloseReason.PROTOCOL_ERROR
    assert [error_kind(each) for each in solo.sent()] == ["DeserializeWireFormat"]
    assert solo.connection.phase is CLOSED
    assert "a frame of 0 bytes" in only(solo.connection.events(), PeerClosed).detail


def test_a_close_while_reading_is_paused() -> None:
    """What was received is taken up at once: calls are refused, messages dropped, late answers dropped."""
    solo, running = paused(call_frame(1), send_frame(), response_frame(1))
    solo.connection.close("bye", 5, solo.now)
    assert names(solo.connection.events()) == ["CallFailed", "RequestFailed"]
    assert (solo.connection.late, solo.connection.incoming.dropped) == (1, 1)
    assert [described(each) for each in solo.sent()] == [INTERNAL]
    assert solo.connection.wants_read
    solo.connection.done(running, solo.now)
    assert solo.connection.phase is CLOSING


@pytest.mark.parametrize("grace", [0, 5])
def test_a_close_with_an_end_of_stream_that_waits(grace: float) -> None:
    """Paused, ended by the remote, closed by us: the end of stream counts, so nothing is waited for after our last byte."""
    solo, running = paused(call_frame(1))
    solo.connection.receive_eof(solo.now)
    solo.connection.close("bye", grace, solo.now)
    solo.connection.done(running, solo.now)
    solo.sent()
    assert solo.connection.phase is CLOSED
    assert solo.connection.reason is CloseReason.CLOSED_LOCALLY
    assert names(solo.connection.events())[-2:] == ["WritingFinished", "PeerClosed"]


def test_an_end_that_was_cut_short_behind_a_pause() -> None:
    """What the transport says about the end is kept until the end is looked at."""
    solo, running = paused(response_frame(1, b"answer"))
    solo.connection.receive_eof(solo.now, "no close_notify")
    assert solo.connection.phase is OPEN
    solo.connection.done(running, solo.now)
    assert only(solo.connection.events(), PeerClosed).reason is CloseReason.TRUNCATED


def test_garbage_behind_a_pause_that_a_close_ends() -> None:
    """The close is first, so its reason stays; the remote is told of its mistake all the same."""
    solo, running = paused(bytes(24))
    solo.connection.close("bye", 5, solo.now)
    assert solo.connection.phase is CLOSING
    assert [error_kind(each) for each in solo.sent()] == ["DeserializeWireFormat"]
    solo.connection.done(running, solo.now)
    solo.connection.receive_eof(solo.now)
    assert only(solo.connection.events(), PeerClosed).reason is CloseReason.CLOSED_LOCALLY
    solo.assert_nothing_left()


def test_a_loss_while_reading_is_paused() -> None:
    """The transport broke: what was received and not looked at is gone, and nothing waits for the pause to end."""
    solo, running = paused(response_frame(1), send_frame())
    solo.connection.transport_lost("reset", solo.now)
    assert names(solo.connection.events()) == ["CallFailed", "RequestCancelled", "PeerClosed"]
    solo.connection.done(running, solo.now)
    solo.assert_nothing_left()


def test_a_loss_behind_an_end_of_stream_that_waits() -> None:
    """The remote had ended its stream before, and all of that is here: so it is taken up at once, though it is much."""
    solo, first = paused(response_frame(1, b"answer"), send_frame(b"1") + send_frame(b"2"))
    solo.connection.receive_eof(solo.now)
    solo.connection.transport_lost("reset", solo.now)
    events = solo.connection.events()
    assert only(events, ResponseReceived).payload == b"answer"
    assert [request.payload for request in requests(events)] == [b"1", b"2"]
    for request in (first, *requests(events)):
        assert not request.is_cancelled
        solo.connection.done(request, solo.now)
    assert only(solo.connection.events(), PeerClosed).reason is CloseReason.CLOSED_BY_REMOTE
    solo.assert_nothing_left()


def test_the_clock_of_a_frame_stands_still_while_reading_is_paused() -> None:
    """The remote can't send faster than we read: the time of its frame begins when reading goes on."""
    solo, running = paused(call_frame(1)[:10])
    assert solo.wait(1000) == []
    solo.connection.done(running, solo.now)
    assert solo.connection.next_deadline() == solo.now + 30


def test_a_frame_in_many_pieces_behind_a_pause() -> None:
    """Pieces that came during the pause are put together, whatever their sizes."""
    data = send_frame(b"x" * 100) + send_frame(b"y" * 100)
    solo, running = paused(*(data[start : start + 30] for start in range(0, len(data), 30)))
    assert solo.connection.buffered == len(data)
    payloads = []
    for _ in range(2):
        solo.connection.done(running, solo.now)
        (running,) = requests(solo.connection.events())
        payloads.append(running.payload)
    assert payloads == [b"x" * 100, b"y" * 100]
    assert solo.connection.buffered == 0


def test_a_timer_takes_up_reading() -> None:
    """Whatever made it possible, the next timer at the latest looks whether reading may go on."""
    solo, running = paused(response_frame(1))
    del running
    solo.connection.handle_timer(solo.now)
    assert solo.connection.events() == []


def test_an_answer_that_lets_reading_pause() -> None:
    """The last answer that was owed has come, and the parking is full: from here on reading can wait."""
    solo = Solo(Limits(calls=1, parked=1))
    solo.call()
    solo.sent()
    solo.feed(call_frame(1), call_frame(2))
    assert solo.connection.wants_read
    solo.feed(response_frame(1))
    assert not solo.connection.wants_read


def test_memory_of_received_bytes_may_be_used_again() -> None:
    """A view is copied: the driver may receive into the same memory again."""
    solo = Solo()
    memory = bytearray(call_frame(1, b"payload"))
    solo.connection.receive_data(memoryview(memory), solo.now)
    memory[:] = bytes(len(memory))
    (request,) = requests(solo.connection.events())
    assert (request.sid, request.payload) == (ECHO, b"payload")


def test_an_error_about_the_connection_is_told() -> None:
    """An error frame that names no call of ours is an event, and no answer is ever made to it."""
    solo = Solo()
    events = solo.feed(error_frame(0, ErrorKind.DESERIALIZE_WIREFORMAT))
    assert repr(events) == "[ErrorReported(DeserializeWireFormat, cid=0, 'out of step')]"
    assert solo.sent() == []
    assert solo.connection.strays == 1


def test_the_default_budget_is_the_connections_own() -> None:
    """Without one given, it has as many permits as the limits say."""
    connection = Connection(standard_routes().get, BODIES, limits=Limits(calls=3, lent=2))
    connection.receive_data(b"".join(frame(ECHO, cid) for cid in range(1, 9)), 0.0)
    assert len(requests(connection.events())) == 3
    assert connection.incoming.budget.limit == 3
