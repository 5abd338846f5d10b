"""What lies exactly on a border, or differs by one small thing from what other tests have: mutants had survived here."""

from __future__ import annotations

import pytest
from tests.core.harness import (
    ECHO,
    ORDERED,
    START,
    Solo,
    call_frame,
    decode_body,
    encode_body,
    error_frame,
    names,
    only,
    requests,
    send_frame,
)
from tests.core.relay_ends import PICKED, RELAYED, Relay, RelayTestRoute, nothing_held

from duologue.protocol.errors import CallTimeout, ErrorKind, Executed
from duologue.protocol.events import CallFailed, ErrorReported, PeerClosed, SendAccepted, SendFailed
from duologue.protocol.failures import ErrorBodies
from duologue.protocol.feed import Feed
from duologue.protocol.lifecycle import Phase
from duologue.protocol.limits import Limits
from duologue.protocol.relaying import SEND_PATIENCE
from duologue.protocol.unanswered import REFUSAL_SIZE

NARROW = Limits(max_frame=256, owed=2, outbox_high=100, outbox_low=50)

# -- a message is no call ------------------------------------------------------------------------------


def test_a_call_that_is_cancelled_takes_no_message_with_it() -> None:
    """Neither has left. The call's frame is taken out of the outbox, by its id; a message has none."""
    solo = Solo()
    call = solo.call(b"call")
    solo.send(b"send")
    solo.connection.publish(Feed(), ECHO, b"published", START)
    assert solo.connection.cancel(call, START) is Executed.NO
    assert [payload for _, _, payload in solo.sent()] == [b"send", b"published"]


def test_nor_one_that_had_waited_for_room() -> None:
    """It got into the outbox later, by another way."""
    solo = Solo(NARROW)
    solo.send(bytes(150))
    waiting = solo.send(b"waits")
    solo.connection.data_to_send()
    solo.connection.data_sent(START)
    assert only(solo.connection.events(), SendAccepted).send is waiting
    call = solo.call(b"call")
    assert call.id == 1
    solo.connection.cancel(call, START)
    assert [payload for _, _, payload in solo.sent()] == [b"waits"]


def test_nor_one_that_was_relayed() -> None:
    """The first call of that connection is its own, and a message of another connection's remote is behind it."""
    relay = Relay()
    call = relay.other.call(b"call")
    relay.asked.feed(send_frame(b"first", RELAYED))  # finds the way
    relay.asked.connection.relay(
        relay.asked.deliver(send_frame(b"picked", PICKED)), relay.other.connection.relays, START
    )
    relay.asked.feed(send_frame(b"short way", RELAYED))
    relay.other.connection.cancel(call, START)
    assert [payload for _, _, payload in relay.other.sent()] == [b"first", b"picked", b"short way"]


# -- time --------------------------------------------------------------------------------------------------


def test_what_is_relayed_one_way_waits_for_its_patience_and_no_longer() -> None:
    """There is no room at the other connection: for so long it stays, and then it is dropped."""
    relay = Relay(other=NARROW)
    relay.link()
    relay.ask(0, bytes(150))
    relay.ask(0, b"waits")
    relay.wait(SEND_PATIENCE - 0.1)
    assert relay.asked.connection.incoming.sends.running == 1
    relay.wait(0.2)
    assert relay.asked.connection.incoming.sends.running == 0
    assert [payload for _, _, payload in relay.other.sent()] == [bytes(150)]


def test_a_relayed_call_expires_though_an_older_one_does_not() -> None:
    """Two services, of which the one that is asked later has less time."""
    relay = Relay(timeout=60.0)
    relay.link()
    target = relay.other.connection.relays
    relay.asked.routes[0x7779] = RelayTestRoute(lambda: target, 5.0)
    relay.ask(1)
    relay.ask(2, sid=0x7779)
    relay.wait(6.0)
    assert [cid for _, cid, _ in relay.asked.sent()] == [2]
    assert relay.asked.connection.incoming.unanswered == 1


@pytest.mark.parametrize("how", ["cancelled", "failed"])
def test_the_deadlines_of_calls_that_end_without_an_answer_are_forgotten(how: str) -> None:
    """With a time-out of an hour thousands would pile up otherwise, each with all that hangs on it."""
    solo = Solo()
    for number in range(1000):
        call = solo.call(timeout=3600.0)
        if how == "cancelled":
            solo.connection.cancel(call, START)
        else:
            solo.sent()
            assert names(solo.feed(error_frame(number + 1))) == ["CallFailed"]
    assert len(solo.connection.outgoing.deadlines) < 200


def test_a_send_that_came_too_late_has_ended() -> None:
    """Whoever gives it up at the same time gets no error for it. So it is with one whose time is over while it waits."""
    solo = Solo(NARROW)
    solo.send(bytes(150))
    late, waits = solo.send(b"late", timeout=0.0), solo.send(b"waits", timeout=1.0)
    assert late is not None
    assert waits is not None
    assert only(solo.connection.events(), SendFailed).send is late
    assert only(solo.wait(2.0), SendFailed).send is waits
    for send in (late, waits):
        assert send.is_ended
        assert solo.connection.cancel(send, START) is Executed.UNKNOWN


# -- borders ----------------------------------------------------------------------------------------------


def test_a_relayed_call_of_exactly_the_limit_may_wait_for_room() -> None:
    """As it may pass where there is room. A byte more fails at once."""
    relay = Relay(Limits(), other=NARROW)
    relay.link()
    relay.other.send(bytes(150))
    largest = NARROW.max_frame - 24
    relay.ask(1, bytes(largest))
    assert relay.asked.connection.incoming.parking.held == 1
    relay.ask(2, bytes(largest + 1))
    assert [cid for _, cid, _ in relay.asked.sent()] == [2]
    assert [len(payload) for _, _, payload in relay.other.sent()] == [150, largest]


def test_a_relayed_call_waits_when_the_outbox_is_exactly_full() -> None:
    """The mark belongs to what is full."""
    relay = Relay(Limits(), other=NARROW)
    relay.link()
    relay.other.send(bytes(NARROW.outbox_high - 24))
    assert relay.other.connection.outbox.level == NARROW.outbox_high
    relay.ask(1)
    assert relay.asked.connection.incoming.parking.held == 1
    assert len(relay.other.sent()) == 2


@pytest.mark.parametrize("grace", [0.5, 1.0])
def test_a_short_grace_is_a_grace(grace: float) -> None:
    """Handlers have it, be it less than a second; and closing with it once more makes an earlier end, and not one at once."""
    solo = Solo()
    solo.deliver(call_frame(1))
    solo.connection.close("bye", 2.0, START)
    solo.connection.close("bye", grace, START)
    assert solo.connection.phase is Phase.GRACE
    solo.wait(grace - 0.1)
    assert solo.connection.phase is Phase.GRACE
    solo.wait(0.2)
    assert solo.connection.phase is not Phase.GRACE


def test_a_short_grace_from_the_first() -> None:
    """The same for the first that closes it."""
    solo = Solo()
    solo.deliver(call_frame(1))
    solo.connection.close("bye", 0.5, START)
    assert solo.connection.phase is Phase.GRACE


def test_a_short_time_to_drain_is_a_time() -> None:
    """What is under way has it, be it less than a second."""
    solo = Solo()
    solo.deliver(call_frame(1))
    solo.connection.drain("an update", 0.5, START)
    assert solo.connection.phase is Phase.DRAINING
    solo.wait(0.4)
    assert solo.connection.phase is Phase.DRAINING
    solo.wait(0.2)
    assert solo.connection.phase is Phase.CLOSING


def test_refusals_of_exactly_the_bound_leave_the_reading_alone() -> None:
    """Two of the largest size are borne, with one call that may be owed. The third is one too many."""
    padded = ErrorBodies(lambda body: encode_body(body).ljust(REFUSAL_SIZE - 24), decode_body)
    solo = Solo(Limits(calls=1, parked=1, owed=1), bodies=padded)
    solo.call()
    solo.connection.data_to_send()
    solo.feed(*map(call_frame, range(1, 5)))
    assert solo.connection.outbox.refusals == 2 * REFUSAL_SIZE
    assert solo.connection.wants_read
    solo.feed(call_frame(5))
    assert not solo.connection.wants_read


def test_a_message_behind_a_gate_has_its_turn() -> None:
    """The gate is closed, and a call waits for it. Messages owe no answer: those in the lane go on."""
    solo = Solo(NARROW)
    solo.connection.respond(solo.deliver(call_frame(1)), bytes(150), START)
    first = solo.deliver(send_frame(b"first", sid=ORDERED))
    assert solo.feed(send_frame(b"second", sid=ORDERED), call_frame(2)) == []
    solo.connection.done(first, START)
    assert [request.payload for request in requests(solo.connection.events())] == [b"second"]


def test_calls_of_handlers_that_wait_count_already() -> None:
    """Two may be owed, and one is. For the last place wait an ordinary call and, behind it, one that a handler made: since that
    one is let in whatever is owed, the place is taken."""
    solo = Solo(NARROW)
    request = solo.deliver(call_frame(1))
    solo.call()
    solo.sent()
    solo.send(bytes(150))
    solo.call(b"ordinary")
    solo.connection.call(ECHO, b"of the handler", None, START, handled=request)
    assert [payload for _, _, payload in solo.sent()] == [bytes(150), b"of the handler"]
    assert solo.connection.outgoing.pending.owed == 2


# -- what is told, and what is kept ------------------------------------------------------------------------


def test_an_error_about_no_call_of_ours_tells_the_service() -> None:
    """The remote names what it could not do: that is all that anybody will ever know."""
    solo = Solo()
    event = only(solo.feed(error_frame(7, ErrorKind.UNKNOWN_SERVICE, sid=0x99)), ErrorReported)
    assert (event.cid, event.sid) == (7, 0x99)


def test_who_called_learns_how_the_connection_was_lost() -> None:
    """The detail of the loss is in the error of each call, as in the event."""
    solo = Solo()
    solo.call()
    solo.sent()
    solo.connection.transport_lost("reset by peer", START)
    events = solo.connection.events()
    assert "reset by peer" in str(only(events, CallFailed).error)
    assert only(events, PeerClosed).detail == "reset by peer"


def test_messages_let_go_at_the_end_are_counted_one_by_one() -> None:
    """One-way messages that come while it ends are let go, and counted."""
    solo = Solo()
    solo.deliver(call_frame(1))
    solo.connection.close("bye", 5.0, START)
    solo.feed(send_frame(), send_frame(), send_frame())
    assert solo.connection.incoming.dropped == 3


def is_to_be_told(relay: Relay) -> bool:
    return relay.asked.connection.outgoing.on_owed is not None


@pytest.mark.parametrize("how", ["room", "time", "the end"])
def test_nobody_is_told_for_a_relayed_call_that_has_waited(how: str) -> None:
    """While it waits it is to be told that something is owed. When it waits no longer, however that came, nobody is."""
    relay = Relay(Limits(), other=NARROW, timeout=2.0)
    relay.link()
    relay.other.send(bytes(150))
    relay.ask(1)
    assert is_to_be_told(relay)
    if how == "room":
        ((_, _, _), (_, cid, _)) = relay.other.sent()
        relay.answer(cid)
    elif how == "time":
        relay.wait(10.0)
        assert relay.other.connection.events() == []
    else:
        relay.asked.connection.transport_lost("", START)
    assert not is_to_be_told(relay)
    relay.other.sent()
    nothing_held({"asked": relay.asked, "other": relay.other})


def test_a_call_whose_time_is_over_says_so_once() -> None:
    """Of two calls the one whose time is over fails, and the other goes on."""
    solo = Solo()
    short, _ = solo.call(timeout=1.0), solo.call(timeout=50.0)
    failed = only(solo.wait(2.0), CallFailed)
    assert failed.call is short
    assert isinstance(failed.error, CallTimeout)
