"""Typed messages between two processes, in both directions, over any transport and in any wire format."""

from duologue._version import __version__
from duologue.adapter import Adapter, PeerSettings, ServerSettings
from duologue.cases import ByteList, Case, case_class, case_name, case_shape, is_byte_list
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
    RequestError,
    SendTimeout,
    ServiceIdError,
    UnknownScheme,
    UnknownWireFormat,
)
from duologue.facade import connect, serve
from duologue.messages import Message, Shape, answer_type, shape_of
from duologue.namespace import Namespace
from duologue.peer import DEFAULT, Peer, PeerEvent, PeerInfo, Server, Timeout
from duologue.plugins import (
    find_wireformat,
    hookimpl,
    installed_plugins,
    register_adapter,
    register_wireformat,
    unregister_adapter,
    unregister_wireformat,
)
from duologue.protocol.budget import CallBudget
from duologue.protocol.events import (
    ErrorReported,
    EventsMissed,
    PeerClosed,
    RelayTargetLost,
    RequestFailed,
)
from duologue.protocol.feed import Feed, FeedPolicy
from duologue.protocol.limits import Limits
from duologue.pubsub import PubSub
from duologue.registry import PluginInfo
from duologue.relay import (
    Balancer,
    ConsistentHash,
    LeastOutstanding,
    RelayMap,
    RelayRequest,
    RoundRobin,
)
from duologue.remote import Caller, Remote
from duologue.served import ServiceMaps
from duologue.service_ids import service_id
from duologue.services import MessageClass, ServiceMap, Services
from duologue.subscriptions import Subscription
from duologue.wireformat import Codec, WireFormat

__all__ = [
    "DEFAULT",
    "Adapter",
    "AnswerUnreadable",
    "Balancer",
    "ByteList",
    "CallBudget",
    "CallError",
    "CallTimeout",
    "Caller",
    "Case",
    "CloseReason",
    "Codec",
    "ConnectFailed",
    "ConnectionClosed",
    "ConnectionLost",
    "ConsistentHash",
    "Context",
    "DecodeError",
    "DuologueError",
    "EncodeError",
    "ErrorKind",
    "ErrorReported",
    "EventsMissed",
    "Executed",
    "FailureKind",
    "Feed",
    "FeedPolicy",
    "FrameTooLarge",
    "HandshakeTimeout",
    "LeastOutstanding",
    "Limits",
    "Message",
    "MessageClass",
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
    "PubSub",
    "RegistrationError",
    "RelayMap",
    "RelayRequest",
    "RelayTargetLost",
    "Remote",
    "RemoteError",
    "RequestError",
    "RequestFailed",
    "RoundRobin",
    "SendTimeout",
    "Server",
    "ServerSettings",
    "ServiceIdError",
    "ServiceMap",
    "ServiceMaps",
    "Services",
    "Shape",
    "Subscription",
    "Timeout",
    "UnknownScheme",
    "UnknownWireFormat",
    "WireFormat",
    "__version__",
    "answer_type",
    "case_class",
    "case_name",
    "case_shape",
    "connect",
    "find_wireformat",
    "hookimpl",
    "installed_plugins",
    "is_byte_list",
    "register_adapter",
    "register_wireformat",
    "serve",
    "service_id",
    "shape_of",
    "unregister_adapter",
    "unregister_wireformat",
]
