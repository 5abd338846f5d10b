"""Pipes in memory: names, bounds, ends, and that the two ends share nothing that can be changed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
from tests.adapters.common import Add, Echo, Say, State, Tools, tools, turn, until

from duologue import (
    CloseReason,
    ConnectFailed,
    Limits,
    Message,
    Namespace,
    Peer,
    PeerSettings,
    Services,
    connect,
    serve,
)
from duologue.plugins import find_wireformat
from duologue_adapters import pair


@asynccontextmanager
async def joined(
    one: Services | None = None,
    other: Services | None = None,
    *,
    capacity: int = 65536,
    limits: Limits = Limits(),
    wireformat: str = "msgpack",
) -> AsyncIterator[tuple[Peer, Peer]]:
    """Two peers at the ends of a pipe."""
    settings = [
        PeerSettings(wireformat=find_wireformat(wireformat), services=services, limits=limits)
        for services in (one, other)
    ]
    async with pair(settings[0], settings[1], capacity=capacity) as peers:
        yield peers


async def test_a_pair(wireformat: str) -> None:
    """Two peers of one process without a name: both serve and call."""
    here, there = Tools(), Tools()
    async with joined(here.services, there.services, wireformat=wireformat) as (one, other):
        assert await one.remote(tools).call(Add(a=1, b=2)) == 3
        assert await other.remote(tools).call(Echo(data=b"back")) == b"back"
        await one.close()
        assert await other.wait_closed() is CloseReason.CLOSED_BY_REMOTE


class Share(Message[None]):
    numbers: list[int]
    names: dict[str, list[str]]
    data: bytearray


class Give(Message[list[int]]):
    pass


sharing = Namespace("sharing", [Share, Give])


@pytest.mark.fault(75)
async def test_nothing_is_shared(wireformat: str) -> None:
    """What arrives is a copy: changing what was sent, or what came back, changes nothing at the other end."""
    services = Services(sharing)
    seen: list[Share] = []
    kept = [1, 2, 3]

    @services.handler
    async def share(msg: Share) -> None:
        seen.append(msg)
        msg.numbers.append(99)
        msg.names["a"].append("changed there")
        msg.data[0] = 99

    @services.handler
    async def give(msg: Give) -> list[int]:
        return kept

    async with joined(None, services, wireformat=wireformat) as (one, _):
        sent = Share(numbers=[1], names={"a": ["x"]}, data=bytearray(b"abc"))
        await one.remote(sharing).call(sent)
        assert (sent.numbers, sent.names, sent.data) == ([1], {"a": ["x"]}, bytearray(b"abc"))
        sent.numbers.append(5)
        assert seen[0].numbers == [1, 99]
        given = await one.remote(sharing).call(Give())
        given.append(4)
        assert kept == [1, 2, 3]


@pytest.mark.fault(75)
async def test_raw_payloads_are_copied(wireformat: str) -> None:
    """A buffer that the caller uses again after a raw call is not what the handler sees."""
    there = Tools()
    async with joined(None, there.services, wireformat=wireformat) as (one, _):
        codec = one.wireformat.codec(Say)
        buffer = bytearray(codec.encode(Say(text="first")))
        await one.send_raw(tools.sid(Say), buffer)  # type: ignore[arg-type]
        buffer[:] = codec.encode(Say(text="other"))
        await there.until(lambda: bool(there.said))
        assert there.said == ["first"]


@pytest.mark.parametrize("capacity", [1, 24, 100, 4096])
async def test_a_pipe_of_any_size(capacity: int) -> None:
    """Frames far larger than the pipe go through it in pieces; what does not fit waits at the sender."""
    there = Tools()
    async with joined(there.services, there.services, capacity=capacity) as (one, other):
        for peer in (one, other):
            assert await peer.remote(tools).call(Echo(data=b"x" * 3000)) == b"x" * 3000
        await until(lambda: State(one).is_idle and State(other).is_idle)


async def test_names() -> None:
    """A name is served once; connecting to one that is not served says which ones are; a name is free after its server."""
    async with serve("mem://first", wireformat="json") as server:
        assert server.url == "mem://first"
        with pytest.raises(ConnectFailed, match="served already"):
            async with serve("mem://first", wireformat="json"):
                raise AssertionError
        with pytest.raises(ConnectFailed, match="first"):
            async with connect("mem://second", wireformat="json"):
                raise AssertionError
        async with connect("mem://first", wireformat="json") as peer:
            assert peer.info.address == "mem://first"
    with pytest.raises(ConnectFailed):
        async with connect("mem://first", wireformat="json"):
            raise AssertionError
    async with serve("mem://first", wireformat="json"):
        pass


@pytest.mark.parametrize("url", ["mem:", "mem:name", "mem://"])
async def test_urls_that_are_none(url: str) -> None:
    """Without a name there is nothing to serve, or to connect to."""
    with pytest.raises(ConnectFailed, match="mem://name"):
        async with connect(url, wireformat="json"):
            raise AssertionError
    with pytest.raises(ConnectFailed, match="mem://name"):
        async with serve(url, wireformat="json"):
            raise AssertionError


async def test_options_are_refused() -> None:
    """The adapter has no option, and says so before anything else."""
    with pytest.raises(TypeError, match="colour"):
        async with connect("mem://options", wireformat="json", colour="red"):
            raise AssertionError
    with pytest.raises(TypeError, match="nodelay"):
        async with serve("mem://options", wireformat="json", nodelay=True):
            raise AssertionError


async def test_a_link_that_nobody_accepts() -> None:
    """The server closes before it has taken the link: the client's connection ends, instead of waiting for ever."""
    for passes in range(6):
        async with anyio.create_task_group() as group, serve("mem://busy", wireformat="json") as server:
            reasons: list[CloseReason] = []

            async def client(reasons: list[CloseReason] = reasons) -> None:
                try:
                    async with connect("mem://busy", wireformat="json") as peer:
                        reasons.append(await peer.wait_closed())
                except ConnectFailed:
                    reasons.append(CloseReason.TRANSPORT_FAILED)

            group.start_soon(client)
            await turn(passes)
            await server.close()
            await until(lambda reasons=reasons: bool(reasons))  # type: ignore[misc]


async def test_each_end_can_be_cut() -> None:
    """One end aborts: the other learns that it is gone, which is no clean end."""
    async with joined() as (one, other):
        one.abort("cut")  # type: ignore[attr-defined]
        assert await one.wait_closed() is CloseReason.CLOSED_LOCALLY
        assert await other.wait_closed() is CloseReason.TRANSPORT_FAILED
