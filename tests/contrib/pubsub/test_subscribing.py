"""Services by which a remote subscribes itself: what it gets, and what it is told when it can't be."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from tests.adapters.common import until

from duologue import FeedPolicy, Message, Namespace, Peer, PubSub, RegistrationError, Services, connect, serve
from duologue_contrib.pubsub import (
    AlreadySubscribed,
    NotSubscribed,
    Subscribe,
    Subscribed,
    UnknownServices,
    Unsubscribe,
    Unsubscribed,
    subscription_services,
    subscriptions,
)


class Tick(Message[None]):
    number: int


class Tock(Message[None]):
    number: int


class Alarm(Message[None]):
    text: str


ticker = Namespace("ticker", [Tick, Tock])
alarms = Namespace("alarms", [Alarm])


class Screen:
    """A subscriber's services, and what it got."""

    def __init__(self) -> None:
        self.got: list[Message[Any]] = []
        self.services = Services(ticker)
        self.services.handler(Tick, self.show_tick)
        self.services.handler(Tock, self.show_tock)

    async def show_tick(self, msg: Tick) -> None:
        self.got.append(msg)

    async def show_tock(self, msg: Tock) -> None:
        self.got.append(msg)


@asynccontextmanager
async def subscriber(pubsub: PubSub, screen: Screen, wireformat: str = "cbor") -> AsyncIterator[Peer]:
    """A client of a server of it."""
    with anyio.fail_after(30):
        maps = [pubsub, subscription_services(pubsub)]
        async with serve("tcp://127.0.0.1:0", maps, wireformat=wireformat) as server:
            async with connect(server.url, screen.services, wireformat=wireformat) as peer:
                yield peer


@pytest.mark.parametrize("wireformat", ["cbor", "msgpack", "json"])
async def test_subscribing_and_unsubscribing(wireformat: str) -> None:
    """A remote asks, and gets everything from then on; asks again, and gets nothing more."""
    pubsub, screen = PubSub(ticker, alarms), Screen()
    async with subscriber(pubsub, screen, wireformat) as peer:
        remote = peer.remote(subscriptions)
        pubsub.publish(Tick(0))
        answer = await remote.call(Subscribe())
        assert answer == Subscribed(["ticker::Tick", "ticker::Tock", "alarms::Alarm"])
        pubsub.publish(Tick(1))
        await until(lambda: screen.got == [Tick(1)])
        assert await remote.call(Unsubscribe()) == Unsubscribed()
        assert pubsub.subscriptions == ()
        pubsub.publish(Tick(2))
        assert await remote.call(Subscribe(("ticker",))) == Subscribed(["ticker::Tick", "ticker::Tock"])
        pubsub.publish(Tock(3))
        await until(lambda: screen.got == [Tick(1), Tock(3)])


async def test_some_services_by_name() -> None:
    """Names of services, or of namespaces; each counts once."""
    pubsub, screen = PubSub(ticker, alarms), Screen()
    async with subscriber(pubsub, screen) as peer:
        remote = peer.remote(subscriptions)
        assert await remote.call(Subscribe(("ticker::Tock", "ticker::Tock"))) == Subscribed(["ticker::Tock"])
        pubsub.publish(Tick(1))
        pubsub.publish(Tock(2))
        await until(lambda: screen.got == [Tock(2)])
        await remote.call(Unsubscribe())
        answer = await remote.call(Subscribe(("alarms", "ticker::Tick")))
        assert answer == Subscribed(["alarms::Alarm", "ticker::Tick"])


async def test_what_goes_wrong_is_an_answer() -> None:
    """Subscribing twice, unsubscribing without, unknown names, parts of names: the caller is told, and nothing is changed."""
    pubsub, screen = PubSub(ticker), Screen()
    async with subscriber(pubsub, screen) as peer:
        remote = peer.remote(subscriptions)
        assert await remote.call(Unsubscribe()) == NotSubscribed()
        unknown = UnknownServices(["tick", "nothing::Here", ""])
        assert await remote.call(Subscribe(("tick", "ticker::Tick", "nothing::Here", ""))) == unknown
        assert pubsub.subscriptions == ()
        await remote.call(Subscribe(("ticker::Tick",)))
        assert await remote.call(Subscribe(("ticker::Tock",))) == AlreadySubscribed()
        [subscription] = pubsub.subscriptions
        assert subscription.sids == {ticker.sid(Tick)}
        for _ in range(2):
            answer = await remote.call(Unsubscribe())
        assert answer == NotSubscribed()


@pytest.mark.fault(48)
async def test_names_by_the_ten_thousand() -> None:
    """As many unknown names as a message can carry cost the same however many services are published."""
    wanted = Subscribe(tuple(f"n{number}" for number in range(45_000)))

    async def seconds(services: int) -> float:
        pubsub = PubSub(*range(1000, 1000 + services))
        async with subscriber(pubsub, Screen()) as peer:
            began = time.process_time()
            answer = await peer.remote(subscriptions).call(wanted, timeout=None)
            assert isinstance(answer, UnknownServices)
            assert len(answer.services) == 45_000
            return time.process_time() - began

    assert await seconds(500) < 5 * await seconds(1)


@pytest.mark.fault(84)
async def test_a_remote_that_vanishes_is_no_subscriber() -> None:
    """A hundred clients subscribe and vanish: nothing is left."""
    pubsub = PubSub(ticker)
    maps = [pubsub, subscription_services(pubsub)]
    with anyio.fail_after(30):
        async with serve("tcp://127.0.0.1:0", maps, wireformat="json") as server:
            for _ in range(100):
                async with connect(server.url, wireformat="json") as peer:
                    await peer.remote(subscriptions).call(Subscribe())
                    assert len(pubsub.subscriptions) <= 2
            await until(lambda: pubsub.subscriptions == ())


async def test_two_maps_have_namespaces_of_their_own() -> None:
    """Each with messages of the same two classes; feeds are as the server says."""
    prices, news = PubSub(ticker), PubSub(alarms)
    of_prices = Namespace("prices", [Subscribe, Unsubscribe])
    of_news = Namespace("news", [Subscribe, Unsubscribe])
    policy: FeedPolicy = "close"
    maps = [
        prices,
        news,
        subscription_services(prices, namespace=of_prices, queue=1, policy=policy),
        subscription_services(news, namespace=of_news),
    ]
    with anyio.fail_after(30):
        async with (
            serve("tcp://127.0.0.1:0", maps, wireformat="json") as server,
            connect(server.url, wireformat="json") as peer,
        ):
            assert await peer.remote(of_news).call(Subscribe()) == Subscribed(["alarms::Alarm"])
            assert await peer.remote(of_prices).call(Subscribe(("alarms",))) == UnknownServices(["alarms"])
            await peer.remote(of_prices).call(Subscribe())
            assert (len(prices.subscriptions), len(news.subscriptions)) == (1, 1)
            while prices.subscriptions:
                prices.publish(Tick(1))  # in one go, so nobody takes them: over the feed it is closed
            await peer.wait_closed()


async def test_a_namespace_without_the_messages() -> None:
    """It could serve neither."""
    with pytest.raises(RegistrationError, match="Subscribe, which is in none of the namespaces empty"):
        subscription_services(PubSub(ticker), namespace=Namespace("empty", [Tick]))


async def test_feeds_that_can_not_be() -> None:
    """Found when the services are made, and not by the first who subscribes."""
    for options in ({"queue": 0}, {"policy": "wait"}):
        with pytest.raises(ValueError, match="a feed"):
            subscription_services(PubSub(ticker), **options)  # type: ignore[arg-type]
