"""Requests that another connection answers: what arrives where, what a failure becomes, and that nothing is left."""

from __future__ import annotations

from itertools import cycle

import pytest
from tests.core.harness import (
    ECHO,
    START,
    Solo,
    call_frame,
    decode_body,
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
from tests.core.relay_ends import PICKED, RELAYED, Relay, RelayTestRoute, nothing_held

from duologue.protocol.errors import (
    CloseReason,
    DecodeError,
    ErrorKind,
    FailureKind,
    RelayRefused,
    SendTimeout,
)
from duologue.protocol.events import (
    CallReceived,
    IncomingRequest,
    RelayTargetLost,
    RequestFailed,
    SendReceived,
)
from duologue.protocol.ids import ERROR_SID, RESPONSE_SID
from duologue.protocol.lifecycle import Phase
from duologue.protocol.limits import KIB, Limits
from duologue.protocol.relaying import failure_of

SMALL = Limits(max_frame=256, owed=2, waiting=2, outbox_high=100, outbox_low=50, parked=3)

WAYS = pytest.mark.parametrize("sid", [RELAYED, PICKED])
"""Known to the state machine, or found out by the driver: nobody can tell from outside."""


@pytest.fixture
def relay() -> Relay:
    relay = Relay()
    relay.link()
    return relay


# -- what arrives --------------------------------------------------------------------------------------


@WAYS
@pytest.mark.parametrize("is_first", [True, False])
def test_a_call_and_its_answer_pass_unchanged_but_for_the_id(sid: int, is_first: bool) -> None:
    """Each hop has ids of its own. The payload is passed on as it came."""
    relay = Relay()
    if not is_first:
        relay.link()
    relay.ask(77, b"question", sid)
    ((passed, cid, payload),) = relay.other.sent()
    assert (passed, payload) == (sid, b"question")
    assert cid == (1 if is_first else 2)
    relay.answer(cid, b"answer")
    assert relay.asked.sent() == [(RESPONSE_SID, 77, b"answer")]
    nothing_held({"asked": relay.asked, "other": relay.other})


@WAYS
def test_a_one_way_message_passes_unchanged(sid: int, relay: Relay) -> None:
    """And holds no slot when it is on its way."""
    relay.ask(0, b"news", sid)
    assert relay.other.sent() == [(sid, 0, b"news")]
    assert relay.asked.connection.incoming.sends.running == 0
    nothing_held({"asked": relay.asked, "other": relay.other})


def test_what_goes_the_short_way_is_never_delivered(relay: Relay) -> None:
    """No event, so no task: the driver is only told to look at the other connection."""
    assert relay.asked.feed(frame(RELAYED, 1, b"a"), frame(RELAYED, 0, b"b")) == []
    assert relay.woken == ["other", "other"]
    assert relay.other.feed(response_frame(2, b"c")) == []
    assert relay.woken == ["other", "other", "asked"]


def test_many_calls_cross_each_other(relay: Relay) -> None:
    """Answers in any order reach the calls that they belong to."""
    for cid in range(1, 51):
        relay.ask(cid, b"%d" % cid)
    passed = {payload: cid for _, cid, payload in relay.other.sent()}
    for number in (*range(2, 51, 2), *range(49, 0, -2)):
        relay.answer(passed[b"%d" % number], b"to %d" % number)
    answers = {cid: payload for _, cid, payload in relay.asked.sent()}
    assert answers == {cid: b"to %d" % cid for cid in range(1, 51)}
    nothing_held({"asked": relay.asked, "other": relay.other})


def test_no_permit_is_taken(relay: Relay) -> None:
    """The provider has its own. Here calls of any number are under way, and permits are free for others."""
    budget = relay.asked.budget
    for cid in range(1, budget.limit + 50):
        relay.ask(cid)
    assert budget.in_use == 0
    (request,) = relay.asked.feed(call_frame(2000, b"", ECHO))
    assert isinstance(request, CallReceived)


def test_while_the_gate_is_closed_calls_are_parked() -> None:
    """F2 holds for relayed calls, too: who does not read his answers gets no new ones."""
    relay = Relay(Limits(outbox_high=64, outbox_low=32), other=Limits())
    relay.link()
    relay.ask(1)
    ((_, first, _),) = relay.other.sent()
    relay.answer(first, b"x" * 100)
    relay.ask(2, b"later")
    assert relay.other.sent() == []
    assert relay.asked.connection.incoming.parking.calls == 1
    relay.asked.sent()
    (request,) = relay.asked.connection.events()
    assert isinstance(request, CallReceived)
    relay.asked.connection.relay(request, relay.other.connection.relays, START)
    assert [payload for _, _, payload in relay.other.sent()] == [b"later"]


@WAYS
@pytest.mark.parametrize("is_foreign", [False, True])
@pytest.mark.fault(40, 78)
def test_unread_answers_have_a_bound(sid: int, is_foreign: bool) -> None:
    """As many bytes as its own handlers could leave unread; in place of more go errors, and when it reads, answers again.
    Whether another connection gives the answers, or a driver has asked a peer that is none of ours.
    """
    limits = Limits(calls=4, max_frame=10 * KIB, outbox_high=16 * KIB, outbox_low=KIB)
    relay = Relay(limits, other=Limits())
    relay.link()
    asked, payload = relay.asked.connection, bytes(9 * KIB)
    answered: list[IncomingRequest] = []

    def ask(cid: int) -> None:
        if is_foreign:
            answered.extend(requests(relay.asked.feed(frame(PICKED, cid, b""))))
        else:
            relay.ask(cid, b"", sid)

    def answer() -> None:
        for _, cid, _ in relay.other.sent():
            relay.answer(cid, payload)
        while answered:
            asked.respond(answered.pop(0), payload, START)

    for cid in range(1, 51):
        ask(cid)
    answer()
    most = limits.outbox_high + limits.calls * limits.max_frame
    assert most - 10 * KIB < asked.outbox.answers < most + 50 * 160
    failures = [each for each in relay.told() if isinstance(each, RequestFailed)]
    sent = relay.asked.sent()
    assert [each[1] for each in sent] == list(range(1, 51))
    passed = [each for each in sent if each[0] == RESPONSE_SID]
    assert len(passed) == most // (9 * KIB)
    assert {error_kind(each) for each in sent[len(passed) :]} == {"InternalServerError"}
    assert [each.kind for each in failures] == [FailureKind.OVERLOADED] * (50 - len(passed))
    ask(51)
    answer()
    assert [each[:2] for each in relay.asked.sent()] == [(RESPONSE_SID, 51)]
    nothing_held({"asked": relay.asked, "other": relay.other})


def test_an_id_that_is_in_use_is_refused(relay: Relay) -> None:
    """A relayed call is a call: its id can't be used twice."""
    relay.ask(5)
    relay.asked.feed(frame(RELAYED, 5))
    assert relay.asked.connection.reason is CloseReason.PROTOCOL_ERROR


# -- failures ------------------------------------------------------------------------------------------


KINDS = [
    (ErrorKind.UNKNOWN_SERVICE, "UnknownService", FailureKind.UNKNOWN_SERVICE),
    (ErrorKind.DESERIALIZE, "Deserialize", FailureKind.DESERIALIZE),
    (ErrorKind.PUBSUB_NO_CALL, "PubSubNoCall", FailureKind.PUBSUB_NO_CALL),
    (ErrorKind.TIMEOUT, "Timeout", FailureKind.TIMEOUT),
    (ErrorKind.INTERNAL_SERVER_ERROR, "InternalServerError", FailureKind.RELAY_FAILED),
    (ErrorKind.DESERIALIZE_WIREFORMAT, "InternalServerError", FailureKind.RELAY_FAILED),
]


@WAYS
@pytest.mark.parametrize(("kind", "passed_on", "told"), KINDS, ids=[kind.value for kind, *_ in KINDS])
@pytest.mark.fault(78)
def test_an_error_keeps_its_kind_and_gets_the_callers_id(
    relay: Relay, sid: int, kind: ErrorKind, passed_on: str, told: FailureKind
) -> None:
    """The caller's own id, in the header and in the body, and the kind: no text of the provider's is passed on."""
    relay.ask(77, b"", sid)
    ((_, cid, _),) = relay.other.sent()
    relay.other.feed(error_frame(cid, kind, sid))
    (answer,) = relay.asked.sent()
    assert (answer[0], answer[1], error_kind(answer)) == (ERROR_SID, 77, passed_on)
    ((_, body),) = decode_body(answer[2]).items()
    assert body["sid"]["inner"]["id"] == sid
    assert body.get("cid", {"inner": {"id": 77}})["inner"]["id"] == 77
    assert only(relay.told(), RequestFailed).kind is told
    nothing_held({"asked": relay.asked, "other": relay.other})


@WAYS
@pytest.mark.parametrize("cid", [7, 0])
def test_what_is_too_large_for_the_next_hop_fails_alone(sid: int, cid: int) -> None:
    """The size is checked against the limit of the connection that it would go to. Both connections stay."""
    relay = Relay(Limits(), other=Limits(max_frame=1024))
    relay.link()
    relay.ask(cid, bytes(2 * KIB), sid)
    failed = only(relay.told(), RequestFailed)
    assert failed.kind is FailureKind.FRAME_TOO_LARGE
    assert [error_kind(sent) for sent in relay.asked.sent()] == (["InternalServerError"] if cid else [])
    assert relay.other.sent() == []
    assert relay.asked.connection.phase is relay.other.connection.phase is Phase.OPEN
    nothing_held({"asked": relay.asked, "other": relay.other})


def test_an_answer_that_is_too_large_for_the_way_back_fails_alone() -> None:
    """The one who asked learns it at once, and the provider nothing."""
    relay = Relay(Limits(max_frame=1024), other=Limits())
    relay.link()
    relay.ask(7)
    ((_, cid, _),) = relay.other.sent()
    relay.answer(cid, bytes(2 * KIB))
    (answer,) = relay.asked.sent()
    assert error_kind(answer) == "InternalServerError"
    assert only(relay.told(), RequestFailed).kind is FailureKind.FRAME_TOO_LARGE
    nothing_held({"asked": relay.asked, "other": relay.other})


@WAYS
@pytest.mark.fault(76)
def test_a_provider_that_dies_fails_only_what_went_to_it(relay: Relay, sid: int) -> None:
    """A provider dies: what went to it fails at once; the connection to the one who asked stays, and tells its observers."""
    relay.ask(7, b"", sid)
    relay.other.sent()
    relay.other.connection.transport_lost("killed", START)
    (answer,) = relay.asked.sent()
    assert (answer[1], error_kind(answer)) == (7, "InternalServerError")
    failed, lost = relay.told()
    assert isinstance(failed, RequestFailed)
    assert failed.kind is FailureKind.RELAY_GONE
    assert isinstance(lost, RelayTargetLost)
    assert (lost.target, lost.reason, lost.detail) == ("provider", CloseReason.TRANSPORT_FAILED, "killed")
    assert relay.asked.connection.phase is Phase.OPEN
    nothing_held({"asked": relay.asked, "other": relay.other})
    relay.other.assert_nothing_left()


@pytest.mark.parametrize("cid", [7, 0])
def test_what_comes_for_a_provider_that_is_gone_fails_at_once(relay: Relay, cid: int) -> None:
    """Not only when it is closed: as soon as it takes no more calls."""
    relay.other.feed(call_frame(1))  # a handler that runs on
    relay.other.connection.close("enough", 5.0, START)
    assert relay.other.connection.phase is Phase.GRACE
    relay.ask(cid)
    lost, failed = relay.told()
    assert isinstance(lost, RelayTargetLost)
    assert isinstance(failed, RequestFailed)
    assert failed.kind is FailureKind.RELAY_GONE
    assert len(relay.asked.sent()) == (1 if cid else 0)


@WAYS
@pytest.mark.fault(79)
def test_a_caller_that_vanishes_frees_its_entries(relay: Relay, sid: int) -> None:
    """A caller vanishes: its calls that have not left never will; the late answers to others are dropped, and counted."""
    relay.ask(1, b"gone", sid)
    relay.other.sent()
    relay.ask(2, b"still here", sid)
    relay.asked.connection.transport_lost("cut", START)
    assert relay.asked.connection.phase is Phase.CLOSED
    assert relay.other.sent() == []
    assert relay.other.connection.outgoing.pending.owed == 1
    assert relay.other.feed(response_frame(2)) == []
    assert relay.other.connection.late == 1
    relay.asked.assert_nothing_left()
    nothing_held({"other": relay.other})
    assert relay.other.connection.outgoing.pending.owed == 0


def test_grace_waits_for_relayed_calls(relay: Relay) -> None:
    """They are running requests like others: their answers still go out."""
    relay.ask(1)
    ((_, cid, _),) = relay.other.sent()
    relay.asked.connection.close("bye", 5.0, START)
    assert relay.asked.connection.phase is Phase.GRACE
    relay.answer(cid, b"in time")
    relay.asked.connection.look(START)
    assert relay.asked.connection.phase is Phase.CLOSING
    assert relay.asked.sent() == [(RESPONSE_SID, 1, b"in time")]


def test_when_grace_is_over_relayed_calls_end(relay: Relay) -> None:
    """With an error for the one who asked, and nothing left at the provider's side."""
    relay.ask(1)
    relay.other.sent()
    relay.asked.connection.close("bye", 5.0, START)
    relay.asked.wait(5.0)
    (answer,) = relay.asked.sent()
    assert error_kind(answer) == "InternalServerError"
    nothing_held({"asked": relay.asked, "other": relay.other})


# -- time-outs -----------------------------------------------------------------------------------------


@WAYS
def test_no_answer_in_time_is_passed_on_as_a_timeout(sid: int) -> None:
    """`Timeout` on the wire; the answer that comes later is dropped."""
    relay = Relay(timeout=3.0)
    relay.link()
    relay.ask(7, b"", sid)
    ((_, cid, _),) = relay.other.sent()
    relay.wait(2.9)
    assert relay.asked.sent() == []
    relay.wait(0.2)
    (answer,) = relay.asked.sent()
    assert (answer[1], error_kind(answer)) == (7, "Timeout")
    nothing_held({"asked": relay.asked, "other": relay.other})
    assert relay.other.feed(response_frame(cid)) == []
    assert relay.other.connection.late == 1


def test_each_call_has_its_own_time() -> None:
    """The others go on when one expires; one that was answered is not looked for."""
    relay = Relay(timeout=3.0)
    relay.link()
    relay.ask(1)
    relay.wait(1.0)
    relay.ask(2)
    relay.ask(3)
    ids = [cid for _, cid, _ in relay.other.sent()]
    relay.wait(2.0)
    assert [(cid, error_kind((sid, cid, body))) for sid, cid, body in relay.asked.sent()] == [(1, "Timeout")]
    relay.answer(ids[1], b"two")
    assert relay.asked.sent() == [(RESPONSE_SID, 2, b"two")]
    relay.wait(1.0)
    assert [sent[1] for sent in relay.asked.sent()] == [3]
    assert (
        relay.other.connection.next_deadline() is not None
    )  # those that were given up are forgotten one day
    nothing_held({"asked": relay.asked, "other": relay.other})


def test_a_call_that_has_not_left_when_its_time_is_over_never_does() -> None:
    """Its frame is taken out of the outbox again."""
    relay = Relay(timeout=3.0)
    relay.link()
    relay.ask(1, b"in vain")
    relay.wait(3.0)
    assert [error_kind(sent) for sent in relay.asked.sent()] == ["Timeout"]
    assert relay.other.sent() == []
    assert relay.other.connection.outgoing.pending.owed == 0


@WAYS
def test_without_a_timeout_it_waits_for_ever(sid: int) -> None:
    """If one insists."""
    relay = Relay(timeout=None)
    relay.link()
    relay.ask(1, b"", sid)
    assert len(relay.other.connection.outgoing.deadlines) == 0
    relay.other.sent()
    assert relay.other.connection.next_deadline() is None


# -- no room -------------------------------------------------------------------------------------------


def full_relay() -> tuple[Relay, list[int]]:
    """Two calls are under way to a provider that takes no third before it has answered one."""
    relay = Relay(SMALL)
    relay.link()
    relay.ask(1)
    relay.ask(2)
    return relay, [cid for _, cid, _ in relay.other.sent()]


def test_without_room_a_call_waits_and_counts_as_parked() -> None:
    """So a provider that is slow is felt by the one who asks, and not in memory here."""
    relay, ids = full_relay()
    relay.ask(3, b"three")
    parking = relay.asked.connection.incoming.parking
    assert (parking.held, parking.calls, relay.other.sent()) == (1, 0, [])
    relay.woken.clear()
    relay.answer(ids[0])
    assert relay.woken == ["asked", "asked"]  # the answer, and the room for the other
    assert (parking.held, [payload for _, _, payload in relay.other.sent()]) == (0, [b"three"])


def test_calls_to_others_do_not_stand_behind_it() -> None:
    """What waits for one provider holds up nothing else."""
    relay, _ = full_relay()
    relay.ask(3)
    (request,) = relay.asked.feed(call_frame(4, b"", ECHO))
    assert isinstance(request, CallReceived)


def test_when_enough_wait_reading_pauses() -> None:
    """As with parked calls (F3). It goes on when one of them has found room."""
    relay, ids = full_relay()
    for cid in (3, 4):
        relay.ask(cid)
    connection = relay.asked.connection
    parking = connection.incoming.parking
    assert (parking.held, parking.is_full) == (2, False)
    # The line at the other connection is full as well: that is refused, and counts nowhere.
    relay.ask(5)
    assert [error_kind(sent) for sent in relay.asked.sent()] == ["InternalServerError"]
    assert only(relay.told(), RequestFailed).kind is FailureKind.OVERLOADED
    relay.answer(ids[0])
    assert parking.held == 1


def parked_full() -> tuple[Relay, list[int]]:
    relay = Relay(Limits(owed=2, parked=2), other=Limits(owed=2))
    relay.link()
    for cid in (1, 2, 3, 4):
        relay.ask(cid)
    return relay, [cid for _, cid, _ in relay.other.sent()]


def test_a_pause_for_what_waits_ends_with_it() -> None:
    """The bound is that of the parking, and whoever gives room says so."""
    relay, ids = parked_full()
    connection = relay.asked.connection
    connection.receive_data(frame(RELAYED, 5), START)
    assert not connection.wants_read
    relay.woken.clear()
    relay.answer(ids[0])
    assert "asked" in relay.woken
    assert connection.needs_look
    connection.look(START)
    assert (connection.wants_read, connection.incoming.parking.held) == (
        False,
        2,
    )  # the next has taken the place
    relay.answer(ids[1])
    connection.look(START)
    assert (connection.wants_read, connection.incoming.parking.held) == (True, 1)


@pytest.mark.fault(39)
def test_if_answers_are_owed_calls_wait_for_no_others() -> None:
    """What the remote asks may be needed for its answers: its calls pass those that wait for answers to others (F3)."""
    relay, _ = full_relay()
    relay.asked.call()
    relay.asked.sent()
    relay.ask(3, b"three")
    assert [payload for _, _, payload in relay.other.sent()] == [b"three"]
    assert relay.asked.connection.wants_read


@pytest.mark.fault(39)
def test_calls_that_wait_already_wait_no_longer_when_an_answer_is_owed() -> None:
    """It may be owed only after they came: that is looked at again, and not once and for all."""
    relay, _ = parked_full()
    connection = relay.asked.connection
    assert not connection.wants_read
    relay.woken.clear()
    relay.asked.call()
    assert connection.incoming.parking.held == 0
    assert "other" in relay.woken
    assert len(relay.other.sent()) == 2
    assert connection.wants_read
    assert relay.other.connection.outgoing.waiting == 0


@pytest.mark.fault(39)
@pytest.mark.parametrize("is_full", [False, True])
def test_what_is_relayed_to_a_remote_makes_it_owe_too(is_full: bool) -> None:
    """A remote's call waits for others. Then it is asked something by way of a relay, at once or when there is room: so its call
    waits no longer."""
    routes = {PICKED: RelayTestRoute(None)}
    asks, middle, last = (
        Solo(Limits(owed=1, outbox_high=100, outbox_low=10), routes=dict(routes)) for _ in range(3)
    )
    target = middle.connection.relays
    asks.routes[RELAYED] = RelayTestRoute(lambda: target)
    asks.feed(frame(RELAYED, 1))
    ((_, cid, _),) = middle.sent()
    middle.feed(response_frame(cid))
    last.call()
    last.sent()
    (request,) = requests(middle.feed(frame(PICKED, 7, b"waits")))
    middle.connection.relay(request, last.connection.relays, START)
    assert (middle.connection.incoming.parking.held, last.sent()) == (1, [])
    if is_full:
        middle.send(bytes(200))
    asks.feed(frame(RELAYED, 2, b"may need it"))
    assert [payload for _, _, payload in middle.sent()][-1] == b"may need it"
    assert [payload for _, _, payload in last.sent()] == [b"waits"]
    assert middle.connection.incoming.parking.held == 0


@pytest.mark.fault(40)
def test_held_calls_fill_the_parking_for_those_that_find_no_permit() -> None:
    """One call is held until it is known where it goes, and that is all the parking has room for: the first to find no permit is
    refused, as all that follow, and does not stand in the line for one."""
    relay = Relay(Limits(calls=1, parked=1))
    asked = relay.asked
    asked.call()
    asked.sent()
    (running,) = requests(asked.feed(frame(ECHO, 1)))
    assert len(requests(asked.feed(frame(PICKED, 2)))) == 1
    asked.feed(frame(ECHO, 3), frame(ECHO, 4))
    parking = asked.connection.incoming.parking
    assert (parking.calls, parking.held, asked.budget.waiting) == (0, 1, 0)
    assert [(sent[1], error_kind(sent)) for sent in asked.sent()] == [
        (cid, "InternalServerError") for cid in (3, 4)
    ]
    asked.connection.respond(running, b"", asked.now)


def test_a_call_that_waits_for_no_others_may_wait_for_room() -> None:
    """The client owes an answer, and there is room in the parking, but none in the outbox over there."""
    relay = Relay(Limits(), other=Limits(outbox_high=100, outbox_low=10))
    relay.link()
    relay.other.send(bytes(200))
    relay.asked.call()
    relay.ask(1, b"waits")
    assert relay.asked.connection.incoming.parking.held == 1
    assert [payload for _, _, payload in relay.other.sent()][-1] == b"waits"
    assert relay.asked.connection.incoming.parking.held == 0


@pytest.mark.parametrize("timeout", [60.0, None])
def test_calls_over_twice_the_limit_are_refused_when_an_answer_is_owed(timeout: float | None) -> None:
    """Those that there is no room for, even for calls that wait for no others. Nothing is left of them."""
    relay = Relay(Limits(owed=2), timeout=timeout)
    relay.link()
    for cid in range(1, 8):
        relay.ask(cid)
    assert relay.asked.connection.incoming.parking.held == 5
    relay.asked.call()
    refused = [sent for sent in relay.asked.sent() if sent[0] == ERROR_SID]
    assert [(sent[1], error_kind(sent)) for sent in refused] == [
        (cid, "InternalServerError") for cid in (5, 6, 7)
    ]
    assert [event.kind for event in relay.told() if isinstance(event, RequestFailed)] == [
        FailureKind.OVERLOADED
    ] * 3
    sent = relay.other.sent()
    assert len(sent) == 4
    for _, cid, _ in sent:
        relay.answer(cid)
    relay.wait(61.0)
    assert len(relay.other.connection.outgoing.deadlines) == 0
    assert relay.asked.connection.incoming.parking.held == 0


@pytest.mark.parametrize("how", ["answered", "cut", "given up", "out of time"])
def test_who_waits_and_hurries_still_waits_for_room_in_the_outbox(how: str) -> None:
    """Only answers to others are not waited for. However it ends, it ends once."""
    relay = Relay(Limits(owed=1), other=Limits(owed=1, outbox_high=100, outbox_low=10))
    relay.link()
    relay.ask(1)
    relay.other.sent()
    relay.ask(2)
    relay.other.send(bytes(200))
    relay.asked.call()
    outgoing, parking = relay.other.connection.outgoing, relay.asked.connection.incoming.parking
    assert (outgoing.waiting, parking.held) == (1, 1)
    relay.asked.sent()
    if how == "answered":
        _, (_, cid, _) = relay.other.sent()
        relay.answer(cid, b"two")
        assert relay.asked.sent() == [(RESPONSE_SID, 2, b"two")]
    elif how == "cut":
        relay.other.connection.transport_lost("cut", relay.other.now)
        assert [error_kind(sent) for sent in relay.asked.sent()] == ["InternalServerError"] * 2
    elif how == "given up":
        relay.asked.connection.transport_lost("cut", relay.asked.now)
        assert len(relay.other.sent()) == 1
    else:
        relay.other.wait(31.0)
        assert [(sent[1], error_kind(sent)) for sent in relay.asked.sent()] == [(2, "Timeout")]
    assert (outgoing.waiting, parking.held) == (0, 0)


def test_a_remote_that_owes_nothing_any_more_waits_like_all() -> None:
    """Whether answers are owed is looked at for each call, and whoever was told once is not told for ever."""
    relay, _ = full_relay()
    call = relay.asked.call()
    relay.asked.sent()
    relay.asked.feed(response_frame(call.id))
    relay.ask(3)
    assert relay.asked.connection.incoming.parking.held == 1
    relay.asked.call()
    assert relay.asked.connection.incoming.parking.held == 0
    assert len(relay.other.sent()) == 1


def test_if_answers_are_owed_and_the_outbox_is_full_the_newest_is_refused() -> None:
    """There is neither room for it there, nor a place to wait here, and reading must go on."""
    relay = Relay(Limits(owed=50, parked=1), other=Limits(outbox_high=64, outbox_low=1))
    relay.link()
    relay.ask(1, bytes(100))
    relay.ask(2, b"waits")
    connection = relay.asked.connection
    assert connection.incoming.parking.held == 1
    relay.asked.call()
    assert [sent[0] for sent in relay.asked.sent()] == [ECHO]
    relay.ask(3, b"too many")
    assert [(sent[1], error_kind(sent)) for sent in relay.asked.sent()] == [(3, "InternalServerError")]
    assert only(relay.told(), RequestFailed).kind is FailureKind.OVERLOADED
    assert connection.outbox.refusals == 0
    assert connection.incoming.unanswered == 2
    payloads = [payload for _, _, payload in relay.other.sent()]
    assert payloads == [bytes(100), b"waits"]


def test_who_waits_for_room_has_its_time_too() -> None:
    """The wait counts in the time-out, and takes at most half of it. It leaves nothing behind."""
    relay, _ = full_relay()
    relay.ask(3)
    relay.wait(29.0)
    assert relay.asked.sent() == []
    relay.wait(2.0)
    assert [(sent[1], error_kind(sent)) for sent in relay.asked.sent()] == [(3, "Timeout")]
    relay.wait(30.0)
    assert [error_kind(sent) for sent in relay.asked.sent()] == ["Timeout"] * 2
    nothing_held({"asked": relay.asked, "other": relay.other})


@pytest.mark.parametrize("is_answered", [True, False])
def test_who_has_waited_for_room_has_the_rest_of_its_time(is_answered: bool) -> None:
    """From when it came to when it has to be answered it is one time-out, and no timer stays behind."""
    relay, ids = full_relay()
    relay.ask(3)
    relay.wait(20.0)
    for cid in ids:
        relay.answer(cid)
    relay.asked.sent()
    ((_, cid, _),) = relay.other.sent()
    relay.wait(39.0)
    assert relay.asked.sent() == []
    if is_answered:
        relay.answer(cid, b"just in time")
        assert relay.asked.sent() == [(RESPONSE_SID, 3, b"just in time")]
    relay.wait(2.0)
    assert [error_kind(sent) for sent in relay.asked.sent()] == ([] if is_answered else ["Timeout"])
    outgoing = relay.other.connection.outgoing
    assert len(outgoing.deadlines) == 0
    assert outgoing.next_deadline() in (
        (None,) if is_answered else (relay.other.now + 59.0,)
    )  # until it is owed no more
    nothing_held({"asked": relay.asked, "other": relay.other})


@pytest.mark.parametrize("pause", [0.0, 31.0, 61.0, 125.0])
def test_many_that_waited_for_room_leave_no_timers(pause: float) -> None:
    """Whether they were answered before the time for the wait was over, or after it, or never."""
    relay = Relay(Limits(owed=1))
    relay.link()
    relay.ask(1)
    for cid in range(2, 402):
        relay.ask(cid)
        for _, sent, _ in relay.other.sent():
            relay.wait(pause)
            relay.answer(sent)
        relay.asked.sent()
    assert len(relay.other.connection.outgoing.deadlines) < 140
    relay.wait(200.0)
    assert len(relay.other.connection.outgoing.deadlines) == 0
    assert relay.other.connection.next_deadline() is None


def test_who_waits_for_room_when_the_caller_vanishes_waits_no_longer() -> None:
    """Nor does a one-way message."""
    relay, _ = full_relay()
    relay.ask(3)
    relay.asked.connection.transport_lost("cut", START)
    assert relay.other.connection.outgoing.waiting == 0
    relay.asked.assert_nothing_left()


@pytest.mark.fault(79)
@pytest.mark.parametrize("how", ["lost", "aborted", "closed"])
def test_a_message_that_gets_room_by_the_end_of_its_own_connection_leaves(how: str) -> None:
    """The caller vanishes; its call had not left, and makes room for its own one-way message: that is sent, and ends once."""
    relay = Relay(other=Limits(outbox_high=1, outbox_low=0))
    relay.link()
    relay.ask(1, b"has not left")
    relay.ask(0, b"waits for room")
    connection, now = relay.asked.connection, relay.asked.now
    assert (connection.incoming.running, relay.other.connection.outgoing.waiting) == (2, 1)
    match how:
        case "lost":
            connection.transport_lost("cut", now)
        case "aborted":
            connection.abort("enough", now)
        case _:
            connection.close("tired", 0.0, now)
    assert [payload for _, _, payload in relay.other.sent()] == [b"waits for room"]
    nothing_held({"asked": relay.asked, "other": relay.other})


def test_who_waits_for_room_when_the_provider_dies_fails() -> None:
    """All of them, at once."""
    relay, _ = full_relay()
    relay.ask(3)
    relay.other.connection.transport_lost("killed", START)
    assert sorted(sent[1] for sent in relay.asked.sent()) == [1, 2, 3]
    nothing_held({"asked": relay.asked, "other": relay.other})


def test_a_one_way_message_waits_for_room_and_keeps_its_slot() -> None:
    """Whoever sends more than the provider takes is slowed down by the budget for sends."""
    relay = Relay(Limits(), other=Limits(outbox_high=64, outbox_low=32))
    relay.link()
    relay.ask(0, bytes(100))
    relay.ask(0, b"waits")
    sends = relay.asked.connection.incoming.sends
    assert (sends.running, sends.bytes) == (1, 29)
    relay.woken.clear()
    assert [payload for _, _, payload in relay.other.sent()] == [bytes(100), b"waits"]
    assert relay.woken == ["asked"]
    assert (sends.running, sends.bytes) == (0, 0)


@pytest.mark.fault(77)
def test_a_one_way_message_without_room_is_dropped_after_ten_seconds() -> None:
    """A one-way message that finds no room for 10 s is dropped and told: the only way out of a ring of relays that are all full."""
    relay = Relay(Limits(), other=Limits(outbox_high=64, outbox_low=32))
    relay.link()
    relay.ask(0, bytes(100))
    relay.ask(0, b"waits")
    relay.wait(10.0)
    failed = only(relay.told(), RequestFailed)
    assert (failed.kind, failed.service) == (FailureKind.DROPPED, "test::Relayed")
    assert isinstance(failed.error, SendTimeout)
    assert relay.asked.connection.incoming.sends.running == 0
    assert [payload for _, _, payload in relay.other.sent()] == [bytes(100)]


def test_a_one_way_message_that_finds_the_line_full_is_let_go() -> None:
    """`Overloaded`, in an event."""
    relay = Relay(Limits(), other=Limits(outbox_high=64, outbox_low=32, waiting=1))
    relay.link()
    for payload in (bytes(100), b"waits", b"too many"):
        relay.ask(0, payload)
    assert only(relay.told(), RequestFailed).kind is FailureKind.OVERLOADED
    assert relay.asked.connection.incoming.sends.running == 1


def test_one_way_messages_that_wait_end_with_their_connection() -> None:
    """Of the one who sent, and of the one who was to get them."""
    limits = Limits(outbox_high=64, outbox_low=32)
    for ends in ("asked", "other"):
        relay = Relay(Limits(), other=limits)
        relay.link()
        relay.ask(0, bytes(100))
        relay.ask(0, b"waits")
        getattr(relay, ends).connection.transport_lost("cut", START)
        assert relay.other.connection.outgoing.waiting == 0
        assert relay.asked.connection.incoming.sends.running == 0
        getattr(relay, ends).assert_nothing_left()


# -- who may not ---------------------------------------------------------------------------------------


@pytest.mark.fault(77)
@pytest.mark.parametrize("cid", [7, 0])
def test_nothing_goes_back_to_where_it_came_from(cid: int) -> None:
    """Two ends that relay the same service to each other would play ball with it: it is refused."""
    relay = Relay()
    (request,) = relay.asked.feed(frame(PICKED, cid))
    assert isinstance(request, CallReceived | SendReceived)
    relay.asked.connection.relay(request, relay.asked.connection.relays, START)
    failed = only(relay.told(), RequestFailed)
    assert failed.kind is FailureKind.RELAY_REFUSED
    assert isinstance(failed.error, RelayRefused)
    assert "back to where it came from" in str(failed.error)
    assert [error_kind(sent) for sent in relay.asked.sent()] == (["InternalServerError"] if cid else [])


@pytest.mark.fault(77)
def test_a_ring_of_relays_ends_by_its_bounds() -> None:
    """A call that goes round fills the connections up to what may be owed: there it waits for itself, and gives up before the
    first of its hops does. So all of them end with it."""
    limits = Limits(owed=10)
    ring = [Relay(limits) for _ in range(3)]
    client = Relay(limits)
    client.ask(1)
    ((sid, cid, payload),) = client.other.sent()
    ring[0].ask(cid, payload, sid)  # what comes round has ids of another link, here in another range
    rounds = 0
    while sent := ring[rounds % 3].other.sent():
        rounds += 1
        for sid, cid, payload in sent:
            ring[rounds % 3].ask(cid if rounds % 3 else 1000 + cid, payload, sid)
        assert rounds < 100
    assert rounds > 20
    (tail,) = [one for one in ring if one.other.connection.outgoing.waiting]
    for one in ring:
        one.wait(31.0)
    assert [error_kind(sent) for sent in tail.asked.sent()] == ["Timeout"]
    assert all(one.asked.sent() == [] for one in ring if one is not tail)
    for one in ring:
        one.wait(31.0)
    for one in ring:
        one.asked.connection.close("done", 0.0, one.asked.now)
        nothing_held({"asked": one.asked, "other": one.other})


def test_another_wire_format_is_refused() -> None:
    """Payloads are passed on as they are, so the provider could not read them."""
    relay = Relay()
    relay.asked.connection.relays.wireformat = "cbor"
    relay.other.connection.relays.wireformat = "json"
    relay.ask(7)
    failed = only(relay.told(), RequestFailed)
    assert failed.kind is FailureKind.RELAY_REFUSED
    assert "cbor" in str(failed.error)
    assert "json" in str(failed.error)
    assert "provider" in str(failed.error)


def test_only_what_runs_can_be_handed_over(relay: Relay) -> None:
    """Twice, or after its end, is a mistake of the driver."""
    (request,) = relay.asked.feed(frame(PICKED, 1))
    assert isinstance(request, CallReceived)
    relay.asked.connection.relay(request, relay.other.connection.relays, START)
    with pytest.raises(ValueError, match="was not delivered, or has ended"):
        relay.asked.connection.relay(request, relay.other.connection.relays, START)
    relay.asked.feed(send_frame())


# -- more than two -------------------------------------------------------------------------------------


def test_an_end_is_told_to_each_who_relayed_and_to_none_who_has_ended() -> None:
    """Whoever is closed is forgotten, on both sides."""
    provider = Solo()
    clients = [Relay() for _ in range(3)]
    for number, client in enumerate(clients):
        (request,) = client.asked.feed(frame(PICKED, 1))
        assert isinstance(request, CallReceived)
        client.asked.connection.relay(request, provider.connection.relays, START)
        assert names(client.asked.connection.events()) == []
        if number == 1:
            client.asked.connection.transport_lost("cut", START)
            client.asked.connection.events()
    provider.connection.transport_lost("killed", START)
    told = [names(client.asked.connection.events()) for client in clients]
    assert told == [["RequestFailed", "RelayTargetLost"], [], ["RequestFailed", "RelayTargetLost"]]


def test_one_who_picks_none_has_it_delivered(relay: Relay) -> None:
    """The driver decides then what that means."""
    route = relay.asked.routes[RELAYED]
    route.relays_to = lambda: None
    kinds = [type(event) for event in relay.asked.feed(frame(RELAYED, 1), frame(RELAYED, 0))]
    assert kinds == [CallReceived, SendReceived]


def test_an_error_that_says_nothing_about_relaying_is_a_failure_here() -> None:
    """A peer that is no connection may raise whatever it likes."""
    assert failure_of(DecodeError("odd")) is FailureKind.HANDLER_FAILED


# -- draining ------------------------------------------------------------------------------------------


@WAYS
def test_a_provider_that_drains(sid: int, relay: Relay) -> None:
    """It answers what was passed to it, and nothing more is: those who relay to it are told, as at its end."""
    relay.ask(1, sid=sid)
    ((_, cid, _),) = relay.other.sent()
    relay.other.connection.drain("an update", 60, START)
    lost = only(relay.told(), RelayTargetLost)
    assert (lost.target, lost.reason, lost.detail) == (
        "provider",
        CloseReason.CLOSED_LOCALLY,
        "draining: an update",
    )
    relay.ask(2, sid=sid)
    failed = only(relay.told(), RequestFailed)
    assert (failed.kind, failed.cid) == (FailureKind.RELAY_GONE, 2)
    assert "at provider: the connection is closed: closed locally (draining: an update)" in str(failed.error)
    assert [error_kind(each) for each in relay.asked.sent()] == ["InternalServerError"]
    assert relay.other.connection.phase is Phase.DRAINING
    relay.other.feed(response_frame(cid, b"answer"))
    assert relay.asked.sent() == [(RESPONSE_SID, 1, b"answer")]
    assert relay.other.connection.is_drained
    assert relay.told() == [], "it is told once"
    nothing_held({"asked": relay.asked, "other": relay.other})


@WAYS
def test_one_who_asks_drains(sid: int, relay: Relay) -> None:
    """What was passed on is answered first, and messages are still passed on."""
    relay.ask(1, sid=sid)
    ((_, cid, _),) = relay.other.sent()
    relay.asked.connection.drain("", 60, START)
    relay.ask(0, b"news", sid)
    assert relay.other.sent() == [(sid, 0, b"news")]
    relay.ask(2, sid=sid)
    assert only(relay.told(), RequestFailed).kind is FailureKind.UNAVAILABLE
    assert [error_kind(each) for each in relay.asked.sent()] == ["InternalServerError"]
    relay.answer(cid, b"answer")
    assert relay.asked.connection.phase is Phase.DRAINING
    assert relay.asked.sent() == [(RESPONSE_SID, 1, b"answer")]
    assert relay.asked.connection.is_drained


def test_one_who_sent_has_hung_up() -> None:
    """A message that waits for room at the provider is passed on all the same; a call is given up."""
    relay = Relay(other=SMALL)
    relay.link()
    relay.ask(0, bytes(150))
    relay.ask(0, b"waits")
    relay.ask(3)
    relay.asked.connection.receive_eof(START)
    assert relay.asked.connection.phase is Phase.GRACE
    assert [payload for _, _, payload in relay.other.sent()] == [bytes(150), b"waits"]
    relay.asked.connection.look(START)
    relay.asked.sent()
    assert relay.asked.connection.phase is Phase.CLOSED
    nothing_held({"asked": relay.asked, "other": relay.other})


def test_the_end_of_a_target_is_shown() -> None:
    """For people who read logs."""
    lost = RelayTargetLost("provider", CloseReason.CLOSED_BY_REMOTE, "bye")
    assert repr(lost) == "RelayTargetLost('provider', closed by remote, 'bye')"


def test_how_much_a_provider_has_to_do_is_known() -> None:
    """What is under way to it, and what waits for room."""
    relay, ids = full_relay()
    relay.ask(3)
    assert relay.other.connection.outgoing.unanswered == 3
    relay.answer(ids[0])
    assert relay.other.connection.outgoing.unanswered == 2


# -- picking -------------------------------------------------------------------------------------------


def turns(targets: list[Relay], limits: Limits = Limits()) -> tuple[Solo, list[Relay]]:
    """A connection whose relayed requests go to several others, one after the other."""
    order = cycle([each.other.connection.relays for each in targets])
    route = RelayTestRoute(lambda: next(order))
    return Solo(limits, routes=standard_routes() | {RELAYED: route, PICKED: RelayTestRoute(None)}), targets


@pytest.mark.parametrize("cid", [1, 0])
def test_a_pick_is_never_thrown_away(cid: int) -> None:
    """Whoever was picked gets the request, also the first one, before the two connections know each other."""
    asked, targets = turns([Relay(), Relay(), Relay()])
    for number in range(9):
        assert asked.feed(frame(RELAYED, cid and number + 1)) == []
    assert [len(each.other.sent()) for each in targets] == [3, 3, 3]


@pytest.mark.parametrize("cid", [1, 0])
def test_a_pick_without_room_waits_for_that_one(cid: int) -> None:
    """And counts here: a call as parked, a one-way message by its slot."""
    asked, (full, free) = turns([Relay(), Relay(SMALL)][::-1])
    full.other.send(b"x" * 200)
    for number in range(4):
        assert asked.feed(frame(RELAYED, cid and number + 1)) == []
    incoming = asked.connection.incoming
    assert (incoming.parking.held, incoming.sends.running) == ((2, 0) if cid else (0, 2))
    assert len(free.other.sent()) == 2
    assert len(full.other.sent()) == 3  # its own, and those that found room when that had left
    assert (incoming.parking.held, incoming.sends.running) == (0, 0)


def test_one_way_messages_over_the_budget_are_dropped_if_one_wants_that() -> None:
    """With the policy `drop` reading goes on, and what finds neither room nor a slot is let go."""
    asked, (full,) = turns([Relay(SMALL)], Limits(sends=2, sends_policy="drop"))
    full.other.send(b"x" * 200)
    events = asked.feed(*(send_frame(b"", RELAYED) for _ in range(3)))
    assert only(events, RequestFailed).kind is FailureKind.DROPPED
    assert asked.connection.incoming.dropped == 1
    assert asked.connection.wants_read
    assert len(full.other.sent()) == 3


def test_calls_that_look_for_their_target_count_as_parked() -> None:
    """No permit bounds them. So a flood of calls, whose targets take long to be found, pauses reading."""
    asked = Solo(Limits(parked=3), routes={PICKED: RelayTestRoute(None)})
    calls = requests(asked.feed(*(frame(PICKED, number) for number in range(1, 6))))
    connection = asked.connection
    assert (len(calls), connection.incoming.parking.held, connection.wants_read) == (3, 3, False)
    connection.fail(calls[0], FailureKind.NO_HANDLER, START)
    assert (connection.incoming.parking.held, connection.wants_read) == (3, False)
    other = Relay()
    connection.relay(calls[1], other.other.connection.relays, START)
    assert (connection.incoming.parking.held, connection.wants_read) == (3, False)
    for call in (calls[2], *requests(connection.events())):
        connection.relay(call, other.other.connection.relays, START)
    assert (connection.incoming.parking.held, connection.wants_read) == (0, True)
    assert len(other.other.sent()) == 4


def test_if_answers_are_owed_calls_that_would_look_for_their_target_are_refused() -> None:
    """Reading can't stop, since the answer may be behind them (F3)."""
    asked = Solo(Limits(parked=2), routes={PICKED: RelayTestRoute(None)})
    asked.call()
    events = asked.feed(*(frame(PICKED, number) for number in range(1, 5)))
    assert [event.cid for event in requests(events)] == [1, 2]
    assert [event.kind for event in events if isinstance(event, RequestFailed)] == [
        FailureKind.OVERLOADED
    ] * 2
    assert asked.connection.incoming.parking.held == 2
    assert asked.connection.wants_read


@pytest.mark.fault(79)
@pytest.mark.parametrize("cid", [1, 0])
def test_a_target_that_is_found_too_late_gets_nothing(cid: int) -> None:
    """The caller vanishes while a function picks, which does not mind being cancelled: what it picks then gets nothing."""
    relay = Relay()
    (request,) = requests(relay.asked.feed(frame(PICKED, cid)))
    relay.asked.connection.transport_lost("cut", START)
    relay.asked.connection.events()
    relay.asked.connection.relay(request, relay.other.connection.relays, START)
    assert relay.other.sent() == []
    relay.asked.assert_nothing_left()
    nothing_held({"other": relay.other})


def test_what_a_one_way_message_has_lent_comes_back_when_it_is_relayed() -> None:
    """Whatever looked for its target left something behind that still waits for a remote: the slot is given back once."""
    relay = Relay(SMALL)
    relay.other.send(b"x" * 200)
    (request,) = requests(relay.asked.feed(frame(PICKED, 0)))
    sends = relay.asked.connection.incoming.sends
    assert relay.asked.connection.lend(request, START)
    assert (sends.running, sends.lent) == (0, 1)
    relay.asked.connection.relay(request, relay.other.connection.relays, START)
    assert (sends.running, sends.lent) == (1, 0)
    relay.asked.connection.unlend(request, START)
    relay.other.sent()
    assert (sends.running, sends.lent, sends.bytes) == (0, 0, 0)
