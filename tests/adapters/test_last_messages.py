"""Sent, and hung up: what came before a clean end is handled, whatever then becomes of the connection."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from tests.adapters.certificates import Certificates
from tests.adapters.common import Hold, Say, State, Tools, first_peer, frame, raw_client, tools, until
from tests.adapters.stdio_child import Do, deeds
from tests.adapters.test_exec import child, status_of

from duologue import CloseReason, Limits, Peer, Services, connect, serve

__all__ = ["child"]

HOLD = frame(tools.sid(Hold), 0, b'{"name":"held"}')


async def test_a_message_and_the_end_in_one_go(url: str) -> None:
    """Nothing has begun when the end is seen, and all is handled nevertheless. Twenty times, since it depends on timing."""
    there = Tools()
    async with serve(url, there.services, wireformat="json") as server:
        for number in range(20):
            async with connect(server.url, wireformat="json") as peer:
                await peer.remote(tools).send(Say(text=str(number)))
        await there.until(lambda: len(there.said) == 20)
    assert there.said == [str(number) for number in range(20)]


async def test_the_one_who_hangs_up_does_not_wait(url: str) -> None:
    """Its block is left as soon as the other end has seen the end, however long the handler takes there."""
    there, arrived = Tools(), list[Peer]()
    limits = Limits(discard_timeout=1000.0)
    async with serve(url, there.services, wireformat="json", on_peer=arrived.append) as server:
        async with connect(server.url, wireformat="json", limits=limits) as peer:
            await peer.remote(tools).send(Hold(name="held"))
        await there.until(lambda: there.running == 1)
        assert not arrived[0].is_open
        assert "grace" in repr(arrived[0])
        there.release.set()
        assert await arrived[0].wait_closed() is CloseReason.CLOSED_BY_REMOTE
        assert State(arrived[0]).is_idle
    assert there.ended == ["held"]


@pytest.mark.parametrize("scheme", ["tls", "ws", "zmq+tcp"])
async def test_a_goodbye_of_the_transport(scheme: str, certificates: Certificates) -> None:
    """Where the transport has a goodbye of its own, that is the clean end; and all is closed long before the handler is done."""
    there, arrived = Tools(), list[Peer]()
    serving: dict[str, Any] = {"tls": dict(certificates.server), "ws": {"origins": []}}.get(scheme, {})
    connecting: dict[str, Any] = {"ca": certificates.ca_file} if scheme == "tls" else {}
    async with serve(
        f"{scheme}://127.0.0.1:0", there.services, wireformat="json", on_peer=arrived.append, **serving
    ) as server:
        async with connect(server.url, wireformat="json", **connecting) as peer:
            await peer.remote(tools).send(Hold(name="held"))
        await there.until(lambda: there.running == 1)
        assert not arrived[0].is_open
        there.release.set()
        assert await arrived[0].wait_closed() is CloseReason.CLOSED_BY_REMOTE
    assert there.ended == ["held"]


@pytest.mark.parametrize("rudely", [False, True], ids=["closed", "reset"])
async def test_the_socket_goes_while_it_runs(rudely: bool) -> None:
    """The remote ends its half, and then closes its socket, or the connection is reset: the handler needs none."""
    there = Tools()
    async with serve("tcp://127.0.0.1:0", there.services, wireformat="json") as server:
        async with raw_client(server.url) as raw:
            # A call, too: its refusal is written to a socket that is not there any more.
            await raw.send(HOLD + frame(tools.sid(Hold), 7, b'{"name":"call"}'))
            await there.until(lambda: there.running == 2)
            peer = await first_peer(server)
            raw.end_writing()
            await until(lambda: not peer.is_open)
            if rudely:
                raw.reset()
        await there.until(lambda: there.cancelled == ["call"])
        there.release.set()
        assert await peer.wait_closed() is CloseReason.CLOSED_BY_REMOTE
    assert there.ended == ["held"]


async def test_an_end_between_frames_that_is_reset_at_once() -> None:
    """The end of the stream was seen, so the reset behind it changes nothing; without it the handler is cancelled."""
    there = Tools()
    async with serve("tcp://127.0.0.1:0", there.services, wireformat="json") as server:
        async with raw_client(server.url) as raw:
            await raw.send(HOLD)
            await there.until(lambda: there.running == 1)
            peer = await first_peer(server)
            raw.reset()
        assert await peer.wait_closed() is CloseReason.TRANSPORT_FAILED
    assert there.cancelled == ["held"]


async def test_more_than_may_run_at_once(url: str) -> None:
    """Reading pauses over the budget, and what is behind the pause, with the end behind it, is handled in its time."""
    there, arrived = Tools(), list[Peer]()
    there.release.set()
    limits = Limits(sends=2)
    async with serve(url, there.services, wireformat="json", limits=limits, on_peer=arrived.append) as server:
        async with connect(server.url, wireformat="json") as peer:
            for number in range(200):
                await peer.remote(tools).send(Hold(name=str(number)))
        await there.until(lambda: len(there.ended) == 200)
        await arrived[0].wait_closed()
    assert sorted(map(int, there.ended)) == list(range(200))
    assert there.most <= 2


async def test_their_time_is_over(url: str) -> None:
    """`Limits.eof_grace_sends` has the last word, and with 0 the end of the stream is the end."""
    there, arrived = Tools(), list[Peer]()
    for seconds in (0.05, 0.0):
        limits = Limits(eof_grace_sends=seconds)
        async with serve(
            url, there.services, wireformat="json", limits=limits, on_peer=arrived.append
        ) as server:
            async with connect(server.url, wireformat="json") as peer:
                await peer.remote(tools).send(Hold(name="held"))
                await there.until(lambda: there.running == 1)
            assert await arrived[-1].wait_closed() is CloseReason.CLOSED_BY_REMOTE
            await there.until(lambda: there.running == 0)
    assert there.cancelled == ["held", "held"]


async def test_the_block_of_the_one_who_is_left(url: str) -> None:
    """A client whose server has hung up leaves its block: that ends what runs here, as it does when it is open."""
    here, arrived = Tools(), list[Peer]()
    async with serve(url, Services(), wireformat="json", on_peer=arrived.append) as server:
        async with connect(server.url, here.services, wireformat="json") as peer:
            await until(lambda: len(arrived) == 1)
            await arrived[0].remote(tools).send(Hold(name="held"))
            await arrived[0].close()
            await here.until(lambda: here.running == 1)
            await until(lambda: not peer.is_open)
    assert here.cancelled == ["held"]


async def test_a_child_whose_input_has_ended(child: str) -> None:
    """A parent tells its child something, and leaves: the child does it, and the parent waits for its end as ever."""
    async with connect(child, Services(), wireformat="msgpack") as peer:
        await peer.remote(deeds).send(Do(what="exit in a while", number=7))
    assert status_of(peer) == 7


async def test_a_parent_whose_child_has_ended(child: str) -> None:
    """The other way round: a child tells its parent something, and ends."""
    here = Tools()
    async with connect(child, here.services, wireformat="msgpack") as peer:
        await peer.remote(deeds).send(Do(what="say and leave"))
        await here.until(lambda: here.running == 1)
        await until(lambda: not peer.is_open and status_of(peer) is not None)
        with anyio.fail_after(5):
            here.release.set()
            assert await peer.wait_closed() is CloseReason.CLOSED_BY_REMOTE
    assert here.ended == ["from a child that has left"]
