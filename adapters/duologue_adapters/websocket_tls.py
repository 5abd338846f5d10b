"""WebSocket within TLS: `wss://host:port/path`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from duologue import Adapter, hookimpl
from duologue_adapters import tls
from duologue_adapters.opening import LayerFactory
from duologue_adapters.tls_contexts import CLIENT_OPTIONS, SERVER_OPTIONS
from duologue_adapters.websocket import WebSocketAdapter


class SecureWebSocketAdapter(WebSocketAdapter):
    """The same as `ws`, on TLS 1.2 or later. The options are those of `ws`, and of `tls`."""

    schemes = ("wss",)
    connect_options = CLIENT_OPTIONS
    serve_options = frozenset((*WebSocketAdapter.serve_options, *SERVER_OPTIONS))
    usual_port = 443
    is_secure = True

    def client_layers(self, url: str, host: str, options: Mapping[str, Any]) -> list[LayerFactory]:
        return [tls.client_layer(url, host, options)]

    def server_layers(self, url: str, options: Mapping[str, Any]) -> list[LayerFactory]:
        own = {name: value for name, value in options.items() if name in SERVER_OPTIONS}
        return [tls.server_layer(url, own)]


@hookimpl
def duologue_adapter() -> Adapter:
    """The plug-in."""
    return SecureWebSocketAdapter()
