"""Services of live peers that were given several maps at once: one of them goes and comes back, for one peer alone."""

from __future__ import annotations

import anyio
import pytest
from tests.adapters.common import Add, Hold, State, Tools, first_peer, tools, until
from tests.adapters.relays import TCP

from duologue import (
    ErrorKind,
    Message,
    Namespace,
    Peer,
    PubSub,
    RegistrationError,
    RemoteError,
    ServiceMap,
    ServiceMaps,
    Services,
    connect,
    serve,
)


class Tick(Message[None]): ...


class Ping(Message[str]): ...


ticker, pinging = Namespace("ticker", [Tick]), Namespace("pinging", [Ping])


def pong() -> Services:
    services = Services(pinging)

    async def answer(msg: Ping) -> str:
        return "pong"

    services.handler(Ping, answer)
    return services


async def is_unknown(peer: Peer) -> bool:
    """Whether the other end knows nothing of tools."""
    try:
        return await peer.remote(tools).call(Add(a=1, b=2)) != 3
    except RemoteError as error:
        assert error.kind is ErrorKind.UNKNOWN_SERVICE
        return True


async def test_one_of_several_maps_of_a_server_is_removed_from_one_peer(url: str) -> None:
    """It is gone from the next request on, calls that run are answered, and the other peers have it still."""
    there, other = Tools(), pong()
    async with serve(url, [there.services, other], wireformat="json") as server:
        async with (
            connect(server.url, wireformat="json") as one,
            connect(server.url, wireformat="json") as two,
        ):
            await until(lambda: len(list(server.peers)) == 2)
            peers = list(server.peers)
            for _ in range(2):
                async with anyio.create_task_group() as group:
                    group.start_soon(one.remote(tools).call, Hold(name="x"))
                    group.start_soon(two.remote(tools).call, Hold(name="x"))
                    await there.until(lambda: there.running == 2)
                    peers[0].remove_services(there.services)
                    unknown = [await is_unknown(each) for each in (one, two)]
                    assert sorted(unknown) == [False, True]
                    assert await one.remote(pinging).call(Ping()) == "pong"
                    with pytest.raises(RegistrationError, match="is not served to <Peer"):
                        peers[0].remove_services(there.services)
                    there.release.set()
                there.release = anyio.Event()
                peers[0].add_services(there.services)
                assert [await is_unknown(each) for each in (one, two)] == [False, False]
            assert there.ended == ["x"] * 4
            await until(lambda: all(State(each).is_idle for each in (one, two, *peers)))


async def test_one_of_several_maps_of_a_client_is_removed() -> None:
    """The same at the end that has connected, and for the last of them."""
    there, other = Tools(), pong()
    async with serve(TCP, wireformat="json") as server:
        async with connect(server.url, [there.services, other], wireformat="json") as peer:
            asking = await first_peer(server)
            assert not await is_unknown(asking)
            peer.remove_services(there.services)
            assert await is_unknown(asking)
            assert await asking.remote(pinging).call(Ping()) == "pong"
            peer.remove_services(other)
            with pytest.raises(RemoteError):
                await asking.remote(pinging).call(Ping())


async def test_what_is_removed_from_one_peer_follows_the_maps_it_is_of() -> None:
    """A map that is added to those of the server later is served to that peer too, and to one that has added others."""
    there, ticks, other = Tools(), PubSub(ticker), pong()
    maps = ServiceMaps(there.services)
    async with serve(TCP, maps, wireformat="json") as server:
        async with connect(server.url, wireformat="json") as client:
            peer = await first_peer(server)
            own: ServiceMap = ticks
            peer.add_services(own)
            peer.remove_services(there.services)
            assert await is_unknown(client)
            maps.add(other)
            assert await client.remote(pinging).call(Ping()) == "pong"
            peer.remove_services(own)
            maps.remove(there.services)
            peer.add_services(there.services)
            assert not await is_unknown(client)


async def test_what_is_not_served_is_not_removed() -> None:
    """And trying it changes nothing."""
    there = Tools()
    async with serve(TCP, [there.services], wireformat="json") as server:
        async with connect(server.url, wireformat="json") as client:
            peer = await first_peer(server)
            for wrong in (pong(), ServiceMaps(there.services), Tools().services):
                with pytest.raises(RegistrationError, match="is not served to <Peer"):
                    peer.remove_services(wrong)
            with pytest.raises(RegistrationError, match="is not served to <Peer"):
                client.remove_services(there.services)
            assert not await is_unknown(client)
