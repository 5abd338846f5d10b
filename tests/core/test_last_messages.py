"""One-way messages that came before a clean end of the stream: they are handled, whatever becomes of the connection."""

from __future__ import annotations

import pytest
from tests.core.harness import (
    ECHO,
    ORDERED,
    START,
    Solo,
    call_frame,
    error_kind,
    names,
    only,
    requests,
    send_frame,
)

from duologue.protocol.errors import CloseReason, ConnectionClosed, FailureKind
from duologue.protocol.events import IncomingRequest, PeerClosed, RequestFailed
from duologue.protocol.ids import RESPONSE_SID
from duologue.protocol.lifecycle import Phase
from duologue.protocol.limits import Limits


def ended(*frames: bytes, limits: Limits = Limits()) -> tuple[Solo, list[IncomingRequest]]:
    """These came, and behind them the end of the stream. Gives what runs; the events are looked at."""
    solo = Solo(limits)
    running = requests(solo.feed(*frames))
    solo.connection.receive_eof(solo.now)
    return solo, running


def test_a_message_and_then_the_end() -> None:
    """Its handler goes on. We end our half at once, so the remote need not wait for it; when it is done, all is over."""
    solo, (message,) = ended(send_frame(b"message"))
    assert names(solo.connection.events()) == ["WritingFinished"]
    assert (solo.connection.phase, solo.connection.reason) == (Phase.GRACE, CloseReason.CLOSED_BY_REMOTE)
    assert not solo.connection.wants_read
    solo.connection.done(message, solo.now)
    assert names(solo.connection.events()) == ["PeerClosed"]
    solo.assert_nothing_left()


def test_many_messages_in_their_order() -> None:
    """What waits for its turn keeps it. A call among them goes, since nobody may read its answer."""
    frames = (send_frame(b"1", ORDERED), call_frame(7, b"call", ORDERED), send_frame(b"2", ORDERED))
    solo, running = ended(*frames, send_frame(b"3", ORDERED))
    handled: list[bytes] = []
    while running:
        (message,) = running
        handled.append(message.payload)
        solo.connection.done(message, solo.now)
        running = requests(solo.connection.events())
    assert handled == [b"1", b"2", b"3"]
    solo.assert_nothing_left()


def test_a_turn_that_a_call_holds_is_passed_on() -> None:
    """A call that runs in the lane is cancelled; when its handler has ended, the next message has its turn."""
    solo, (call,) = ended(call_frame(7, sid=ORDERED), send_frame(b"message", ORDERED))
    assert call.is_cancelled
    assert requests(solo.connection.events()) == []
    solo.connection.done(call, solo.now)
    (message,) = requests(solo.connection.events())
    solo.connection.done(message, solo.now)
    solo.sent()
    assert names(solo.connection.events()) == ["WritingFinished", "PeerClosed"]


def test_a_turn_that_waits_for_a_permit_is_passed_on() -> None:
    """A call had its turn and no permit. It is gone with the end, and its turn must not go with it."""
    solo, (running,) = ended(
        call_frame(1), call_frame(2, sid=ORDERED), send_frame(b"message", ORDERED), limits=Limits(calls=1)
    )
    assert running.is_cancelled
    (message,) = requests(solo.connection.events())
    assert message.payload == b"message"


def test_calls_are_cancelled_at_once() -> None:
    """There is nobody to read their answers. A thread that can't be cancelled keeps nobody waiting, either."""
    solo, (call, message) = ended(call_frame(1), send_frame())
    assert names(solo.connection.events()) == ["RequestCancelled"]
    assert [error_kind(each) for each in solo.sent()] == ["InternalServerError"]
    assert names(solo.connection.events()) == ["WritingFinished"]
    solo.connection.done(message, solo.now)
    assert solo.connection.phase is Phase.CLOSED
    solo.connection.done(call, solo.now)
    solo.assert_nothing_left()


def test_calls_may_have_time_too() -> None:
    """With `eof_grace` they run on, for that time; messages for the longer one. Our half ends behind the last answer."""
    solo, (call, slow, message) = ended(
        call_frame(1), call_frame(2), send_frame(), limits=Limits(eof_grace=3)
    )
    assert solo.connection.events() == []
    solo.connection.respond(call, b"answer", solo.now)
    assert solo.sent() == [(RESPONSE_SID, 1, b"answer")]
    assert solo.connection.events() == [], "another may still be answered"
    assert names(solo.wait(3)) == ["RequestCancelled"]
    assert [error_kind(each) for each in solo.sent()] == ["InternalServerError"]
    assert names(solo.connection.events()) == ["WritingFinished"]
    assert slow.is_cancelled
    solo.connection.done(slow, solo.now)
    solo.connection.done(message, solo.now)
    solo.assert_nothing_left()


def test_their_time_has_an_end() -> None:
    """After `eof_grace_sends` they are cancelled, and what waits for its turn is dropped, with an event."""
    solo, (message,) = ended(send_frame(b"1", ORDERED), send_frame(b"2", ORDERED))
    solo.connection.events()
    assert solo.connection.next_deadline() == START + 10
    events = solo.wait(10)
    assert names(events) == ["RequestFailed", "RequestCancelled", "PeerClosed"]
    assert only(events, RequestFailed).kind is FailureKind.DROPPED
    assert message.is_cancelled
    solo.connection.done(message, solo.now)
    solo.assert_nothing_left()


def test_the_longer_time_counts() -> None:
    """`eof_grace` is for all handlers, so messages have that at least."""
    solo, _ = ended(send_frame(), limits=Limits(eof_grace=30))
    assert solo.connection.next_deadline() == START + 30


def test_no_time_for_them() -> None:
    """With 0 the end of the stream is the end, as in the original."""
    solo, (message,) = ended(
        send_frame(b"1", ORDERED), send_frame(b"2", ORDERED), limits=Limits(eof_grace_sends=0)
    )
    events = solo.connection.events()
    assert names(events) == ["RequestFailed", "RequestCancelled", "WritingFinished", "PeerClosed"]
    assert message.is_cancelled


def test_what_the_transport_knows_of_the_end() -> None:
    """It is the detail of the reason."""
    solo = Solo()
    solo.connection.receive_eof(solo.now, detail="ended with status 1")
    assert solo.connection.reason is CloseReason.CLOSED_BY_REMOTE
    (closed,) = [event for event in solo.connection.events() if isinstance(event, PeerClosed)]
    assert closed.detail == "ended with status 1"


@pytest.mark.parametrize("cut_short", ["inside a frame", "no close_notify"])
def test_an_end_that_is_not_clean(cut_short: str) -> None:
    """Then nothing is known about what the remote wanted: all is cancelled."""
    solo = Solo()
    (message,) = requests(solo.feed(send_frame()))
    if cut_short == "inside a frame":
        solo.feed(send_frame()[:10])
        cut_short = ""
    solo.connection.receive_eof(solo.now, cut_short)
    assert message.is_cancelled
    assert solo.connection.reason is CloseReason.TRUNCATED


def test_the_transport_goes_meanwhile() -> None:
    """The remote closes its socket, and at last it is reset: the message needs no socket. Only calls do."""
    solo, (call, message) = ended(call_frame(1), send_frame(), limits=Limits(eof_grace=5))
    solo.connection.respond(call, bytes(100), solo.now)
    assert solo.connection.data_to_send()
    solo.connection.transport_lost("reset", solo.now)
    assert solo.connection.outbox.level == 0
    assert solo.connection.events() == []
    solo.connection.data_sent(solo.now)
    solo.connection.transport_lost("again", solo.now)
    assert not message.is_cancelled
    solo.connection.done(message, solo.now)
    assert names(solo.connection.events()) == ["PeerClosed"], "there is no half to end any more"
    assert solo.connection.reason is CloseReason.CLOSED_BY_REMOTE
    solo.assert_nothing_left()


def test_calls_that_have_time_end_with_the_transport() -> None:
    """Their answers can't leave, so they are cancelled, and without messages all is over."""
    solo, (call,) = ended(call_frame(1), limits=Limits(eof_grace=5))
    solo.connection.transport_lost("reset", solo.now)
    assert names(solo.connection.events()) == ["RequestCancelled", "PeerClosed"]
    solo.connection.done(call, solo.now)
    solo.assert_nothing_left()


def test_a_stall_ends_only_what_is_written() -> None:
    """The remote reads no answers any more: they are given up, and the message is not."""
    limits = Limits(eof_grace=9, requests_stalled=2)
    solo, (call, message) = ended(call_frame(1), send_frame(), limits=limits)
    solo.connection.respond(call, bytes(100), solo.now)
    assert solo.connection.data_to_send()
    assert solo.wait(2) == []
    assert solo.connection.phase is Phase.GRACE
    assert solo.connection.outbox.level == 0
    solo.connection.done(message, solo.now)
    solo.assert_nothing_left()


@pytest.mark.parametrize(
    ("grace", "cancelled"),
    [(0.0, ["RequestCancelled", "PeerClosed"]), (3.0, [])],
    ids=["at once", "with grace"],
)
def test_a_close_ends_them(grace: float, cancelled: list[str]) -> None:
    """Whoever closes this end decides how long they have: the earlier end counts."""
    solo, _ = ended(send_frame())
    solo.connection.events()
    solo.connection.close("the server closes", grace, solo.now)
    assert names(solo.connection.events()) == cancelled
    solo.wait(grace)
    assert solo.connection.phase is Phase.CLOSED


def test_an_abort_ends_them() -> None:
    """At once."""
    solo, _ = ended(send_frame())
    solo.connection.events()
    solo.connection.abort("", solo.now)
    assert names(solo.connection.events()) == ["RequestCancelled", "PeerClosed"]


def test_the_remote_ends_within_our_own_grace() -> None:
    """We had closed before. A message that runs has the time that we gave, and needs no transport for it."""
    solo = Solo()
    (message,) = requests(solo.feed(send_frame()))
    solo.connection.close("bye", 5, solo.now)
    solo.connection.receive_eof(solo.now)
    assert names(solo.connection.events()) == ["WritingFinished"]
    solo.connection.transport_lost("reset", solo.now)
    assert solo.connection.next_deadline() == START + 5
    solo.connection.done(message, solo.now)
    assert only(solo.connection.events(), PeerClosed).reason is CloseReason.CLOSED_LOCALLY


def test_the_remote_ends_while_we_drain() -> None:
    """It is as if it had been open: the message goes on."""
    solo = Solo()
    (message,) = requests(solo.feed(send_frame()))
    solo.connection.drain("", 60, solo.now)
    solo.connection.receive_eof(solo.now)
    assert not message.is_cancelled
    solo.connection.done(message, solo.now)
    assert only(solo.connection.events(), PeerClosed).reason is CloseReason.CLOSED_BY_REMOTE


def test_a_handler_can_not_ask_the_remote_any_more() -> None:
    """It has gone."""
    solo, (message,) = ended(send_frame())
    with pytest.raises(ConnectionClosed) as caught:
        solo.connection.call(ECHO, b"", None, solo.now, message)
    assert caught.value.reason is CloseReason.CLOSED_BY_REMOTE


@pytest.mark.parametrize("seconds", [0.5, 1.0])
def test_a_second_is_time_enough_for_the_next(seconds: float) -> None:
    """However short the time is: what waits for its turn keeps it, and starts when that comes."""
    solo, (first,) = ended(
        send_frame(b"first", ORDERED), send_frame(b"next", ORDERED), limits=Limits(eof_grace_sends=seconds)
    )
    solo.connection.done(first, solo.now)
    assert [request.payload for request in requests(solo.connection.events())] == [b"next"]


def test_an_end_that_is_told_twice() -> None:
    """The first one counts: it was clean, so the message needs the transport no more, whatever is said of it afterwards."""
    solo, (message,) = ended(send_frame())
    solo.connection.receive_eof(solo.now, "no goodbye")
    solo.connection.transport_lost("reset", solo.now)
    assert names(solo.connection.events()) == ["WritingFinished"]
    solo.connection.done(message, solo.now)
    assert solo.connection.reason is CloseReason.CLOSED_BY_REMOTE
    solo.assert_nothing_left()
