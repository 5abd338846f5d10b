"""Own calls and sends: the wait for room, the deadline, and the one outcome."""

from __future__ import annotations

import math

import pytest
from tests.core.harness import ECHO, Solo, call_error_of, call_frame, error_frame, names, only, response_frame

from duologue.protocol.errors import CallTimeout, Executed, FrameTooLarge, Overloaded, SendTimeout
from duologue.protocol.events import CallFailed, CallReceived, ResponseReceived, SendAccepted, SendFailed
from duologue.protocol.ids import CONTROL_SIDS
from duologue.protocol.limits import Limits
from duologue.protocol.pending import OutgoingCall

NARROW = Limits(outbox_high=100, outbox_low=40)
"""The outbox is full with two frames of 50 bytes, and has room again with one that is smaller."""


def test_a_call_goes_out_and_is_answered() -> None:
    """The frame leaves at once, and the answer comes as one event that carries what `call` returned."""
    solo = Solo()
    call = solo.call(b"ask")
    assert (call.id, call.payload) == (1, b"")
    assert solo.sent() == [(ECHO, 1, b"ask")]
    event = only(solo.feed(response_frame(1, b"answer")), ResponseReceived)
    assert event.call is call
    assert event.payload == b"answer"
    assert call.is_ended


def test_a_send_goes_out_without_an_event() -> None:
    """It is in the outbox when `send` returns None: there is nothing to wait for."""
    solo = Solo()
    assert solo.send(b"tell") is None
    assert solo.sent() == [(ECHO, 0, b"tell")]
    assert solo.connection.events() == []


@pytest.mark.parametrize("sid", [0, 2**64 - 1, CONTROL_SIDS[0], CONTROL_SIDS[-1], -1, 2**64])
def test_reserved_ids_can_not_be_called(sid: int) -> None:
    """Frames of the protocol's own can't be forged by a wrong service id, nor sent."""
    solo = Solo()
    with pytest.raises(ValueError, match="reserved"):
        solo.call(sid=sid)
    with pytest.raises(ValueError, match="reserved"):
        solo.send(sid=sid)
    assert solo.sent() == []


@pytest.mark.parametrize("sid", [1, CONTROL_SIDS[0] - 1, CONTROL_SIDS[-1] + 1, 0xFB47AD8F2083C565, 2**64 - 2])
def test_every_other_id_can_be_called(sid: int) -> None:
    """Ids on both sides of the control block are anybody's."""
    solo = Solo()
    solo.call(sid=sid)
    solo.send(sid=sid)
    assert [frame[0] for frame in solo.sent()] == [sid, sid]


@pytest.mark.fault(13)
def test_a_frame_over_the_limit_is_refused_here() -> None:
    """Our own request is over `max_frame`: `FrameTooLarge` for the caller, nothing is written, the connection goes on."""
    solo = Solo(Limits(max_frame=200))
    for command in (solo.call, solo.send):
        with pytest.raises(FrameTooLarge) as caught:
            command(bytes(177))
        assert (caught.value.size, caught.value.limit) == (201, 200)
    assert solo.sent() == []
    solo.call(bytes(176))
    assert len(solo.sent()) == 1


@pytest.mark.fault(63)
def test_a_deadline_that_is_no_number_is_refused() -> None:
    """A deadline of NaN would never come and never not come: `ValueError`, and nothing is sent."""
    solo = Solo()
    with pytest.raises(ValueError, match="not a number"):
        solo.call(timeout=math.nan)
    with pytest.raises(ValueError, match="not a number"):
        solo.send(timeout=math.nan)
    assert solo.sent() == []


@pytest.mark.parametrize("timeout", [0.0, -5.0])
@pytest.mark.fault(63)
def test_a_call_without_time_ends_at_once(timeout: float) -> None:
    """A timeout of 0, or a deadline that is past: the call fails at once with an event, and nothing of it is ever sent."""
    solo = Solo()
    call = solo.call(timeout=timeout)
    error = call_error_of(solo.connection.events())
    assert isinstance(error, CallTimeout)
    assert error.executed is Executed.NO
    assert call.is_ended
    assert solo.sent() == []
    assert solo.connection.next_deadline() is None


def test_a_send_without_time_goes_if_it_can() -> None:
    """With room there is nothing to wait for; without room it fails at once."""
    solo = Solo(NARROW)
    assert solo.send(bytes(76), timeout=0) is None
    send = solo.send(timeout=0)
    failed = only(solo.connection.events(), SendFailed)
    assert failed.send is send
    assert isinstance(failed.error, SendTimeout)
    assert len(solo.sent()) == 1


@pytest.mark.fault(63)
def test_a_call_without_deadline_waits_for_ever() -> None:
    """A timeout of None: no timer, however long it takes."""
    solo = Solo(Limits(requests_stalled=math.inf))
    solo.call()
    solo.call(timeout=math.inf)
    assert solo.sent()
    solo.wait(1e9)
    assert names(solo.feed(response_frame(1), response_frame(2))) == ["ResponseReceived", "ResponseReceived"]


def test_requests_wait_at_the_mark_and_go_on_under_the_other() -> None:
    """The outbox fills to its high-water mark, then requests wait until it is down to its low one, and go on in a batch."""
    solo = Solo(NARROW)
    solo.send(bytes(26))
    solo.send(bytes(26))  # 100 bytes: now it is full
    first = solo.send(b"1")
    call = solo.call(b"2")
    third = solo.send(b"3")
    assert solo.connection.outgoing.waiting == 3
    assert call.id == 0
    solo.connection.data_to_send()
    solo.connection.data_sent(solo.now, 41)
    assert solo.connection.events() == []
    solo.connection.data_sent(solo.now, 40)
    assert [event.send for event in solo.connection.events() if isinstance(event, SendAccepted)] == [
        first,
        third,
    ]
    assert call.id == 1
    assert solo.connection.outgoing.waiting == 0


def test_those_who_wait_go_on_in_the_order_in_which_they_came() -> None:
    """Neither sends nor calls overtake the other, however large they are: with room for one, it is the oldest that goes."""
    solo = Solo(NARROW)
    solo.send(bytes(200))
    for number in range(3):
        solo.send(bytes([number]) * 200)
        solo.call(bytes([number + 10]) * 200)
    order = []
    while buffers := solo.connection.data_to_send():
        order.append(b"".join(buffers)[24])
        solo.connection.data_sent(solo.now)
    assert order == [0, 0, 10, 1, 11, 2, 12]
    assert names(solo.connection.events()) == ["SendAccepted"] * 3


def test_sends_pass_calls_that_wait_for_answers() -> None:
    """With too many calls unanswered, further calls wait; sends owe nothing, so they need not."""
    solo = Solo(Limits(owed=1, outbox_high=100, outbox_low=40))
    solo.call(b"1")
    waiting = solo.call(b"2")
    assert solo.send(bytes(76)) is None
    assert solo.send(b"4") is not None, "the outbox is full"
    assert [payload for _, _, payload in solo.sent()] == [b"1", bytes(76), b"4"]
    assert names(solo.connection.events()) == ["SendAccepted"]
    assert waiting.id == 0
    solo.feed(response_frame(1))
    assert waiting.id == 2
    assert solo.sent() == [(ECHO, 2, b"2")]


def test_a_new_call_does_not_overtake_those_that_wait() -> None:
    """There is an answer, and so room: it belongs to the call that waits for it."""
    solo = Solo(Limits(owed=1))
    solo.call(b"1")
    second = solo.call(b"2")
    solo.feed(response_frame(1))
    third = solo.call(b"3")
    assert (second.id, third.id) == (2, 0)


@pytest.mark.parametrize("kind", ["call", "send"])
def test_the_line_has_an_end(kind: str) -> None:
    """Over `Limits.waiting` requests are refused: a queue that only grows is a fault to be seen."""
    solo = Solo(Limits(owed=1, waiting=2, outbox_high=100, outbox_low=40))
    solo.send(bytes(76))
    solo.call()
    solo.send()
    with pytest.raises(
        Overloaded, match=r"^2 .*s and sends wait for room already: .* Limits\.waiting"
    ) as caught:
        getattr(solo, kind)()
    assert caught.value.executed is Executed.NO
    assert solo.connection.outgoing.waiting == 2


def test_the_wait_for_room_counts_in_the_timeout() -> None:
    """Requests that found no room in time fail, with nothing sent, and the others go on."""
    solo = Solo(NARROW)
    solo.send(bytes(76))
    call, send = solo.call(timeout=5), solo.send(timeout=6)
    stays = solo.call()
    events = solo.wait(5)
    assert only(events, CallFailed).call is call
    assert call_error_of(events).executed is Executed.NO
    failed = only(solo.wait(1), SendFailed)
    assert failed.send is send
    assert str(failed.error).startswith("no room to send")
    assert [cid for _, cid, _ in solo.sent()] == [0, 1]
    assert stays.id == 1
    assert len(solo.connection.outgoing.deadlines) == 0


def test_a_call_that_times_out_in_the_outbox_is_taken_back() -> None:
    """No byte of it has been handed out: its frame is removed, nothing is owed for it, and its id is never used."""
    solo = Solo()
    solo.call(b"gone", timeout=1)
    solo.call(b"stays")
    error = call_error_of(solo.wait(1))
    assert isinstance(error, CallTimeout)
    assert error.executed is Executed.NO
    assert solo.connection.outgoing.pending.owed == 1
    assert solo.sent() == [(ECHO, 2, b"stays")]


def test_many_calls_time_out_at_once() -> None:
    """One timer serves them all, each gets its own outcome, in the order of their deadlines."""
    solo = Solo()
    calls = [solo.call(timeout=10 - number) for number in range(5)]
    events = solo.wait(10)
    assert [event.call for event in events if isinstance(event, CallFailed)] == calls[::-1]


def test_room_that_a_timeout_makes_is_used() -> None:
    """Frames that were taken back leave room for those who wait."""
    solo = Solo(NARROW)
    solo.call(bytes(76), timeout=1)
    send = solo.send(b"next")
    assert send is not None
    events = solo.wait(1)
    assert only(events, SendAccepted).send is send
    assert [payload for _, _, payload in solo.sent()] == [b"next"]


@pytest.mark.parametrize("handed_out", [False, True])
def test_cancel_of_a_call(handed_out: bool) -> None:
    """Before its frame was handed out nothing remains; after, it is owed until it is answered. No event either way."""
    solo = Solo()
    call = solo.call(timeout=9)
    if handed_out:
        solo.connection.data_to_send()
    executed = solo.connection.cancel(call, solo.now)
    assert executed is (Executed.UNKNOWN if handed_out else Executed.NO)
    assert call.is_ended
    assert solo.connection.outgoing.pending.owed == int(handed_out)
    assert len(solo.connection.outgoing.pending) == 0
    assert solo.connection.events() == []
    assert solo.wait(20) == []
    assert solo.feed(response_frame(1)) == []
    assert (solo.connection.late, solo.connection.strays) == (1, 0)


def test_cancel_of_what_waits() -> None:
    """Calls and sends that wait for room leave the line without a trace."""
    solo = Solo(NARROW)
    solo.send(bytes(76))
    call, send = solo.call(timeout=9), solo.send(timeout=9)
    assert send is not None
    assert solo.connection.cancel(call, solo.now) is Executed.NO
    assert solo.connection.cancel(send, solo.now) is Executed.NO
    assert solo.connection.outgoing.waiting == 0
    assert len(solo.sent()) == 1
    assert solo.wait(20) == []


def test_cancel_of_what_has_ended() -> None:
    """It changes nothing, twice or after the answer."""
    solo = Solo()
    call = solo.call()
    solo.sent()
    solo.feed(response_frame(1))
    assert solo.connection.cancel(call, solo.now) is Executed.UNKNOWN
    assert solo.connection.outgoing.pending.owed == 0


def test_room_that_a_cancel_makes_is_used() -> None:
    """The next in the line goes at once."""
    solo = Solo(Limits(owed=1))
    first, second = solo.call(), solo.call()
    solo.connection.cancel(first, solo.now)
    assert second.id == 2
    assert [cid for _, cid, _ in solo.sent()] == [2]


def test_calls_that_were_given_up_hold_their_place_for_a_minute() -> None:
    """A remote that does not answer is not asked more than the limit allows, until the old calls are forgotten."""
    solo = Solo(Limits(owed=2, given_up=60))
    solo.call(timeout=1)
    solo.call(timeout=2)
    solo.sent()
    waiting = solo.call()
    solo.wait(60.5)
    assert waiting.id == 0
    solo.wait(0.5)
    assert waiting.id == 3
    assert solo.connection.outgoing.pending.owed == 2


def test_a_late_answer_makes_room() -> None:
    """What is answered after all is not owed any more, so whoever waits goes on at once."""
    solo = Solo(Limits(owed=1))
    solo.call(timeout=1)
    solo.sent()
    waiting = solo.call()
    solo.wait(1)
    assert waiting.id == 0
    solo.feed(response_frame(1))
    assert waiting.id == 2


def test_what_is_owed_is_forgotten_even_if_nobody_waits() -> None:
    """There is a timer for it, as it decides whether calls of the remote's are refused or not read."""
    solo = Solo(Limits(given_up=60))
    solo.call(timeout=1)
    solo.sent()
    solo.wait(1)
    assert solo.connection.outgoing.pending.owed == 1
    solo.wait(60)
    assert solo.connection.outgoing.pending.owed == 0
    assert solo.connection.next_deadline() is None


@pytest.mark.fault(20)
def test_ids_wrap_on_the_wire() -> None:
    """The counter stands at 2^64-2: the next ids are that one, 2^64-1 and 1, never 0, and answers find their calls."""
    solo = Solo(first_call_id=2**64 - 2)
    calls = [solo.call() for _ in range(3)]
    assert [call.id for call in calls] == [2**64 - 2, 2**64 - 1, 1]
    assert [cid for _, cid, _ in solo.sent()] == [2**64 - 2, 2**64 - 1, 1]
    events = solo.feed(*(response_frame(call.id) for call in reversed(calls)))
    assert [event.call for event in events if isinstance(event, ResponseReceived)] == calls[::-1]


@pytest.mark.fault(20)
def test_executed_is_known_across_the_wrap() -> None:
    """The counter wrapped between a call that left and one that did not: only the first may have been executed."""
    solo = Solo(first_call_id=2**64 - 1)
    left = solo.call(timeout=1)
    solo.sent()
    stayed = solo.call(timeout=1)
    events = [event for event in solo.wait(1) if isinstance(event, CallFailed)]
    assert [(event.call, event.error.executed) for event in events] == [
        (left, Executed.UNKNOWN),
        (stayed, Executed.NO),
    ]
    assert solo.sent() == []


# -- calls that handlers make ----------------------------------------------------------------------------


ELSEWHERE = CallReceived(ECHO, 1, b"", None)
"""A request of another connection, whose handler calls over this one."""


def nested(solo: Solo, payload: bytes = b"", timeout: float | None = None) -> OutgoingCall:
    deadline = None if timeout is None else solo.now + timeout
    return solo.connection.call(ECHO, payload, deadline, solo.now, ELSEWHERE)


def test_a_handlers_call_does_not_wait_for_answers_to_others() -> None:
    """Those may be waiting, at the other end, for this very handler. There is room for as many again."""
    solo = Solo(Limits(owed=2))
    calls = [solo.call(), solo.call(), solo.call()]
    within = [nested(solo), nested(solo)]
    assert [call.id for call in calls] == [1, 2, 0]
    assert [call.id for call in within] == [3, 4]
    with pytest.raises(
        Overloaded, match=r"^4 calls are not answered.*: calls go round in circles, or raise Limits\.owed \("
    ) as caught:
        nested(solo)
    assert caught.value.executed is Executed.NO
    solo.sent()
    solo.feed(response_frame(1))
    assert nested(solo).id == 5
    assert calls[2].id == 0


def test_a_handlers_call_waits_for_room_in_the_outbox() -> None:
    """As every request does, in the order in which they came, within its timeout, and until the connection ends."""
    solo = Solo(NARROW)
    solo.send(bytes(100))
    first, call, send, second = nested(solo), solo.call(), solo.send(), nested(solo, timeout=5)
    third = nested(solo)
    assert call_error_of(solo.wait(5)).executed is Executed.NO
    assert solo.connection.outgoing.waiting == 4
    assert second.is_ended
    assert solo.connection.cancel(third, solo.now) is Executed.NO
    assert send is not None
    assert [cid for _, cid, _ in solo.sent()] == [0, 1, 2, 0]
    assert (first.id, call.id) == (1, 2)


def test_one_mark_for_full_and_for_room() -> None:
    """With both marks the same, a level of just that is full, and stays so: who waits is let in when it is left."""
    solo = Solo(Limits(outbox_high=100, outbox_low=100))
    solo.send(bytes(76))
    call, within = solo.call(), nested(solo)
    assert (call.id, within.id) == (0, 0)
    assert [cid for _, cid, _ in solo.sent()] == [0, 1, 2]
    assert solo.connection.outgoing.waiting == 0


def test_handlers_calls_that_wait_count_for_their_limit() -> None:
    """Waiting for room in the outbox is no way around it."""
    solo = Solo(Limits(owed=1, outbox_high=100, outbox_low=40))
    solo.send(bytes(100))
    waiting = [nested(solo), nested(solo)]
    with pytest.raises(Overloaded):
        nested(solo)
    solo.connection.close("bye", 0, solo.now)
    assert [event.call for event in solo.connection.events() if isinstance(event, CallFailed)] == waiting


def test_an_error_makes_room_as_an_answer_does() -> None:
    """A call that failed is not owed any more, so the next goes."""
    solo = Solo(Limits(owed=1))
    solo.call()
    waiting = solo.call()
    solo.sent()
    solo.feed(error_frame(1))
    assert waiting.id == 2


@pytest.mark.fault(39)
def test_own_requests_are_not_starved_by_answers() -> None:
    """A remote that keeps the outbox full of answers, over a slow link, holds back no own call, nor a message."""
    solo = Solo(Limits(outbox_high=200, outbox_low=10))
    cid = left = 0

    def ask_and_answer() -> None:
        nonlocal cid
        while solo.connection.outbox.gated_since is None:
            cid += 1
            solo.feed(call_frame(cid))
            for request in [*solo.connection.incoming.requests.running]:
                solo.connection.respond(request, bytes(60), solo.now)

    ask_and_answer()
    call, send = solo.call(), solo.send()
    assert call.id == 0
    assert send is not None
    for _ in range(100):
        left = left or sum(map(len, solo.connection.data_to_send()))
        left = max(0, left - 20)
        solo.connection.data_sent(solo.now, left)
        assert solo.connection.outbox.level > 10
        ask_and_answer()
    assert call.id
    assert send.is_ended
