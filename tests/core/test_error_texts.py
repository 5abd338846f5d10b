"""Errors say what is known, in their text and in their data."""

from __future__ import annotations

from duologue import DEFAULT, CallTimeout, Executed, HandshakeTimeout, NotSupportedByRemote


def test_a_call_error_shows_executed_in_logs_too() -> None:
    """What `repr` shows is what logs and test reports show: it must not lack what the caller has to know."""
    error = CallTimeout(Executed.UNKNOWN)
    assert repr(error) == "CallTimeout('no answer within the timeout (executed: unknown)')"


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
