"""TLS over TCP: `tls://host:port`. Verified and checked against the host's name, unless an `ssl_context` says otherwise."""

from __future__ import annotations

import ssl
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from duologue import Adapter, ConnectFailed, Peer, PeerSettings, Server, ServerSettings, hookimpl
from duologue_adapters.engines import engine_here
from duologue_adapters.layers.tls import TlsLayer
from duologue_adapters.opening import LayeredListener, LayerFactory, connecting, open_layers
from duologue_adapters.ports import Listener
from duologue_adapters.server import running_peer, running_server
from duologue_adapters.tls_contexts import CLIENT_OPTIONS, SERVER_OPTIONS, client_context, server_context
from duologue_adapters.urls import check_options, heartbeat_of, host_and_port


class TlsAdapter(Adapter):
    """TLS 1.2 or later on TCP.

    Options of `connect`: `ca`, `certificate`, `key`, `password`, `server_hostname`, or a ready `ssl_context`.
    Options of `serve`: `certificate`, `key`, `password`, `client_ca`, or a ready `ssl_context`.
    Both: `heartbeat`, for the TCP below.
    """

    schemes = ("tls",)

    @asynccontextmanager
    async def connect(self, url: str, settings: PeerSettings) -> AsyncGenerator[Peer, None]:
        check_options("tls", settings.options, CLIENT_OPTIONS)
        host, port = host_and_port(url)
        heartbeat = heartbeat_of(settings.options)
        layer = client_layer(url, host, settings.options)
        async with engine_here() as engine:
            with connecting(url, settings.limits.handshake_timeout):
                link = await engine.connect_tcp(host, port, heartbeat)
                link = await open_layers(engine, link, layer)
            async with running_peer(engine, link, settings) as peer:
                yield peer

    @asynccontextmanager
    async def serve(self, url: str, settings: ServerSettings) -> AsyncGenerator[Server, None]:
        check_options("tls", settings.options, SERVER_OPTIONS)
        host, port = host_and_port(url)
        heartbeat = heartbeat_of(settings.options)
        layer = server_layer(url, settings.options)
        async with engine_here() as engine:

            async def listen() -> Listener:
                try:
                    below = await engine.listen_tcp(host, port, heartbeat)
                except OSError as exc:
                    raise ConnectFailed(url, f"can't listen there: {exc}") from exc
                where = below.url.replace("tcp", "tls", 1)
                return LayeredListener(engine, below, where, layer)

            async with running_server(engine, listen, settings) as server:
                yield server


def client_layer(url: str, host: str, options: Mapping[str, Any]) -> LayerFactory:
    """Makes the layer of one connection to a server, by the options of `connect`. Raises `ConnectFailed`, `TypeError`."""
    context = client_context(url, options)
    name = options.get("server_hostname") or host
    try:
        layer = TlsLayer(context, server_hostname=name)
    except ValueError as exc:  # ssl.SSLError is no ValueError, but UnicodeError is
        raise ConnectFailed(url, f"server_hostname={name!r} is no name of a host: {exc}") from exc
    except ssl.SSLError as exc:
        raise ConnectFailed(url, f"the ssl_context is not for clients: {exc}") from exc
    return lambda: layer


def server_layer(url: str, options: Mapping[str, Any]) -> LayerFactory:
    """Makes the layer of each connection of a server, by the options of `serve`. Raises `ConnectFailed`, `TypeError`."""
    context = server_context(url, options)
    try:
        TlsLayer(context, server_side=True)
    except ssl.SSLError as exc:
        raise ConnectFailed(url, f"the ssl_context is not for servers: {exc}") from exc
    return lambda: TlsLayer(context, server_side=True)


@hookimpl
def duologue_adapter() -> Adapter:
    """The plug-in."""
    return TlsAdapter()
