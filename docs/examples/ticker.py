"""A ticker: prices for all who subscribe, some by name, and a subscriber that is too slow.

    python docs/examples/ticker.py

The server is a process of its own. Its clients speak two wire formats; what is published is encoded once for each.
"""

from __future__ import annotations

import sys

import anyio
from anyio.streams.buffered import BufferedByteReceiveStream

from duologue import Message, Namespace, PubSub, connect, serve
from duologue_contrib.pubsub import (
    Messages,
    Subscribe,
    Unsubscribe,
    listen,
    subscription_services,
    subscriptions,
)


class Price(Message[None]):
    """What is published."""

    symbol: str
    cents: int


class Halted(Message[None]):
    """This too."""

    symbol: str


ticker = Namespace("ticker", [Price, Halted])


async def run_server() -> None:
    """Serve in two wire formats, and print both URLs. Whatever one client sends all subscribers get."""
    ticks = PubSub(ticker)
    maps = [ticks, subscription_services(ticks, queue=100, policy="drop_oldest")]
    async with (
        serve("tcp://127.0.0.1:0", maps, wireformat="msgpack") as one,
        serve("tcp://127.0.0.1:0", maps, wireformat="json") as other,
    ):
        print(one.url, other.url, flush=True)
        await one.wait_closed()


async def watch(url: str, wireformat: str, names: tuple[str, ...], ready: anyio.Event) -> None:
    """A subscriber: what comes from the server goes into a `PubSub` of its own, and from there into an iterator."""
    here = PubSub(ticker)
    async with (
        listen(here) as messages,
        connect(url, here, wireformat=wireformat) as peer,
    ):
        answer = await peer.remote(subscriptions).call(Subscribe(names))
        ready.set()
        seen = await until_halted(messages)
        await peer.remote(subscriptions).call(Unsubscribe())
    print(f"{wireformat}: {answer}, {seen} prices")


async def until_halted(messages: Messages[Message[None]]) -> int:
    """Count the prices, up to the end of trading."""
    prices = 0
    async for message in messages:
        if isinstance(message, Halted):
            break
        prices += 1
    return prices


async def publish(url: str) -> None:
    """A source: it knows nothing of the subscribers."""
    async with connect(url, wireformat="json") as peer:
        remote = peer.remote(ticker)
        for cents in range(100, 150):
            await remote.send(Price("ABC", cents))
        await remote.send(Halted("ABC"))


async def too_slow() -> None:
    """In one process: messages that nobody takes are dropped, and counted."""
    ticks = PubSub(ticker)
    async with listen(ticks, Price, queue=10) as messages:
        for cents in range(100):
            ticks.publish(Price("XYZ", cents))
        latest = await anext(messages)
        print(f"too slow: {messages.dropped} dropped, the first of the rest is at {latest.cents} cents")


async def main() -> None:
    """Start the server, subscribe, and publish."""
    async with await anyio.open_process([sys.executable, __file__, "serve"], stderr=None) as process:
        assert process.stdout is not None
        line = await BufferedByteReceiveStream(process.stdout).receive_until(b"\n", 1000)
        msgpack_url, json_url = line.decode().split()
        ready = anyio.Event(), anyio.Event()
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(watch, msgpack_url, "msgpack", (), ready[0])
                group.start_soon(watch, json_url, "json", ("ticker::Halted",), ready[1])
                for each in ready:
                    await each.wait()
                await publish(json_url)
        finally:
            process.kill()
    await too_slow()


if __name__ == "__main__":
    anyio.run(run_server if sys.argv[1:] == ["serve"] else main)
