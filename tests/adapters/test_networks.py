"""Networks that fail in ways that only the system of an end can notice: nobody answers, or one who knows of nothing."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

import anyio
import pytest
from tests.adapters.certificates import Certificates
from tests.adapters.common import Add, Echo, Hold, Tools, closed_event, tools, turn, until
from tests.adapters.networks import Network
from tests.adapters.networks import can_forget as can_forget
from tests.adapters.networks import network as network
from tests.adapters.proxies import Proxy, proxy_for
from tests.adapters.transports import Transport, transport_of

from duologue import CloseReason, ConnectionLost, Executed, Message, Peer

HEARTBEAT = 1
"""The least for TCP, whose clock has whole seconds here."""


async def lost_call(peer: Peer, message: Message[object], executed: Executed) -> None:
    with pytest.raises(ConnectionLost) as caught:
        await peer.remote(tools).call(message)
    assert caught.value.executed is executed


@pytest.mark.fault(50)
async def test_a_silent_partition(network: Network, tmp_path: Path, certificates: Certificates) -> None:
    """The network drops everything: idle or in the middle of a call, at both ends, callers fail and the connection ends after
    twice the heartbeat, by the system's keepalive and user timeout, over TCP and TLS, and by pings over WebSocket."""
    there = Tools()
    arrived: list[Peer] = []
    clients: list[Peer] = []
    async with AsyncExitStack() as stack:
        for scheme in ("tcp", "tls", "ws"):
            transport = transport_of(scheme, tmp_path, certificates, network.other.address)
            with network.other.here():
                server = await stack.enter_async_context(
                    transport.serve(there.services, on_peer=arrived.append, heartbeat=HEARTBEAT)
                )
            for _ in range(2):
                with network.one.here():
                    clients.append(
                        await stack.enter_async_context(transport.connect(server.url, heartbeat=HEARTBEAT))
                    )
        async with anyio.create_task_group() as group:
            for peer in clients:
                group.start_soon(lost_call, peer, Hold(name="held"), Executed.UNKNOWN)
            await until(lambda: there.running == len(clients))
            network.part()
            start = anyio.current_time()
            for peer in clients[::2]:  # bytes are on their way, and not acknowledged; the others are idle
                group.start_soon(lost_call, peer, Echo(data=b"lost"), Executed.UNKNOWN)
        for peer in [*clients, *arrived]:
            event = await closed_event(peer)
            assert event.reason is CloseReason.TRANSPORT_FAILED, event
        assert 1 <= anyio.current_time() - start < 20, "it would be 40 s with the usual heartbeat"
        await there.until(lambda: not there.running)
        assert len(there.cancelled) == len(clients) == len(arrived)


@pytest.mark.fault(51)
@pytest.mark.usefixtures("can_forget")
async def test_the_other_machine_was_restarted(tmp_path: Path, certificates: Certificates) -> None:
    """The other end's system knows nothing of the connection any more: the next write is answered by a reset, and callers get
    `ConnectionLost`; who is silent learns it by the heartbeat; and a new connection is served."""
    there = Tools()
    arrived: list[Peer] = []
    clients: list[Peer] = []
    async with anyio.create_task_group() as group, AsyncExitStack() as stack:
        proxies: list[tuple[Transport, Proxy]] = []
        for scheme in ("tcp", "tls", "ws", "zmq+tcp"):
            transport = transport_of(scheme, tmp_path, certificates)
            server = await stack.enter_async_context(
                transport.serve(there.services, on_peer=arrived.append, heartbeat=HEARTBEAT)
            )
            proxy = await stack.enter_async_context(proxy_for(server.url))
            proxies.append((transport, proxy))
            clients.append(await stack.enter_async_context(transport.connect(proxy.url)))
        for peer in clients:
            group.start_soon(lost_call, peer, Hold(name="held"), Executed.UNKNOWN)
        await until(lambda: there.running == len(clients))
        for _, proxy in proxies:
            proxy.connections[0].forget()
        await turn(10)
        assert all(peer.is_open for peer in [*clients, *arrived]), "nobody was told"
        start = anyio.current_time()
        for peer in clients:  # which has the usual heartbeat, of 20 s
            group.start_soon(lost_call, peer, Add(a=1, b=1), Executed.UNKNOWN)
        for peer in [*clients, *arrived]:
            event = await closed_event(peer)
            assert event.reason is CloseReason.TRANSPORT_FAILED, event
        assert anyio.current_time() - start < 15
        await there.until(lambda: not there.running)
        for transport, proxy in proxies:
            async with transport.connect(proxy.url) as again:
                assert await again.remote(tools).call(Add(a=1, b=1)) == 2
