"""What is published, as an async iterator: bounded, counted, and with a clean end."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from tests.adapters.common import turn, until

from duologue import FeedPolicy, Message, Namespace, PubSub, RegistrationError, connect, serve
from duologue_contrib.pubsub import Messages, TooSlow, listen


class Tick(Message[None]):
    number: int


class Tock(Message[None]):
    number: int


ticker = Namespace("ticker", [Tick, Tock])


async def test_messages_come_as_they_are_published() -> None:
    """From here and from remotes, in order; before the block and after it nothing."""
    ticks = PubSub(ticker)
    got: list[Message[Any]] = []
    ticks.publish(Tick(0))
    with anyio.fail_after(30):
        async with (
            serve("tcp://127.0.0.1:0", ticks, wireformat="json") as server,
            connect(server.url, wireformat="json") as source,
            listen(ticks) as messages,
        ):
            ticks.publish(Tick(1))
            async for message in messages:
                got.append(message)
                if message == Tick(1):
                    await source.remote(ticker).send(Tock(2))
                if message == Tock(2):
                    ticks.publish(Tick(3))
                if message == Tick(3):
                    break
            assert len(ticks.subscriptions) == 1
        assert ticks.subscriptions == ()
        ticks.publish(Tick(4))
    assert got == [Tick(1), Tock(2), Tick(3)]
    assert (messages.waiting, messages.dropped) == (0, 0)


async def test_only_some_services() -> None:
    """A class, a namespace or an id, as with `PubSub.listen`; type checkers know what one class gives."""
    ticks = PubSub(ticker)
    async with listen(ticks, Tock) as tocks, listen(ticks, ticker.sid(Tick), ticker.sid(Tock)) as both:
        ticks.publish(Tick(1))
        ticks.publish(Tock(2))
        assert (await anext(tocks)).number == 2
        assert [await anext(both), await anext(both)] == [Tick(1), Tock(2)]
        assert tocks.waiting == 0


async def test_a_consumer_of_a_remote() -> None:
    """At the subscriber's end: a `PubSub` of its own takes what comes, and an iterator gives it."""
    ticks, here = PubSub(ticker), PubSub(ticker)

    def greet(peer: Any) -> None:
        ticks.subscribe(peer)

    with anyio.fail_after(30):
        async with (
            serve("tcp://127.0.0.1:0", ticks, wireformat="cbor", on_peer=greet) as server,
            listen(here, Tick) as messages,
            connect(server.url, here, wireformat="cbor"),
        ):
            await until(lambda: len(ticks.subscriptions) == 1)
            for number in range(10):
                ticks.publish(Tick(number))
            assert [(await anext(messages)).number for _ in range(10)] == list(range(10))


@pytest.mark.fault(43)
@pytest.mark.parametrize(
    ("policy", "left"), [("drop_oldest", [7, 8, 9]), ("drop_newest", [0, 1, 2]), ("close", [0, 1, 2])]
)
async def test_who_does_not_take_them(policy: FeedPolicy, left: list[int]) -> None:
    """A listener takes nothing: so many wait, the rest goes by the policy and is counted, and nobody else is disturbed."""
    ticks = PubSub(ticker)
    other: list[Message[Any]] = []
    ticks.listen(other.append)
    got: list[int] = []
    async with listen(ticks, Tick, queue=3, policy=policy) as messages:
        for number in range(10):
            ticks.publish(Tick(number))
        assert (messages.waiting, messages.dropped) == (3, 1 if policy == "close" else 7)
        assert repr(messages) == f"<Messages: 3 waiting, {messages.dropped} dropped>"
        for _ in range(3):
            got.append((await anext(messages)).number)
        if policy == "close":
            with pytest.raises(TooSlow, match="over 3 messages") as caught:
                await anext(messages)
            assert caught.value.limit == 3
            with pytest.raises(TooSlow):
                await anext(messages)
        else:
            ticks.publish(Tick(10))
            assert (await anext(messages)).number == 10
    assert got == left
    assert len(other) >= 10


async def test_the_end_reaches_those_who_wait() -> None:
    """The block is left while other tasks wait for a message: their iteration ends, and what was there they have taken."""
    ticks = PubSub(ticker)
    got: list[int] = []
    ended = 0

    async def take(messages: Messages[Tick]) -> None:
        nonlocal ended
        async for message in messages:
            got.append(message.number)
        ended += 1

    with anyio.fail_after(30):
        async with anyio.create_task_group() as group:
            async with listen(ticks, Tick) as messages:
                for _ in range(3):
                    group.start_soon(take, messages)
                await turn(3)
                for number in range(5):
                    ticks.publish(Tick(number))
                await until(lambda: len(got) == 5)
                ticks.publish(Tick(5))
    assert (sorted(got), ended) == (list(range(6)), 3)


async def test_a_wait_that_is_cancelled_loses_nothing() -> None:
    """Whoever takes next gets the message."""
    ticks = PubSub(ticker)
    async with listen(ticks, Tick) as messages:
        with anyio.move_on_after(0.01):
            await anext(messages)
        ticks.publish(Tick(1))
        assert await anext(messages) == Tick(1)


async def test_an_exception_in_the_block_ends_it_too() -> None:
    """Nothing stays subscribed."""
    ticks = PubSub(ticker)
    with pytest.raises(ZeroDivisionError):
        async with listen(ticks):
            raise ZeroDivisionError
    assert ticks.subscriptions == ()


async def test_mistakes() -> None:
    """Each is told at once, and what to give instead."""
    ticks = PubSub(ticker)
    with pytest.raises(ValueError, match="room for at least 1"):
        listen(ticks, queue=0)
    with pytest.raises(ValueError, match="drop_oldest, drop_newest, close"):
        listen(ticks, policy="wait")  # type: ignore[call-overload]
    with pytest.raises(RegistrationError, match="is not published here"):
        async with listen(ticks, 17):
            pass
    with pytest.raises(RegistrationError, match="known by its id alone"):
        async with listen(PubSub(17)):
            pass
