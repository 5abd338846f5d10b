"""Errors say what is known, in their text and in their data."""

from __future__ import annotations

import pytest

from duologue import (
    DEFAULT,
    CallTimeout,
    CloseReason,
    ConnectionClosed,
    ConnectionLost,
    EncodeError,
    Executed,
    FrameTooLarge,
    HandshakeTimeout,
    NotSupportedByRemote,
    RequestError,
    SendTimeout,
)


def test_a_call_error_shows_executed_in_logs_too() -> None:
    """What `repr` shows is what logs and test reports show: it must not lack what the caller has to know."""
    error = CallTimeout(Executed.UNKNOWN)
    assert repr(error) == "CallTimeout('no answer within the timeout (executed: unknown)')"


@pytest.mark.parametrize(
    ("service", "sid", "call_id", "peer", "about"),
    [
        ("", 0, 0, "", ""),
        ("calc::Add", 0x2A, 7, "worker (10.0.0.1:7)", "calc::Add (call 7) at worker (10.0.0.1:7): "),
        ("calc::Add", 0x2A, 0, "worker", "calc::Add at worker: "),
        ("calc::Add", 0x2A, 0, "", "calc::Add: "),
        ("", 0x2A, 7, "", "0x000000000000002a (call 7): "),
        ("", 0, 7, "worker", "call 7 at worker: "),
        ("", 0, 0, "worker", "worker: "),
    ],
)
def test_an_error_says_what_it_is_about(service: str, sid: int, call_id: int, peer: str, about: str) -> None:
    """The service, by name where it has one; the call; and who was asked: whatever of that is known."""
    error = CallTimeout(Executed.UNKNOWN)
    error.service, error.sid, error.call_id, error.peer = service, sid, call_id, peer
    assert str(error) == f"{about}no answer within the timeout (executed: unknown)"


@pytest.mark.parametrize(
    "error",
    [
        SendTimeout(),
        FrameTooLarge(5, 4),
        EncodeError("a: not a number"),
        CallTimeout(Executed.NO),
    ],
    ids=lambda error: type(error).__name__,
)
def test_all_that_a_request_may_raise_is_of_one_kind(error: RequestError) -> None:
    """So that it can be caught as one, asked whether it was executed, and shows what it is about."""
    assert error.executed is Executed.NO
    error.peer = "worker"
    assert str(error).startswith("worker: ")
    assert repr(error) == f"{type(error).__name__}({str(error)!r})"


@pytest.mark.parametrize("kind", [ConnectionClosed, ConnectionLost])
def test_an_end_has_its_words(kind: type[ConnectionClosed | ConnectionLost]) -> None:
    """The reason is for programs, the detail for people."""
    error = kind(CloseReason.WRITE_STALLED, Executed.NO, "5 bytes unsent")
    assert (error.reason, error.detail) == (CloseReason.WRITE_STALLED, "5 bytes unsent")
    assert "write stalled (5 bytes unsent)" in str(error)


def test_a_handshake_timeout_says_where_and_how_long() -> None:
    """The URL and the seconds are data as well as text."""
    error = HandshakeTimeout("tcp://127.0.0.1:1", 2.5)
    assert (error.url, error.seconds) == ("tcp://127.0.0.1:1", 2.5)
    assert "not ready after 2.5 s" in str(error)


def test_what_the_remote_does_not_support_was_never_sent() -> None:
    """The feature is named, and trying without it is safe."""
    error = NotSupportedByRemote("headers")
    assert (error.feature, error.executed) == ("headers", Executed.NO)


def test_the_default_timeout_has_a_name() -> None:
    """Signatures in help texts show what it is."""
    assert repr(DEFAULT) == "DEFAULT"
