"""What the tests of the Rust crate `thespis_remote` show about relays and pub/sub, shown here."""

from __future__ import annotations

import itertools
from collections import Counter
from contextlib import AsyncExitStack
from typing import Any, cast

import anyio
import pytest
from tests.adapters.common import State, first_peer, until
from tests.adapters.relays import Told
from tests.adapters.remotes import TCP, Add, Show, Sum, Wait, relayed, remotes, waiting

from duologue import (
    CallTimeout,
    ErrorKind,
    FailureKind,
    Message,
    Namespace,
    Peer,
    PubSub,
    RelayMap,
    RelayRequest,
    RemoteError,
    connect,
    serve,
)
from duologue_adapters.peer import DriverPeer

# -- relays -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [1, 5], ids=["once", "many deep"])
async def test_relay(depth: int) -> None:
    """One-way messages and calls through one relay, and through five."""
    there = Sum(5)
    async with relayed(there.services, depth) as (client, _):
        await client.remote(remotes).send(Add(5))
        await until(lambda: there.sum == 10)
        assert await client.remote(remotes).call(Show()) == 10
        assert [await client.remote(remotes).call(Add(n)) for n in range(5)] == [None] * 5
        assert await client.remote(remotes).call(Show()) == 20


async def test_relay_multi() -> None:
    """Many calls and one-way messages at once through five relays."""
    there = Sum(0)
    async with relayed(there.services, 5) as (client, _), anyio.create_task_group() as group:
        for number in range(100):
            if number % 2:
                group.start_soon(client.remote(remotes).send, Add(1))
            else:
                group.start_soon(client.remote(remotes).call, Add(1))
        await until(lambda: there.sum == 100)


async def test_relay_unknown_service() -> None:
    """The relay does not relay it: `UnknownService`, from the relay itself, and it stays."""
    there = Sum()

    class Other(Message[None]):
        pass

    async with relayed(there.services) as (client, _):
        with pytest.raises(RemoteError) as caught:
            await client.remote(Namespace("other", [Other])).call(Other())
        assert caught.value.kind is ErrorKind.UNKNOWN_SERVICE
        assert await client.remote(remotes).call(Show()) == 5


@pytest.mark.parametrize("depth", [1, 5])
async def test_relay_unknown_service_of_the_provider(depth: int) -> None:
    """The relay relays it and the provider does not serve it: the same, through one or many."""
    there = Sum()
    async with relayed(there.services, depth) as (client, _):
        with pytest.raises(RemoteError) as caught:
            await client.remote(waiting).call(Wait(1))
        assert caught.value.kind is ErrorKind.UNKNOWN_SERVICE
        assert await client.remote(remotes).call(Show()) == 5


async def test_relay_disappeared() -> None:
    """The provider vanishes: the relay's observers are told, which the crate announces and never does; callers fail at once."""
    there = Sum()
    async with AsyncExitStack() as stack:
        provider = await stack.enter_async_context(serve(TCP, there.maps, wireformat="cbor"))
        target = await stack.enter_async_context(connect(provider.url, wireformat="cbor", name="provider"))
        relay = await stack.enter_async_context(
            serve(TCP, RelayMap(target, remotes, waiting), wireformat="cbor")
        )
        client = await stack.enter_async_context(connect(relay.url, wireformat="cbor"))
        told = Told(await first_peer(relay))
        async with anyio.create_task_group() as group:

            async def call() -> None:
                with pytest.raises(RemoteError) as caught:
                    await client.remote(waiting).call(Wait(1))
                assert caught.value.kind is ErrorKind.INTERNAL_SERVER_ERROR

            group.start_soon(call)
            await until(lambda: there.running == 1)
            [peer] = provider.peers
            cast("DriverPeer", peer).abort()
        assert (await told.lost()).target == "provider"
        assert [each.kind for each in await told.failures(1)] == [FailureKind.RELAY_GONE]


async def test_relay_sending_after_it_disappeared() -> None:
    """Calls fail with `InternalServerError`, one-way messages with an event at the relay. The client's connection stays."""
    there = Sum()
    async with AsyncExitStack() as stack:
        provider = await stack.enter_async_context(serve(TCP, there.services, wireformat="cbor"))
        target = await stack.enter_async_context(connect(provider.url, wireformat="cbor"))
        relay = await stack.enter_async_context(serve(TCP, RelayMap(target, remotes), wireformat="cbor"))
        client = await stack.enter_async_context(connect(relay.url, wireformat="cbor"))
        assert await client.remote(remotes).call(Show()) == 5
        told = Told(await first_peer(relay))
        await target.close()
        for _ in range(3):
            with pytest.raises(RemoteError) as caught:
                await client.remote(remotes).call(Show())
            assert caught.value.kind is ErrorKind.INTERNAL_SERVER_ERROR
            await client.remote(remotes).send(Add(1))
        failures = await told.failures(6)
        assert [(each.kind, each.cid > 0) for each in failures] == [
            (FailureKind.RELAY_GONE, True),
            (FailureKind.RELAY_GONE, False),
        ] * 3
        assert client.is_open
    assert there.sum == 5


@pytest.mark.parametrize("depth", [1, 3, 5])
async def test_relay_errors_through_several(depth: int) -> None:
    """Each kind of error arrives as it was, with the caller's own id; in the crate its body has the id of another connection."""
    there = Sum()
    there.services.remove(Show)
    async with relayed(there.services, depth) as (client, hops):
        with pytest.raises(RemoteError) as caught:
            await client.call_raw(remotes.sid(Add), b"\x63abc")
        assert caught.value.kind is ErrorKind.DESERIALIZE
        with pytest.raises(RemoteError) as caught:
            await client.remote(remotes).call(Show())
        assert caught.value.kind is ErrorKind.INTERNAL_SERVER_ERROR
        await client.remote(remotes).call(Add(1))
        await until(lambda: all(State(peer).is_idle for peer in (client, *hops)))


async def test_relay_timeout() -> None:
    """The provider does not answer in time: the caller gets `CallTimeout` from the relay, and not from its own clock."""
    there = Sum()
    async with relayed(there.maps, timeout=0.5) as (client, _):
        with pytest.raises(CallTimeout):
            await client.remote(waiting).call(Wait(1), timeout=None)
        there.release.set()
        assert await client.remote(waiting).call(Wait(2)) == 2


async def test_load_balancing_by_function() -> None:
    """A function picks the provider for each message, as a closure does in the crate: here in turn, and by what is asked."""
    async with AsyncExitStack() as stack:
        sums = [Sum(0) for _ in range(3)]
        targets: list[Peer] = []
        for each in sums:
            server = await stack.enter_async_context(serve(TCP, each.services, wireformat="cbor"))
            targets.append(await stack.enter_async_context(connect(server.url, wireformat="cbor")))
        turns = itertools.cycle(targets)

        def pick(request: RelayRequest) -> Peer:
            return next(turns) if request.sid == remotes.sid(Add) else targets[0]

        relay = await stack.enter_async_context(serve(TCP, RelayMap(pick, remotes), wireformat="cbor"))
        client = await stack.enter_async_context(connect(relay.url, wireformat="cbor"))
        for _ in range(9):
            await client.remote(remotes).call(Add(1))
        assert [each.sum for each in sums] == [3, 3, 3]
        assert Counter([await client.remote(remotes).call(Show()) for _ in range(3)]) == {3: 3}


# -- pub/sub ------------------------------------------------------------------------------------------------


async def test_pubsub_basic() -> None:
    """What one peer sends all subscribers get; a call is refused, `PubSubNoCall`."""
    topic = PubSub(remotes)
    sums = [Sum(0) for _ in range(3)]

    def greet(peer: Peer) -> None:
        topic.subscribe(peer)

    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(serve(TCP, topic, wireformat="cbor", on_peer=greet))
        peers = [
            await stack.enter_async_context(connect(server.url, each.services, wireformat="cbor"))
            for each in sums
        ]
        await until(lambda: len(topic.subscriptions) == 3)
        await peers[0].remote(remotes).send(Add(5))
        await until(lambda: [each.sum for each in sums] == [5, 5, 5])
        with pytest.raises(RemoteError) as caught:
            await peers[0].remote(remotes).call(Show())
        assert caught.value.kind is ErrorKind.PUBSUB_NO_CALL


async def test_pubsub_subscribing_at_run_time() -> None:
    """Subscribers come and go while messages are published, as often as they like; the crate's second request panics."""
    topic = PubSub(remotes)
    there = Sum(0)
    heard: list[Any] = []
    topic.listen(heard.append)
    async with serve(TCP, topic, wireformat="cbor") as server:
        async with (
            connect(server.url, there.services, wireformat="cbor"),
            connect(server.url, wireformat="cbor") as source,
        ):
            await until(lambda: len(tuple(server.peers)) == 2)
            subscriber, _ = server.peers
            for told in range(1, 4):
                topic.subscribe(subscriber)
                await source.remote(remotes).send(Add(1))
                await until(lambda told=told: there.sum == told)  # type: ignore[misc]
                topic.unsubscribe(subscriber)
                before = len(heard)
                await source.remote(remotes).send(Add(100))
                await until(lambda before=before: len(heard) > before)  # type: ignore[misc]
    assert there.sum == 3
    assert [message.value for message in heard] == [1, 100] * 3


async def test_pubsub_dead_subscribers_are_removed() -> None:
    """One that is gone is no subscriber any more; in the crate each message would log an error for it, for ever."""
    topic = PubSub(remotes)

    def greet(peer: Peer) -> None:
        topic.subscribe(peer)

    async with serve(TCP, topic, wireformat="cbor", on_peer=greet) as server:
        async with connect(server.url, wireformat="cbor"):
            await until(lambda: len(topic.subscriptions) == 1)
        await until(lambda: len(topic.subscriptions) == 0)
        topic.publish(Add(1))
