"""What the processes of the large simulation serve, and what they note of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager

import anyio

from duologue import Context, Message, Namespace, Peer, Services


class Echo(Message[int]):
    """Answered with its number."""

    token: int
    filling: str = ""


class Nap(Message[int]):
    """Answered after a while."""

    token: int
    seconds: float


class Back(Message[int]):
    """Answered when the caller has answered the same with one less."""

    token: int
    depth: int
    ways: int


class Large(Message[str]):
    """Answered with so much that it may be too much."""

    token: int
    size: int


class Raise(Message[int]):
    """Its handler raises."""

    token: int


class Thread(Message[int]):
    """Its handler is a function, for a thread."""

    token: int


class Turn(Message[int]):
    """One after another."""

    token: int


class Tell(Message[None]):
    """One way; its handler asks back, or not."""

    token: int
    asks: bool = False


class InTurn(Message[None]):
    """One way, one after another."""

    token: int


class Tick(Message[None]):
    """For all who subscribed."""

    number: int


class Lone(Message[int]):
    """Declared, and handled by nobody."""

    token: int


work = Namespace("work", [Echo, Nap, Back, Large, Raise, Thread, Turn, Tell, InTurn, Lone])
ticker = Namespace("ticker", [Tick])


class Journal:
    """What was begun and how it came out, over all processes of a world."""

    def __init__(self) -> None:
        self.tokens = 0
        self.begun: Counter[int] = Counter()
        """How often the handler of each message has begun."""
        self.outcomes: Counter[str] = Counter()
        self.not_executed: set[int] = set()
        """Messages of which the caller was told that they were not executed."""
        self.executed: set[int] = set()
        """Those of which it was told that they were."""
        self.lanes: list[list[int]] = []
        """For each connection with a server itself: the ordered messages, as they were sent."""
        self.sent: set[int] = set()
        """One-way messages that were accepted, on connections that stayed."""
        self.overlapping: list[int] = []
        """Ordered requests that began while another of their connection had the turn."""
        self._turns: set[Peer] = set()

    def token(self) -> int:
        """For one message."""
        self.tokens += 1
        return self.tokens

    def begin(self, token: int) -> int:
        """A handler has begun."""
        self.begun[token] += 1
        return token

    @contextmanager
    def turn(self, peer: Peer, token: int) -> Generator[None]:
        """An ordered handler has begun; the block is all that it does."""
        self.begin(token)
        if peer in self._turns:
            self.overlapping.append(token)
        self._turns.add(peer)
        try:
            yield
        finally:
            self._turns.discard(peer)


def services_of(journal: Journal) -> Services:
    """The handlers. All processes have the same: each may call each."""
    services = Services(work)

    @services.handler
    async def echo(message: Echo) -> int:
        return journal.begin(message.token)

    @services.handler
    async def nap(message: Nap) -> int:
        journal.begin(message.token)
        await anyio.sleep(message.seconds)
        return message.token

    @services.handler
    async def back(message: Back, ctx: Context) -> int:
        journal.begin(message.token)
        if message.depth:
            remote = ctx.peer.remote(work)
            async with anyio.create_task_group() as group:
                for _ in range(message.ways):
                    less = Back(token=journal.token(), depth=message.depth - 1, ways=1)
                    group.start_soon(remote.call, less)
        return message.token

    @services.handler
    async def large(message: Large) -> str:
        journal.begin(message.token)
        return "x" * message.size

    @services.handler(inline=True)
    def fail(message: Raise) -> int:
        journal.begin(message.token)
        raise ValueError("as it was asked to")

    @services.handler
    def thread(message: Thread) -> int:
        return journal.begin(message.token)

    @services.handler(ordered=True)
    async def turn(message: Turn, ctx: Context) -> int:
        with journal.turn(ctx.peer, message.token):
            await anyio.sleep(0.001)
        return message.token

    @services.handler
    async def tell(message: Tell, ctx: Context) -> None:
        journal.begin(message.token)
        if message.asks:
            await ctx.peer.remote(work).call(Echo(token=journal.token()))

    @services.handler(ordered=True)
    async def in_turn(message: InTurn, ctx: Context) -> None:
        with journal.turn(ctx.peer, message.token):
            await anyio.sleep(0.001)

    return services
