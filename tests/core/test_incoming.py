"""The remote's requests: delivered, parked, refused or failed, and what they hold meanwhile (docs/flow.md)."""

from __future__ import annotations

import pytest
from tests.core.harness import (
    ECHO,
    FREE,
    ORDERED,
    SLOW,
    UNKNOWN,
    UNSERVED,
    Solo,
    call_frame,
    error_kind,
    names,
    only,
    requests,
    response_frame,
    send_frame,
)

from duologue.protocol.budget import CallBudget
from duologue.protocol.errors import FailureKind
from duologue.protocol.events import IncomingRequest, RequestFailed
from duologue.protocol.ids import CONTROL_SIDS, RESPONSE_SID
from duologue.protocol.lifecycle import Phase
from duologue.protocol.limits import Limits

ONE = Limits(calls=1)
GATED = Limits(outbox_high=100, outbox_low=40)
"""An answer of more than 76 bytes closes the gate."""


def close_gate(solo: Solo) -> None:
    """Leave an answer unsent that is over the mark."""
    solo.connection.respond(solo.deliver(call_frame(1000, sid=FREE)), bytes(200), solo.now)


def cids(found: list[IncomingRequest]) -> list[int]:
    return [request.cid for request in found]


# -- delivered -----------------------------------------------------------------------------------------


def test_a_call_is_delivered_and_answered() -> None:
    """The event is the token that it is answered with; the answer bears its id."""
    solo = Solo()
    request = solo.deliver(call_frame(7, b"ask"))
    assert (request.sid, request.cid, request.payload, request.is_delivered) == (ECHO, 7, b"ask", True)
    assert solo.budget.in_use == 1
    assert list(solo.connection.incoming.requests) == [request]
    solo.connection.respond(request, b"answer", solo.now)
    assert not solo.connection.incoming.requests
    assert solo.sent() == [(RESPONSE_SID, 7, b"answer")]
    assert request.is_ended
    assert solo.budget.in_use == solo.connection.incoming.running == solo.connection.incoming.unanswered == 0


def test_a_send_is_delivered_and_never_answered() -> None:
    """It has a slot until it is done, and nothing goes out."""
    solo = Solo()
    request = solo.deliver(send_frame(b"tell"))
    assert solo.connection.incoming.sends.running == 1
    solo.connection.done(request, solo.now)
    assert solo.connection.incoming.sends.running == 0
    assert solo.sent() == []


@pytest.mark.parametrize(
    ("sid", "kind", "on_the_wire", "service"),
    [
        (UNKNOWN, FailureKind.UNKNOWN_SERVICE, "UnknownService", ""),
        (UNSERVED, FailureKind.NO_HANDLER, "InternalServerError", "test::Unserved"),
    ],
)
def test_services_that_nobody_serves(sid: int, kind: FailureKind, on_the_wire: str, service: str) -> None:
    """A call is answered at once, a send is told here only; neither takes anything, and the connection stays."""
    solo = Solo()
    event = only(solo.feed(call_frame(7, sid=sid)), RequestFailed)
    assert (event.kind, event.sid, event.cid, event.service) == (kind, sid, 7, service)
    (sent,) = solo.sent()
    assert (sent[1], error_kind(sent)) == (7, on_the_wire)
    assert only(solo.feed(send_frame(sid=sid)), RequestFailed).kind is kind
    assert solo.sent() == []
    assert solo.budget.in_use == solo.connection.incoming.sends.running == 0
    assert solo.connection.phase is Phase.OPEN


@pytest.mark.parametrize("sid", [CONTROL_SIDS[0], CONTROL_SIDS[1], CONTROL_SIDS[-1]])
@pytest.mark.fault(83)
def test_control_frames_are_unknown_services(sid: int) -> None:
    """Somebody tries ids of the control block: in base mode the answer is that of any unknown service."""
    solo = Solo()
    solo.feed(call_frame(7, sid=sid), send_frame(sid=sid))
    (sent,) = solo.sent()
    assert error_kind(sent) == "UnknownService"


# -- ended ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", list(FailureKind))
def test_a_call_fails(kind: FailureKind) -> None:
    """Whatever the kind, the remote gets one error frame, the event has the exception, and the permit is back."""
    solo = Solo()
    request = solo.deliver(call_frame(7))
    error = ValueError("a secret")
    solo.connection.fail(request, kind, solo.now, error)
    event = only(solo.connection.events(), RequestFailed)
    assert (event.kind, event.error, event.service) == (kind, error, "test::Echo")
    (sent,) = solo.sent()
    assert (sent[0], sent[1]) == (0, 7)
    assert b"secret" not in sent[2]
    assert solo.budget.in_use == 0


@pytest.mark.parametrize("kind", list(FailureKind))
def test_a_send_fails(kind: FailureKind) -> None:
    """It is told here, and nothing goes out."""
    solo = Solo()
    solo.connection.fail(solo.deliver(send_frame()), kind, solo.now)
    assert only(solo.connection.events(), RequestFailed).kind is kind
    assert solo.sent() == []
    assert solo.connection.incoming.sends.running == 0


def test_an_answer_that_is_too_large() -> None:
    """The caller gets an error at once in its place; one that just fits goes out."""
    solo = Solo(Limits(max_frame=200))
    solo.connection.respond(solo.deliver(call_frame(1)), bytes(176), solo.now)
    solo.connection.respond(solo.deliver(call_frame(2)), bytes(177), solo.now)
    assert only(solo.connection.events(), RequestFailed).kind is FailureKind.FRAME_TOO_LARGE
    fits, too_large = solo.sent()
    assert fits == (RESPONSE_SID, 1, bytes(176))
    assert (too_large[1], error_kind(too_large)) == (2, "InternalServerError")
    assert solo.budget.in_use == 0


@pytest.mark.parametrize("first", ["respond", "fail"])
@pytest.mark.parametrize("second", ["respond", "fail", "done"])
def test_a_request_ends_once(first: str, second: str) -> None:
    """A second end is a mistake of the driver's, and changes nothing."""
    solo = Solo()
    request = solo.deliver(call_frame(1))
    end = {
        "respond": lambda: solo.connection.respond(request, b"", solo.now),
        "fail": lambda: solo.connection.fail(request, FailureKind.HANDLER_FAILED, solo.now),
        "done": lambda: solo.connection.done(request, solo.now),
    }
    end[first]()
    with pytest.raises(ValueError, match="was not delivered, or has ended"):
        end[second]()
    assert len(solo.sent()) == 1
    assert solo.budget.in_use == 0


def test_ends_that_do_not_fit() -> None:
    """A send can't be answered, a call can't go without: `ValueError`, and the request can still be ended as it must."""
    solo = Solo()
    call, send = requests(solo.feed(call_frame(1), send_frame()))
    with pytest.raises(ValueError, match="not answered"):
        solo.connection.respond(send, b"", solo.now)
    with pytest.raises(ValueError, match="needs an answer"):
        solo.connection.done(call, solo.now)
    solo.connection.respond(call, b"", solo.now)
    solo.connection.done(send, solo.now)
    assert solo.budget.in_use == solo.connection.incoming.sends.running == 0


def test_what_is_parked_can_not_be_ended() -> None:
    """A request is the driver's only when it was delivered."""
    solo = Solo(ONE)
    solo.feed(call_frame(1), call_frame(2))
    parked = solo.connection.incoming.parking.first
    assert parked is not None
    with pytest.raises(ValueError, match="was not delivered"):
        solo.connection.respond(parked, b"", solo.now)


# -- parked and refused ------------------------------------------------------------------------------


def test_calls_over_the_budget_are_parked_in_order() -> None:
    """One starts for each that ends, in the order of arrival; answers, sends and calls without permit pass."""
    solo = Solo(ONE)
    solo.call()
    events = solo.feed(
        call_frame(1), call_frame(2), call_frame(3), send_frame(), call_frame(4, sid=FREE), response_frame(1)
    )
    assert names(events) == ["CallReceived", "SendReceived", "CallReceived", "ResponseReceived"]
    assert cids(requests(events)) == [1, 0, 4]
    assert (solo.connection.incoming.parking.calls, solo.connection.incoming.unanswered) == (2, 4)
    running = requests(events)[0]
    for following in (2, 3):
        solo.connection.respond(running, b"", solo.now)
        (running,) = requests(solo.connection.events())
        assert running.cid == following
        assert solo.budget.in_use == 1


def test_a_new_call_does_not_overtake_the_parked() -> None:
    """A permit that comes back through another connection belongs to the call that waits."""
    budget = CallBudget(2)
    one, other = Solo(budget=budget), Solo(budget=budget)
    first = one.deliver(call_frame(1))
    second = other.deliver(call_frame(1))
    other.feed(call_frame(2))
    one.connection.respond(first, b"", one.now)
    assert requests(one.feed(call_frame(2))) == [], "the other connection is first in the line"
    assert requests(other.feed(call_frame(3))) == []
    other.connection.permit_freed(other.now)
    assert cids(requests(other.connection.events())) == [2]
    other.connection.respond(second, b"", other.now)
    one.connection.permit_freed(one.now)
    assert cids(requests(one.connection.events())) == [2]
    assert budget.in_use == 2


@pytest.mark.parametrize("owed", [False, True])
@pytest.mark.fault(37)
def test_calls_over_the_parking(owed: bool) -> None:
    """A flood of calls over budget and parking: reading pauses; if we are owed an answer it goes on, and the newest are refused."""
    solo = Solo(Limits(calls=1, parked=2))
    if owed:
        solo.call()
        solo.sent()
    events = solo.feed(*(call_frame(cid) for cid in range(1, 6)))
    assert solo.connection.wants_read is owed
    assert solo.connection.incoming.parking.calls == 2
    refused = [event.cid for event in events if isinstance(event, RequestFailed)]
    assert refused == ([4, 5] if owed else [])
    sent = solo.sent()
    assert [(frame[1], error_kind(frame)) for frame in sent] == [
        (cid, "InternalServerError") for cid in refused
    ]
    assert solo.connection.buffered == (0 if owed else 2 * 24)


def test_reading_goes_on_when_there_is_room_again() -> None:
    """The pause ends when a parked call starts, and what was received meanwhile is taken up in order."""
    solo = Solo(Limits(calls=1, parked=1))
    (running,) = requests(solo.feed(call_frame(1) + call_frame(2) + call_frame(3) + send_frame(b"x")))
    assert not solo.connection.wants_read
    assert solo.feed(send_frame(b"y")) == []
    solo.connection.respond(running, b"", solo.now)
    assert [request.cid for request in requests(solo.connection.events())] == [2]
    assert not solo.connection.wants_read, "call 3 fills the parking again"


def test_a_call_of_ours_makes_reading_go_on() -> None:
    """As soon as we are owed an answer we have to read it, and can refuse instead."""
    solo = Solo(Limits(calls=1, parked=1))
    solo.feed(call_frame(1), call_frame(2), call_frame(3), response_frame(1, b"answer"))
    assert not solo.connection.wants_read
    solo.call()
    assert names(solo.connection.events()) == ["RequestFailed", "ResponseReceived"]
    assert solo.connection.buffered == 0


def test_the_parking_is_bounded_by_bytes() -> None:
    """Large calls fill it sooner."""
    solo = Solo(Limits(calls=1, parked_bytes=1000))
    solo.feed(call_frame(1), call_frame(2, bytes(500)), call_frame(3, bytes(500)), call_frame(4))
    assert solo.connection.incoming.parking.calls == 2
    assert not solo.connection.wants_read


def test_errors_of_calls_that_had_their_turn_are_no_refusals() -> None:
    """A handler that failed, and a service that is not there, are answered; only calls that found no room count towards the bound."""
    solo = Solo()
    solo.connection.fail(solo.deliver(call_frame(1)), FailureKind.HANDLER_FAILED, solo.now)
    solo.feed(call_frame(2, sid=99))
    assert solo.connection.outbox.answers > 0
    assert solo.connection.outbox.refusals == 0


@pytest.mark.fault(40)
def test_refusals_are_bounded() -> None:
    """A remote that asks and asks and does not read: over the mark of refused calls reading pauses, until some have left."""
    solo = Solo(Limits(calls=1, parked=1, owed=1))
    solo.call()
    solo.connection.data_to_send()
    solo.feed(*(call_frame(cid) for cid in range(1, 50)))
    assert not solo.connection.wants_read
    assert 2 * 160 < solo.connection.outbox.refusals < 2 * 160 + 150, "twice for the calls that handlers make"
    assert solo.connection.buffered > 40 * 24
    solo.connection.data_sent(solo.now)
    assert not solo.connection.wants_read, "the transport had only been given the call"
    refused = solo.sent()
    assert len(refused) == 47
    assert solo.connection.wants_read
    assert solo.connection.buffered == 0


# -- the gate ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sid", [ECHO, FREE, ORDERED, UNKNOWN, UNSERVED])
def test_the_gate_parks_every_call(sid: int) -> None:
    """While the unsent answers are over the mark nothing new is started or answered, bad calls included, and reading goes on."""
    solo = Solo(GATED)
    close_gate(solo)
    assert solo.feed(call_frame(1, sid=sid)) == []
    assert solo.connection.incoming.parking.calls == 1
    assert solo.budget.in_use == 0
    assert solo.connection.wants_read
    assert names(solo.feed(send_frame())) == ["SendReceived"]
    solo.sent()
    events = solo.connection.events()
    assert names(events) == ["RequestFailed" if sid in (UNKNOWN, UNSERVED) else "CallReceived"]
    assert solo.connection.incoming.parking.calls == 0


def test_answers_pass_the_gate() -> None:
    """A handler that has ended answers, whatever the level: it holds a permit until then."""
    solo = Solo(GATED)
    request = solo.deliver(call_frame(1))
    close_gate(solo)
    solo.connection.respond(request, b"", solo.now)
    assert [cid for _, cid, _ in solo.sent()] == [1000, 1]


def test_a_closed_gate_gives_the_place_in_the_line_away() -> None:
    """A connection that could not start anything lets others have the permit, and lines up again when the gate opens."""
    budget = CallBudget(1)
    gated, other = Solo(GATED, budget=budget), Solo(budget=budget)
    running = other.deliver(call_frame(1))
    gated.feed(call_frame(1))
    other.feed(call_frame(2))
    close_gate(gated)
    assert budget.waiting == 1
    other.connection.respond(running, b"", other.now)
    (running,) = requests(other.connection.events())
    assert running.cid == 2
    gated.connection.permit_freed(gated.now)
    assert requests(gated.connection.events()) == []
    gated.sent()
    assert budget.waiting == 1
    other.connection.respond(running, b"", other.now)
    gated.connection.permit_freed(gated.now)
    assert cids(requests(gated.connection.events())) == [1]


# -- ordered -------------------------------------------------------------------------------------------


def test_ordered_requests_run_one_after_another() -> None:
    """Calls and sends share one lane; each starts when the one before has ended, in the order of arrival."""
    solo = Solo()
    frames = (call_frame(1, sid=ORDERED), send_frame(sid=ORDERED), call_frame(3, sid=ORDERED), call_frame(4))
    running, plain = requests(solo.feed(*frames))
    assert (running.cid, plain.cid) == (1, 4)
    solo.connection.respond(plain, b"", solo.now)
    assert solo.connection.events() == [], "the end of an unordered one is nobody's turn"
    solo.connection.fail(running, FailureKind.HANDLER_FAILED, solo.now)
    (running,) = requests(solo.connection.events())
    assert running.cid == 0
    solo.connection.done(running, solo.now)
    (running,) = requests(solo.connection.events())
    assert running.cid == 3
    solo.connection.respond(running, b"", solo.now)
    assert solo.connection.incoming.parking.turn is None
    assert solo.budget.in_use == 0


def test_an_ordered_call_waits_for_its_permit_like_any_other() -> None:
    """It has the turn, and stands at the end of the queue for permits."""
    solo = Solo(ONE)
    running, *_ = requests(
        solo.feed(call_frame(1), call_frame(2), call_frame(3, sid=ORDERED), call_frame(4, sid=ORDERED))
    )
    order = []
    for _ in range(4):
        order.append(running.cid)
        solo.connection.respond(running, b"", solo.now)
        running, *_ = [*requests(solo.connection.events()), running]
    assert order == [1, 2, 3, 4]
    assert solo.budget.in_use == 0


def test_the_lane_does_not_wait_for_other_calls_permits() -> None:
    """Its turn has come, and it needs no permit: calls that wait for permits do not hold an ordered message up."""
    solo = Solo(Limits(calls=2))
    first, second = requests(solo.feed(call_frame(1), call_frame(2, sid=ORDERED)))
    solo.feed(call_frame(3), call_frame(4), send_frame(sid=ORDERED))
    solo.connection.respond(second, b"", solo.now)
    assert names(solo.connection.events()) == ["CallReceived", "SendReceived"]
    assert not first.is_ended


def test_the_bound_of_the_parking_holds_in_the_lane() -> None:
    """Ordered calls that wait for their turn are refused over it, if we are owed an answer."""
    solo = Solo(Limits(parked=1))
    solo.call()
    events = solo.feed(*(call_frame(cid, sid=ORDERED) for cid in (1, 2, 3)))
    assert names(events) == ["CallReceived", "RequestFailed"]
    assert solo.connection.wants_read


def test_ordered_sends_that_wait_stop_the_reading() -> None:
    """Nothing is lost: over the bound of sends that wait for their turn, reading pauses until one can start."""
    solo = Solo(Limits(sends=2))
    (running,) = requests(solo.feed(*(send_frame(bytes([number]), sid=ORDERED) for number in range(5))))
    assert not solo.connection.wants_read
    order = [running.payload[0]]
    for _ in range(4):
        solo.connection.done(running, solo.now)
        (running,) = requests(solo.connection.events())
        order.append(running.payload[0])
    assert order == [0, 1, 2, 3, 4]
    assert solo.connection.wants_read


def waiting_lane() -> tuple[Solo, IncomingRequest]:
    """The handler of an ordered message waits for an answer of the remote's, and the lane behind it is full."""
    solo = Solo(Limits(sends=2))
    running = solo.deliver(send_frame(sid=ORDERED))
    solo.connection.lend(running, solo.now)
    solo.call()
    solo.sent()
    assert solo.feed(send_frame(b"1", sid=ORDERED), send_frame(b"2", sid=ORDERED)) == []
    return solo, running


def test_a_lane_that_waits_for_the_remote_does_not_stop_the_reading() -> None:
    """The answer may be behind further messages: reading goes on, and what finds no place in the lane is dropped and told."""
    solo, running = waiting_lane()
    assert solo.connection.wants_read
    events = solo.feed(send_frame(b"3", sid=ORDERED), send_frame(b"4"), response_frame(1, b"answer"))
    assert names(events) == ["RequestFailed", "SendReceived", "ResponseReceived"]
    assert only(events, RequestFailed).kind is FailureKind.DROPPED
    assert solo.connection.incoming.dropped == 1
    solo.connection.unlend(running, solo.now)
    solo.connection.done(running, solo.now)
    (following,) = requests(solo.connection.events())
    assert following.payload == b"1"


def test_a_lane_that_waits_for_the_remote_in_vain() -> None:
    """Nothing of the remote's is awaited any more: then a full lane stops the reading, and nothing is lost."""
    solo, _ = waiting_lane()
    solo.feed(response_frame(1))
    assert not solo.connection.wants_read
    assert solo.feed(send_frame(b"3", sid=ORDERED)) == []
    solo.call()
    assert solo.connection.wants_read, "now something is"
    assert solo.connection.incoming.dropped == 1


def test_reading_pauses_when_the_wait_of_the_lane_is_over() -> None:
    """A command made the lane go on by itself: the next bytes are not looked at until there is place."""
    solo, running = waiting_lane()
    solo.connection.unlend(running, solo.now)
    assert solo.feed(send_frame(b"3", sid=ORDERED)) == []
    assert not solo.connection.wants_read
    assert solo.connection.incoming.dropped == 0
    solo.connection.done(running, solo.now)
    assert requests(solo.connection.events())[0].payload == b"1"


def test_a_send_that_waits_for_room_makes_reading_go_on() -> None:
    """Room in the outbox is awaited of the remote, too: a full lane that waits for it does not stop the reading."""
    solo = Solo(Limits(sends=2, outbox_high=100, outbox_low=10))
    running = solo.deliver(send_frame(sid=ORDERED))
    solo.feed(send_frame(b"1", sid=ORDERED), send_frame(b"2", sid=ORDERED), send_frame(b"3"))
    assert not solo.connection.wants_read
    solo.connection.lend(running, solo.now)
    assert not solo.connection.wants_read
    solo.send(bytes(100))
    waits = solo.send()
    assert waits is not None
    assert solo.connection.wants_read
    assert requests(solo.connection.events())[0].payload == b"3"


def test_a_gated_lane_waits_for_the_remote() -> None:
    """An ordered call can't start before the remote reads our answers: messages behind it can't stop the reading of its."""
    solo = Solo(Limits(sends=1, outbox_high=100, outbox_low=10))
    close_gate(solo)
    solo.call()
    solo.feed(call_frame(1, sid=ORDERED), send_frame(b"1", sid=ORDERED))
    assert solo.connection.wants_read
    assert names(solo.feed(send_frame(b"2", sid=ORDERED))) == ["RequestFailed"]


def test_a_cancel_does_not_disturb_a_pause() -> None:
    """Whoever gave up waits for nothing any more: what stops the reading stops it still."""
    solo = Solo(Limits(sends=1, outbox_high=100, outbox_low=10))
    running = solo.deliver(send_frame(b"1"))
    solo.feed(send_frame(b"2"))
    first, second = solo.call(bytes(100)), solo.call()
    solo.connection.cancel(first, solo.now)
    assert second.id == 2, "it had waited for the room"
    assert not solo.connection.wants_read
    solo.connection.done(running, solo.now)
    assert requests(solo.connection.events())[0].payload == b"2"


def test_who_was_refused_does_not_stand_in_the_line() -> None:
    """A call found no permit and, for the lane's sake, no room in the parking: the other connections get the permit."""
    budget = CallBudget(2)
    one, other = Solo(Limits(parked=1), budget=budget), Solo(budget=budget)
    one.call()
    one.feed(call_frame(1, sid=ORDERED), call_frame(2, sid=ORDERED))
    running = other.deliver(call_frame(1))
    assert only(one.feed(call_frame(3)), RequestFailed).kind is FailureKind.OVERLOADED
    assert budget.waiting == 0
    other.connection.respond(running, b"", other.now)
    assert cids(requests(other.feed(call_frame(2)))) == [2]


# -- sends -----------------------------------------------------------------------------------------------


@pytest.mark.fault(38)
def test_sends_over_their_budget_pause_the_reading() -> None:
    """A flood of one-way messages: as many run as the budget allows, then reading pauses, and nothing is lost."""
    solo = Solo(Limits(sends=2))
    running = requests(solo.feed(b"".join(send_frame(bytes([number])) for number in range(5))))
    assert [request.payload[0] for request in running] == [0, 1]
    assert not solo.connection.wants_read
    for number in (2, 3, 4):
        solo.connection.done(running[number - 2], solo.now)
        running += requests(solo.connection.events())
        assert running[-1].payload[0] == number
    solo.connection.done(running[3], solo.now)
    assert solo.connection.wants_read


@pytest.mark.fault(38)
def test_sends_over_their_bytes_pause_the_reading() -> None:
    """The budget of one-way messages is weighed, too: large ones fill it sooner."""
    solo = Solo(Limits(sends_bytes=1000))
    assert len(requests(solo.feed(*(send_frame(bytes(600)) for _ in range(4))))) == 2
    assert not solo.connection.wants_read


@pytest.mark.parametrize("sid", [ECHO, ORDERED])
@pytest.mark.fault(38)
def test_sends_may_be_dropped_instead(sid: int) -> None:
    """With `sends="drop"` a flood is dropped, counted and told, reading goes on, and calls are not touched."""
    solo = Solo(Limits(sends=2, sends_policy="drop"))
    events = solo.feed(*(send_frame(sid=sid) for _ in range(6)), call_frame(1))
    dropped = [event for event in events if isinstance(event, RequestFailed)]
    assert {event.kind for event in dropped} == {FailureKind.DROPPED}
    assert solo.connection.incoming.dropped == len(dropped) == (4 if sid == ECHO else 3)
    assert solo.connection.wants_read
    assert requests(events)[-1].cid == 1


# -- lending ---------------------------------------------------------------------------------------------


def test_a_handler_that_waits_holds_no_permit() -> None:
    """Its permit goes to the next call, it comes back without waiting, and nothing new starts until it is under the limit."""
    solo = Solo(ONE)
    first = solo.deliver(call_frame(1))
    assert solo.feed(call_frame(2)) == []
    assert solo.connection.lend(first, solo.now)
    (second,) = requests(solo.connection.events())
    assert (solo.budget.in_use, solo.budget.lent) == (1, 1)
    solo.connection.unlend(first, solo.now)
    assert (solo.budget.in_use, solo.budget.lent) == (2, 0)
    solo.feed(call_frame(3))
    solo.connection.respond(second, b"", solo.now)
    assert solo.connection.events() == []
    solo.connection.respond(first, b"", solo.now)
    assert cids(requests(solo.connection.events())) == [3]


def test_a_handler_that_waits_holds_no_slot() -> None:
    """One-way messages lend likewise, and reading goes on."""
    solo = Solo(Limits(sends=1))
    first = solo.deliver(send_frame(b"1"))
    assert solo.feed(send_frame(b"2")) == []
    assert solo.connection.lend(first, solo.now)
    (second,) = requests(solo.connection.events())
    assert second.payload == b"2"
    solo.connection.unlend(first, solo.now)
    sends = solo.connection.incoming.sends
    assert (sends.running, sends.lent) == (2, 0)
    solo.connection.done(first, solo.now)
    solo.connection.done(second, solo.now)
    assert (sends.running, sends.bytes) == (0, 0)


@pytest.mark.parametrize("data", [call_frame(1), send_frame()], ids=["call", "send"])
def test_waits_within_waits(data: bytes) -> None:
    """A handler that waits for several answers at once lends one permit, and has it back with the last of them."""
    solo = Solo()
    request = solo.deliver(data)

    def lent() -> int:
        return solo.budget.lent + solo.connection.incoming.sends.lent

    for waits in (1, 2, 3):
        assert solo.connection.lend(request, solo.now)
        assert (request.waits, lent()) == (waits, 1)
    for waits in (2, 1):
        solo.connection.unlend(request, solo.now)
        assert (request.waits, lent()) == (waits, 1)
    solo.connection.unlend(request, solo.now)
    assert (request.waits, lent()) == (0, 0)


@pytest.mark.parametrize("data", [call_frame(1), send_frame()], ids=["call", "send"])
def test_a_request_that_ends_while_lent(data: bytes) -> None:
    """The answer came before the wait was over: what was lent is not given back twice, and the late end of the wait is nothing."""
    solo = Solo()
    request = solo.deliver(data)
    solo.connection.lend(request, solo.now)
    if request.cid:
        solo.connection.respond(request, b"", solo.now)
    else:
        solo.connection.done(request, solo.now)
    sends = solo.connection.incoming.sends
    assert (solo.budget.in_use, solo.budget.lent, sends.running, sends.lent, sends.bytes) == (0, 0, 0, 0, 0)
    solo.connection.unlend(request, solo.now)
    assert solo.connection.lend(request, solo.now), "a task that the handler left behind may still call"
    assert (solo.budget.in_use, solo.budget.lent, sends.running, sends.lent) == (0, 0, 0, 0)


@pytest.mark.parametrize("make", [call_frame, lambda cid: send_frame()], ids=["call", "send"])
def test_lending_has_an_end(make: object) -> None:
    """Over the limit a handler must not wait: it keeps what it holds."""
    solo = Solo(Limits(lent=1))
    first, second = requests(solo.feed(make(1), make(2)))  # type: ignore[operator]
    assert solo.connection.lend(first, solo.now)
    assert not solo.connection.lend(second, solo.now)
    assert second.waits == 0
    assert solo.budget.in_use + solo.connection.incoming.sends.running == 1


def test_a_request_without_permit_has_nothing_to_lend() -> None:
    """Relays and pub/sub wait as they like."""
    solo = Solo(Limits(lent=0))
    request = solo.deliver(call_frame(1, sid=FREE))
    assert solo.connection.lend(request, solo.now)
    solo.connection.unlend(request, solo.now)
    solo.connection.respond(request, b"", solo.now)
    assert (solo.budget.in_use, solo.budget.lent) == (0, 0)


def test_an_unlend_too_many_is_a_mistake() -> None:
    """It would make permits out of nothing: `ValueError`, and nothing has changed."""
    solo = Solo()
    request = solo.deliver(call_frame(1, sid=SLOW))
    with pytest.raises(ValueError, match="follows one lend"):
        solo.connection.unlend(request, solo.now)
    assert (request.waits, solo.budget.in_use, solo.budget.lent) == (0, 1, 0)


# -- the shared budget -----------------------------------------------------------------------------------


def test_a_connection_is_told_of_a_permit_that_another_gave_back() -> None:
    """It must not act inside of the other's command: it is told, and starts its call when its driver comes round."""
    budget = CallBudget(1)
    one, other = Solo(budget=budget), Solo(budget=budget)
    told = []
    other.connection.incoming.on_permit = lambda: told.append("other")
    running = one.deliver(call_frame(1))
    other.feed(call_frame(1))
    one.connection.respond(running, b"", one.now)
    assert told == ["other"]
    assert other.connection.events() == []
    other.connection.permit_freed(other.now)
    assert cids(requests(other.connection.events())) == [1]


def test_a_permit_that_came_makes_reading_go_on() -> None:
    """The parking was full, and has room again."""
    budget = CallBudget(1)
    one, other = Solo(budget=budget), Solo(Limits(parked=1), budget=budget)
    running = one.deliver(call_frame(1))
    other.feed(call_frame(1) + send_frame())
    assert not other.connection.wants_read
    one.connection.respond(running, b"", one.now)
    other.connection.permit_freed(other.now)
    assert names(other.connection.events()) == ["CallReceived", "SendReceived"]
    assert other.connection.wants_read
