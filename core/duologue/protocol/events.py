"""What a connection tells its driver: events, in the order in which they happened.

Plain classes with slots: several are made for each message, and a frozen dataclass costs more than twice as much.
A received request is its own event, and the token that the driver answers it with.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from duologue.protocol.errors import CallError, CloseReason, DuologueError, ErrorKind, FailureKind

if TYPE_CHECKING:
    from duologue.protocol.pending import OutgoingCall, OutgoingSend
    from duologue.protocol.relaying import Relays
    from duologue.protocol.routes import Route


class IncomingRequest:
    """A request of the remote's. Delivered once, then ended by exactly one of `respond`, `fail` and `done`."""

    __slots__ = (
        "cid",
        "handler",
        "is_cancelled",
        "is_delivered",
        "is_ended",
        "is_held",
        "payload",
        "peer",
        "permit",
        "route",
        "sid",
        "waits",
    )

    peer: Any
    """For the driver, which sets it when it runs the request: the peer that it came by."""

    def __init__(self, sid: int, cid: int, payload: bytes, route: Route | None) -> None:
        self.sid = sid
        """The service that is asked for."""
        self.cid = cid
        """The id of the call, given by the remote; 0 for a one-way message."""
        self.payload = payload
        """The encoded message."""
        self.route = route
        """Where it goes; None for an unknown service, which is never delivered."""
        self.handler: Any = None
        """For the driver: whatever runs the handler, to cancel it by. The connection doesn't look at it."""
        self.is_delivered = False
        """The driver has it."""
        self.is_cancelled = False
        """Answered by the connection itself, as it ends. The driver still owes one `done`."""
        self.is_ended = False
        """Nothing is owed any more."""
        self.is_held = False
        """A call to be relayed, which waits until it is known where to, or for room there. It counts among the parked ones."""
        self.permit = False
        """It holds a permit or a send slot, or has lent it."""
        self.waits = 0
        """How many waits for a remote go on in its handler now. While there is one, its permit is lent."""

    def __repr__(self) -> str:
        name = self.route.name if self.route is not None else "unknown"
        return f"{type(self).__name__}({name} 0x{self.sid:016x}, cid={self.cid}, {len(self.payload)} bytes)"


class CallReceived(IncomingRequest):
    """A call to run: answer it with `respond` or `fail`."""

    __slots__ = ()


class SendReceived(IncomingRequest):
    """A one-way message to run: end it with `done`, or with `fail` if the handler failed."""

    __slots__ = ()


class RelayedCall(CallReceived):
    """A call that another connection is to answer: one entry among the unanswered calls of both.

    What is the same for all of them stands in the class, so that making one costs less.
    """

    __slots__ = ("deadline", "expires", "id", "relays", "target")

    is_delivered = True
    is_cancelled = False
    permit = False
    waits = 0

    def __init__(
        self, sid: int, cid: int, payload: bytes, route: Route, relays: Relays, target: Relays
    ) -> None:
        self.sid = sid
        self.cid = cid
        self.payload = payload
        self.route = route
        self.is_ended = False
        self.is_held = False
        self.relays = relays
        """Of the connection that it came by."""
        self.target = target
        """Of the connection that it goes to."""
        self.id = 0
        """Its id there; 0 while it waits for room."""
        self.deadline: float | None = None
        """When it fails, if it has to wait for room; None for never."""
        self.expires = math.inf
        """When it fails, if it need not: the same, kept in another way."""


class RelayedSend(SendReceived):
    """A one-way message that waits for room on another connection."""

    __slots__ = ("deadline", "relays", "target")

    def __init__(self, sid: int, payload: bytes, route: Route, relays: Relays, target: Relays) -> None:
        super().__init__(sid, 0, payload, route)
        self.is_delivered = self.permit = True
        self.relays = relays
        """Of the connection that it came by."""
        self.target = target
        """Of the connection that it goes to."""
        self.deadline = 0.0
        """When it is dropped."""


class RequestCancelled:
    """The handler of a delivered request is to be cancelled; when it has ended, `done` gives its permit back."""

    __slots__ = ("request",)

    def __init__(self, request: IncomingRequest) -> None:
        self.request = request
        """The request, which is answered already if there is anyone to answer to."""

    def __repr__(self) -> str:
        return f"RequestCancelled({self.request!r})"


class ResponseReceived:
    """An own call is answered."""

    __slots__ = ("call", "payload")

    def __init__(self, call: OutgoingCall, payload: bytes) -> None:
        self.call = call
        """What `Connection.call` returned."""
        self.payload = payload
        """The encoded answer."""

    def __repr__(self) -> str:
        return f"ResponseReceived({self.call!r}, {len(self.payload)} bytes)"


class CallFailed:
    """An own call ended without an answer."""

    __slots__ = ("call", "error")

    def __init__(self, call: OutgoingCall, error: CallError) -> None:
        self.call = call
        """What `Connection.call` returned."""
        self.error = error
        """To be raised where the call was made. Its `executed` says whether the handler may have run."""

    def __repr__(self) -> str:
        return f"CallFailed({self.call!r}, {self.error!r})"


class SendAccepted:
    """A send that had to wait is in the outbox now."""

    __slots__ = ("send",)

    def __init__(self, send: OutgoingSend) -> None:
        self.send = send
        """What `Connection.send` returned."""

    def __repr__(self) -> str:
        return f"SendAccepted({self.send!r})"


class SendFailed:
    """A send that had to wait will never leave."""

    __slots__ = ("error", "send")

    def __init__(self, send: OutgoingSend, error: DuologueError) -> None:
        self.send = send
        """What `Connection.send` returned."""
        self.error = error
        """To be raised where the send was made."""

    def __repr__(self) -> str:
        return f"SendFailed({self.send!r}, {self.error!r})"


class WritingFinished:
    """The last byte has been taken: the driver ends its half of the transport, and goes on reading."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "WritingFinished()"


class RequestFailed:
    """A request of the remote's failed here. The remote learned only its kind, and only if it was a call."""

    __slots__ = ("cid", "error", "kind", "peer", "service", "sid")

    def __init__(
        self, kind: FailureKind, sid: int, cid: int, service: str = "", error: BaseException | None = None
    ) -> None:
        self.kind = kind
        """What went wrong."""
        self.sid = sid
        """The service id of the request."""
        self.cid = cid
        """The id of the call; 0 for a one-way message."""
        self.service = service
        """The name of the service, if it is known."""
        self.error = error
        """The exception, if there is one. It stays on this side. Its traceback is in the log, and only there."""
        self.peer = ""
        """Who asked: the name and address of the remote. Set by the driver, as in all events that observers see."""

    def __repr__(self) -> str:
        return (
            f"RequestFailed({self.kind.value}, {self.service or 'unknown'} 0x{self.sid:016x}, cid={self.cid}, "
            f"error={self.error!r}{_of(self.peer)})"
        )


class ErrorReported:
    """The remote reported an error that belongs to no call of ours that waits."""

    __slots__ = ("cid", "kind", "peer", "sid", "text")

    def __init__(self, kind: ErrorKind, cid: int, text: str, sid: int = 0) -> None:
        self.kind = kind
        """What it said."""
        self.cid = cid
        """The id of the call it named; 0 for the connection as a whole."""
        self.text = text
        """Its text, cut to 1,024 characters."""
        self.sid = sid
        """The service that it named; 0 if it named none."""
        self.peer = ""
        """Who reported it."""

    def __repr__(self) -> str:
        service = f", 0x{self.sid:016x}" if self.sid else ""
        return f"ErrorReported({self.kind.value}{service}, cid={self.cid}, {self.text!r}{_of(self.peer)})"


class PeerClosed:
    """The connection has ended: the last event, given exactly once."""

    __slots__ = ("detail", "peer", "reason")

    def __init__(self, reason: CloseReason, detail: str) -> None:
        self.reason = reason
        """Who ended it, and how."""
        self.detail = detail
        """More words: the reason given to `close`, or what the protocol error was."""
        self.peer = ""
        """Who it was."""

    def __repr__(self) -> str:
        return f"PeerClosed({self.reason.value}, {self.detail!r}{_of(self.peer)})"


class RelayTargetLost:
    """A peer that requests of this connection were relayed to takes no more: it ends, or drains.

    What went there and was not answered has failed, unless it drains: then it may still be answered.
    """

    __slots__ = ("detail", "peer", "reason", "target")

    def __init__(self, target: str, reason: CloseReason, detail: str) -> None:
        self.target = target
        """Its name, or its address if it has none."""
        self.reason = reason
        """Who ended its connection, and how."""
        self.detail = detail
        """More words about that."""
        self.peer = ""
        """Whose requests were relayed."""

    def __repr__(self) -> str:
        return f"RelayTargetLost({self.target!r}, {self.reason.value}, {self.detail!r}{_of(self.peer)})"


class EventsMissed:
    """An observer was too slow: so many events were dropped before the next one."""

    __slots__ = ("count", "peer")

    def __init__(self, count: int) -> None:
        self.count = count
        """How many."""
        self.peer = ""
        """Whose they were."""

    def __repr__(self) -> str:
        return f"EventsMissed({self.count}{_of(self.peer)})"


def _of(peer: str) -> str:
    return f", peer={peer!r}" if peer else ""


Event = (
    CallReceived
    | SendReceived
    | RequestCancelled
    | ResponseReceived
    | CallFailed
    | SendAccepted
    | SendFailed
    | WritingFinished
    | RequestFailed
    | ErrorReported
    | RelayTargetLost
    | PeerClosed
)
"""What `Connection.events` gives."""
