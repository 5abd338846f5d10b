"""Links that break, over every transport: cut in the middle of a message, or reset. A proxy does it, and neither end is asked."""

from __future__ import annotations

import anyio
import pytest
from tests.adapters.common import Echo, Hold, Tools, closed_event, first_peer, tools, until
from tests.adapters.proxies import Through, proxy_for
from tests.adapters.transports import Transport, over
from tests.adapters.transports import transport as transport

from duologue import CloseReason, ConnectionLost, Executed, HandshakeTimeout, Limits, Message, Peer

BROKEN = {CloseReason.TRUNCATED, CloseReason.TRANSPORT_FAILED}


async def lost_call(peer: Peer, message: Message[object]) -> None:
    with pytest.raises(ConnectionLost) as caught:
        await peer.remote(tools).call(message)
    assert caught.value.executed is Executed.UNKNOWN


@pytest.mark.fault(7, 71)
@over()
@pytest.mark.parametrize("how", ["cut in a request", "cut in an answer", "reset", "cut between frames"])
async def test_a_link_that_breaks(transport: Transport, how: str) -> None:
    """The end of a stream that is in the middle of something is none that anyone wanted, and a reset neither: whoever waits
    gets `ConnectionLost` at once, handlers are cancelled. Between frames only TLS and WebSocket can tell, by their missing goodbye."""
    there = Tools()
    # A ROUTER is not told that a client is gone: that takes a heartbeat.
    options = {"heartbeat": 0.4} if transport.scheme.startswith("zmq") else {}
    async with (
        transport.serve(there.services, **options) as server,
        proxy_for(server.url) as proxy,
        transport.connect(proxy.url) as client,
        anyio.create_task_group() as group,
    ):
        peers = client, await first_peer(server)
        group.start_soon(lost_call, client, Hold(name="held"))
        await there.until(lambda: there.running == 1)
        through = proxy.connections[0]
        match how:
            case "cut in a request":
                through.to_server.cut_after(50_000)
                group.start_soon(lost_call, client, Echo(data=bytes(100_000)))
            case "cut in an answer":
                through.to_client.cut_after(50_000)
                group.start_soon(lost_call, client, Echo(data=bytes(100_000)))
            case "reset":
                through.reset()
            case _:
                through.cut()
        reasons = [(await closed_event(peer)).reason for peer in peers]
        await there.until(lambda: there.cancelled == ["held"])
    if how == "cut in a request":
        assert reasons[1] in BROKEN
    elif how == "cut in an answer":
        assert reasons[0] in BROKEN
    elif how == "cut between frames" and transport.scheme in ("tls", "ws"):
        assert reasons == [CloseReason.TRUNCATED] * 2
    elif transport.scheme not in ("tcp", "unix"):
        assert set(reasons) <= BROKEN


@pytest.mark.fault(52)
@over("tcp", "unix")
async def test_a_half_close_on_the_way(transport: Transport) -> None:
    """One direction ends, and the other goes on: that is the end of the remote's stream, and with `eof_grace` its answers arrive."""
    there = Tools()
    async with (
        transport.serve(there.services, limits=Limits(eof_grace=5.0)) as server,
        proxy_for(server.url) as proxy,
        transport.connect(proxy.url) as client,
        anyio.create_task_group() as group,
    ):
        peer = await first_peer(server)
        answers: list[str] = []

        async def call() -> None:
            answers.append(await client.remote(tools).call(Hold(name="half")))

        group.start_soon(call)
        await there.until(lambda: there.running == 1)
        proxy.connections[0].to_server.end()
        await until(lambda: not peer.is_open)
        there.release.set()
        assert await peer.wait_closed() is CloseReason.CLOSED_BY_REMOTE
        assert await client.wait_closed() is CloseReason.CLOSED_BY_REMOTE
    assert answers == ["half"]


@pytest.mark.fault(5)
@over()
async def test_one_byte_at_a_time(transport: Transport) -> None:
    """From the first byte of the handshake to the last of an answer, every byte comes alone, in both directions: it makes no difference."""

    def dribble(through: Through) -> None:
        through.to_server.dribble()
        through.to_client.dribble()

    async with transport.serve(Tools().services) as server, proxy_for(server.url) as proxy:
        proxy.greet = dribble
        async with transport.connect(proxy.url) as client:
            data = bytes(range(256))
            assert await client.remote(tools).call(Echo(data=data)) == data


@pytest.mark.fault(65)
@over("tls", "ws", "zmq+tcp")
@pytest.mark.parametrize("way", ["to_server", "to_client"])
async def test_a_handshake_that_gets_stuck(transport: Transport, way: str) -> None:
    """Half of a handshake does not arrive: `HandshakeTimeout` at the client; the server serves others meanwhile, and keeps nothing."""
    limits = Limits(handshake_timeout=0.3)
    async with (
        # With a longer time of its own, or it would be a matter of luck who of the two gives up first.
        transport.serve(Tools().services, limits=Limits(handshake_timeout=20.0)) as server,
        proxy_for(server.url) as proxy,
        anyio.create_task_group() as group,
    ):
        proxy.greet = lambda through: getattr(through, way).drop()
        tried = anyio.Event()

        async def connect() -> None:
            with pytest.raises(HandshakeTimeout):
                await transport.connect(proxy.url, limits=limits).__aenter__()
            tried.set()

        group.start_soon(connect)
        await until(lambda: bool(proxy.connections))
        async with transport.connect(server.url) as other:
            while not tried.is_set():
                assert await other.remote(tools).call(Echo(data=b"x")) == b"x"
            await until(
                lambda: len(tuple(server.peers)) == 1
            )  # a WebSocket that was open for the server has to end first
