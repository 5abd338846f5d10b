"""The clients of the large simulation: they connect, do this and that, break off, and come again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
from tests.simulation.everything_services import (
    Back,
    Echo,
    InTurn,
    Large,
    Lone,
    Nap,
    Raise,
    Tell,
    Thread,
    Tick,
    Turn,
    ticker,
    work,
)

from duologue import (
    CallError,
    ConnectFailed,
    DuologueError,
    Executed,
    Peer,
    Services,
    connect,
)

if TYPE_CHECKING:
    from tests.simulation.everything import Play

UNKNOWN = 0x1234_5678_9ABC_DEF0
"""A service that nobody has."""


class Client:
    """One process that connects to one server or relay after another."""

    def __init__(self, play: Play, name: str) -> None:
        self.play = play
        self.name = name
        self.random = play.world.random
        self.settings = play.settings()
        self.screen = Services(ticker)
        self.screen.handler(Tick, self._show)
        self.ticks = 0
        self._lane: list[int] = []
        """The ordered messages of this connection, as they were sent."""
        self._remains = False
        """This connection stays until the faults have stopped."""

    async def _show(self, message: Tick) -> None:
        self.ticks += 1
        await anyio.sleep(0.0 if self.play.calm else self.random.choice((0.0, 0.1)))

    async def run(self) -> None:
        """Some connections, one after the other."""
        stays = self.random.random() < 0.5
        connections = self.random.choice((1, 1, 2))
        watcher: Any = None
        for number in range(connections):
            name = self.random.choice(self.play.servers)
            url = self.play.world.url(name)
            self._lane, self._remains = [], stays and number == connections - 1
            if name in self.play.providers:
                self.play.journal.lanes.append(self._lane)
            try:
                async with connect(url, [self.play.services, self.screen], **self.settings) as peer:
                    watcher = peer.events() if self.random.random() < 0.5 else None  # one that never looks
                    await self._talk(peer, leaves=not stays)
                    if self._remains:
                        self.play.client_ended()
                        await (
                            anyio.sleep_forever()
                        )  # whoever is there when the faults stop must still be well
            except ConnectFailed:
                await anyio.sleep(1.0)
        del watcher
        self.play.client_ended()

    async def _talk(self, peer: Peer, leaves: bool) -> None:
        random = self.random
        async with anyio.create_task_group() as group:
            for _ in range(random.choice((2, 5, 10, 20))):
                group.start_soon(self._act, peer)
            if random.random() < 0.1:
                group.start_soon(self._burst, peer)
            if leaves and random.random() < 0.7:
                group.start_soon(self._leave, peer)

    async def _leave(self, peer: Peer) -> None:
        """The end of it, in one of the ways in which one may end."""
        random = self.random
        await anyio.sleep(random.random() ** 2 * (0.2 if self.play.calm else 20.0))
        match random.randrange(4):
            case 0:
                await peer.close("as drawn", grace=random.choice((0.0, 1.0, 5.0)))
            case 1:
                await peer.drain("as drawn", timeout=random.choice((0.5, 5.0)))
            case _:
                pass

    async def _burst(self, peer: Peer) -> None:
        """Many small calls, one after the other: what one leaves behind adds up."""
        for _ in range(200):
            await self._call(peer, Echo(token=self.play.journal.token()))
            if not peer.is_open:
                return

    async def _act(self, peer: Peer) -> None:
        random, journal = self.random, self.play.journal
        await anyio.sleep(random.random() * random.choice((0.0, 0.01, 0.2 if self.play.calm else 5.0)))
        nap = random.random() * (0.02 if self.play.calm else 2.0)
        token = journal.token()
        message: Any
        match random.randrange(16):
            case 0 | 1:
                await self._send(peer, Tell(token=token, asks=random.random() < 0.3))
            case 2:
                for each in (token, *(journal.token() for _ in range(random.choice((0, 0, 5))))):
                    self._lane.append(each)
                    await self._send(peer, InTurn(token=each))
            case 3:
                await self._send(peer, Tick(number=token), ticker)
            case 4:
                await self._raw(peer)
            case number:
                message = {
                    5: Nap(token=token, seconds=nap),
                    6: Large(token=token, size=random.choice((10, 500, 5000))),
                    7: Raise(token=token),
                    8: Thread(token=token),
                    9: Turn(token=token),
                    10: Lone(token=token),
                    11: Back(token=token, depth=random.choice((1, 3, 6)), ways=1),
                    12: Back(token=token, depth=1, ways=3),
                }.get(number) or Echo(token=token, filling="x" * random.choice((0, 0, 100, 1000)))
                await self._call(peer, message)

    async def _call(self, peer: Peer, message: Any) -> None:
        journal, world = self.play.journal, self.play.world
        timeout = (
            {} if self.play.calm or self.random.random() < 0.7 else {"timeout": self.random.random() * 5.0}
        )
        token: int = message.token
        with world.impatient():
            try:
                answer = await peer.remote(work).call(message, **timeout)
            except CallError as error:
                journal.outcomes[type(error).__name__] += 1
                if error.executed is Executed.NO:
                    journal.not_executed.add(token)
                elif error.executed is Executed.YES:
                    journal.executed.add(token)
            except DuologueError as error:
                journal.outcomes[type(error).__name__] += 1
            else:
                journal.outcomes["answered"] += 1
                expected: Any = "x" * message.size if isinstance(message, Large) else token
                assert answer == expected or world.has_corrupted, f"{message} was answered with {answer!r}"

    async def _send(self, peer: Peer, message: Any, namespace: Any = work) -> None:
        with self.play.world.impatient():
            try:
                await peer.remote(namespace).send(message)
            except DuologueError as error:
                self.play.journal.outcomes[f"send: {type(error).__name__}"] += 1
            else:
                if self._remains and namespace is work:
                    self.play.journal.sent.add(message.token)

    async def _raw(self, peer: Peer) -> None:
        """A payload that nobody can read, or a service that nobody has."""
        sid = self.random.choice((*map(work.sid, work), UNKNOWN))
        with self.play.world.impatient():
            try:
                await peer.call_raw(sid, b"\xff{")
            except DuologueError as error:
                self.play.journal.outcomes[f"raw: {type(error).__name__}"] += 1
