"""Relaying, exactly at its bounds, and what is kept and told of what goes another way than most."""

from __future__ import annotations

import pytest
from tests.core.harness import ECHO, FREE, START, call_frame, names, only, requests, send_frame
from tests.core.relay_ends import PICKED, RELAYED, Relay, RelayTestRoute, nothing_held

from duologue.protocol.errors import FailureKind
from duologue.protocol.events import CallFailed, RequestFailed
from duologue.protocol.ids import ERROR_SID, RESPONSE_SID
from duologue.protocol.limits import Limits

NARROW = Limits(max_frame=256, owed=2, outbox_high=100, outbox_low=50)
LARGEST = NARROW.max_frame - 24
UNREAD = NARROW.outbox_high + NARROW.max_frame
"""Bytes of answers that may wait to be read, with one handler at a time."""
LATER = START + 7.0

# -- exactly the bound ---------------------------------------------------------------------------------


def test_the_largest_message_leaves_at_once() -> None:
    """There is room, so it waits for none. A byte more fails."""
    relay = Relay(Limits(), other=NARROW)
    relay.link()
    relay.ask(0, bytes(LARGEST))
    assert relay.asked.connection.incoming.sends.running == 0
    assert [len(payload) for _, _, payload in relay.other.sent()] == [LARGEST]
    relay.ask(0, bytes(LARGEST + 1))
    assert only(relay.told(), RequestFailed).kind is FailureKind.FRAME_TOO_LARGE


@pytest.mark.parametrize(("size", "answer"), [(LARGEST, RESPONSE_SID), (LARGEST + 1, ERROR_SID)])
def test_the_largest_answer_comes_back(size: int, answer: int) -> None:
    """And one that is a byte larger is an error for the one who asked."""
    relay = Relay(NARROW, other=Limits())
    relay.ask(1)
    ((_, cid, _),) = relay.other.sent()
    relay.answer(cid, bytes(size))
    assert [sid for sid, _, _ in relay.asked.sent()] == [answer]


@pytest.mark.parametrize(("more", "answer"), [(0, RESPONSE_SID), (1, ERROR_SID)])
@pytest.mark.parametrize("is_relayed", [True, False])
def test_unread_answers_up_to_their_bound(more: int, answer: int, is_relayed: bool) -> None:
    """Two answers that come to exactly that many bytes, and then to one more, of calls that take no permit."""
    limits = Limits(max_frame=256, calls=1, outbox_high=100, outbox_low=50)
    first, second = UNREAD - LARGEST - 24 + more, LARGEST
    relay = Relay(limits, other=Limits())
    asked = relay.asked.connection
    if is_relayed:
        for cid in (1, 2):
            relay.ask(cid)
        for (_, cid, _), size in zip(relay.other.sent(), (first, second), strict=True):
            relay.answer(cid, bytes(size))
    else:
        calls = requests(relay.asked.feed(call_frame(1, sid=FREE), call_frame(2, sid=FREE)))
        for call, size in zip(calls, (first, second), strict=True):
            asked.respond(call, bytes(size), START)
    assert [sid for sid, _, _ in relay.asked.sent()] == [RESPONSE_SID, answer]


def test_two_deadlines_at_once() -> None:
    """A relayed call has found its room when the time for that is over. Whose time is over in the same moment learns it."""
    relay = Relay(Limits(), other=NARROW, timeout=60.0)
    relay.link()
    relay.other.send(bytes(150))
    relay.ask(1)
    assert [len(payload) for _, _, payload in relay.other.sent()] == [150, 0]
    own = relay.other.call(timeout=30.0)
    relay.other.sent()
    assert only(relay.other.wait(30.0), CallFailed).call is own
    assert relay.asked.connection.incoming.unanswered == 1


def test_a_relayed_call_without_a_time_out_is_never_late() -> None:
    """The time of another is over, and those that are left are looked through."""
    relay = Relay(timeout=60.0)
    relay.link()
    target = relay.other.connection.relays
    relay.asked.routes[0x7779] = RelayTestRoute(lambda: target, None)
    relay.ask(1, sid=0x7779)
    relay.ask(2)
    relay.other.sent()
    relay.wait(61.0)
    assert [cid for _, cid, _ in relay.asked.sent()] == [2]
    assert relay.asked.connection.incoming.unanswered == 1


# -- messages ------------------------------------------------------------------------------------------


def test_what_goes_the_short_way_needs_no_slot() -> None:
    """All slots are taken, and what finds none is dropped: not that which is in another outbox at once."""
    relay = Relay(Limits(sends=1, sends_policy="drop"))
    relay.link()
    relay.asked.deliver(send_frame())
    assert names(relay.asked.feed(send_frame())) == ["RequestFailed"]
    assert relay.asked.feed(send_frame(b"relayed", RELAYED)) == []
    assert [payload for _, _, payload in relay.other.sent()] == [b"relayed"]


def test_a_message_that_a_peer_was_picked_for_keeps_its_name() -> None:
    """It is let go when that peer ends: the event names the service. And the request that it was holds nothing any more."""
    relay = Relay(Limits(), other=NARROW)
    relay.other.send(bytes(150))
    picked = relay.asked.deliver(send_frame(b"picked", PICKED))
    picked.handler = object()
    relay.asked.connection.relay(picked, relay.other.connection.relays, START)
    assert (picked.payload, picked.handler) == (b"", None)
    relay.other.connection.transport_lost("", START)
    failed = only(relay.told(), RequestFailed)
    assert (failed.sid, failed.cid, failed.service) == (PICKED, 0, "test::Relayed")


# -- who waits no longer for others --------------------------------------------------------------------


def test_those_that_are_refused_when_an_answer_is_owed_leave_no_deadlines() -> None:
    """Hundreds wait, and of all but one it turns out that there is no room for them: their time-outs go with them."""
    relay = Relay(Limits(outbox_high=64, outbox_low=32), other=Limits(owed=1))
    relay.link()
    for cid in range(1, 302):
        relay.ask(cid)
    assert relay.asked.connection.incoming.parking.held == 300
    relay.asked.connection.call(ECHO, b"", None, LATER)
    outbox = relay.asked.connection.outbox
    assert outbox.gated_since == LATER, "the errors are answers, and fill the outbox in that moment"
    assert len(relay.other.connection.outgoing.deadlines) < 200
    assert len(relay.asked.sent()) == 1 + 299


def test_it_is_told_once_for_all() -> None:
    """With the first call that the remote owes all who waited go on: a second one finds nobody to tell."""
    relay = Relay(other=Limits(owed=1))
    relay.link()
    relay.ask(1)
    relay.ask(2)
    relay.asked.call(b"first")
    relay.asked.call(b"second")
    assert [payload for _, _, payload in relay.asked.sent()] == [b"first", b"second"]
    for _, cid, _ in relay.other.sent():
        relay.answer(cid)
    nothing_held({"other": relay.other})
