"""The errors that the state machine knows nothing of: registration, plug-ins, connecting."""

from __future__ import annotations

import re

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
    FailureKind,
    FrameTooLarge,
    Overloaded,
    ProtocolError,
    RemoteError,
    RequestError,
    SendTimeout,
)

__all__ = [
    "AnswerUnreadable",
    "CallError",
    "CallTimeout",
    "CloseReason",
    "ConnectFailed",
    "ConnectionClosed",
    "ConnectionLost",
    "DecodeError",
    "DuologueError",
    "EncodeError",
    "ErrorKind",
    "Executed",
    "FailureKind",
    "FrameTooLarge",
    "HandshakeTimeout",
    "NotSupportedByRemote",
    "Overloaded",
    "PluginError",
    "ProtocolError",
    "RegistrationError",
    "RemoteError",
    "RequestError",
    "SendTimeout",
    "ServiceIdError",
    "UnknownScheme",
    "UnknownWireFormat",
]


_PASSWORD = re.compile(r"(://[^/?#@:]*:)[^/?#@]*@")


class RegistrationError(DuologueError):
    """A message, namespace or handler can't be used as it is declared. Raised while setting up, never by a remote."""


class ServiceIdError(RegistrationError):
    """A service id is reserved, out of range, or taken. `sid` is the id, `name` the service that wanted it."""

    def __init__(self, text: str, sid: int, name: str) -> None:
        super().__init__(text)
        self.sid = sid
        self.name = name


class PluginError(DuologueError):
    """A plug-in can't be loaded: a library is missing, a name is taken twice, or it does not fulfil the port."""


class UnknownScheme(PluginError):
    """No adapter is installed for the URL's scheme. `known` lists the ones that are."""

    def __init__(self, scheme: str, known: tuple[str, ...]) -> None:
        super().__init__(
            f"no adapter for {scheme!r} URLs: known are {', '.join(known) or 'none'}; install the plug-in, or mend the URL"
        )
        self.scheme = scheme
        self.known = known


class UnknownWireFormat(PluginError):
    """No wire format of that name is installed. `known` lists the ones that are."""

    def __init__(self, name: str, known: tuple[str, ...]) -> None:
        super().__init__(
            f"no wire format named {name!r}: known are {', '.join(known) or 'none'}; install the plug-in, or mend the name"
        )
        self.name = name
        self.known = known


class ConnectFailed(DuologueError):
    """No connection could be made; the cause has the details. Nothing was sent.

    `is_permanent`: trying again is useless as long as nothing is changed at either end. A name, a key, a certificate
    or a protocol was refused, or the URL means nothing. False where it may help, and where nobody can know.
    """

    def __init__(self, url: str, text: str, *, is_permanent: bool = False, serves: bool = False) -> None:
        """`serves`: it was to be served, so that the text is not of a connection."""
        what = "can not serve" if serves else "no connection at"
        super().__init__(f"{what} {_for_people(url)}: {_for_people(text)}")
        self.url = url
        """As it was given."""
        self.is_permanent = is_permanent


def _for_people(text: str) -> str:
    """Without passwords, which would get into logs; and names of files that are no text can be printed, too."""
    return _PASSWORD.sub(r"\1***@", text).encode("utf-8", "backslashreplace").decode()


class HandshakeTimeout(ConnectFailed):
    """Connecting, or the transport's handshake, took longer than `Limits.handshake_timeout`. `hint`: why that may be."""

    def __init__(self, url: str, seconds: float, hint: str = "") -> None:
        super().__init__(url, f"not ready after {seconds:g} s" + (f": {hint}" if hint else ""))
        self.seconds = seconds


class NotSupportedByRemote(CallError):
    """The remote speaks base mode only, and this needs extended mode. Nothing was sent."""

    def __init__(self, feature: str) -> None:
        super().__init__(f"the remote does not support {feature}", Executed.NO)
        self.feature = feature
