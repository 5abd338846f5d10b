"""TCP: `tcp://host:port`."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from duologue import Adapter, ConnectFailed, Peer, PeerSettings, Server, ServerSettings, hookimpl
from duologue_adapters.engines import engine_here
from duologue_adapters.opening import connecting
from duologue_adapters.ports import Listener
from duologue_adapters.server import running_peer, running_server
from duologue_adapters.urls import check_options, heartbeat_of, host_and_port


class TcpAdapter(Adapter):
    """Plain TCP, without delay for small frames. Both ends take `heartbeat`: docs/adapters.md."""

    schemes = ("tcp",)

    @asynccontextmanager
    async def connect(self, url: str, settings: PeerSettings) -> AsyncGenerator[Peer, None]:
        check_options("tcp", settings.options, ("heartbeat",))
        host, port = host_and_port(url)
        heartbeat = heartbeat_of(settings.options)
        async with engine_here() as engine:
            with connecting(url, settings.limits.handshake_timeout):
                link = await engine.connect_tcp(host, port, heartbeat)
            async with running_peer(engine, link, settings) as peer:
                yield peer

    @asynccontextmanager
    async def serve(self, url: str, settings: ServerSettings) -> AsyncGenerator[Server, None]:
        check_options("tcp", settings.options, ("heartbeat",))
        host, port = host_and_port(url)
        heartbeat = heartbeat_of(settings.options)
        async with engine_here() as engine:

            async def listen() -> Listener:
                try:
                    return await engine.listen_tcp(host, port, heartbeat)
                except OSError as exc:
                    raise ConnectFailed(url, f"can't listen there: {exc}") from exc

            async with running_server(engine, listen, settings) as server:
                yield server


@hookimpl
def duologue_adapter() -> Adapter:
    """The plug-in."""
    return TcpAdapter()
