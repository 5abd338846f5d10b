"""What type checkers know of messages that are published. Nothing here may be found wrong."""

from __future__ import annotations

from typing import Any, assert_type

from duologue import Message, Namespace, Peer, PubSub, RoundRobin, Subscription
from duologue_contrib.pubsub import (
    AlreadySubscribed,
    Subscribe,
    Subscribed,
    UnknownServices,
    listen,
    subscriptions,
)
from duologue_contrib.reconnect import reconnecting


class Tick(Message[None]):
    price: float


class News(Message[None]):
    text: str


ticker = Namespace("ticker", [Tick, News])


def hear(message: Message[Any]) -> None:
    """All of them."""


def hear_tick(message: Tick) -> None:
    """One kind."""


def a_function_listens_to_what_it_takes(ticks: PubSub) -> None:
    assert_type(ticks.listen(hear), Subscription)
    assert_type(ticks.listen(hear, ticker), Subscription)
    ticks.listen(hear, Tick)
    ticks.listen(hear_tick, Tick)
    ticks.listen(hear, Tick, News)
    ticks.unsubscribe(hear_tick)
    assert_type(ticks.subscription_of(hear_tick), Subscription | None)


async def messages_have_their_type(ticks: PubSub) -> None:
    async with listen(ticks, Tick) as messages:
        async for message in messages:
            assert_type(message, Tick)
    async with listen(ticks) as everything:
        async for each in everything:
            assert_type(each, Message[Any])


async def subscribing_has_three_answers(peer: Peer) -> None:
    answer = await peer.remote(subscriptions).call(Subscribe(("ticker",)))
    assert_type(answer, Subscribed | AlreadySubscribed | UnknownServices)


async def a_balancer_takes_each_new_connection() -> None:
    async with reconnecting("tcp://127.0.0.1:1", wireformat="json", on_connect=RoundRobin().add):
        pass
