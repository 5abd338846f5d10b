"""What the tests of the reconnecting client share: a server that comes and goes, and time that passes when it is told to."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.abc
import anyio.lowlevel
from tests.adapters.common import Tools, until

from duologue import Peer, Server, serve
from duologue_contrib.reconnect import ClientEvent, Clock, Connecting, ReconnectingClient

_names = itertools.count(1)


def new_url() -> str:
    """Where nobody serves yet."""
    return f"mem://reconnect-{next(_names)}"


class Stage:
    """A server that can be started and stopped, as often as one likes, at one address."""

    def __init__(self, group: anyio.abc.TaskGroup, url: str, options: dict[str, Any]) -> None:
        self.url = url
        self.tools = Tools()
        self.server: Server | None = None
        self._group = group
        self.options = options

    async def start(self) -> None:
        await self._group.start(self._serve)

    async def _serve(self, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        # In a task of its own, since it is started and stopped anywhere.
        async with serve(self.url, self.tools.services, wireformat="json", **self.options) as self.server:
            self.url = self.server.url
            task_status.started()
            await self.server.wait_closed()
        self.server = None

    async def stop(self) -> None:
        if self.server is not None:
            await self.server.close()
            await until(lambda: self.server is None)

    @property
    def peers(self) -> list[Peer]:
        return [] if self.server is None else list(self.server.peers)


@asynccontextmanager
async def stage(url: str = "", *, is_up: bool = True, **options: Any) -> AsyncIterator[Stage]:
    """A server that runs, or will."""
    async with anyio.create_task_group() as group:
        made = Stage(group, url or new_url(), options)
        if is_up:
            await made.start()
        yield made
        await made.stop()


class HandTime:
    """A clock for the waits between attempts: they last until `pass_by`, whatever they are, and are written down."""

    def __init__(self) -> None:
        self.time = 0.0
        self.sleeps: list[float] = []
        self.clock = Clock(now=lambda: self.time, sleep=self._sleep)
        self._passed = anyio.Event()
        self.is_asleep = False
        self._woken = 0

    async def _sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.is_asleep = True
        try:
            await self._passed.wait()
        finally:
            self.is_asleep = False
        self._woken += 1
        self.time += seconds

    async def pass_by(self) -> None:
        """Let the client come to its wait, and the wait be over."""
        await until(lambda: self.is_asleep)
        woken = self._woken
        self._passed.set()
        self._passed = anyio.Event()
        await until(lambda: self._woken > woken)


class FastTime:
    """A clock whose waits take no time, and are written down."""

    def __init__(self) -> None:
        self.time = 0.0
        self.sleeps: list[float] = []
        self.clock = Clock(now=lambda: self.time, sleep=self._sleep)

    async def _sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.time += seconds
        await anyio.lowlevel.checkpoint()


class Seen:
    """All that a client has told."""

    def __init__(self) -> None:
        self.events: list[ClientEvent] = []

    def __call__(self, event: ClientEvent) -> None:
        self.events.append(event)

    def of(self, *kinds: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kinds)]

    @property
    def names(self) -> list[str]:
        return [type(event).__name__ for event in self.events]

    @property
    def attempts(self) -> int:
        return len(self.of(Connecting))


async def connected_again(client: ReconnectingClient, before: Peer | None) -> Peer:
    """The peer of the next connection."""
    await until(lambda: client.peer is not None and client.peer is not before)
    assert client.peer is not None
    return client.peer


def is_disconnected(client: ReconnectingClient) -> Callable[[], bool]:
    return lambda: client.peer is None
