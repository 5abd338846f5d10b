"""The driver and its adapters: everything that touches an event loop or a socket."""

from duologue_adapters.credentials import Credentials
from duologue_adapters.layered import LayeredLink
from duologue_adapters.memory import pair
from duologue_adapters.over_stream import peer_over
from duologue_adapters.ports import Engine, Layer, LayerError, Link, Listener, Receiver

__all__ = [
    "Credentials",
    "Engine",
    "Layer",
    "LayerError",
    "LayeredLink",
    "Link",
    "Listener",
    "Receiver",
    "pair",
    "peer_over",
]
