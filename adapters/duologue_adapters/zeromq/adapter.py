"""ZeroMQ: `zmq+tcp://host:port`, `zmq+ipc:///path`, `zmq+inproc://name`. Each identity of a ROUTER is one connection."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio

from duologue import (
    Adapter,
    HandshakeTimeout,
    Peer,
    PeerSettings,
    Server,
    ServerSettings,
    hookimpl,
)
from duologue_adapters.engines import engine_here
from duologue_adapters.ports import Listener
from duologue_adapters.server import running_peer, running_server
from duologue_adapters.urls import check_options, heartbeat_of
from duologue_adapters.zeromq.addresses import endpoint_of
from duologue_adapters.zeromq.dealer import open_link
from duologue_adapters.zeromq.keys import (
    CLIENT_OPTIONS,
    SERVER_OPTIONS,
    check_safety,
    client_keys,
    server_keys,
)
from duologue_adapters.zeromq.router import listen


class ZeroMQAdapter(Adapter):
    """ROUTER and DEALER, with a small protocol of its own for what they don't tell: docs/adapters.md."""

    schemes = ("zmq+tcp", "zmq+ipc", "zmq+inproc")

    @asynccontextmanager
    async def connect(self, url: str, settings: PeerSettings) -> AsyncGenerator[Peer, None]:
        options = settings.options
        check_options("zmq", options, CLIENT_OPTIONS)
        keys, heartbeat = client_keys(options), heartbeat_of(options)
        seconds = settings.limits.handshake_timeout
        async with engine_here() as engine:
            try:
                with anyio.fail_after(seconds):
                    endpoint = await endpoint_of(url, serves=False)
                    check_safety(url, endpoint, keys, options)
                    link = await open_link(engine, url, endpoint, keys, heartbeat)
            except TimeoutError as exc:
                error = HandshakeTimeout(url, seconds)
                error.add_note(
                    "Nobody answers there; or the server has keys and does not know this end's, or this end not the server's."
                )
                raise error from exc
            async with running_peer(engine, link, settings) as peer:
                yield peer

    @asynccontextmanager
    async def serve(self, url: str, settings: ServerSettings) -> AsyncGenerator[Server, None]:
        options = settings.options
        check_options("zmq", options, SERVER_OPTIONS)
        keys, heartbeat = server_keys(options), heartbeat_of(options)
        async with engine_here() as engine:

            async def bound() -> Listener:
                endpoint = await endpoint_of(url, serves=True)
                check_safety(url, endpoint, keys, options)
                return await listen(engine, url, endpoint, keys, heartbeat)

            async with running_server(engine, bound, settings) as server:
                yield server


@hookimpl
def duologue_adapter() -> Adapter:
    """The plug-in."""
    return ZeroMQAdapter()
