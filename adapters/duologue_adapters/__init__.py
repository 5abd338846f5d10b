"""The driver and its adapters: everything that touches an event loop or a socket."""

from duologue_adapters.credentials import Credentials
from duologue_adapters.layered import LayeredLink
from duologue_adapters.memory import pair
from duologue_adapters.opening import LayeredListener, LayerFactory, connecting, open_layers
from duologue_adapters.over_stream import peer_over
from duologue_adapters.ports import CutShort, Engine, Layer, LayerError, Link, Listener, Receiver

__all__ = [
    "Credentials",
    "CutShort",
    "Engine",
    "Layer",
    "LayerError",
    "LayerFactory",
    "LayeredLink",
    "LayeredListener",
    "Link",
    "Listener",
    "Receiver",
    "connecting",
    "open_layers",
    "pair",
    "peer_over",
]
