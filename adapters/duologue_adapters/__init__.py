"""The driver and its adapters: everything that touches an event loop or a socket.

`Credentials`, `pair` and `peer_over` are for users; all other names are for those who write adapters (docs/adapters.md).
"""

from duologue_adapters.credentials import Credentials
from duologue_adapters.engines import CallbacksEngine, SocketListener, engine_here
from duologue_adapters.layered import LayeredLink
from duologue_adapters.link_adapter import LinkAdapter
from duologue_adapters.memory import pair
from duologue_adapters.opening import LayeredListener, LayerFactory, connecting, open_layers
from duologue_adapters.over_stream import peer_over
from duologue_adapters.ports import (
    HEARTBEAT,
    CutShort,
    Engine,
    Job,
    Layer,
    LayerError,
    Link,
    Listener,
    Receiver,
    Timer,
    Waiter,
)
from duologue_adapters.server import running_peer, running_server
from duologue_adapters.urls import check_options, heartbeat_of, host_and_port, host_port_and_path, not_served

__all__ = [
    "HEARTBEAT",
    "CallbacksEngine",
    "Credentials",
    "CutShort",
    "Engine",
    "Job",
    "Layer",
    "LayerError",
    "LayerFactory",
    "LayeredLink",
    "LayeredListener",
    "Link",
    "LinkAdapter",
    "Listener",
    "Receiver",
    "SocketListener",
    "Timer",
    "Waiter",
    "check_options",
    "connecting",
    "engine_here",
    "heartbeat_of",
    "host_and_port",
    "host_port_and_path",
    "not_served",
    "open_layers",
    "pair",
    "peer_over",
    "running_peer",
    "running_server",
]
