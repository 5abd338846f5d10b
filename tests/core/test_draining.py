"""Draining: a connection goes on until all that is under way has ended, and no longer."""

from __future__ import annotations

import math

import pytest
from tests.core.harness import (
    ECHO,
    ORDERED,
    START,
    Ask,
    Pair,
    Solo,
    Steps,
    call_error_of,
    call_frame,
    error_kind,
    names,
    only,
    requests,
    response_frame,
    send_frame,
)

from duologue.protocol.errors import (
    CallTimeout,
    CloseReason,
    ConnectionClosed,
    ConnectionLost,
    Executed,
    FailureKind,
)
from duologue.protocol.events import (
    CallReceived,
    IncomingRequest,
    PeerClosed,
    RequestFailed,
    ResponseReceived,
)
from duologue.protocol.feed import Feed
from duologue.protocol.ids import RESPONSE_SID
from duologue.protocol.lifecycle import Phase
from duologue.protocol.limits import Limits


def draining(limits: Limits = Limits(), timeout: float | None = 60.0) -> tuple[Solo, IncomingRequest]:
    """A connection that drains, with a handler that runs."""
    solo = Solo(limits)
    running = solo.deliver(call_frame(1))
    solo.connection.drain("an update", timeout, solo.now)
    return solo, running


def test_an_idle_connection_is_drained_at_once() -> None:
    """Nothing is under way, so it closes like any other, and says that it was drained."""
    solo = Solo()
    solo.connection.drain("an update", 60, solo.now)
    assert solo.connection.is_drained
    assert solo.connection.phase is Phase.CLOSING
    solo.connection.receive_eof(solo.now)
    event = only(solo.connection.events(), PeerClosed)
    assert (event.reason, event.detail) == (CloseReason.CLOSED_LOCALLY, "an update")
    solo.assert_nothing_left()


def test_what_was_accepted_is_answered() -> None:
    """Handlers that run, and calls that wait for a permit or for their turn: all are answered, and then it ends."""
    solo = Solo(Limits(calls=1))
    (running,) = requests(solo.feed(call_frame(1), call_frame(2), call_frame(3, sid=ORDERED)))
    solo.connection.drain("", 60, solo.now)
    for cid in (1, 2, 3):
        assert (solo.connection.phase, running.cid) == (Phase.DRAINING, cid)
        solo.connection.respond(running, b"", solo.now)
        assert solo.sent() == [(RESPONSE_SID, cid, b"")]
        running = next(iter(requests(solo.connection.events())), running)
    assert solo.connection.phase is Phase.CLOSING


def test_own_calls_are_waited_for() -> None:
    """They were made before, so they get their answer; and with the last one it ends."""
    solo = Solo()
    call = solo.call()
    solo.sent()
    solo.connection.drain("", 60, solo.now)
    events = solo.feed(response_frame(1, b"answer"))
    assert names(events) == ["ResponseReceived", "WritingFinished"]
    assert only(events, ResponseReceived).call is call
    assert solo.connection.is_drained


def test_an_own_call_that_times_out_is_waited_for_no_longer() -> None:
    """Nobody waits for it any more, whatever the remote still does about it."""
    solo = Solo()
    solo.call(timeout=5)
    solo.sent()
    solo.connection.drain("", 60, solo.now)
    events = solo.wait(5)
    assert isinstance(call_error_of(events), CallTimeout)
    assert solo.connection.phase is Phase.CLOSING
    assert solo.connection.is_drained


def test_an_own_call_that_is_given_up_is_waited_for_no_longer() -> None:
    """The same with one whose caller was cancelled."""
    solo = Solo()
    call = solo.call()
    solo.sent()
    solo.connection.drain("", 60, solo.now)
    solo.connection.cancel(call, solo.now)
    assert solo.connection.is_drained


def test_the_last_byte_is_waited_for() -> None:
    """All is answered, and the transport has not taken it: that is still under way."""
    solo, running = draining()
    solo.connection.respond(running, b"answer", solo.now)
    assert solo.connection.data_to_send()
    assert solo.connection.phase is Phase.DRAINING
    solo.connection.data_sent(solo.now)
    assert solo.connection.phase is Phase.CLOSING


def test_what_waits_for_room_leaves_first() -> None:
    """Sends that wait, and what is in the feed of a subscriber: accepted is accepted."""
    solo = Solo(Limits(outbox_high=50, outbox_low=0))
    solo.send(bytes(100))
    waiting, feed = solo.send(b"waits"), Feed()
    solo.connection.publish(feed, ECHO, b"published", solo.now)
    assert waiting is not None
    assert feed.waiting == 1
    solo.connection.drain("", 60, solo.now)
    assert [payload for _, _, payload in solo.sent()] == [bytes(100), b"waits", b"published"]
    assert solo.connection.is_drained


def test_new_calls_are_refused_and_told() -> None:
    """`InternalServerError` for the remote, `Unavailable` here; its one-way messages are handled, and waited for."""
    solo, running = draining()
    (failed,) = solo.feed(call_frame(2))
    assert isinstance(failed, RequestFailed)
    assert failed.kind is FailureKind.UNAVAILABLE
    (send,) = requests(solo.feed(send_frame(b"message")))
    solo.connection.respond(running, b"", solo.now)
    assert [error_kind(each) for each in solo.sent()[:1]] == ["InternalServerError"]
    assert solo.connection.phase is Phase.DRAINING
    solo.connection.done(send, solo.now)
    assert solo.connection.is_drained


def test_one_way_messages_are_bounded_as_ever() -> None:
    """A remote that sends and sends does not get more in than else: reading pauses over the budget, and goes on."""
    solo, running = draining(Limits(sends=1))
    (send,) = requests(solo.feed(send_frame(b"1"), send_frame(b"2"), call_frame(2)))
    assert not solo.connection.wants_read
    solo.connection.done(send, solo.now)
    (send,) = requests(solo.connection.events())
    assert send.payload == b"2"
    solo.connection.respond(running, b"", solo.now)
    solo.connection.done(send, solo.now)
    assert solo.connection.wants_read
    assert [error_kind(each) for each in solo.sent()[1:]] == ["InternalServerError"]
    assert solo.connection.is_drained


def test_refused_calls_do_not_pause_reading_for_the_parking() -> None:
    """The parking is full, and nothing is owed: when open reading would pause, but here calls only have to be refused."""
    solo = Solo(Limits(calls=1, parked=1))
    solo.feed(call_frame(1), call_frame(2))
    assert not solo.connection.wants_read
    solo.connection.drain("", 60, solo.now)
    assert solo.connection.wants_read
    assert names(solo.feed(call_frame(3), send_frame())) == ["RequestFailed", "SendReceived"]


def test_an_id_in_use_is_an_error_as_ever() -> None:
    """A refusal must not be taken for the answer to the call that runs."""
    solo, _ = draining()
    solo.feed(call_frame(1))
    assert solo.connection.reason is CloseReason.PROTOCOL_ERROR


def test_what_is_under_way_may_call() -> None:
    """A handler needs an answer of the remote's to come to its own. Handlers of other connections are outside, like all else."""
    pair = Pair()

    def asks(request: IncomingRequest) -> Steps:
        # It drains from now on, while this one runs.
        pair.right.connection.drain("", 60, pair.now)
        answer = yield Ask(ECHO, b"needed")
        return answer

    pair.right.handlers[ECHO] = asks
    pair.left.handlers[ECHO] = lambda request: b"given"
    call = pair.left.call()
    pair.run()
    assert pair.left.outcomes[call] == b"given"
    assert pair.right.connection.is_drained


def test_handlers_of_other_connections_are_outside() -> None:
    """They go on as long as those connections do, so a busy one would never be drained."""
    solo, running = draining()
    with pytest.raises(ConnectionClosed) as caught:
        solo.connection.call(ECHO, b"", None, solo.now, CallReceived(ECHO, 5, b"", None))
    assert (caught.value.reason, caught.value.executed) == (CloseReason.CLOSED_LOCALLY, Executed.NO)
    solo.connection.respond(running, b"", solo.now)
    with pytest.raises(ConnectionClosed):
        solo.connection.send(ECHO, b"", None, solo.now, running)


def test_it_says_why_it_takes_nothing_more() -> None:
    """The reason that was given stands in the error of whoever comes too late."""
    solo, _ = draining()
    with pytest.raises(ConnectionClosed, match="closed locally \\(draining: an update\\)"):
        solo.call()


def test_no_reason_needs_to_be_given() -> None:
    """Then the error of whoever comes too late says that it drains, and not why."""
    solo = Solo()
    solo.deliver(call_frame(1))
    solo.connection.drain("", 60.0, solo.now)
    with pytest.raises(ConnectionClosed, match="closed locally \\(draining\\)"):
        solo.call()


@pytest.mark.parametrize("timeout", [math.nan, -1.0])
def test_a_time_that_is_none(timeout: float) -> None:
    """`ValueError`, and the connection is as it was."""
    solo = Solo()
    with pytest.raises(ValueError, match="give 0 or more"):
        solo.connection.drain("", timeout, solo.now)
    assert solo.connection.phase is Phase.OPEN


def test_no_time_at_all() -> None:
    """That is a close without grace."""
    solo, _ = draining(timeout=0.0)
    assert solo.connection.phase is Phase.CLOSING
    assert not solo.connection.is_drained


@pytest.mark.parametrize(
    ("first", "second", "ends"), [(5.0, 3.0, 3.0), (3.0, 5.0, 3.0), (None, 4.0, 4.0), (4.0, None, 4.0)]
)
def test_the_earlier_end_wins(first: float | None, second: float | None, ends: float) -> None:
    """Draining twice: the shorter time counts, and the first words stay. When it is over: as a close without grace."""
    solo, running = draining(timeout=first)
    solo.connection.drain("something else", second, solo.now)
    assert solo.connection.next_deadline() == START + ends
    assert solo.wait(ends - 0.1) == []
    assert names(solo.wait(0.1)) == ["RequestCancelled"]
    assert running.is_cancelled
    assert [error_kind(each) for each in solo.sent()] == ["InternalServerError"]
    solo.connection.receive_eof(solo.now)
    event = only(solo.connection.events(), PeerClosed)
    assert (event.reason, event.detail) == (
        CloseReason.CLOSED_LOCALLY,
        "an update, and not drained in time",
    )
    assert not solo.connection.is_drained


def test_time_is_over_for_all_that_waits() -> None:
    """Calls of both ends, parked ones, and messages in the lane: each is told."""
    solo = Solo(Limits(calls=1))
    solo.call()
    solo.feed(call_frame(1), call_frame(2), send_frame(sid=ORDERED), send_frame(sid=ORDERED))
    solo.sent()
    solo.connection.drain("", 5, solo.now)
    events = solo.wait(5)
    kinds = [event.kind for event in events if isinstance(event, RequestFailed)]
    assert kinds == [FailureKind.UNAVAILABLE, FailureKind.DROPPED]
    error = call_error_of(events)
    assert isinstance(error, ConnectionClosed)
    assert error.detail == "not drained in time"


def test_without_a_bound_it_takes_as_long_as_it_takes() -> None:
    """There is no timer for it."""
    solo, running = draining(timeout=None)
    assert solo.connection.next_deadline() is None
    assert solo.wait(10_000) == []
    solo.connection.respond(running, b"", solo.now)
    solo.sent()
    assert solo.connection.is_drained


@pytest.mark.parametrize(("grace", "ends"), [(3.0, 3.0), (50.0, 10.0)])
def test_a_close_while_it_drains(grace: float, ends: float) -> None:
    """It goes on as a close does, in the time that is left at most, and with the reason that was given first."""
    solo, _ = draining(timeout=10.0)
    solo.connection.close("enough", grace, solo.now)
    assert solo.connection.phase is Phase.GRACE
    assert solo.wait(ends - 0.1) == []
    assert names(solo.wait(0.1)) == ["RequestCancelled"]
    solo.connection.abort("", solo.now)
    assert only(solo.connection.events(), PeerClosed).detail == "an update"
    assert not solo.connection.is_drained


def test_the_remote_ends_while_it_drains() -> None:
    """Something was under way, so it is an end by the remote: own calls fail, and its calls are cancelled."""
    solo, _ = draining()
    solo.connection.receive_eof(solo.now)
    solo.sent()
    event = only(solo.connection.events(), PeerClosed)
    assert (event.reason, event.detail) == (CloseReason.CLOSED_BY_REMOTE, "")
    assert not solo.connection.is_drained


def test_the_remote_ends_when_all_is_answered() -> None:
    """Nothing is under way but bytes that the transport has not taken: it was drained, and they still leave."""
    solo, running = draining()
    solo.connection.respond(running, b"answer", solo.now)
    solo.connection.receive_eof(solo.now)
    assert solo.connection.is_drained
    assert solo.sent() == [(RESPONSE_SID, 1, b"answer")]
    event = only(solo.connection.events(), PeerClosed)
    assert (event.reason, event.detail) == (CloseReason.CLOSED_LOCALLY, "an update")


@pytest.mark.parametrize(
    ("cut_short", "reason"),
    [("no close_notify", CloseReason.TRUNCATED), (None, CloseReason.TRANSPORT_FAILED)],
)
def test_an_end_that_is_none_of_the_drainings(cut_short: str | None, reason: CloseReason) -> None:
    """Who waits for the end must learn that it was another: the reason is that of what really ended it."""
    solo, _ = draining()
    if cut_short is None:
        solo.connection.transport_lost("reset", solo.now)
    else:
        solo.connection.receive_eof(solo.now, cut_short)
        solo.sent()
    assert only(solo.connection.events(), PeerClosed).reason is reason
    assert not solo.connection.is_drained


def test_own_calls_of_a_connection_that_is_lost_while_it_drains() -> None:
    """They fail as if it had been open: lost, and not closed by this end."""
    solo = Solo()
    solo.call()
    solo.sent()
    solo.connection.drain("", 60, solo.now)
    solo.connection.transport_lost("reset", solo.now)
    error = call_error_of(solo.connection.events())
    assert isinstance(error, ConnectionLost)
    assert error.reason is CloseReason.TRANSPORT_FAILED


def test_both_ends_drain() -> None:
    """Each has a call that the other answers, and nobody is cut off."""
    pair = Pair()
    calls = [(end, end.call()) for end in (pair.left, pair.right)]
    for held in (pair.rightward, pair.leftward):
        held.held = True
    pair.run()
    for held in (pair.rightward, pair.leftward):
        held.held = False
    pair.run()
    for end, _ in calls:
        end.connection.drain("", 60, pair.now)
    pair.run()
    assert [end.outcomes[call] for end, call in calls] == [b"", b""]
    for end, _ in calls:
        assert end.connection.is_drained
        assert only(end.log, PeerClosed).reason is CloseReason.CLOSED_LOCALLY
