"""What goes wrong with a client that reconnects, and where trying again is useless."""

from __future__ import annotations

from duologue import (
    CallError,
    CloseReason,
    ConnectFailed,
    ConnectionClosed,
    ConnectionLost,
    DuologueError,
    Executed,
    PluginError,
    ProtocolError,
    RegistrationError,
)

_FOR_GOOD = frozenset({CloseReason.PROTOCOL_ERROR, CloseReason.REFUSED})


class NotConnected(CallError):
    """There is no connection now, and the call was told not to wait for one. Its cause is what happened last."""

    def __init__(self, text: str = "there is no connection now", executed: Executed = Executed.NO) -> None:
        super().__init__(text, executed)


class ReconnectFailed(NotConnected):
    """The client has given up, so there will be no connection any more. `error`, which is also its cause, says why."""

    def __init__(self, error: Exception) -> None:
        super().__init__(f"the client has given up: {error}")
        self.error = error


class ConnectionEnded(DuologueError):
    """A connection has ended. `reason` and `detail` are those of its `PeerClosed`.

    `reported` is what the remote said just before: that it can't understand what this end sends.
    """

    def __init__(self, reason: CloseReason, detail: str = "", reported: str = "") -> None:
        text = f"the connection has ended: {reason.value}" + (f" ({detail})" if detail else "")
        super().__init__(text + (f"; the remote can't understand this end: {reported}" if reported else ""))
        self.reason = reason
        self.detail = detail
        self.reported = reported


def is_permanent(error: Exception) -> bool:
    """Whether trying again is useless, as long as nothing is changed at either end.

    An identity was refused (a certificate, a key, an origin, a user), the two ends do not speak the same protocol, or
    what was given means nothing. Nobody there, a name that can't be looked up, a time-out, a connection that broke: all of
    these are worth another attempt.
    """
    match error:
        case ConnectFailed():
            return error.is_permanent
        case ConnectionEnded():
            return error.reason in _FOR_GOOD or bool(error.reported)
        case ConnectionLost() | ConnectionClosed():
            return error.reason in _FOR_GOOD
        case _:
            return isinstance(error, ProtocolError | PluginError | RegistrationError)
