"""WebSocket: `ws://host:port/path`. `wss://` is in a module of its own."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from duologue import Adapter, ConnectFailed, PeerSettings, ServerSettings, hookimpl
from duologue_adapters.layers.websocket import WebSocketClient, WebSocketServer
from duologue_adapters.link_adapter import LinkAdapter
from duologue_adapters.opening import LayeredListener, LayerFactory, open_layers
from duologue_adapters.origins import allowed_origins, own_origin
from duologue_adapters.ports import HEARTBEAT, Engine, Link, Listener
from duologue_adapters.static_files import StaticFolders
from duologue_adapters.urls import heartbeat_of, host_port_and_path


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
        given = settings.options.get("origins")
        origins = allowed_origins(given)
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
                own_origin=own_origin(given, "https" if self.is_secure else "http", host),
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


def _static_files(url: str, given: Any) -> StaticFolders | None:
    if given is None:
        return None
    folders: dict[Any, Any] = dict(given) if hasattr(given, "items") else {"/": given}
    if not all(isinstance(path, str) and isinstance(folder, str | Path) for path, folder in folders.items()):
        raise TypeError(f"static={given!r}: give the path of a folder, or of several under paths of URLs")
    try:
        return StaticFolders({path: Path(folder) for path, folder in folders.items()})
    except OSError as exc:
        raise ConnectFailed(url, f"static={given!r} can't be served: {exc}") from exc


@hookimpl
def duologue_adapter() -> Adapter:
    """The plug-in."""
    return WebSocketAdapter()
