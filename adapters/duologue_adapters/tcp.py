"""TCP: `tcp://host:port`."""

from __future__ import annotations

from duologue import Adapter, PeerSettings, ServerSettings, hookimpl
from duologue_adapters.link_adapter import LinkAdapter
from duologue_adapters.ports import Engine, Link, Listener
from duologue_adapters.urls import heartbeat_of, host_and_port


class TcpAdapter(LinkAdapter):
    """Plain TCP, without delay for small frames. Both ends take `heartbeat`: docs/adapters.md."""

    schemes = ("tcp",)
    connect_options = serve_options = ("heartbeat",)

    async def open_link(self, engine: Engine, url: str, settings: PeerSettings) -> Link:
        return await engine.connect_tcp(*host_and_port(url, serves=False), heartbeat_of(settings.options))

    async def listen(self, engine: Engine, url: str, settings: ServerSettings) -> Listener:
        return await engine.listen_tcp(*host_and_port(url), heartbeat_of(settings.options))


@hookimpl
def duologue_adapter() -> Adapter:
    """The plug-in."""
    return TcpAdapter()
