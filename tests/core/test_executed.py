"""What `executed` says: the base column of the table in docs/protocol.md, section 4, row by row."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.core.harness import Solo, call_error_of, encode_body, error_frame, frame, only, response_frame

from duologue.protocol.errors import (
    AnswerUnreadable,
    CallError,
    CallTimeout,
    ConnectionClosed,
    ConnectionLost,
    ErrorKind,
    Executed,
    FrameTooLarge,
    Overloaded,
    RemoteError,
)
from duologue.protocol.events import CallFailed, ResponseReceived
from duologue.protocol.ids import ERROR_SID
from duologue.protocol.limits import Limits
from duologue.protocol.pending import OutgoingCall

End = Callable[[Solo, OutgoingCall], "Executed | None"]
"""Ends a call. What the command says of `executed`, or None if an event says it."""


def time_out(solo: Solo, call: OutgoingCall) -> Executed | None:
    solo.now += 5
    solo.serve_timer()
    return None


def cancel(solo: Solo, call: OutgoingCall) -> Executed | None:
    return solo.connection.cancel(call, solo.now)


def close(solo: Solo, call: OutgoingCall) -> Executed | None:
    solo.connection.close("bye", 0, solo.now)
    return None


def abort(solo: Solo, call: OutgoingCall) -> Executed | None:
    solo.connection.abort("bye", solo.now)
    return None


def lose(solo: Solo, call: OutgoingCall) -> Executed | None:
    solo.connection.transport_lost("reset", solo.now)
    return None


def end_stream(solo: Solo, call: OutgoingCall) -> Executed | None:
    solo.connection.receive_eof(solo.now)
    return None


def break_protocol(solo: Solo, call: OutgoingCall) -> Executed | None:
    solo.connection.receive_data(bytes(24), solo.now)
    return None


ENDS: list[tuple[End, type[CallError]]] = [
    (time_out, CallTimeout),
    (cancel, CallError),
    (close, ConnectionClosed),
    (abort, ConnectionClosed),
    (lose, ConnectionLost),
    (end_stream, ConnectionLost),
    (break_protocol, ConnectionLost),
]


def ended(solo: Solo, call: OutgoingCall, end: End, kind: type[CallError]) -> Executed:
    """End the call, and give what was said of it."""
    said = end(solo, call)
    events = solo.connection.events()
    if said is not None:
        assert not [event for event in events if isinstance(event, CallFailed)]
        return said
    error = call_error_of(events)
    assert type(error) is kind
    return error.executed


# -- refused locally; no byte handed out: no -----------------------------------------------------------


def test_refused_locally_too_large() -> None:
    """Over `max_write`: the exception is not even one of a call, since none was made."""
    solo = Solo(Limits(max_frame=152))
    with pytest.raises(FrameTooLarge):
        solo.call(bytes(129))
    assert solo.sent() == []


def test_refused_locally_overloaded() -> None:
    """No room in the line: no."""
    solo = Solo(Limits(owed=1, waiting=0))
    solo.call()
    with pytest.raises(Overloaded) as caught:
        solo.call()
    assert caught.value.executed is Executed.NO


@pytest.mark.parametrize("phase", ["closing", "closed"])
def test_refused_locally_closed(phase: str) -> None:
    """A call on a connection that ends, or has ended: no."""
    solo = Solo()
    solo.connection.close("bye", 0, solo.now)
    if phase == "closed":
        solo.connection.receive_eof(solo.now)
    with pytest.raises(ConnectionClosed) as caught:
        solo.call()
    assert caught.value.executed is Executed.NO


@pytest.mark.parametrize(("end", "kind"), ENDS, ids=lambda value: value.__name__)
def test_while_it_waits_for_room(end: End, kind: type[CallError]) -> None:
    """Timeout, cancel, loss or close while the call waits for room: no, and no byte of it leaves later."""
    solo = Solo(Limits(outbox_high=100, outbox_low=10))
    solo.send(bytes(100))
    call = solo.call(b"x" * 30, timeout=5)
    assert ended(solo, call, end, kind) is Executed.NO
    assert all(payload != b"x" * 30 for _, _, payload in solo.sent())


@pytest.mark.parametrize(("end", "kind"), ENDS, ids=lambda value: value.__name__)
def test_while_no_byte_has_been_handed_out(end: End, kind: type[CallError]) -> None:
    """The frame is in the outbox, behind others that left: no, and it is taken out again."""
    solo = Solo()
    solo.call(b"before")
    solo.connection.data_to_send()
    call = solo.call(b"x" * 30, timeout=5)
    solo.send(b"after")
    said = end(solo, call)
    if said is None:
        events = [event for event in solo.connection.events() if isinstance(event, CallFailed)]
        said = next(event.error.executed for event in events if event.call is call)
    assert said is Executed.NO
    solo.connection.data_sent(solo.now)
    assert all(payload != b"x" * 30 for _, _, payload in solo.sent())


# -- any byte handed out: unknown ----------------------------------------------------------------------


@pytest.mark.parametrize("taken", [None, 1, 54], ids=["handed out", "one byte taken", "all taken"])
@pytest.mark.parametrize(("end", "kind"), ENDS, ids=lambda value: value.__name__)
def test_when_a_byte_was_handed_out(end: End, kind: type[CallError], taken: int | None) -> None:
    """Handed out, whether the transport said that it took it or not: unknown."""
    solo = Solo()
    call = solo.call(b"x" * 30, timeout=5)
    solo.connection.data_to_send()
    if taken is not None:
        solo.connection.data_sent(solo.now, 54 - taken)
    assert ended(solo, call, end, kind) is Executed.UNKNOWN


@pytest.mark.parametrize("size", [100_000, 300_000])
def test_a_hand_out_is_bounded(size: int) -> None:
    """Of many calls only the first part was handed out: unknown for those, no for the rest."""
    solo = Solo(Limits(outbox_high=10**7))
    calls = [solo.call(bytes(size)) for _ in range(6)]
    solo.connection.data_to_send()
    solo.connection.transport_lost("reset", solo.now)
    said = {
        event.call: event.error.executed
        for event in solo.connection.events()
        if isinstance(event, CallFailed)
    }
    handed_out = -(-256 * 1024 // (size + 24))
    assert [said[call] for call in calls] == [Executed.UNKNOWN] * handed_out + [Executed.NO] * (
        6 - handed_out
    )


# -- an answer -------------------------------------------------------------------------------------------


def test_a_response_arrived() -> None:
    """The handler ran to its end: yes, also if the answer does not decode here, which only the caller can say."""
    solo = Solo()
    call = solo.call()
    solo.sent()
    assert only(solo.feed(response_frame(1, b"\xff")), ResponseReceived).call is call
    assert AnswerUnreadable("no such field").executed is Executed.YES


def test_a_response_over_max_read() -> None:
    """Its id is never read, so it may have been anybody's: unknown for every call of which bytes had left."""
    solo = Solo(Limits(max_frame=200))
    solo.call()
    solo.sent()
    error = call_error_of(solo.feed(response_frame(1, bytes(177))))
    assert isinstance(error, ConnectionLost)
    assert error.executed is Executed.UNKNOWN


@pytest.mark.parametrize(
    ("kind", "executed"),
    [
        (ErrorKind.UNKNOWN_SERVICE, Executed.NO),
        (ErrorKind.DESERIALIZE, Executed.NO),
        (ErrorKind.PUBSUB_NO_CALL, Executed.NO),
        (ErrorKind.INTERNAL_SERVER_ERROR, Executed.UNKNOWN),
        (ErrorKind.DESERIALIZE_WIREFORMAT, Executed.UNKNOWN),
    ],
)
def test_an_error_frame(kind: ErrorKind, executed: Executed) -> None:
    """What the remote says before it starts a handler: no. What it may say after: unknown."""
    solo = Solo()
    solo.call()
    solo.sent()
    error = call_error_of(solo.feed(error_frame(1, kind)))
    assert isinstance(error, RemoteError)
    assert (error.kind, error.executed) == (kind, executed)


def test_an_error_frame_of_a_relay_that_waited_too_long() -> None:
    """`Timeout` is a time-out to the caller: unknown."""
    solo = Solo()
    solo.call()
    solo.sent()
    error = call_error_of(solo.feed(error_frame(1, ErrorKind.TIMEOUT)))
    assert isinstance(error, CallTimeout)
    assert error.executed is Executed.UNKNOWN


@pytest.mark.fault(36)
@pytest.mark.parametrize(
    "payload", [b"\xff", encode_body({"Strange": {}}), b""], ids=["undecodable", "unknown", "empty"]
)
def test_an_error_frame_that_can_not_be_understood(payload: bytes) -> None:
    """The call ends at once, with an error of kind `Unreadable`: unknown."""
    solo = Solo()
    solo.call()
    solo.sent()
    error = call_error_of(solo.feed(frame(ERROR_SID, 1, payload)))
    assert isinstance(error, RemoteError)
    assert (error.kind, error.executed) == (ErrorKind.UNREADABLE, Executed.UNKNOWN)
