"""The services that the tests of the Rust crate use: `remotes :: Add` and `remotes :: Show` on a counter."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import anyio

from duologue import Context, Message, Namespace, Peer, RelayMap, Server, ServiceMap, Services, connect, serve

TCP = "tcp://127.0.0.1:0"


class Add(Message[None], newtype=True):
    value: int


class Show(Message[int]):
    pass


class Wait(Message[int], newtype=True):
    """Its handler waits until the test lets it go on, and gives the value back."""

    value: int


remotes = Namespace("remotes", [Add, Show])
waiting = Namespace("waiting", [Wait])


class Sum:
    """An actor with a number: what the crate's tests call `Sum`."""

    def __init__(self, start: int = 5) -> None:
        self.sum = start
        self.running = 0
        self.most = 0
        self.release = anyio.Event()
        self.services = Services(remotes)
        self.services.handler(Add, self.add)
        self.services.handler(Show, self.show)
        self.waits = Services(waiting)
        self.waits.handler(Wait, self.wait)

    @property
    def maps(self) -> list[ServiceMap]:
        return [self.services, self.waits]

    async def add(self, msg: Add) -> None:
        self.sum += msg.value

    async def show(self, msg: Show) -> int:
        return self.sum

    async def wait(self, msg: Wait) -> int:
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await self.release.wait()
        finally:
            self.running -= 1
        return msg.value


@asynccontextmanager
async def serving(services: Any, client: Any = None, **options: Any) -> AsyncIterator[tuple[Peer, Peer]]:
    """The client's peer, and the server's peer of it, over TCP and in CBOR."""
    async with serve(TCP, services, wireformat="cbor", **options) as server:
        async with connect(server.url, client, wireformat="cbor") as peer:
            while not (peers := tuple(server.peers)):  # noqa: ASYNC110 - it has no event
                await anyio.sleep(0.001)
            yield peer, peers[0]


@asynccontextmanager
async def relayed(services: Any, depth: int = 1, **options: Any) -> AsyncIterator[tuple[Peer, list[Peer]]]:
    """A client behind so many relays, and each relay's connection to the next, the provider's first."""
    async with AsyncExitStack() as stack:
        server: Server = await stack.enter_async_context(serve(TCP, services, wireformat="cbor"))
        hops: list[Peer] = []
        for level in range(depth):
            hop = await stack.enter_async_context(
                connect(server.url, wireformat="cbor", name=f"relay {level}")
            )
            hops.append(hop)
            relay = RelayMap(hop, remotes, waiting, **options)
            server = await stack.enter_async_context(serve(TCP, relay, wireformat="cbor"))
        yield await stack.enter_async_context(connect(server.url, wireformat="cbor")), hops


class Leave(Message[None]):
    """Its handler closes the connection that it came by."""


leaving = Namespace("leaving", [Leave])


def leavers() -> Services:
    services = Services(leaving)

    @services.handler
    async def leave(msg: Leave, ctx: Context) -> None:
        await ctx.peer.close("asked to")

    return services
