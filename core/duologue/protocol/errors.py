"""Everything that can go wrong, as one tree under `DuologueError`. Errors carry data, and say what to do next."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

MAX_ERROR_TEXT = 1024
"""Text that the remote puts into an error is cut to so many characters before anyone here sees it."""


class Executed(StrEnum):
    """Whether the handler of a failed call may have run: what a caller must know before trying again."""

    NO = "no"
    """The handler certainly never started: trying again is safe."""
    YES = "yes"
    """The handler's first instruction ran. It may not have finished."""
    UNKNOWN = "unknown"
    """Bytes of the call left this process, and nothing that came back tells what became of them."""


class CloseReason(StrEnum):
    """Why a connection ended, and by whom. Fixed once, on leaving the open phase."""

    CLOSED_LOCALLY = "closed locally"
    CLOSED_BY_REMOTE = "closed by remote"
    TRUNCATED = "cut short"
    PROTOCOL_ERROR = "protocol error"
    TRANSPORT_FAILED = "transport failed"
    REFUSED = "refused"
    """The remote does not accept who this end is, and its transport could say so only now: TLS 1.3 with client certificates."""
    KEEPALIVE_TIMEOUT = "keepalive timeout"
    FRAME_TIMEOUT = "frame timeout"
    WRITE_STALLED = "write stalled"


class ErrorKind(StrEnum):
    """What an error frame says (docs/protocol.md, section 3). The values are the names on the wire."""

    UNKNOWN_SERVICE = "UnknownService"
    DESERIALIZE = "Deserialize"
    INTERNAL_SERVER_ERROR = "InternalServerError"
    PUBSUB_NO_CALL = "PubSubNoCall"
    TIMEOUT = "Timeout"
    DESERIALIZE_WIREFORMAT = "DeserializeWireFormat"
    UNREADABLE = "Unreadable"
    """Never on the wire: the error frame named a call, but its body could not be understood."""


class FailureKind(StrEnum):
    """Why a request of the remote's failed here. Told to local observers; the remote sees only an `ErrorKind`."""

    UNKNOWN_SERVICE = "UnknownService"
    DESERIALIZE = "Deserialize"
    NO_HANDLER = "NoHandler"
    HANDLER_FAILED = "HandlerFailed"
    SERIALIZE = "Serialize"
    FRAME_TOO_LARGE = "FrameTooLarge"
    PUBSUB_NO_CALL = "PubSubNoCall"
    OVERLOADED = "Overloaded"
    """Refused: the budget and the parking were full (docs/flow.md, F3)."""
    UNAVAILABLE = "Unavailable"
    """Refused: this end is closing."""
    CANCELLED = "Cancelled"
    """The handler was cancelled since the connection ended."""
    RELAY_GONE = "RelayGone"
    """The peer that the request was relayed to is closed, or closed before it answered."""
    RELAY_REFUSED = "RelayRefused"
    """Not relayed: it would go back to the peer that it came from, or the other peer has another wire format."""
    RELAY_FAILED = "RelayFailed"
    """The peer that the request was relayed to answered with an error of its own making."""
    TIMEOUT = "Timeout"
    """The peer that the request was relayed to did not answer in time."""
    DROPPED = "Dropped"
    """A one-way message was let go: over the budget with `Limits(sends_policy="drop")`, since the connection ended, or
    since the peer that it was to be relayed to had no room for it in time."""


class DuologueError(Exception):
    """The root of every error that this library raises."""


class ProtocolError(DuologueError):
    """The remote broke the protocol. The connection closes; `peer.events()` and waiting calls tell of it."""


class RequestError(DuologueError):
    """A call or a send of this end failed: whatever `call` and `send` raise for what is no mistake in the program.

    Its text begins with what it is about, as far as that is known.
    """

    executed = Executed.NO
    """Whether the handler may have run."""
    service = ""
    """The name of the service, if it was asked by a `Remote`."""
    sid = 0
    """The service's id; 0 if it did not come so far."""
    call_id = 0
    """The id of the call, as in the events at the other end; 0 for a send, and if it got none."""
    peer = ""
    """Who was asked: the name and address of the remote."""

    def __str__(self) -> str:
        text = super().__str__()
        service = self.service or (f"0x{self.sid:016x}" if self.sid else "")
        call = f"call {self.call_id}" if self.call_id else ""
        if about := " ".join(filter(None, (service, f"({call})" if service and call else call))):
            about += f" at {self.peer}" if self.peer else ""
        return f"{about or self.peer}: {text}" if about or self.peer else text

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"


class FrameTooLarge(ProtocolError, RequestError):
    """A frame is over the limit: ours (nothing was written, the connection stays), or the remote's (it closes)."""

    def __init__(self, size: int, limit: int, *, is_first: bool = False) -> None:
        """`is_first`: it is the first of the connection, so there was no other that made sense."""
        doubt = "; or the other end speaks something else" if is_first else ""
        super().__init__(
            f"a frame of {size} bytes is over the limit of {limit}: send less, or raise Limits.max_frame on both ends{doubt}"
        )
        self.size = size
        self.limit = limit


class EncodeError(RequestError):
    """A value can't be written in the wire format. Nothing was sent; the text names the field."""


class DecodeError(DuologueError):
    """Received bytes are not a valid value of the declared type. The text names the field."""


class RelayRefused(DuologueError):
    """A request is not relayed, for what its text says. Stays at this end: the one who asked learns that it failed."""


class SendTimeout(RequestError):
    """A `send` found no room in the outbox within its timeout. No byte of it has left."""

    def __init__(
        self,
        text: str = "no room to send within the timeout: the remote does not read, or this end sends faster than the link carries",
    ) -> None:
        super().__init__(text)


class CallError(RequestError):
    """A call ended without an answer. `executed` says whether its handler may have run."""

    def __init__(self, text: str, executed: Executed) -> None:
        super().__init__(text)
        self.executed = executed

    def __str__(self) -> str:
        return f"{super().__str__()} (executed: {self.executed.value})"


class CallTimeout(CallError):
    """No answer came in time. The remote may still be working on it: base mode has no cancel."""

    def __init__(self, executed: Executed, text: str = "no answer within the timeout") -> None:
        super().__init__(text, executed)


_HINTS = {
    ErrorKind.UNKNOWN_SERVICE: "does it serve that namespace?",
    ErrorKind.DESERIALIZE: "have both ends the same message class?",
    ErrorKind.INTERNAL_SERVER_ERROR: "its log may say more",
    ErrorKind.PUBSUB_NO_CALL: "it is published there, so send it",
}
"""Where to look, for whoever reads the text of an error."""


class RemoteError(CallError):
    """The remote answered with an error. `kind` is what it said; it never says more than that in base mode."""

    def __init__(self, kind: ErrorKind, executed: Executed, message: str = "", details: Any = None) -> None:
        more = f": {message}" if message else f"; {hint}" if (hint := _HINTS.get(kind)) else ""
        super().__init__(f"the remote answered {kind.value}{more}", executed)
        self.kind = kind
        self.message = message
        self.details = details


class AnswerUnreadable(CallError):
    """The handler ran and answered, but the answer does not decode to the declared type."""

    def __init__(self, text: str) -> None:
        super().__init__(text, Executed.YES)


class Overloaded(CallError):
    """A limit of this process is reached: too many calls wait already. Nothing was sent."""

    def __init__(self, text: str) -> None:
        super().__init__(text, Executed.NO)


class ConnectionClosed(CallError):
    """The connection is closed, or closing, so the call was not made, or ended by this end. `reason` says who ended it first."""

    def __init__(self, reason: CloseReason, executed: Executed = Executed.NO, detail: str = "") -> None:
        super().__init__(
            f"the connection is closed: {reason.value}" + (f" ({detail})" if detail else ""), executed
        )
        self.reason = reason
        self.detail = detail
        """More words about that."""


class ConnectionLost(CallError):
    """The connection ended under a waiting call, and not by us. `reason` says how."""

    def __init__(self, reason: CloseReason, executed: Executed, detail: str = "") -> None:
        super().__init__(
            f"the connection was lost: {reason.value}" + (f" ({detail})" if detail else ""), executed
        )
        self.reason = reason
        self.detail = detail
        """More words about that."""
