"""Typed messages between two processes, in both directions, over any transport and in any wire format."""

from duologue._version import __version__
from duologue.adapter import Adapter, PeerSettings, ServerSettings
from duologue.cases import ByteList, Case
from duologue.context import Context
from duologue.errors import (
    AnswerUnreadable,
    CallError,
    CallTimeout,
    CloseReason,
    ConnectFailed,
    ConnectionClosed,
    ConnectionLost,
    DecodeError,
    DuologueError,
    EncodeError,
    ErrorKind,
    Executed,
    FailureKind,
    FrameTooLarge,
    HandshakeTimeout,
    NotSupportedByRemote,
    Overloaded,
    PluginError,
    ProtocolError,
    RegistrationError,
    RemoteError,
    SendTimeout,
    ServiceIdError,
    UnknownScheme,
    UnknownWireFormat,
)
from duologue.facade import connect, serve
from duologue.messages import Message
from duologue.namespace import Namespace
from duologue.peer import DEFAULT, Peer, PeerEvent, PeerInfo, Server
from duologue.plugins import hookimpl, installed_plugins, register_adapter, register_wireformat
from duologue.protocol.budget import CallBudget
from duologue.protocol.events import ErrorReported, EventsMissed, PeerClosed, RequestFailed
from duologue.protocol.limits import Limits
from duologue.registry import PluginInfo
from duologue.remote import Remote
from duologue.service_ids import service_id
from duologue.services import ServiceMap, Services
from duologue.wireformat import Codec, WireFormat

__all__ = [
    "DEFAULT",
    "Adapter",
    "AnswerUnreadable",
    "ByteList",
    "CallBudget",
    "CallError",
    "CallTimeout",
    "Case",
    "CloseReason",
    "Codec",
    "ConnectFailed",
    "ConnectionClosed",
    "ConnectionLost",
    "Context",
    "DecodeError",
    "DuologueError",
    "EncodeError",
    "ErrorKind",
    "ErrorReported",
    "EventsMissed",
    "Executed",
    "FailureKind",
    "FrameTooLarge",
    "HandshakeTimeout",
    "Limits",
    "Message",
    "Namespace",
    "NotSupportedByRemote",
    "Overloaded",
    "Peer",
    "PeerClosed",
    "PeerEvent",
    "PeerInfo",
    "PeerSettings",
    "PluginError",
    "PluginInfo",
    "ProtocolError",
    "RegistrationError",
    "Remote",
    "RemoteError",
    "RequestFailed",
    "SendTimeout",
    "Server",
    "ServerSettings",
    "ServiceIdError",
    "ServiceMap",
    "Services",
    "UnknownScheme",
    "UnknownWireFormat",
    "WireFormat",
    "__version__",
    "connect",
    "hookimpl",
    "installed_plugins",
    "register_adapter",
    "register_wireformat",
    "serve",
    "service_id",
]
