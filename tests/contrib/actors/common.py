"""An actor for the tests, and the ways to get at it: from here, by its key, and from behind two kinds of connection."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import anyio
import anyio.lowlevel

from duologue import Message, Namespace, Services, connect, serve
from duologue_contrib.actors import (
    Actor,
    ActorScope,
    Address,
    Clock,
    FailurePolicy,
    LocalAddress,
    Stop,
    actor_scope,
    handles,
    services,
)

STOP = Stop()


class Add(Message[int]):
    amount: int = 1
    key: str = "one"


class Note(Message[None]):
    """One way: what it says is found in `Troupe.notes`."""

    text: str
    key: str = "one"


class Hold(Message[str]):
    """Its handler waits until the test lets it go on."""

    name: str = ""
    key: str = "one"


class Patient(Message[str]):
    """The same, but whoever calls it may cancel it."""

    name: str = ""
    key: str = "one"


class Fail(Message[int]):
    how: str = ""
    key: str = "one"


class Stranger(Message[None]):
    """Nobody handles it."""


class Unusual(BaseException):
    """No `Exception`."""


counting = Namespace("counting", [Add, Note, Hold, Patient, Fail])

FAILURES: dict[str, Callable[[], BaseException]] = {
    "": lambda: ValueError("secret /etc/passwd"),
    "group": lambda: ExceptionGroup("secret", [ValueError("secret")]),
    "base": lambda: Unusual("secret"),
    "base group": lambda: BaseExceptionGroup("secret", [Unusual("secret")]),
    "timeout": lambda: TimeoutError("secret"),
    "stop": lambda: StopIteration("secret"),
}


class Troupe:
    """What came of the actors of one test."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.began: list[str] = []
        self.ended: list[str] = []
        self.cancelled: list[str] = []
        self.running = 0
        self.most = 0
        self.release = anyio.Event()
        self.unmade: list[BaseException] = []
        """What the next makings fail with."""
        self._changed = anyio.Event()

    def note(self, text: str) -> None:
        self.notes.append(text)
        self.changed()

    def changed(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something that a handler changes is so."""
        while not condition():
            await self._changed.wait()


class Counter(Actor):
    """Counts, and does everything that an actor can do wrong."""

    def __init__(self, troupe: Troupe, key: str = "one") -> None:
        self.troupe = troupe
        self.key = key
        self.count = 0

    async def started(self) -> None:
        if self.troupe.unmade:
            raise self.troupe.unmade.pop(0)
        self.troupe.note(f"started {self.key}")

    async def stopped(self) -> None:
        self.troupe.note(f"stopped {self.key}")

    @handles
    async def add(self, msg: Add) -> int:
        before = self.count
        self.troupe.running += 1
        self.troupe.most = max(self.troupe.most, self.troupe.running)
        await anyio.lowlevel.checkpoint()  # whoever else could get in here would be counted wrongly
        self.troupe.running -= 1
        self.count = before + msg.amount
        return self.count

    @handles
    async def write(self, msg: Note) -> None:
        self.troupe.note(msg.text)

    @handles
    async def hold(self, msg: Hold) -> str:
        return await self._hold(msg.name)

    @handles(cancellable=True)
    async def wait(self, msg: Patient) -> str:
        return await self._hold(msg.name)

    @handles
    async def fail(self, msg: Fail) -> int:
        raise FAILURES[msg.how]()

    async def _hold(self, name: str) -> str:
        self.troupe.began.append(name)
        self.troupe.changed()
        try:
            await self.troupe.release.wait()
        except BaseException:
            self.troupe.cancelled.append(name)
            raise
        finally:
            self.troupe.ended.append(name)
            self.troupe.changed()
        return name


class TestClock(Clock):
    """A time that passes when the test says so."""

    __test__ = False

    def __init__(self) -> None:
        self._now = 1000.0
        self._moved = anyio.Event()
        self.sleepers = 0
        self.asleep = anyio.Event()
        """Somebody waits for the time to pass."""

    def now(self) -> float:
        return self._now

    async def sleep_until(self, time: float) -> None:
        while self._now < time:
            self.sleepers += 1
            self.asleep.set()
            await self._moved.wait()
            self.sleepers -= 1

    def advance(self, seconds: float) -> None:
        self._now += seconds
        self.asleep = anyio.Event()
        self._moved.set()
        self._moved = anyio.Event()


@dataclass
class Stage:
    """A test's actor, and all around it."""

    address: Address
    """How the test gets at it."""
    local: LocalAddress
    """The actor itself."""
    troupe: Troupe
    actors: ActorScope


_names = itertools.count(1)


@dataclass
class Reach:
    """How the tests get at the actor."""

    how: str

    @property
    def is_remote(self) -> bool:
        return self.how in ("mem", "tcp")

    @asynccontextmanager
    async def stage(
        self, *, mailbox: int = 100, failure: FailurePolicy = STOP, clock: Clock | None = None
    ) -> AsyncIterator[Stage]:
        """An actor, and its address."""
        troupe = Troupe()
        async with actor_scope(clock=clock) as actors:
            if self.how == "keyed":
                keyed = actors.keyed(
                    lambda_annotated(troupe), key="key", limit=10, mailbox=mailbox, failure=failure
                )
                await keyed.call(Add(0))
                local = keyed.address_of("one")
                assert local is not None
                yield Stage(keyed, local, troupe, actors)
                return
            local = await actors.start(lambda: Counter(troupe), mailbox=mailbox, failure=failure)
            if not self.is_remote:
                yield Stage(local, local, troupe, actors)
                return
            async with self.remote(services(counting, local)) as remote:
                yield Stage(remote, local, troupe, actors)

    @asynccontextmanager
    async def remote(self, served: Services) -> AsyncIterator[Address]:
        """The services of a namespace from the other end of a connection."""
        url = "tcp://127.0.0.1:0" if self.how == "tcp" else f"mem://actors-{next(_names)}"
        async with serve(url, served, wireformat="msgpack") as server:
            async with connect(server.url, wireformat="msgpack") as peer:
                yield peer.remote(counting)


def lambda_annotated(troupe: Troupe) -> Callable[[str], Counter]:
    def make(key: str) -> Counter:
        return Counter(troupe, key)

    return make


async def outcome_of(call: Awaitable[Any]) -> Any:
    """The answer, or the exception in its place."""
    try:
        return await call
    except Exception as exc:
        return exc


async def outcomes_of(*calls: Awaitable[Any]) -> list[Any]:
    """All at once; the answers, or the exceptions in their places, in the order of the calls."""
    found: list[Any] = [None] * len(calls)

    async def one(place: int, call: Awaitable[Any]) -> None:
        found[place] = await outcome_of(call)

    async with anyio.create_task_group() as tasks:
        for place, call in enumerate(calls):
            tasks.start_soon(one, place, call)
    return found


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something is so that has no event of its own. The test's own end ends it, too."""
    while not condition():
        await anyio.lowlevel.checkpoint()
