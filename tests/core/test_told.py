"""What is told to whom: the words, ids and outcomes that people and drivers go by."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from tests.core.harness import (
    BODIES,
    ECHO,
    SLOW,
    START,
    Solo,
    call_error_of,
    call_frame,
    decode_body,
    error_frame,
    names,
    only,
    requests,
    response_frame,
    split_frames,
    standard_routes,
)

from duologue.protocol.connection import Connection
from duologue.protocol.errors import (
    CloseReason,
    ConnectionClosed,
    ConnectionLost,
    ErrorKind,
    Executed,
    FailureKind,
)
from duologue.protocol.events import IncomingRequest, PeerClosed, RequestFailed, SendFailed
from duologue.protocol.feed import Feed
from duologue.protocol.ids import RESPONSE_SID
from duologue.protocol.lifecycle import Phase
from duologue.protocol.limits import Limits

NARROW = Limits(max_frame=256, outbox_high=100, outbox_low=50)

# -- when it ends --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        (lambda each: each.abort("an update", START), CloseReason.CLOSED_LOCALLY),
        (lambda each: each.drain("an update", 0.0, START), CloseReason.CLOSED_LOCALLY),
        (lambda each: each.close("an update", 0.0, START), CloseReason.CLOSED_LOCALLY),
        (lambda each: each.transport_lost("an update", START), CloseReason.TRANSPORT_FAILED),
    ],
    ids=["abort", "drain without time", "close", "lost"],
)
def test_who_waits_for_room_learns_the_end_and_why(
    end: Callable[[Connection], None], reason: CloseReason
) -> None:
    """It never left, and its error says so, with the words that were given; as does the event of the end."""
    solo = Solo(NARROW)
    solo.send(bytes(150))
    waits = solo.send(b"waits")
    solo.connection.data_to_send()
    end(solo.connection)
    events = solo.connection.events()
    failed = only(events, SendFailed)
    assert failed.send is waits
    assert isinstance(failed.error, ConnectionClosed | ConnectionLost)
    assert (failed.error.reason, failed.error.executed) == (reason, Executed.NO)
    assert "an update" in str(failed.error)
    solo.connection.transport_lost("", START)
    assert only(events + solo.connection.events(), PeerClosed).detail == "an update"


def test_what_is_wrong_with_too_many_stray_answers() -> None:
    """The detail says how many were borne, and in which time."""
    solo = Solo(Limits(strays=1))
    solo.feed(response_frame(7), response_frame(8))
    assert solo.connection.reason is CloseReason.PROTOCOL_ERROR
    solo.connection.transport_lost("", START)
    detail = only(solo.connection.events(), PeerClosed).detail
    assert detail == "over 1 answers to calls that never were, within 10 s"


def test_a_subscriber_that_is_too_slow_has_no_grace() -> None:
    """It is closed since it does not read, so no answer is waited for: its calls are cancelled at once."""
    solo = Solo(NARROW)
    solo.deliver(call_frame(1))
    solo.send(bytes(150))
    feed = Feed(1, policy="close")
    for _ in range(2):
        solo.connection.publish(feed, ECHO, b"news", START)
    assert solo.connection.phase is Phase.CLOSING
    assert names(solo.connection.events()) == ["RequestCancelled"]


# -- calls and their ends ------------------------------------------------------------------------------


def test_the_text_of_an_error_reaches_the_caller() -> None:
    """The one kind that has a text, by which the remote says what was wrong with the bytes."""
    solo = Solo()
    solo.call()
    solo.sent()
    error = call_error_of(solo.feed(error_frame(1, ErrorKind.DESERIALIZE_WIREFORMAT)))
    assert "out of step" in str(error)


def test_a_refusal_while_it_drains_names_the_service() -> None:
    """To the remote, which may have asked for several, and to the observers here."""
    solo = Solo()
    solo.deliver(call_frame(1))
    solo.connection.drain("", None, START)
    refused = only(solo.feed(call_frame(2, sid=SLOW)), RequestFailed)
    assert (refused.kind, refused.sid, refused.cid) == (FailureKind.UNAVAILABLE, SLOW, 2)
    ((_, _, payload),) = solo.sent()
    assert decode_body(payload)["InternalServerError"] == {
        "sid": {"inner": {"id": SLOW}},
        "cid": {"inner": {"id": 2}},
    }


def relay(connection: Connection, request: IncomingRequest) -> None:
    connection.relay(request, Solo().connection.relays, START)


@pytest.mark.parametrize(
    "end",
    [
        lambda each, request: each.respond(request, b"", START),
        lambda each, request: each.fail(request, FailureKind.HANDLER_FAILED, START),
        lambda each, request: each.done(request, START),
        relay,
    ],
    ids=["respond", "fail", "done", "relay"],
)
def test_a_request_that_is_ended_twice_is_named(end: Callable[[Connection, IncomingRequest], Any]) -> None:
    """With thousands under way the error must say which one it was."""
    solo = Solo()
    request = solo.deliver(call_frame(77))
    solo.connection.respond(request, b"", START)
    with pytest.raises(ValueError, match=re.escape(repr(request))):
        end(solo.connection, request)


@pytest.mark.parametrize("timeout", [None, 5.0])
@pytest.mark.parametrize("sid", [1, RESPONSE_SID - 1])
def test_the_first_and_the_last_service_id(sid: int, timeout: float | None) -> None:
    """Both are as good as any, with a time-out or without."""
    solo = Solo()
    solo.call(sid=sid, timeout=timeout)
    solo.send(sid=sid, timeout=timeout)
    solo.connection.publish(Feed(), sid, b"", START)
    assert [sent[:2] for sent in solo.sent()] == [(sid, 1), (sid, 0), (sid, 0)]


@pytest.mark.parametrize("drains", [False, True])
def test_an_id_that_is_in_use_is_named(drains: bool) -> None:
    """In the detail of the end, and to the remote, whose mistake it is."""
    solo = Solo()
    solo.deliver(call_frame(77))
    if drains:
        solo.connection.drain("", None, START)
    solo.feed(call_frame(77))
    assert "call id 77 is in use" in str(solo.sent()[-1][2])
    solo.connection.transport_lost("", START)
    assert "call id 77 is in use" in only(solo.connection.events(), PeerClosed).detail


def test_all_whose_time_is_over_learn_it() -> None:
    """A message and two calls have the same deadline, and wait for the same room."""
    solo = Solo(NARROW)
    solo.send(bytes(150))
    solo.send(timeout=5.0)
    for _ in range(2):
        solo.call(timeout=5.0)
    assert names(solo.wait(5.0)) == ["SendFailed", "CallFailed", "CallFailed"]
    assert solo.connection.outgoing.waiting == 0


# -- what nobody said ----------------------------------------------------------------------------------


def test_a_connection_that_is_given_no_budget_has_one_by_its_limits() -> None:
    """As many calls run, and as many may be lent, as its limits say. Its own calls are counted from 1."""
    limits = Limits(calls=2, lent=1)
    connection = Connection(standard_routes().get, BODIES, limits=limits)
    assert connection.limits is limits
    connection.receive_data(b"".join(map(call_frame, range(1, 5))), START)
    running = requests(connection.events())
    assert [request.cid for request in running] == [1, 2]
    assert [connection.lend(request, START) for request in running] == [True, False]
    connection.call(ECHO, b"", None, START)
    (sent,) = split_frames(b"".join(connection.data_to_send()))
    assert sent[:2] == (ECHO, 1)
