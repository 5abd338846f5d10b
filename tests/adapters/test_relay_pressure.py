"""Relays under pressure: slow providers, floods, and clients that don't read. Memory stays bounded, and others notice nothing."""

from __future__ import annotations

from contextlib import AsyncExitStack

import anyio
import pytest
from tests.adapters.common import (
    Add,
    Echo,
    Hold,
    RawRemote,
    Say,
    State,
    Tools,
    frame,
    raw_client,
    raw_server,
    tools,
    until,
)
from tests.adapters.relays import TCP, core_of, relaying

from duologue import (
    CallTimeout,
    CloseReason,
    Limits,
    Message,
    Namespace,
    Peer,
    RelayMap,
    RemoteError,
    Services,
    connect,
    serve,
)

KIB = 1024


class Quick(Message[int]):
    number: int


others = Namespace("others", [Quick])


def quick_services() -> Services:
    services = Services(others)

    @services.handler
    async def answer(msg: Quick) -> int:
        return msg.number

    return services


def bytes_kept(peer: Peer) -> int:
    """What a connection of the relay's holds in memory: received, parked, held, and not yet sent."""
    connection = core_of(peer)
    parking = connection.incoming.parking
    held = sum(len(request.payload) for request in connection.incoming.requests.running)
    return connection.buffered + parking.bytes + held + connection.outbox.level


@pytest.mark.fault(37)
async def test_a_provider_that_does_not_read() -> None:
    """A client floods a provider that does not read by way of a relay: what is kept is bounded, the client waits, and calls of another
    client to another provider are answered as ever."""
    limits = Limits(parked_bytes=2**20, outbox_high=256 * KIB, close_timeout=0.1)
    async with AsyncExitStack() as stack:
        url, accept = await stack.enter_async_context(raw_server(receive_buffer=4 * KIB))
        slow = await stack.enter_async_context(connect(url, wireformat="msgpack", limits=limits))
        await accept()
        provider = await stack.enter_async_context(serve(TCP, quick_services(), wireformat="msgpack"))
        fast = await stack.enter_async_context(connect(provider.url, wireformat="msgpack"))
        maps = [RelayMap(slow, tools), RelayMap(fast, others)]
        relay = await stack.enter_async_context(serve(TCP, maps, wireformat="msgpack", limits=limits))
        greedy = await stack.enter_async_context(connect(relay.url, wireformat="msgpack", limits=limits))
        await until(lambda: len(tuple(relay.peers)) == 1)
        [asking] = relay.peers
        polite = await stack.enter_async_context(connect(relay.url, wireformat="msgpack"))
        highest = 0
        async with anyio.create_task_group() as group:
            for _ in range(200):
                group.start_soon(greedy.remote(tools).call, Echo(data=bytes(100 * KIB)))
            await until(lambda: not core_of(asking).wants_read)
            for number in range(500):
                assert await polite.remote(others).call(Quick(number=number)) == number
                highest = max(highest, bytes_kept(asking) + bytes_kept(slow))
            assert State(greedy).queued > 0, "the client waits, and not the relay's memory"
            group.cancel_scope.cancel()
        frame_size = 101 * KIB
        assert highest <= limits.parked_bytes + limits.outbox_high + 4 * frame_size
        assert highest > limits.parked_bytes


@pytest.mark.fault(37)
async def test_a_provider_that_answers_slowly() -> None:
    """All of a flood of small calls is answered in the end, though the provider takes few at once, and the relay few more."""
    there = Tools()
    small = Limits(calls=2, parked=5, owed=10)
    async with relaying(there=there, provider_limits=small, limits=small) as stage:
        answers: list[str] = []

        async def call(number: int) -> None:
            answers.append(await stage.client.remote(tools).call(Hold(name=str(number)), timeout=None))

        async with anyio.create_task_group() as group:
            for number in range(300):
                group.start_soon(call, number)
            await there.until(lambda: there.running == 2)
            await until(lambda: not core_of(stage.asking).wants_read)
            assert State(stage.target).pending == 10
            assert core_of(stage.asking).incoming.parking.held == 5
            there.release.set()
        assert sorted(map(int, answers)) == list(range(300))
        await stage.until_idle()


@pytest.mark.fault(40, 78)
async def test_a_client_that_never_reads() -> None:
    """A client calls and calls by way of a relay, and reads no answer: calls stop being passed on, and it is cut off; other clients notice nothing."""
    limits = Limits(answers_stalled=0.5, outbox_high=64 * KIB, outbox_low=1000, owed=50, parked=20)
    size = 20 * KIB
    there = Tools()
    async with relaying(there=there, limits=limits) as stage, raw_client(stage.relay.url) as raw:
        await until(lambda: len(tuple(stage.relay.peers)) == 2)
        [greedy] = [peer for peer in stage.relay.peers if peer is not stage.asking]
        payload = stage.client.wireformat.codec(Echo).encode(Echo(data=bytes(size)))
        highest = 0

        async def flood(raw: RawRemote) -> None:
            number = 0
            try:
                while True:
                    number += 1
                    await raw.send(frame(tools.sid(Echo), number, payload))
            except OSError:
                pass  # cut off

        async with anyio.create_task_group() as group:
            group.start_soon(flood, raw)
            calls = 0
            while greedy.is_open:
                highest = max(highest, bytes_kept(greedy))
                assert await stage.client.remote(tools).call(Add(a=calls, b=1)) == calls + 1
                calls += 1
        assert await greedy.wait_closed() is CloseReason.WRITE_STALLED
        assert calls > 20
        # The answers to what was passed on, or waited for room, when the gate closed; and what is parked behind it.
        assert highest <= limits.outbox_high + (limits.owed + 2 * limits.parked) * (size + KIB) + 256 * KIB
        await until(lambda: State(stage.target).pending == 0)
        assert await stage.client.remote(tools).call(Add(a=1, b=1)) == 2


@pytest.mark.fault(38)
async def test_a_flood_of_one_way_messages() -> None:
    """Faster than the provider handles them: each connection on the way pauses in its turn, and nothing is lost."""
    there = Tools()
    small = Limits(sends=3, outbox_high=2000, outbox_low=500)
    async with relaying(there=there, provider_limits=small, limits=small, client_limits=small) as stage:
        remote = stage.client.remote(tools)
        sent = 0

        async def flood() -> None:
            nonlocal sent
            for number in range(2000):
                await remote.send(Say(text=f"{number:0>1000}"), timeout=None)
                sent += 1

        gate = anyio.Event()
        original = there.say

        async def slowly(msg: Say) -> None:
            await gate.wait()
            await original(msg)

        there.services.remove(Say)
        there.services.handler(Say, slowly)
        async with anyio.create_task_group() as group:
            group.start_soon(flood)
            await until(lambda: not core_of(stage.asking).wants_read or sent == 2000)
            gate.set()
        await there.until(lambda: len(there.said) == 2000)
        assert sorted(map(int, there.said)) == list(range(2000))
        await stage.until_idle()


@pytest.mark.fault(77)
async def test_a_ring_of_relays() -> None:
    """Each relays to the next, round and round: a call stops where no more may be owed, ends by time-out, and leaves nothing."""
    limits = Limits(owed=20, parked=20, waiting=20, given_up=0.1)
    async with AsyncExitStack() as stack:
        relays = []
        targets: list[Peer] = []
        for number in range(3):
            services = RelayMap(lambda _, number=number: targets[number], tools, timeout=0.3)  # type: ignore[misc]
            relays.append(
                await stack.enter_async_context(serve(TCP, services, wireformat="json", limits=limits))
            )
        for number in range(3):
            url = relays[(number + 1) % 3].url
            targets.append(await stack.enter_async_context(connect(url, wireformat="json", limits=limits)))
        client = await stack.enter_async_context(connect(relays[0].url, wireformat="json"))
        peers = [*targets, *(peer for relay in relays for peer in relay.peers)]
        most = 0
        async with anyio.create_task_group() as group:

            async def call() -> None:
                with pytest.raises((RemoteError, CallTimeout)):
                    await client.remote(tools).call(Add(a=1, b=1), timeout=None)
                group.cancel_scope.cancel()

            group.start_soon(call)
            while True:
                most = max(most, *(State(peer).pending for peer in targets))
                await anyio.sleep(0.01)
        assert 1 < most <= limits.owed
        await until(lambda: all(State(peer).is_idle for peer in peers))
