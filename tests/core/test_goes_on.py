"""What had to wait goes on, and from then on its time runs: that of what is written, and that of a frame that has begun."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.core.harness import (
    ECHO,
    ORDERED,
    START,
    Solo,
    call_frame,
    error_frame,
    frame,
    requests,
    response_frame,
    send_frame,
    standard_routes,
)
from tests.core.later import FULL, LATER, NARROW, later
from tests.core.relay_ends import PICKED, Relay, RelayTestRoute

from duologue.protocol.budget import CallBudget
from duologue.protocol.events import IncomingRequest
from duologue.protocol.limits import Limits

PART = call_frame(99)[:20]
"""The beginning of a frame."""
Case = Callable[[], Solo]
"""Does something at `LATER`, by which this connection goes on."""


# -- what waited for room ------------------------------------------------------------------------------


def the_transport_took_it() -> Solo:
    solo = Solo(NARROW)
    solo.send(bytes(150))
    solo.send(b"waits")
    solo.connection.data_to_send()
    solo.connection.data_sent(LATER)
    return solo


def waits_for_an_answer() -> Solo:
    solo = Solo(Limits(owed=1))
    solo.call()
    solo.sent()
    solo.call(b"waits")
    assert solo.connection.outbox.level == 0
    return solo


def a_late_answer() -> Solo:
    solo = Solo(Limits(owed=1))
    call = solo.call()
    solo.sent()
    solo.connection.cancel(call, START)
    solo.call(b"waits")
    return later(solo, response_frame(1))


def given_up() -> Solo:
    solo = Solo(Limits(owed=1))
    call = solo.call()
    solo.call(b"waits")
    solo.connection.cancel(call, LATER)
    return solo


def waits_at_another() -> Relay:
    """One call of the remote's waits for the answer to another, which is the last that there is room for."""
    relay = Relay(other=Limits(owed=1))
    relay.link()
    relay.other.call()
    relay.other.sent()
    relay.ask(1)
    assert relay.other.connection.outgoing.waiting == 1
    return relay


def its_remote_owes_now() -> Solo:
    relay = waits_at_another()
    relay.asked.connection.call(ECHO, b"", None, LATER)
    return relay.other


def its_remote_owes_now_to_another() -> Solo:
    relay = Relay(other=Limits(owed=2))
    relay.link()
    relay.other.routes[PICKED] = RelayTestRoute(lambda: relay.asked.connection.relays)
    relay.other.feed(frame(PICKED, 1))  # finds the way
    ((_, cid, _),) = relay.asked.sent()
    relay.asked.feed(response_frame(cid))
    for _ in range(2):
        relay.other.call()
    relay.other.sent()
    relay.ask(1)
    relay.other.connection.receive_data(frame(PICKED, 2), LATER)
    return relay.other


ROOM: dict[str, Case] = {
    "the transport took it": the_transport_took_it,
    "an error": lambda: later(waits_for_an_answer(), error_frame(1)),
    "a late answer": a_late_answer,
    "given up": given_up,
    "its remote owes now": its_remote_owes_now,
    "its remote owes now to another": its_remote_owes_now_to_another,
}


@pytest.mark.parametrize("case", ROOM.values(), ids=ROOM)
def test_what_waited_for_room_has_its_time_from_then(case: Case) -> None:
    """It gets into an outbox that is empty, and the time for it to leave is not that of its command."""
    solo = case()
    assert solo.connection.outgoing.waiting == 0
    assert solo.connection.outbox.level > 0
    assert solo.connection.outbox.progress_at == LATER


# -- a frame that has begun ----------------------------------------------------------------------------


@pytest.mark.parametrize("size", [10, 100])
def test_a_frame_has_its_time_from_its_first_byte(size: int) -> None:
    """Who dribbles is cut, be it a byte of the header each second, or a byte of the payload."""
    solo = Solo()
    data = call_frame(1, bytes(size))
    pieces = [data[:1]] + [data[start : start + 5] for start in range(1, len(data) - 5, 5)]
    for piece in pieces:
        solo.feed(piece)
        assert solo.connection.next_deadline() == START + 30.0
        solo.now += 1.0


def test_the_next_frame_has_a_time_of_its_own() -> None:
    """It began in the piece that ended the one before, and what that one took is not held against it."""
    solo = Solo()
    first = call_frame(1, b"first")
    solo.feed(first[:25])
    later(solo, first[25:] + PART)
    assert solo.connection.next_deadline() == LATER + 30.0


def paused(
    *data: bytes, limits: Limits = FULL, budget: CallBudget | None = None
) -> tuple[Solo, list[IncomingRequest]]:
    """So much came that nothing more is read. Behind it is the beginning of a frame. Gives what was delivered, too."""
    solo = Solo(limits, budget=budget, routes=standard_routes() | {PICKED: RelayTestRoute(None)})
    delivered = requests(solo.feed(*data, PART))
    assert not solo.connection.wants_read
    assert solo.connection.next_deadline() is None
    return solo, delivered


def something_is_owed() -> Solo:
    solo, _ = paused(call_frame(1), call_frame(2))
    solo.connection.call(ECHO, b"", None, LATER)
    return solo


def room_is_awaited() -> Solo:
    """The lane is full, and waits for the remote: as long as nothing of it is awaited nothing is read."""
    limits = Limits(sends=1, outbox_high=1, outbox_low=0)
    solo, (turn,) = paused(send_frame(sid=ORDERED), send_frame(sid=ORDERED), limits=limits)
    solo.connection.lend(turn, START)
    solo.send()
    assert not solo.connection.wants_read
    solo.connection.send(ECHO, b"", None, LATER)
    return solo


def the_gate_opens() -> Solo:
    solo = Solo(Limits(parked=1, outbox_high=100, outbox_low=50))
    solo.connection.respond(solo.deliver(call_frame(1)), bytes(150), START)
    solo.feed(call_frame(2), PART)
    assert not solo.connection.wants_read
    solo.connection.data_to_send()
    solo.connection.data_sent(LATER)
    return solo


def a_permit_is_lent() -> Solo:
    solo, (running,) = paused(call_frame(1), call_frame(2))
    solo.connection.lend(running, LATER)
    return solo


def a_permit_comes() -> Solo:
    budget = CallBudget(1)
    holder = Solo(budget=budget)
    held = holder.deliver(call_frame(1))
    solo, _ = paused(call_frame(1), budget=budget)
    holder.connection.respond(held, b"", START)
    solo.connection.permit_freed(LATER)
    return solo


def its_target_is_found() -> Solo:
    solo, (looks,) = paused(call_frame(1, sid=PICKED))
    solo.connection.relay(looks, Solo().connection.relays, LATER)
    return solo


def it_is_looked_at_late() -> Solo:
    """A request ended with `more`. So the next command looks, and if it is about something else."""
    solo = Solo(FULL)
    answered = solo.call()
    solo.sent()
    (running,) = requests(solo.feed(response_frame(1), call_frame(1), call_frame(2), PART))
    solo.connection.respond(running, b"", START, more=True)
    assert not solo.connection.wants_read
    solo.connection.cancel(answered, LATER)
    return solo


READING: dict[str, Case] = {
    "something is owed": something_is_owed,
    "room is awaited": room_is_awaited,
    "the gate opens": the_gate_opens,
    "a permit is lent": a_permit_is_lent,
    "a permit comes": a_permit_comes,
    "its target is found": its_target_is_found,
    "it is looked at late": it_is_looked_at_late,
}


@pytest.mark.parametrize("case", READING.values(), ids=READING)
def test_a_frame_has_its_time_from_when_reading_goes_on(case: Case) -> None:
    """Some of it lay there while nothing was read: that the remote could not end it is not held against it."""
    solo = case()
    assert solo.connection.wants_read
    assert solo.connection.next_deadline() == LATER + 30.0
