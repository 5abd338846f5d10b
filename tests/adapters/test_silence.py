"""Ends from which nothing comes any more, though the system says that they are there: a proxy takes everything, and drops it."""

from __future__ import annotations

import anyio
import pytest
from tests.adapters.common import Add, Hold, Tools, closed_event, first_peer, tools, until
from tests.adapters.proxies import proxy_for
from tests.adapters.transports import PINGING, Transport, over
from tests.adapters.transports import transport as transport

from duologue import CallTimeout, CloseReason, ConnectionLost, Executed, Peer

HEARTBEAT = 0.2


@pytest.mark.fault(50)
@over(*PINGING)
async def test_nothing_comes_through_any_more(transport: Transport) -> None:
    """WebSocket and ZeroMQ ask by themselves: callers fail and both ends close after twice the heartbeat; not before silence."""
    there = Tools()

    async def hold(peer: Peer) -> None:
        with pytest.raises(ConnectionLost) as caught:
            await peer.remote(tools).call(Hold(name="held"))
        assert caught.value.executed is Executed.UNKNOWN

    async with (
        transport.serve(there.services, heartbeat=HEARTBEAT) as server,
        proxy_for(server.url) as proxy,
        transport.connect(proxy.url, heartbeat=HEARTBEAT) as client,
        anyio.create_task_group() as group,
    ):
        peers = client, await first_peer(server)
        group.start_soon(hold, client)
        await there.until(lambda: there.running == 1)
        through = proxy.connections[0]
        for way in (through.to_client, through.to_server) * 2:
            seen = way.forwarded
            await until(
                lambda way=way, seen=seen: way.forwarded > seen
            )  # somebody is there, and has nothing to say
        assert all(peer.is_open for peer in peers), "idle, and yet not silent"
        through.drop()
        start = anyio.current_time()
        for peer in peers:
            event = await closed_event(peer)
            assert event.reason is CloseReason.TRANSPORT_FAILED
            assert "ping" in event.detail or "not answered" in event.detail
        assert anyio.current_time() - start < 10, "it would be 40 s with the usual heartbeat"
        await there.until(lambda: there.cancelled == ["held"])


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
