"""WebSocket: `ws://host:port/path`, and `wss://`, which is WebSocket over TLS over TCP."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Collection, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

from duologue import Adapter, ConnectFailed, Peer, PeerSettings, Server, ServerSettings, hookimpl
from duologue_adapters import tls
from duologue_adapters.engines import engine_here
from duologue_adapters.layers.websocket import WebSocketClient, WebSocketServer
from duologue_adapters.opening import LayeredListener, connecting, open_layers
from duologue_adapters.ports import HEARTBEAT, Listener
from duologue_adapters.server import running_peer, running_server
from duologue_adapters.static_files import StaticFiles
from duologue_adapters.tls_contexts import CLIENT_OPTIONS, SERVER_OPTIONS
from duologue_adapters.urls import check_options, heartbeat_of, host_port_and_path

_PORTS = {"ws": 80, "wss": 443}
_SERVER_OPTIONS = ("origins", "static")

_ORIGIN = re.compile(r"null|([a-z][a-z0-9+.-]*)://[^/?#@\s]+")
_USUAL_PORTS = {"http": ":80", "https": ":443"}


class WebSocketAdapter(Adapter):
    """Binary WebSocket messages, as a stream of bytes. A server must be told by `origins` whose pages may connect.

    Options of `serve`: `origins`, `static`. Both ends take `heartbeat`. `wss` has those of `tls` in addition.
    """

    schemes = ("ws", "wss")

    @asynccontextmanager
    async def connect(self, url: str, settings: PeerSettings) -> AsyncGenerator[Peer, None]:
        scheme = _scheme(url)
        check_options(scheme, settings.options, CLIENT_OPTIONS if scheme == "wss" else ("heartbeat",))
        host, port, path = host_port_and_path(url, _PORTS[scheme])
        heartbeat = heartbeat_of(settings.options)

        def layer() -> WebSocketClient:
            return WebSocketClient(
                host, port, path or "/", secure=scheme == "wss", limits=settings.limits, heartbeat=heartbeat
            )

        layers = [tls.client_layer(url, host, settings.options)] if scheme == "wss" else []
        async with engine_here() as engine:
            with connecting(url, settings.limits.handshake_timeout):
                link = await open_layers(
                    engine, await engine.connect_tcp(host, port, _below(heartbeat)), *layers, layer
                )
            async with running_peer(engine, link, settings) as peer:
                yield peer

    @asynccontextmanager
    async def serve(self, url: str, settings: ServerSettings) -> AsyncGenerator[Server, None]:
        scheme = _scheme(url)
        known = (*_SERVER_OPTIONS, *(SERVER_OPTIONS if scheme == "wss" else ("heartbeat",)))
        check_options(scheme, settings.options, known)
        origins = _origins(settings.options)
        host, port, path = host_port_and_path(url, _PORTS[scheme])
        heartbeat = heartbeat_of(settings.options)
        if "?" in path:
            raise ConnectFailed(url, "a server has a path and no query: write scheme://host:port/path")
        path = "" if path == "/" else path
        layers = [tls.server_layer(url, _of_tls(settings.options))] if scheme == "wss" else []
        files = _static_files(url, settings.options.get("static"))

        def layer() -> WebSocketServer:
            return WebSocketServer(
                origins=origins,
                path=path,
                find_page=None if files is None else files.find,
                limits=settings.limits,
                heartbeat=heartbeat,
            )

        async with engine_here() as engine:

            async def listen() -> Listener:
                try:
                    listener = await engine.listen_tcp(host, port, _below(heartbeat))
                except OSError as exc:
                    raise ConnectFailed(url, f"can't listen there: {exc}") from exc
                return LayeredListener(
                    engine, listener, f"{scheme}{listener.url.removeprefix('tcp')}{path}", *layers, layer
                )

            async with running_server(engine, listen, settings) as server:
                yield server


def _below(heartbeat: float) -> float:
    """The heartbeat of the TCP connection. It can't tell an end that is gone from one that does not read, as our pings do: so never a
    short one, and none that ends what the pings still wait for.
    """
    return max(heartbeat, HEARTBEAT)


def _scheme(url: str) -> str:
    return url.partition(":")[0].lower()


def _of_tls(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name not in _SERVER_OPTIONS}


def _origins(options: Mapping[str, Any]) -> Collection[str] | None:
    """The origins that are allowed, as browsers write them; None for all. Raises `TypeError`, `ValueError`."""
    given = options.get("origins")
    if given == "any":
        return None
    if given is None or isinstance(given, str | bytes) or not isinstance(given, Collection):
        what = "is missing" if given is None else f"is {given!r}"
        raise TypeError(
            f"origins= {what}: whose pages may connect? Give a list such as ['https://example.org'], "
            "[] for no page at all (programs that are no browsers may connect in any case), "
            "or 'any' for every page that a user may open anywhere on the web"
        )
    return [_origin(each) for each in cast("Collection[object]", given)]


def _origin(given: object) -> str:
    origin = given.lower() if isinstance(given, str) else ""
    match = _ORIGIN.fullmatch(origin)
    if match is None:
        raise ValueError(
            f"the origin {given!r} can match no page: write scheme://host, or scheme://host:port, and nothing behind it"
        )
    # A browser leaves the usual port out.
    return origin.removesuffix(_USUAL_PORTS.get(match[1] or "", " "))


def _static_files(url: str, folder: str | Path | None) -> StaticFiles | None:
    if folder is None:
        return None
    try:
        return StaticFiles(Path(folder))
    except OSError as exc:
        raise ConnectFailed(url, f"static={str(folder)!r} can't be served: {exc}") from exc


@hookimpl
def duologue_adapter() -> Adapter:
    """The plug-in."""
    return WebSocketAdapter()
