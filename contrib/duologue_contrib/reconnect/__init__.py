"""A client that connects again when its connection has ended, tells what happens, and gives up where that is useless."""

from __future__ import annotations

from duologue_contrib.reconnect.backoff import Backoff
from duologue_contrib.reconnect.client import ReconnectingClient, Retry
from duologue_contrib.reconnect.errors import ConnectionEnded, NotConnected, ReconnectFailed, is_permanent
from duologue_contrib.reconnect.events import (
    AttemptFailed,
    ClientEvent,
    Connected,
    Connecting,
    Disconnected,
    GaveUp,
)
from duologue_contrib.reconnect.keeper import Clock
from duologue_contrib.reconnect.opening import reconnecting

__all__ = [
    "AttemptFailed",
    "Backoff",
    "ClientEvent",
    "Clock",
    "Connected",
    "Connecting",
    "ConnectionEnded",
    "Disconnected",
    "GaveUp",
    "NotConnected",
    "ReconnectFailed",
    "ReconnectingClient",
    "Retry",
    "is_permanent",
    "reconnecting",
]
