"""WebSocket: `ws://host:port/path`. `wss://` is in a module of its own."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, cast

from duologue import Adapter, ConnectFailed, PeerSettings, ServerSettings, hookimpl
from duologue_adapters.layers.websocket import WebSocketClient, WebSocketServer
from duologue_adapters.link_adapter import LinkAdapter
from duologue_adapters.opening import LayeredListener, LayerFactory, open_layers
from duologue_adapters.ports import HEARTBEAT, Engine, Link, Listener
from duologue_adapters.static_files import StaticFiles
from duologue_adapters.urls import heartbeat_of, host_port_and_path

_ORIGIN = re.compile(r"null|([a-z][a-z0-9+.-]*)://[^/?#@\s]+")
_USUAL_PORTS = {"http": ":80", "https": ":443"}


class WebSocketAdapter(LinkAdapter):
    """Binary WebSocket messages, as a stream of bytes. A server must be told by `origins` whose pages may connect.

    Options of `serve`: `origins`, `static`. Both ends take `heartbeat`.
    """

    schemes: tuple[str, ...] = ("ws",)
    connect_options: Collection[str] = ("heartbeat",)
    serve_options: Collection[str] = ("origins", "static", "heartbeat")
    usual_port = 80
    """Where the URL names none."""
    is_secure = False

    def client_layers(self, url: str, host: str, options: Mapping[str, Any]) -> list[LayerFactory]:
        """What lies below WebSocket in one connection to a server."""
        return []

    def server_layers(self, url: str, options: Mapping[str, Any]) -> list[LayerFactory]:
        """What lies below WebSocket in each connection of a server."""
        return []

    async def open_link(self, engine: Engine, url: str, settings: PeerSettings) -> Link:
        host, port, path = host_port_and_path(url, self.usual_port, serves=False)
        heartbeat = heartbeat_of(settings.options)
        layers = self.client_layers(url, host, settings.options)

        def layer() -> WebSocketClient:
            return WebSocketClient(
                host, port, path or "/", secure=self.is_secure, limits=settings.limits, heartbeat=heartbeat
            )

        link = await engine.connect_tcp(host, port, _below(heartbeat))
        return await open_layers(engine, link, *layers, layer)

    async def listen(self, engine: Engine, url: str, settings: ServerSettings) -> Listener:
        origins = _origins(settings.options)
        host, port, path = host_port_and_path(url, self.usual_port)
        if "?" in path:
            raise ConnectFailed(
                url, "a server has a path and no query: write scheme://host:port/path", is_permanent=True
            )
        path = "" if path == "/" else path
        heartbeat = heartbeat_of(settings.options)
        layers = self.server_layers(url, settings.options)
        files = _static_files(url, settings.options.get("static"))

        def layer() -> WebSocketServer:
            return WebSocketServer(
                origins=origins,
                path=path,
                find_page=None if files is None else files.find,
                limits=settings.limits,
                heartbeat=heartbeat,
            )

        below = await engine.listen_tcp(host, port, _below(heartbeat))
        where = f"{self.schemes[0]}{below.url.removeprefix('tcp')}{path}"
        return LayeredListener(engine, below, where, *layers, layer)


def _below(heartbeat: float) -> float:
    """The heartbeat of the TCP connection. It can't tell an end that is gone from one that does not read, as our pings do: so never a
    short one, and none that ends what the pings still wait for.
    """
    return max(heartbeat, HEARTBEAT)


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
    given: Any = folder  # by callers without a type checker, anything
    if not isinstance(given, str | Path):
        raise TypeError(f"static={folder!r}: give the path of a folder")
    try:
        return StaticFiles(Path(folder))
    except OSError as exc:
        raise ConnectFailed(url, f"static={str(folder)!r} can't be served: {exc}") from exc


@hookimpl
def duologue_adapter() -> Adapter:
    """The plug-in."""
    return WebSocketAdapter()
