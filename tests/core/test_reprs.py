"""What one sees while debugging: one line for each object, without a byte of payload. Frozen, since people read logs by it."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy

import pytest
from tests.core.harness import ECHO, Solo, TestRoute, call_frame
from tests.services.conftest import LoopPeer, PlainFormat

from duologue import (
    CallBudget,
    ErrorKind,
    ErrorReported,
    EventsMissed,
    FailureKind,
    Limits,
    Message,
    Namespace,
    PeerClosed,
    PeerInfo,
    PubSub,
    RelayMap,
    RelayTargetLost,
    RequestFailed,
    RoundRobin,
    ServiceMaps,
    Services,
)
from duologue.protocol.errors import CallTimeout, CloseReason, Executed, SendTimeout
from duologue.protocol.events import (
    CallFailed,
    CallReceived,
    RequestCancelled,
    ResponseReceived,
    SendAccepted,
    SendFailed,
    WritingFinished,
)
from duologue.protocol.feed import Feed
from duologue.protocol.pending import OutgoingCall, OutgoingSend


class Add(Message[int]):
    a: int


class Log(Message[None]):
    line: str


calc = Namespace("calc", [Add, Log])
services = Services(calc)


@services.handler
async def add(msg: Add) -> int:
    return msg.a


def listener(message: object) -> None:
    """Listens."""


def loop_peer() -> LoopPeer:
    return LoopPeer(PlainFormat(), services)


def watched() -> PubSub:
    pubsub = PubSub(calc)
    pubsub.listen(listener)
    return pubsub


REQUEST = CallReceived(0x2A, 7, b"secret", TestRoute("calc::Add"))
CALL = OutgoingCall(0x2A, b"secret", None)
SEND = OutgoingSend(0x2A, b"secret", None)
ENDED = OutgoingSend(0x2A, b"", None)
ENDED.is_ended = True

REPRS: list[tuple[Callable[[], object], str]] = [
    (Limits, "Limits()"),
    (lambda: Limits(calls=5, call_timeout=None), "Limits(calls=5, call_timeout=None)"),
    (lambda: CallBudget(5), "CallBudget(0/5 in use, 0 lent, 0 waiting)"),
    (Feed, "<Feed: 0 sent, 0 waiting, 0 dropped>"),
    (lambda: calc, "<Namespace 'calc': calc::Add 0x8742ece5ed619835, calc::Log 0x1a13b624683a8346>"),
    (lambda: services, f"<Services: calc::Add {__name__}.add (task), calc::Log no handler>"),
    (Services, "<Services: none>"),
    (
        lambda: ServiceMaps(services),
        f"<ServiceMaps: <Services: calc::Add {__name__}.add (task), calc::Log no handler>>",
    ),
    (lambda: RelayMap(loop_peer(), calc), "<RelayMap of calc::Add, calc::Log to <LoopPeer loop (loop:)>>"),
    (lambda: RoundRobin([loop_peer()]), "<RoundRobin of 1 peers>"),
    (lambda: PubSub(calc), "<PubSub of calc::Add, calc::Log to 0 subscribers>"),
    (lambda: PeerInfo("worker", "10.0.0.1:7"), "PeerInfo(name='worker', address='10.0.0.1:7')"),
    (
        lambda: PeerInfo("", "10.0.0.1:7", {"tls": "all of it"}),
        "PeerInfo(name='', address='10.0.0.1:7', extra=tls)",
    ),
    (loop_peer, "<LoopPeer loop (loop:)>"),
    (lambda: loop_peer().remote(calc), "<Remote 'calc' of <LoopPeer loop (loop:)>>"),
    (lambda: CALL, "OutgoingCall(0x000000000000002a, id=0)"),
    (lambda: SEND, "OutgoingSend(0x000000000000002a, 6 bytes)"),
    (lambda: ENDED, "OutgoingSend(0x000000000000002a, 0 bytes, ended)"),
    (
        lambda: RequestCancelled(REQUEST),
        "RequestCancelled(CallReceived(calc::Add 0x000000000000002a, cid=7, 6 bytes))",
    ),
    (
        lambda: ResponseReceived(CALL, b"secret"),
        "ResponseReceived(OutgoingCall(0x000000000000002a, id=0), 6 bytes)",
    ),
    (
        lambda: CallFailed(CALL, CallTimeout(Executed.NO)),
        "CallFailed(OutgoingCall(0x000000000000002a, id=0), CallTimeout('no answer within the timeout (executed: no)'))",
    ),
    (lambda: SendAccepted(SEND), "SendAccepted(OutgoingSend(0x000000000000002a, 6 bytes))"),
    (
        lambda: SendFailed(SEND, SendTimeout()),
        f"SendFailed(OutgoingSend(0x000000000000002a, 6 bytes), SendTimeout({str(SendTimeout())!r}))",
    ),
    (WritingFinished, "WritingFinished()"),
]


@pytest.mark.parametrize(("make", "text"), REPRS, ids=[text for _, text in REPRS])
@pytest.mark.fault(81)
def test_one_line_says_what_one_needs(make: Callable[[], object], text: str) -> None:
    """As it stands here, and in one line."""
    assert repr(make()) == text
    assert "\n" not in text
    assert "secret" not in text


def test_a_subscription_says_whose_it_is() -> None:
    """With what became of its messages."""
    (subscription,) = watched().subscriptions
    assert repr(subscription).startswith(f"<Subscription of <function {listener.__qualname__} at ")
    assert repr(subscription).endswith(": 0 sent>")


EVENTS: list[tuple[RequestFailed | ErrorReported | PeerClosed | RelayTargetLost | EventsMissed, str]] = [
    (
        RequestFailed(FailureKind.HANDLER_FAILED, 0x2A, 7, "calc::Add", ValueError("x")),
        "RequestFailed(HandlerFailed, calc::Add 0x000000000000002a, cid=7, error=ValueError('x')",
    ),
    (
        ErrorReported(ErrorKind.UNKNOWN_SERVICE, 7, "", 0x2A),
        "ErrorReported(UnknownService, 0x000000000000002a, cid=7, ''",
    ),
    (PeerClosed(CloseReason.CLOSED_LOCALLY, "bye"), "PeerClosed(closed locally, 'bye'"),
    (
        RelayTargetLost("provider", CloseReason.CLOSED_BY_REMOTE, ""),
        "RelayTargetLost('provider', closed by remote, ''",
    ),
    (EventsMissed(3), "EventsMissed(3"),
]


@pytest.mark.parametrize(("event", "text"), EVENTS, ids=[text for _, text in EVENTS])
def test_an_event_says_whose_it_is(
    event: RequestFailed | ErrorReported | PeerClosed | RelayTargetLost | EventsMissed, text: str
) -> None:
    """The driver knows who the remote is, and sets it; the state machine does not."""
    event = copy(event)  # the one of the table may be wanted again
    assert event.peer == ""
    assert repr(event) == f"{text})"
    event.peer = "worker (10.0.0.1:7)"
    assert repr(event) == f"{text}, peer='worker (10.0.0.1:7)')"


@pytest.mark.parametrize(
    ("info", "text"),
    [
        (PeerInfo("worker", "10.0.0.1:7"), "worker (10.0.0.1:7)"),
        (PeerInfo("worker"), "worker"),
        (PeerInfo("", "10.0.0.1:7"), "10.0.0.1:7"),
        (PeerInfo(), ""),
    ],
)
def test_how_people_are_told_who_it_is(info: PeerInfo, text: str) -> None:
    """The name, and the address behind it: many peers of a server have one name."""
    assert str(info) == text


def test_a_budget_in_use() -> None:
    """Its numbers are those of now."""
    solo = Solo(Limits(calls=1))
    solo.feed(call_frame(1), call_frame(2, sid=ECHO))
    assert repr(solo.budget) == "CallBudget(1/1 in use, 0 lent, 1 waiting)"
