"""Ends from which nothing comes any more, though the system says that they are there: a proxy takes everything, and drops it."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

import anyio
import pytest
from tests.adapters.certificates import Certificates
from tests.adapters.common import Add, Hold, Tools, closed_event, first_peer, tools, until
from tests.adapters.proxies import Through, proxy_for
from tests.adapters.transports import PINGING, Transport, over, transport_of
from tests.adapters.transports import transport as transport

from duologue import CallTimeout, CloseReason, ConnectionLost, Executed, Peer

HEARTBEAT = 0.5
"""So long, as two ends and two proxies share one process here, and a busy machine may forget about it for a while."""


async def lost_call(peer: Peer) -> None:
    with pytest.raises(ConnectionLost) as caught:
        await peer.remote(tools).call(Hold(name="held"))
    assert caught.value.executed is Executed.UNKNOWN


@pytest.mark.fault(50)
async def test_nothing_comes_through_any_more(tmp_path: Path, certificates: Certificates) -> None:
    """WebSocket and ZeroMQ ask by themselves: callers fail and both ends close after twice the heartbeat; not before silence."""
    there = Tools()
    peers: list[Peer] = []
    async with anyio.create_task_group() as group, AsyncExitStack() as stack:
        links: list[Through] = []
        for scheme in PINGING:
            transport = transport_of(scheme, tmp_path, certificates)
            server = await stack.enter_async_context(transport.serve(there.services, heartbeat=HEARTBEAT))
            proxy = await stack.enter_async_context(proxy_for(server.url))
            client = await stack.enter_async_context(transport.connect(proxy.url, heartbeat=HEARTBEAT))
            peers += client, await first_peer(server)
            links += proxy.connections
            group.start_soon(lost_call, client)
        await there.until(lambda: there.running == len(PINGING))
        seen = {way: way.received for link in links for way in (link.to_client, link.to_server)}
        await until(lambda: all(way.received > before for way, before in seen.items()))
        assert all(peer.is_open for peer in peers), "idle, and yet not silent"
        for link in links:
            link.drop()
        start = anyio.current_time()
        for peer in peers:
            event = await closed_event(peer)
            assert event.reason is CloseReason.TRANSPORT_FAILED
            assert "ping" in event.detail or "not answered" in event.detail
        assert anyio.current_time() - start < 15, "it would be 40 s with the usual heartbeat"
        await there.until(lambda: len(there.cancelled) == len(PINGING))


@pytest.mark.fault(50)
@over()
async def test_a_callers_own_timeout(transport: Transport) -> None:
    """Whatever the transport notices, or does not: a caller waits no longer than it has said."""
    async with (
        transport.serve(Tools().services) as server,
        proxy_for(server.url) as proxy,
        transport.connect(proxy.url) as client,
    ):
        assert await client.remote(tools).call(Add(a=1, b=1)) == 2
        proxy.connections[0].drop()
        with anyio.fail_after(5):
            with pytest.raises(CallTimeout) as caught:
                await client.remote(tools).call(Add(a=1, b=1), timeout=0.05)
        assert caught.value.executed is Executed.UNKNOWN
        assert client.is_open
        proxy.connections[0].cut()
        await client.wait_closed()
