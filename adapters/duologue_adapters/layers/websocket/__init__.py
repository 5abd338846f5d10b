"""WebSocket as a layer, without I/O: a client's end, and a server's."""

from duologue_adapters.layers.websocket.client import WebSocketClient
from duologue_adapters.layers.websocket.server import WebSocketServer

__all__ = ["WebSocketClient", "WebSocketServer"]
