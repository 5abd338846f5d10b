"""ZeroMQ: `zmq+tcp://host:port`, `zmq+ipc:///path`, `zmq+inproc://name`. Each identity of a ROUTER is one connection."""

from __future__ import annotations

from duologue import Adapter, PeerSettings, ServerSettings, hookimpl
from duologue_adapters.link_adapter import LinkAdapter
from duologue_adapters.ports import Engine, Link, Listener
from duologue_adapters.urls import heartbeat_of
from duologue_adapters.zeromq import dealer, router
from duologue_adapters.zeromq.addresses import endpoint_of
from duologue_adapters.zeromq.keys import (
    CLIENT_OPTIONS,
    SERVER_OPTIONS,
    check_safety,
    client_keys,
    server_keys,
)

_NOBODY = (
    "nobody answers there, or one end has keys and the other none, or the server not the key that is expected"
)


class ZeroMQAdapter(LinkAdapter):
    """ROUTER and DEALER, with a small protocol of its own for what they don't tell: docs/adapters.md."""

    schemes = ("zmq+tcp", "zmq+ipc", "zmq+inproc")

    connect_options = CLIENT_OPTIONS
    serve_options = SERVER_OPTIONS

    async def open_link(self, engine: Engine, url: str, settings: PeerSettings) -> Link:
        options = settings.options
        keys, heartbeat = client_keys(options), heartbeat_of(options)
        endpoint = await endpoint_of(url, serves=False)
        check_safety(url, endpoint, keys, options)
        return await dealer.open_link(engine, url, endpoint, keys, heartbeat)

    async def listen(self, engine: Engine, url: str, settings: ServerSettings) -> Listener:
        options = settings.options
        keys, heartbeat = server_keys(options), heartbeat_of(options)
        endpoint = await endpoint_of(url, serves=True)
        check_safety(url, endpoint, keys, options)
        return await router.listen(engine, url, endpoint, keys, heartbeat)

    def reason(self, exc: Exception) -> str:
        return _NOBODY if isinstance(exc, TimeoutError) else super().reason(exc)


@hookimpl
def duologue_adapter() -> Adapter:
    """The plug-in."""
    return ZeroMQAdapter()
