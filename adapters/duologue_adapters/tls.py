"""TLS over TCP: `tls://host:port`. Verified and checked against the host's name, unless an `ssl_context` says otherwise."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any

from duologue import Adapter, ConnectFailed, PeerSettings, ServerSettings, hookimpl
from duologue_adapters.layers.tls import TlsLayer
from duologue_adapters.link_adapter import LinkAdapter
from duologue_adapters.opening import LayeredListener, LayerFactory, open_layers
from duologue_adapters.ports import Engine, Link, Listener
from duologue_adapters.tls_contexts import CLIENT_OPTIONS, SERVER_OPTIONS, client_context, server_context
from duologue_adapters.urls import heartbeat_of, host_and_port


class TlsAdapter(LinkAdapter):
    """TLS 1.2 or later on TCP.

    Options of `connect`: `ca`, `certificate`, `key`, `password`, `server_hostname`, or a ready `ssl_context`.
    Options of `serve`: `certificate`, `key`, `password`, `client_ca`, or a ready `ssl_context`.
    Both: `heartbeat`, for the TCP below.
    """

    schemes = ("tls",)
    connect_options = CLIENT_OPTIONS
    serve_options = SERVER_OPTIONS

    async def open_link(self, engine: Engine, url: str, settings: PeerSettings) -> Link:
        host, port = host_and_port(url, serves=False)
        layer = client_layer(url, host, settings.options)
        link = await engine.connect_tcp(host, port, heartbeat_of(settings.options))
        return await open_layers(engine, link, layer)

    async def listen(self, engine: Engine, url: str, settings: ServerSettings) -> Listener:
        host, port = host_and_port(url)
        layer = server_layer(url, settings.options)
        below = await engine.listen_tcp(host, port, heartbeat_of(settings.options))
        return LayeredListener(engine, below, below.url.replace("tcp", "tls", 1), layer)


def client_layer(url: str, host: str, options: Mapping[str, Any]) -> LayerFactory:
    """Makes the layer of one connection to a server, by the options of `connect`. Raises `ConnectFailed`, `TypeError`."""
    context = client_context(url, options)
    name = options.get("server_hostname") or host
    if not isinstance(name, str):
        raise TypeError(f"server_hostname={name!r}: give the name of a host, as a text")
    try:
        layer = TlsLayer(context, server_hostname=name)
    except ValueError as exc:  # ssl.SSLError is no ValueError, but UnicodeError is
        raise ConnectFailed(
            url, f"server_hostname={name!r} is no name of a host: {exc}", is_permanent=True
        ) from exc
    except ssl.SSLError as exc:
        raise ConnectFailed(url, f"the ssl_context is not for clients: {exc}", is_permanent=True) from exc
    return lambda: layer


def server_layer(url: str, options: Mapping[str, Any]) -> LayerFactory:
    """Makes the layer of each connection of a server, by the options of `serve`. Raises `ConnectFailed`, `TypeError`."""
    context = server_context(url, options)
    try:
        TlsLayer(context, server_side=True)
    except ssl.SSLError as exc:
        raise ConnectFailed(url, f"the ssl_context is not for servers: {exc}", is_permanent=True) from exc
    return lambda: TlsLayer(context, server_side=True)


@hookimpl
def duologue_adapter() -> Adapter:
    """The plug-in."""
    return TlsAdapter()
