"""Very many connections that each hold a little, or all of which want to say a lot: the server's memory is bounded for all together."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import cast

import anyio
import pytest
from tests.adapters.common import (
    QUICK,
    Add,
    Echo,
    RawRemote,
    Tools,
    frame,
    raw_client,
    tools,
    turn,
    until,
)

from duologue import CloseReason, Limits, Peer, Server, connect, serve
from duologue.protocol import ByteBudget
from duologue_adapters.server import DriverServer

LIMITS = Limits(
    server_bytes=400_000, max_frame=20_000, frame_timeout=0.5, discard_timeout=QUICK.discard_timeout
)
PIECE = 2_000
"""So much is sent at once, and so not more than this is read at once."""


def received(server: Server) -> ByteBudget:
    return cast("DriverServer", server)._received


async def send_slowly(raw: RawRemote, data: bytes, healthy: Peer) -> None:
    """Piece by piece, and after each piece the server has had the time to answer another one."""
    for start in range(0, len(data), PIECE):
        try:
            await raw.send(data[start : start + PIECE])
        except OSError:
            return  # it was cut off
        assert await healthy.remote(tools).call(Add(a=1, b=1), timeout=30) == 2


@pytest.mark.fault(47)
async def test_parts_of_frames_by_many() -> None:
    """Sixty connections send all but the end of a large frame: what is held stays under the limit; one who has small
    messages is answered meanwhile; those who never end are cut in their time, and then nothing is held."""
    ends: list[CloseReason] = []

    async def watch(peer: Peer) -> None:
        ends.append(await peer.wait_closed())

    there = Tools()
    async with (
        serve(
            "tcp://127.0.0.1:0", there.services, wireformat="msgpack", limits=LIMITS, on_peer=watch
        ) as server,
        connect(server.url, wireformat="msgpack") as healthy,
        AsyncExitStack() as stack,
        anyio.create_task_group() as group,
    ):
        budget = received(server)
        raws = [await stack.enter_async_context(raw_client(server.url)) for _ in range(60)]
        await until(lambda: len(tuple(server.peers)) == 61)
        for raw in raws:
            group.start_soon(send_slowly, raw, frame(tools.sid(Echo), 1, bytes(19_976))[:-1], healthy)
        most = answered = 0
        while len(ends) < 60:
            assert await healthy.remote(tools).call(Add(a=answered, b=1), timeout=30) == answered + 1
            answered += 1
            most = max(most, budget.held)
        assert set(ends) == {CloseReason.FRAME_TIMEOUT}
        assert 200_000 < most <= 400_000 + 60 * PIECE
        assert answered > 5
        assert budget.held == 0


@pytest.mark.fault(47)
async def test_large_frames_of_many(url: str) -> None:
    """Forty clients with nothing but large frames, over the mark all the time: each frame has its turn, and all are answered."""
    there = Tools()
    limits = Limits(server_bytes=100_000, max_frame=20_000)
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(
            serve(url, there.services, wireformat="msgpack", limits=limits)
        )
        peers = [
            await stack.enter_async_context(connect(server.url, wireformat="msgpack")) for _ in range(40)
        ]

        async def ask(peer: Peer) -> None:
            for number in range(5):
                data = bytes([number]) * 19_900
                assert await peer.remote(tools).call(Echo(data=data), timeout=30) == data

        async with anyio.create_task_group() as group:
            for peer in peers:
                group.start_soon(ask, peer)
        await turn(3)
        assert received(server).held == 0
