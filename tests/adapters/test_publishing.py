"""Pub/sub over real sockets: many subscribers, slow ones, dead ones, ones that come and go, in several wire formats."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import anyio
import pytest
from tests.adapters.common import (
    QUICK,
    State,
    closed_event,
    collect,
    first_peer,
    raw_client,
    turn,
    until,
)
from tests.adapters.relays import TCP, Told, core_of

from duologue import (
    CloseReason,
    Context,
    ErrorKind,
    FailureKind,
    FeedPolicy,
    Limits,
    Message,
    Namespace,
    Peer,
    PubSub,
    RelayMap,
    RemoteError,
    Server,
    Services,
    connect,
    serve,
)

SUBSCRIBERS = int(os.environ.get("DUOLOGUE_SUBSCRIBERS", "1000"))
"""At once, by real connections; on trio, and with the other policies, a fifth of them."""
CYCLES = int(os.environ.get("DUOLOGUE_SUBSCRIPTIONS", "10000"))
"""Of subscribing and vanishing."""


class Tick(Message[None]):
    number: int
    filling: bytes = b""


class Tock(Message[None]):
    number: int


ticker = Namespace("ticker", [Tick, Tock])


class Screen:
    """A subscriber's services, and what it got."""

    def __init__(self) -> None:
        self.got: list[int] = []
        self.tocks: list[int] = []
        self.services = Services(ticker)
        self.services.handler(Tick, self.show)
        self.services.handler(Tock, self.show_tock)

    async def show(self, tick: Tick) -> None:
        self.got.append(tick.number)

    async def show_tock(self, tock: Tock) -> None:
        self.tocks.append(tock.number)


@asynccontextmanager
async def publishing(
    ticks: PubSub, *, url: str = TCP, wireformat: str = "msgpack", **options: Any
) -> AsyncIterator[Server]:
    """A server of it to which everyone is subscribed who connects."""

    def greet(peer: Peer) -> None:
        ticks.subscribe(peer)

    async with serve(url, ticks, wireformat=wireformat, on_peer=greet, **options) as server:
        yield server


async def test_subscribers_get_what_is_published(url: str, wireformat: str) -> None:
    """From a remote and from this process, in order; who unsubscribes gets no more; a call is refused."""
    ticks = PubSub(ticker)
    screens = Screen(), Screen()
    async with publishing(ticks, url=url, wireformat=wireformat) as server:
        async with (
            connect(server.url, screens[0].services, wireformat=wireformat),
            connect(server.url, screens[1].services, wireformat=wireformat),
            connect(server.url, wireformat=wireformat) as source,
        ):
            await until(lambda: len(ticks.subscriptions) == 3)
            for number in range(50):
                await source.remote(ticker).send(Tick(number=number))
            await until(lambda: all(len(screen.got) == 50 for screen in screens))
            ticks.publish(Tick(number=50))
            await until(lambda: all(screen.got == list(range(51)) for screen in screens))
            with pytest.raises(RemoteError) as caught:
                await source.call_raw(ticker.sid(Tick), b"")
            assert caught.value.kind is ErrorKind.PUBSUB_NO_CALL
            first = next(iter(server.peers))
            ticks.unsubscribe(first)
            ticks.publish(Tick(number=51))
            await until(lambda: sum(len(screen.got) for screen in screens) == 103)
        await until(lambda: not ticks.subscriptions)


@asynccontextmanager
async def readers(url: str, screen: Screen, count: int) -> AsyncIterator[None]:
    """So many connections that read, until the block ends."""
    limits = Limits(close_timeout=0.2, discard_timeout=0.05)
    over = anyio.Event()
    there = 0

    async def read() -> None:
        nonlocal there
        async with connect(url, screen.services, wireformat="msgpack", limits=limits):
            there += 1
            await over.wait()

    async with anyio.create_task_group() as group:
        for _ in range(count):
            group.start_soon(read)
        await until(lambda: there == count)
        yield
        over.set()


@pytest.mark.fault(43)
@pytest.mark.parametrize("policy", ["drop_oldest", "drop_newest", "close"])
async def test_a_thousand_subscribers_and_one_does_not_read(
    policy: FeedPolicy, anyio_backend: tuple[str, Any]
) -> None:
    """Of a thousand subscribers one does not read: it loses what its feed has no room for, by its policy. Memory is
    bounded, and all the others get everything."""
    ticks, screen = PubSub(ticker), Screen()
    size, for_all, published = 50_000, 20, 0
    limits = Limits(outbox_high=50_000, outbox_low=10_000, close_timeout=0.2, discard_timeout=0.2)
    is_full = policy == "drop_oldest" and anyio_backend[0] == "asyncio"
    others = (SUBSCRIBERS if is_full else SUBSCRIBERS // 5) - 1
    async with (
        serve(TCP, ticks, wireformat="msgpack", limits=limits) as server,
        readers(server.url, screen, others),
    ):
        await until(lambda: len(tuple(server.peers)) == others)
        known = set(server.peers)
        for peer in known:
            ticks.subscribe(peer, Tock)
        async with raw_client(server.url):
            await until(lambda: len(tuple(server.peers)) == others + 1)
            [deaf] = set(server.peers) - known
            subscription = ticks.subscribe(deaf, queue=10, policy=policy)
            highest = 0
            # Sockets of this machine take some megabytes before they are full.
            while (subscription.dropped < 20 or published < 2 * for_all) and deaf.is_open:
                ticks.publish(Tick(number=published, filling=bytes(size)))
                published += 1
                if published < 2 * for_all:
                    ticks.publish(Tock(number=published))
                    published += 1
                await turn(2)
                highest = max(highest, core_of(deaf).outbox.level)
                assert subscription.waiting <= 10
            assert highest <= limits.outbox_high + size + 100
            await until(lambda: len(screen.tocks) == for_all * others)
            if policy == "close":
                closed = await closed_event(deaf)
                assert closed.reason is CloseReason.CLOSED_LOCALLY
                assert closed.detail == "a subscriber is too slow"
                assert len(ticks.subscriptions) == others
            else:
                assert subscription.waiting == 10
                assert subscription.sent + subscription.waiting + subscription.dropped == published
                newest = list(range(published - 10, published))
                assert (feed_of(deaf) == newest) == (policy == "drop_oldest")
        assert {each.sent for each in ticks.subscriptions if each is not subscription} == {for_all}
        assert {each.dropped for each in ticks.subscriptions if each is not subscription} == {0}
    assert ticks.subscriptions == ()


def feed_of(peer: Peer) -> list[int]:
    """The numbers of the messages in the one feed of a peer."""
    codecs = {ticker.sid(each): peer.wireformat.codec(each) for each in (Tick, Tock)}
    [feed] = core_of(peer).outgoing._line.feeds or {}
    return [codecs[sid].decode(payload).number for _, sid, payload in feed._queue]


@pytest.mark.fault(84)
async def test_subscribe_vanish_and_again() -> None:
    """Subscriptions by the ten thousand, which end by unsubscribing, closing or a reset: nothing is left of any."""
    ticks = PubSub(ticker)
    connections = max(1, CYCLES // 100)
    rounds = CYCLES // connections
    async with serve(TCP, ticks, wireformat="msgpack", limits=QUICK) as server:
        collect()
        for number in range(connections):
            async with raw_client(server.url) as raw:
                await until(lambda: len(tuple(server.peers)) > 0)
                [peer] = server.peers
                for turn_ in range(rounds):
                    subscription = ticks.subscribe(peer)
                    ticks.publish(Tick(number=turn_))
                    if turn_ < rounds - 1:
                        ticks.unsubscribe(peer)
                assert subscription.sent == 1
                if number % 2:
                    raw.reset()
            await peer.wait_closed()
            await until(lambda: not tuple(server.peers))
            assert ticks.subscriptions == ()
            assert not core_of(peer).outgoing._line.feeds
        assert len(ticks._subscriptions) == 0


@pytest.mark.fault(84)
async def test_a_subscriber_that_is_gone_is_removed() -> None:
    """A subscriber closes, vanishes, or is closed here, with messages that wait for it: its feed is emptied."""
    ticks = PubSub(ticker)
    limits = Limits(outbox_high=1000, outbox_low=100, discard_timeout=0.05, close_timeout=0.1)
    async with publishing(ticks, limits=limits) as server:
        for how in ("closes", "vanishes", "is closed"):
            async with raw_client(server.url) as raw:
                await until(lambda: len(ticks.subscriptions) == 1)
                [subscription] = ticks.subscriptions
                peer = await first_peer(server)
                while not subscription.waiting:
                    ticks.publish(Tick(number=1, filling=bytes(100_000)))
                    await turn()
                if how == "vanishes":
                    raw.reset()
                elif how == "is closed":
                    await peer.close()
            await peer.wait_closed()
            assert ticks.subscriptions == ()
            assert subscription.waiting == 0
            assert subscription.dropped >= 1
            ticks.publish(Tick(number=2))


async def test_subscribers_in_several_wire_formats() -> None:
    """Each publishes in its own, and gets all in its own: decoded once, and encoded once for each."""
    ticks = PubSub(ticker)
    formats = ("cbor", "msgpack", "json")
    screens = {name: Screen() for name in formats}
    async with AsyncExitStack() as stack:
        peers: dict[str, Peer] = {}
        for name in formats:
            server = await stack.enter_async_context(publishing(ticks, wireformat=name))
            peers[name] = await stack.enter_async_context(
                connect(server.url, screens[name].services, wireformat=name)
            )
        await until(lambda: len(ticks.subscriptions) == 3)
        for number, name in enumerate(formats):
            await peers[name].remote(ticker).send(Tick(number=number, filling=b"\x00\xff"))
            await until(
                lambda number=number: all(len(screen.got) == number + 1 for screen in screens.values())
            )  # type: ignore[misc]
        ticks.publish(Tock(number=7))
        await until(lambda: all(screen.tocks == [7] for screen in screens.values()))
        told = Told(next(iter(server.peers)))
        await peers["json"].send_raw(ticker.sid(Tick), b'{"number":"none"}')
        assert [each.kind for each in await told.failures(1)] == [FailureKind.DESERIALIZE]
        ticks.publish(Tick(number=3))
        await until(lambda: screens["cbor"].got == [0, 1, 2, 3])


async def test_publishing_from_handlers_while_subscribers_come_and_go() -> None:
    """Handlers publish, and so does the process, while others subscribe and leave: who stays gets everything, in order."""
    ticks = PubSub(ticker)

    class Count(Message[int]):
        upto: int

    counting = Namespace("counting", [Count])
    counters = Services(counting)

    @counters.handler
    async def count(msg: Count, ctx: Context) -> int:
        for number in range(msg.upto):
            ticks.publish(Tick(number=number))
            if not number % 10:
                await turn()
        return msg.upto

    stays = Screen()
    heard: list[int] = []
    ticks.listen(lambda message: heard.append(message.number), Tick)
    wants = [True]

    def greet(peer: Peer) -> None:
        if wants[0]:
            ticks.subscribe(peer)

    async with serve(TCP, [counters, ticks], wireformat="json", on_peer=greet) as server:
        async with connect(server.url, [stays.services], wireformat="json") as client:
            await until(lambda: len(ticks.subscriptions) == 2)
            async with anyio.create_task_group() as group:
                counted: list[int] = []

                async def call() -> None:
                    counted.append(await client.remote(counting).call(Count(upto=500)))

                group.start_soon(call)
                visitors = 0
                while not counted:
                    async with connect(server.url, Screen().services, wireformat="json") as visitor:
                        await until(lambda: len(ticks.subscriptions) == 3)
                        visitors += 1
                        ticks.publish(Tock(number=visitors))
                        if visitors % 2:
                            await visitor.close()
                    await until(lambda: len(ticks.subscriptions) == 2)
            await until(lambda: len(stays.tocks) == visitors)
            assert visitors >= 1
            assert stays.got == heard == list(range(500))
            assert stays.tocks == list(range(1, visitors + 1))


async def test_what_is_published_through_a_relay() -> None:
    """A relay to a peer that publishes: one-way messages reach the subscribers, calls are refused with their own kind."""
    ticks, screen = PubSub(ticker), Screen()
    async with publishing(ticks) as server:
        async with (
            connect(server.url, screen.services, wireformat="msgpack"),
            connect(server.url, wireformat="msgpack") as target,
            serve(TCP, RelayMap(target, ticker), wireformat="msgpack") as relay,
            connect(relay.url, wireformat="msgpack") as source,
        ):
            await until(lambda: len(ticks.subscriptions) == 2)
            await source.remote(ticker).send(Tick(number=1))
            await until(lambda: screen.got == [1])
            with pytest.raises(RemoteError) as caught:
                await source.call_raw(ticker.sid(Tick), b"")
            assert caught.value.kind is ErrorKind.PUBSUB_NO_CALL
            await until(lambda: State(source).is_idle and State(target).is_idle)


async def test_a_listener_that_raises() -> None:
    """It fails the publication where it was made, and all others have the message."""
    ticks, screen = PubSub(ticker), Screen()

    def broken(message: Message[Any]) -> None:
        raise ZeroDivisionError

    ticks.listen(broken)
    async with publishing(ticks) as server:
        async with connect(server.url, screen.services, wireformat="msgpack") as source:
            await until(lambda: len(ticks.subscriptions) == 2)
            told = Told(await first_peer(server))
            await source.remote(ticker).send(Tick(number=1))
            await until(lambda: screen.got == [1])
            [failure] = await told.failures(1)
            assert failure.kind is FailureKind.HANDLER_FAILED
            assert isinstance(failure.error, ZeroDivisionError)
            with pytest.raises(ZeroDivisionError):
                ticks.publish(Tick(number=2))
            await until(lambda: screen.got == [1, 2])
