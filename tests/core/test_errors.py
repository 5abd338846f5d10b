"""The tree of errors: one root, data in each, and a text that says what to do."""

from __future__ import annotations

import pytest

from duologue.protocol.errors import (
    AnswerUnreadable,
    CallError,
    CallTimeout,
    CloseReason,
    ConnectionClosed,
    ConnectionLost,
    DecodeError,
    DuologueError,
    EncodeError,
    ErrorKind,
    Executed,
    FrameTooLarge,
    Overloaded,
    ProtocolError,
    RemoteError,
    SendTimeout,
)

ALL = [
    ProtocolError("x"),
    FrameTooLarge(5, 4),
    EncodeError("x"),
    DecodeError("x"),
    SendTimeout(),
    CallTimeout(Executed.NO),
    RemoteError(ErrorKind.DESERIALIZE, Executed.NO),
    AnswerUnreadable("x"),
    Overloaded("x"),
    ConnectionClosed(CloseReason.CLOSED_LOCALLY),
    ConnectionLost(CloseReason.TRUNCATED, Executed.UNKNOWN),
]


@pytest.mark.parametrize("error", ALL, ids=lambda error: type(error).__name__)
def test_every_error_is_caught_by_the_root_and_has_a_text(error: DuologueError) -> None:
    """`except DuologueError` catches whatever this library raises, and there is something to read."""
    assert isinstance(error, DuologueError)
    assert str(error)


@pytest.mark.parametrize(
    ("error", "executed"),
    [
        (CallTimeout(Executed.UNKNOWN), Executed.UNKNOWN),
        (RemoteError(ErrorKind.UNREADABLE, Executed.UNKNOWN), Executed.UNKNOWN),
        (AnswerUnreadable("field a"), Executed.YES),
        (Overloaded("full"), Executed.NO),
        (ConnectionClosed(CloseReason.CLOSED_LOCALLY), Executed.NO),
        (ConnectionClosed(CloseReason.CLOSED_LOCALLY, Executed.UNKNOWN), Executed.UNKNOWN),
        (ConnectionLost(CloseReason.TRANSPORT_FAILED, Executed.NO), Executed.NO),
    ],
    ids=lambda value: str(value),
)
def test_a_failed_call_says_whether_it_was_executed(error: CallError, executed: Executed) -> None:
    """The field is there to decide by, and the text says it to people."""
    assert error.executed is executed
    assert str(error).endswith(f"(executed: {executed.value})")


def test_errors_carry_data() -> None:
    """What a program may want to look at is not only in the text."""
    assert (FrameTooLarge(5, 4).size, FrameTooLarge(5, 4).limit) == (5, 4)
    remote = RemoteError(ErrorKind.UNREADABLE, Executed.UNKNOWN, "Strange", {"a": 1})
    assert (remote.kind, remote.message, remote.details) == (ErrorKind.UNREADABLE, "Strange", {"a": 1})
    assert "Unreadable: Strange" in str(remote)
    closed = ConnectionClosed(CloseReason.CLOSED_LOCALLY, detail="we are done")
    assert closed.reason is CloseReason.CLOSED_LOCALLY
    assert "closed locally (we are done)" in str(closed)
    lost = ConnectionLost(CloseReason.TRUNCATED, Executed.UNKNOWN, "3 of 25 bytes of a frame")
    assert lost.reason is CloseReason.TRUNCATED
    assert "(3 of 25 bytes of a frame)" in str(lost)


def test_nothing_is_added_to_a_text_that_has_no_more_to_say() -> None:
    """Without details there are no empty brackets, and without words of the remote nobody makes them up."""
    closed = ConnectionClosed(CloseReason.CLOSED_LOCALLY)
    assert (str(closed), closed.detail) == ("the connection is closed: closed locally (executed: no)", "")
    lost = ConnectionLost(CloseReason.TRUNCATED, Executed.UNKNOWN)
    assert str(lost) == f"the connection was lost: {CloseReason.TRUNCATED.value} (executed: unknown)"
    assert lost.detail == ""
    assert RemoteError(ErrorKind.TIMEOUT, Executed.NO).message == ""
    assert str(AnswerUnreadable("field a")) == "field a (executed: yes)"


def test_only_the_first_frame_raises_doubts_about_the_other_end() -> None:
    """A later one came after others that made sense."""
    words = "a frame of 5 bytes is over the limit of 4: send less, or raise Limits.max_frame on both ends"
    assert str(FrameTooLarge(5, 4)) == words
    assert str(FrameTooLarge(5, 4, is_first=True)) == f"{words}; or the other end speaks something else"


def test_a_send_timeout_says_what_it_waited_for() -> None:
    """Room in the outbox, if nothing else is said."""
    assert "no room to send" in str(SendTimeout())
    assert str(SendTimeout("no connection")) == "no connection"
    assert SendTimeout("no connection").executed is Executed.NO


def test_a_frame_that_is_too_large_is_a_protocol_error() -> None:
    """Whoever catches what the remote did wrong catches its sizes as well."""
    assert issubclass(FrameTooLarge, ProtocolError)


@pytest.mark.parametrize(
    ("kind", "message", "text"),
    [
        (ErrorKind.UNKNOWN_SERVICE, "", "UnknownService; does it serve that namespace?"),
        (ErrorKind.DESERIALIZE, "", "Deserialize; have both ends the same message class?"),
        (ErrorKind.INTERNAL_SERVER_ERROR, "", "InternalServerError; its log may say more"),
        (ErrorKind.PUBSUB_NO_CALL, "", "PubSubNoCall; it is published there, so send it"),
        (ErrorKind.TIMEOUT, "", "Timeout"),
        (ErrorKind.INTERNAL_SERVER_ERROR, "no disk", "InternalServerError: no disk"),
    ],
)
def test_a_remote_that_says_only_a_kind_is_explained(kind: ErrorKind, message: str, text: str) -> None:
    """The text says where to look, unless the remote has said it. The message is what it said, and no more."""
    error = RemoteError(kind, Executed.NO, message)
    assert str(error) == f"the remote answered {text} (executed: no)"
    assert error.message == message
