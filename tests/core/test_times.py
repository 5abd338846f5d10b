"""Which moment counts: that of the command or the bytes that something follows from, be it on another connection.

A connection has no clock. So whatever begins to wait must have been given the time, on each of the many ways to it: an
answer that is to leave, the gate that closes, a frame that has begun.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from tests.core.harness import (
    ECHO,
    FREE,
    ORDERED,
    START,
    UNSERVED,
    Solo,
    call_frame,
    error_frame,
    names,
    response_frame,
    send_frame,
    standard_routes,
)
from tests.core.later import FULL, LATER, NARROW, later
from tests.core.relay_ends import PICKED, Relay, RelayTestRoute

from duologue.protocol.budget import CallBudget
from duologue.protocol.errors import FailureKind
from duologue.protocol.events import IncomingRequest
from duologue.protocol.feed import Feed
from duologue.protocol.lifecycle import Phase
from duologue.protocol.limits import Limits
from duologue.protocol.relaying import SEND_PATIENCE

Case = Callable[[], Solo]
"""Does something at `LATER`, from which bytes come to be in the outbox of this connection. It was empty before."""


# -- what is written -----------------------------------------------------------------------------------


def nobody_serves_it() -> Solo:
    return later(Solo(), call_frame(1, sid=UNSERVED))


def overloaded(sid: int, full_with: int = ECHO) -> Solo:
    routes = standard_routes() | {PICKED: RelayTestRoute(None)}
    solo = Solo(FULL, routes=routes)
    solo.call()
    solo.sent()
    solo.feed(call_frame(1), call_frame(2, sid=full_with))
    return later(solo, call_frame(3, sid=sid))


def it_drains() -> Solo:
    solo = Solo()
    solo.deliver(call_frame(1))
    solo.connection.drain("", None, START)
    return later(solo, call_frame(2))


def its_answer_is_too_large() -> Solo:
    solo = Solo(FULL)
    solo.connection.respond(solo.deliver(call_frame(1)), bytes(300), LATER)
    return solo


def its_handler_fails() -> Solo:
    solo = Solo()
    solo.connection.fail(solo.deliver(call_frame(1)), FailureKind.HANDLER_FAILED, LATER)
    return solo


def it_is_published() -> Solo:
    solo = Solo()
    solo.connection.publish(Feed(), ECHO, b"news", LATER)
    return solo


def its_relay_is_refused() -> Solo:
    relay = Relay()
    relay.asked.connection.relays.wireformat = "another"
    relay.asked.now = LATER
    relay.ask(1)
    return relay.asked


def it_is_too_large_for_the_next_hop() -> Solo:
    relay = Relay(Limits(), other=NARROW)
    relay.asked.now = LATER
    relay.ask(1, bytes(300))
    return relay.asked


def there_is_no_room_at_the_next_hop() -> Solo:
    relay = Relay(Limits(owed=50, parked=1), other=Limits(outbox_high=64, outbox_low=1))
    relay.link()
    relay.ask(1, bytes(100))
    relay.ask(2)
    relay.asked.call()
    relay.asked.sent()
    relay.asked.now = LATER
    relay.ask(3)
    return relay.asked


def it_is_relayed(cid: int) -> Solo:
    relay = Relay()
    relay.asked.now = LATER
    relay.ask(cid)
    return relay.other


ANSWERS: dict[str, Case] = {
    "nobody serves it": nobody_serves_it,
    "overloaded": lambda: overloaded(ECHO),
    "overloaded, held calls fill the parking": lambda: overloaded(ECHO, full_with=PICKED),
    "overloaded, ordered": lambda: overloaded(ORDERED),
    "overloaded, to be relayed": lambda: overloaded(PICKED, full_with=PICKED),
    "it drains": it_drains,
    "its answer is too large": its_answer_is_too_large,
    "its handler fails": its_handler_fails,
    "it is published": it_is_published,
    "its relay is refused": its_relay_is_refused,
    "it is too large for the next hop": it_is_too_large_for_the_next_hop,
    "there is no room at the next hop": there_is_no_room_at_the_next_hop,
    "the first call that is relayed": lambda: it_is_relayed(1),
    "the first message that is relayed": lambda: it_is_relayed(0),
}


@pytest.mark.parametrize("case", ANSWERS.values(), ids=ANSWERS)
def test_the_transport_has_time_from_the_first_byte(case: Case) -> None:
    """Whatever it is: the link may be as slow as ever from then on, and no earlier byte is held against it."""
    solo = case()
    assert solo.connection.outbox.level > 0
    assert solo.connection.outbox.progress_at == LATER


# -- what fails since the other connection ends, or says so --------------------------------------------


def truncated(other: Solo) -> None:
    other.connection.receive_data(call_frame(1)[:10], LATER)
    other.connection.receive_eof(LATER)


def drained_in_vain(other: Solo) -> None:
    other.connection.drain("", 5.0, START)
    other.connection.handle_timer(LATER)


FAILURES: dict[str, Callable[[Solo], None]] = {
    "an error": lambda other: other.connection.receive_data(error_frame(1), LATER),
    "an answer that is too large": lambda other: other.connection.receive_data(
        response_frame(1, bytes(300)), LATER
    ),
    "abort": lambda other: other.connection.abort("", LATER),
    "close": lambda other: other.connection.close("", 0.0, LATER),
    "lost": lambda other: other.connection.transport_lost("", LATER),
    "its end": lambda other: other.connection.receive_eof(LATER),
    "truncated": truncated,
    "no frame": lambda other: other.connection.receive_data(bytes(8), LATER),
    "drained in vain": drained_in_vain,
}


@pytest.mark.parametrize("fail", FAILURES.values(), ids=FAILURES)
def test_who_asked_is_told_in_the_same_moment(fail: Callable[[Solo], None]) -> None:
    """A relayed call fails by what happens at the other connection: its answer is an ordinary one, with all of its time."""
    relay = Relay(FULL, other=Limits())
    relay.ask(1)
    relay.other.sent()
    fail(relay.other)
    assert relay.asked.connection.outbox.progress_at == LATER
    assert [cid for _, cid, _ in relay.asked.sent()] == [1]


def test_what_was_relayed_for_one_that_is_lost_is_owed_as_long_as_any() -> None:
    """The one who asked had ended its half, and its transport is gone: from then on the call counts for its minute."""
    relay = Relay(Limits(eof_grace=5.0))
    relay.ask(1)
    relay.other.sent()
    relay.asked.connection.receive_eof(START)
    assert relay.asked.connection.phase is Phase.GRACE
    relay.asked.connection.transport_lost("reset", LATER)
    assert relay.other.connection.outgoing.pending.owed == 1
    assert relay.other.connection.outgoing.pending.next_forgetting() == LATER + 60.0


# -- what stands behind one that waited for a permit ---------------------------------------------------


def stuck(solo: Solo) -> None:
    """A call waits for the permit, which another has. Behind it, since the gate was closed, is one that nobody serves."""
    solo.connection.respond(solo.deliver(call_frame(1, sid=FREE)), bytes(150), START)
    solo.feed(call_frame(2), call_frame(3, sid=UNSERVED))
    solo.sent()
    assert solo.connection.incoming.parking.waiting == 2


def has_gone_on(solo: Solo) -> bool:
    """The call has begun, and the other one was answered: with an error that closed the gate."""
    outbox = solo.connection.outbox
    return "CallReceived" in names(solo.connection.events()) and (
        outbox.progress_at == outbox.gated_since == LATER
    )


def permit_freed(solo: Solo, _: IncomingRequest, __: IncomingRequest) -> None:
    solo.connection.permit_freed(LATER)


def done(solo: Solo, message: IncomingRequest, _: IncomingRequest) -> None:
    solo.connection.done(message, LATER)


def failed(solo: Solo, message: IncomingRequest, _: IncomingRequest) -> None:
    solo.connection.fail(message, FailureKind.HANDLER_FAILED, LATER)


def respond(solo: Solo, _: IncomingRequest, call: IncomingRequest) -> None:
    solo.connection.respond(call, b"", LATER)


@pytest.mark.parametrize("command", [permit_freed, done, failed, respond])
def test_whoever_looks_first_answers_what_waited(
    command: Callable[[Solo, IncomingRequest, IncomingRequest], None],
) -> None:
    """Another connection has given the permit back. The first command after that starts the call, and answers the other: the
    time of that is when the answer came into the outbox, and when it closed the gate."""
    budget = CallBudget(1)
    holder = Solo(budget=budget)
    held = holder.deliver(call_frame(1))
    solo = Solo(NARROW, budget=budget)
    stuck(solo)
    message, call = solo.deliver(send_frame()), solo.deliver(call_frame(4, sid=FREE))
    holder.connection.respond(held, b"", START)
    command(solo, message, call)
    assert has_gone_on(solo)


def test_one_that_lends_its_permit_lets_them_go_on_at_once() -> None:
    """The same by a handler of the same connection, which begins to wait."""
    solo = Solo(NARROW, budget=CallBudget(1))
    running = solo.deliver(call_frame(9))
    stuck(solo)
    assert solo.connection.lend(running, LATER)
    assert has_gone_on(solo)


def relay_it(relay: Relay, request: IncomingRequest) -> None:
    relay.other.sent()
    relay.asked.connection.relay(request, relay.other.connection.relays, LATER)


def it_has_room(relay: Relay, _: IncomingRequest) -> None:
    relay.other.connection.data_to_send()
    relay.other.connection.data_sent(LATER)


def it_has_waited_long_enough(relay: Relay, _: IncomingRequest) -> None:
    relay.other.connection.handle_timer(LATER)


def its_target_ends(relay: Relay, _: IncomingRequest) -> None:
    relay.other.connection.transport_lost("", LATER)


@pytest.mark.parametrize(
    ("end", "waits"),
    [(relay_it, False), (it_has_room, True), (it_has_waited_long_enough, True), (its_target_ends, True)],
)
def test_a_relayed_message_that_ends_lets_them_go_on(
    end: Callable[[Relay, IncomingRequest], None], waits: bool
) -> None:
    """The same once more: it is another connection's doing that the message has left, or never will."""
    relay = Relay(replace(NARROW, calls=1))
    holder = Solo(budget=relay.asked.budget)
    held = holder.deliver(call_frame(1))
    relay.link()
    stuck(relay.asked)
    relay.other.send(bytes(150))
    picked = relay.asked.deliver(send_frame(sid=PICKED))
    if waits:
        relay.asked.connection.relay(picked, relay.other.connection.relays, LATER - SEND_PATIENCE)
    holder.connection.respond(held, b"", START)
    end(relay, picked)
    assert has_gone_on(relay.asked)
