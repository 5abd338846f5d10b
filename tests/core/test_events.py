"""Events: what people see of them."""

from __future__ import annotations

import pytest
from tests.core.harness import TestRoute

from duologue.protocol.errors import CloseReason, ErrorKind, FailureKind
from duologue.protocol.events import (
    CallReceived,
    ErrorReported,
    EventsMissed,
    PeerClosed,
    RelayTargetLost,
    RequestFailed,
    SendReceived,
)
from duologue.protocol.pending import OutgoingCall


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (
            CallReceived(0x2A, 7, b"secret", TestRoute("calc::Add")),
            "CallReceived(calc::Add 0x000000000000002a, cid=7, 6 bytes)",
        ),
        (SendReceived(0x2A, 0, b"secret", None), "SendReceived(unknown 0x000000000000002a, cid=0, 6 bytes)"),
        (
            RequestFailed(FailureKind.HANDLER_FAILED, 0x2A, 7, "calc::Add", ValueError("x")),
            "RequestFailed(HandlerFailed, calc::Add 0x000000000000002a, cid=7, error=ValueError('x'))",
        ),
        (
            RequestFailed(FailureKind.UNKNOWN_SERVICE, 0x2A, 0),
            "RequestFailed(UnknownService, unknown 0x000000000000002a, cid=0, error=None)",
        ),
        (ErrorReported(ErrorKind.UNREADABLE, 0, "odd"), "ErrorReported(Unreadable, cid=0, 'odd')"),
        (PeerClosed(CloseReason.CLOSED_LOCALLY, "bye"), "PeerClosed(closed locally, 'bye')"),
        (EventsMissed(3), "EventsMissed(3)"),
        (OutgoingCall(0x2A, b"secret", None), "OutgoingCall(0x000000000000002a, id=0)"),
    ],
    ids=str,
)
@pytest.mark.fault(81)
def test_what_is_written_of_an_event(event: object, text: str) -> None:
    """Payloads that would fill or forge a log: events are written with ids as hex numbers, and never a byte of payload."""
    assert repr(event) == text
    assert "secret" not in repr(event)


def test_what_an_event_tells_before_anybody_adds_to_it() -> None:
    """The core knows no names of peers: who drives it writes them in. What is not known is empty, or 0."""
    failed = RequestFailed(FailureKind.UNKNOWN_SERVICE, 0x2A, 7)
    assert (failed.sid, failed.cid, failed.service, failed.error, failed.peer) == (0x2A, 7, "", None, "")
    reported = ErrorReported(ErrorKind.UNREADABLE, 7, "odd")
    assert (reported.cid, reported.text, reported.sid, reported.peer) == (7, "odd", 0, "")
    assert ErrorReported(ErrorKind.UNREADABLE, 7, "odd", 0x2A).sid == 0x2A
    closed = PeerClosed(CloseReason.CLOSED_LOCALLY, "bye")
    assert (closed.reason, closed.detail, closed.peer) == (CloseReason.CLOSED_LOCALLY, "bye", "")
    lost = RelayTargetLost("provider", CloseReason.TRUNCATED, "half")
    assert (lost.target, lost.reason, lost.detail, lost.peer) == (
        "provider",
        CloseReason.TRUNCATED,
        "half",
        "",
    )
    missed = EventsMissed(3)
    assert (missed.count, missed.peer) == (3, "")


def test_an_ended_call_says_so() -> None:
    """A call that has its outcome shows it."""
    call = OutgoingCall(1, b"", None)
    call.is_ended = True
    assert repr(call) == "OutgoingCall(0x0000000000000001, id=0, ended)"
