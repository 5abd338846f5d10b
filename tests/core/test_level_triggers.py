"""What depends on a level is looked at whenever the level may have changed: by whatever command, and in whatever order."""

from __future__ import annotations

import pytest
from tests.core.harness import ORDERED, UNKNOWN, Solo, call_frame, names, requests, send_frame

from duologue.protocol.errors import Overloaded
from duologue.protocol.lifecycle import Phase
from duologue.protocol.limits import Limits


def test_the_low_water_mark_counts_though_nobody_waits_when_it_is_reached() -> None:
    """The outbox was full, then empty, and then between its marks: it is not full, so a call leaves at once."""
    solo = Solo(Limits(outbox_high=100, outbox_low=50, waiting=0))
    solo.send(80 * b".")
    with pytest.raises(Overloaded):
        solo.send()
    solo.sent()
    solo.connection.respond(solo.deliver(call_frame(1)), 40 * b".", solo.now)
    assert 50 < solo.connection.outbox.level < 100
    assert solo.call().id == 1


def test_a_slot_that_is_taken_back_counts_before_the_next_message() -> None:
    """The end of a wait may fill the last slot: nothing more is taken in, until a handler ends."""
    solo = Solo(Limits(sends=1))
    request = solo.deliver(send_frame())
    assert solo.connection.lend(request, solo.now)
    solo.connection.unlend(request, solo.now)
    assert requests(solo.feed(send_frame())) == []
    assert not solo.connection.wants_read
    solo.connection.done(request, solo.now)
    assert len(requests(solo.connection.events())) == 1


def test_a_call_that_nobody_waits_for_any_more_counts_before_the_next_request() -> None:
    """With the parking full, only an owed answer keeps reading alive: when it is given up, the next call is not parked."""
    solo = Solo(Limits(calls=1, parked=1))
    own = solo.call()
    running = solo.deliver(call_frame(1))
    assert names(solo.feed(call_frame(2), call_frame(3, sid=UNKNOWN)))[1:] == []
    assert solo.connection.buffered == 0
    solo.connection.cancel(own, solo.now)
    assert solo.feed(call_frame(4)) == []
    assert solo.connection.incoming.parking.calls == 1
    assert not solo.connection.wants_read
    solo.connection.respond(running, b"", solo.now)
    assert solo.connection.incoming.parking.calls == 1, "one starts, and the next one is read and parked"


def test_a_send_that_waits_for_room_makes_reading_go_on() -> None:
    """A full lane stops the reading, unless what it waits for may come behind: then the reading goes on at once."""
    solo = Solo(Limits(sends=1, outbox_high=1, outbox_low=0))
    turn = solo.deliver(send_frame(sid=ORDERED))
    solo.connection.lend(turn, solo.now)
    solo.feed(send_frame(sid=ORDERED))
    assert not solo.connection.wants_read
    assert solo.send() is None, "in the outbox: nothing is awaited"
    solo.feed(send_frame())
    assert solo.connection.buffered == 24
    assert solo.send() is not None, "no room: that is awaited"
    assert solo.connection.buffered == 0


def test_many_ends_and_one_look() -> None:
    """`more=True` puts off the look at what may go on, for who ends many requests at once; `look` makes up for it."""
    solo = Solo(Limits(sends=2))
    first, second = requests(solo.feed(3 * send_frame()))
    assert not solo.connection.wants_read
    assert solo.connection.needs_look
    solo.connection.done(first, solo.now, more=True)
    solo.connection.done(second, solo.now, more=True)
    assert not solo.connection.wants_read
    solo.connection.look(solo.now)
    assert len(requests(solo.connection.events())) == 1
    assert not solo.connection.needs_look


def test_the_last_answer_of_a_grace_and_one_look() -> None:
    """The same at the end: the phase moves on when somebody looks."""
    solo = Solo()
    request = solo.deliver(call_frame(1))
    solo.connection.close("", 10.0, solo.now)
    solo.connection.respond(request, b"", solo.now, more=True)
    assert solo.connection.phase is Phase.GRACE
    assert solo.connection.needs_look
    solo.connection.look(solo.now)
    assert solo.connection.phase is Phase.CLOSING


def test_an_ended_request_holds_nothing() -> None:
    """Whoever holds it for longer, such as a task that outlives its handler, holds no payload and no task by it."""
    solo = Solo()
    request = solo.deliver(call_frame(1, b"payload"))
    request.handler = object()
    solo.connection.respond(request, b"", solo.now)
    assert (request.payload, request.handler) == (b"", None)
