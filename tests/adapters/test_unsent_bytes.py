"""Connections that end while their link has not taken all that it was given."""

from __future__ import annotations

import weakref
from contextlib import suppress
from typing import cast

import anyio
import pytest
from tests.adapters.common import Echo, RawRemote, collect, first_peer, raw_client, tools, turn, until
from tests.adapters.relays import TCP

from duologue import ConnectionClosed, ConnectionLost, Peer, Server, serve
from duologue_adapters.peer import DriverPeer


async def push(peer: Peer) -> None:
    """Send until the connection has ended."""
    with suppress(ConnectionClosed, ConnectionLost):
        while True:
            await peer.remote(tools).send(Echo(data=bytes(500_000)))


async def ended(server: Server, raw: RawRemote, how: str) -> weakref.ref[Peer]:
    """End the connection while bytes are with its link. Gives what tells whether anything keeps the peer."""
    peer = cast("DriverPeer", await first_peer(server))
    async with anyio.create_task_group() as group:
        group.start_soon(push, peer)
        # The remote reads nothing: the system's buffers are full, and who sends waits.
        await until(lambda: peer._is_writing and peer.connection.outgoing.waiting > 0)
        if how == "cut here":
            peer.abort()
        else:
            raw.reset()
        await peer.wait_closed()
    return weakref.ref(peer)


@pytest.mark.fault(41)
@pytest.mark.parametrize("how", ["cut here", "reset by the remote"])
async def test_nothing_keeps_it(how: str) -> None:
    """It ended while bytes were with its link: nobody asks again and again how much is left, which would keep the peer for ever."""
    async with serve(TCP, wireformat="msgpack") as server, raw_client(server.url) as raw:
        reference = await ended(server, raw, how)
        for _ in range(100):  # its tasks end in some passes of the loop
            collect()
            if reference() is None:
                break
            await turn()
        assert reference() is None
