"""A stage for relays: a provider, a relay, and a client, each with a connection of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast

import anyio
from tests.adapters.common import State, Tools, tools, until

from duologue import (
    Limits,
    Peer,
    PeerEvent,
    RelayMap,
    RelayTargetLost,
    RequestFailed,
    Server,
    connect,
    serve,
)
from duologue.protocol.connection import Connection
from duologue_adapters.peer import DriverPeer

TCP = "tcp://127.0.0.1:0"
OPTIONS: dict[str, dict[str, Any]] = {"ws": {"origins": "any"}}
"""What some schemes must be told to serve."""


def serving(url: str, services: Any, **options: Any) -> Any:
    """`serve`, with what the URL's scheme must be told."""
    return serve(url, services, **OPTIONS.get(url.partition("://")[0], {}), **options)


@dataclass
class Relaying:
    """All that take part."""

    there: Tools
    """The provider's services."""
    provider: Server
    target: Peer
    """The relay's connection to the provider."""
    relay: Server
    asking: Peer
    """The relay's connection to the client."""
    client: Peer

    async def until_idle(self) -> None:
        """Wait until nothing is held and nothing under way, at any of the ends."""
        peers = [self.target, self.asking, self.client, *self.provider.peers]
        await until(lambda: all(State(peer).is_idle for peer in peers))


@asynccontextmanager
async def relaying(
    make_map: Callable[[Peer], RelayMap] = lambda target: RelayMap(target, tools),
    *,
    urls: tuple[str, str] = (TCP, TCP),
    wireformat: str = "msgpack",
    there: Tools | None = None,
    provider_limits: Limits = Limits(),
    limits: Limits = Limits(),
    client_limits: Limits = Limits(),
) -> AsyncIterator[Relaying]:
    """Provider and relay at these URLs; `limits` are those of the relay, on both of its connections."""
    there = there or Tools()
    arrived: list[Peer] = []
    here = anyio.Event()

    def on_peer(peer: Peer) -> None:
        arrived.append(peer)
        here.set()

    async with AsyncExitStack() as stack:
        provider = await stack.enter_async_context(
            serving(urls[0], there.services, wireformat=wireformat, limits=provider_limits)
        )
        target = await stack.enter_async_context(
            connect(provider.url, wireformat=wireformat, limits=limits, name="provider")
        )
        relay = await stack.enter_async_context(
            serving(urls[1], make_map(target), wireformat=wireformat, limits=limits, on_peer=on_peer)
        )
        client = await stack.enter_async_context(
            connect(relay.url, wireformat=wireformat, limits=client_limits)
        )
        await here.wait()
        yield Relaying(there, provider, target, relay, arrived[0], client)


def core_of(peer: Peer) -> Connection:
    """The state machine of a peer, to look at."""
    return cast("DriverPeer", peer)._connection


class Told:
    """What the observers of a peer are told, as it comes."""

    def __init__(self, peer: Peer) -> None:
        self.all: list[PeerEvent] = []
        self._events = peer.events()

    async def until(self, count: int) -> list[PeerEvent]:
        """The first so many."""
        while len(self.all) < count:
            self.all.append(await anext(self._events))
        return self.all

    async def failures(self, count: int) -> list[RequestFailed]:
        """The failures among the events, until there are so many."""
        while len(found := [each for each in self.all if isinstance(each, RequestFailed)]) < count:
            await self.until(len(self.all) + 1)
        return found

    async def lost(self) -> RelayTargetLost:
        """The first target that was lost."""
        while not (found := [each for each in self.all if isinstance(each, RelayTargetLost)]):
            await self.until(len(self.all) + 1)
        return found[0]
