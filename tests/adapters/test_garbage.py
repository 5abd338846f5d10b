"""What a handler holds goes when the handler ends, however it ends, and not when the garbage is collected some time later.

Thousands of handlers may end at once, with their connection. What they held would stay until then, in cycles of an
exception, its traceback and a frame that knows the exception.
"""

from __future__ import annotations

import gc
import logging
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, cast

import anyio
import pytest
from tests.adapters.common import connected, turn, until

from duologue import Context, DuologueError, Limits, Message, Namespace, Peer, Services
from duologue_adapters.peer import DriverPeer

COUNT = 20
AT_ONCE = Limits(eof_grace_sends=0.0)
"""Handlers of one-way messages end with their connection, too."""


class Call(Message[int]):
    how: str


class Tell(Message[None]):
    how: str


class Never(Message[int]):
    """It is not answered."""


keeping = Namespace("keeping", [Call, Tell, Never])


class Held:
    """What a handler has in a variable."""


class Keeper:
    """The service, and what tells whether something is still held of what its handlers held."""

    def __init__(self) -> None:
        self.began = 0
        self._held: list[weakref.ref[Held]] = []
        self.services = Services(keeping)
        for handler in (self.call, self.tell, self.never):
            self.services.handler(cast("Any", handler))

    async def call(self, msg: Call, ctx: Context) -> int:
        await self._run(msg.how, ctx.peer)
        return 0

    async def tell(self, msg: Tell, ctx: Context) -> None:
        await self._run(msg.how, ctx.peer)

    async def never(self, msg: Never) -> int:
        await anyio.sleep_forever()

    async def _run(self, how: str, peer: Peer) -> None:
        here = self.hold()
        self.began += 1
        match how:
            case "waits":
                await anyio.sleep_forever()
            case "calls back":
                await peer.remote(keeping).call(Never())
            case _:
                raise ValueError(here)

    def hold(self) -> Held:
        """Something new, that is looked for afterwards."""
        held = Held()
        self._held.append(weakref.ref(held))
        return held

    @property
    def held(self) -> int:
        """How much of it is still there."""
        return sum(reference() is not None for reference in self._held)


@pytest.fixture(autouse=True)
def no_collector() -> Iterator[None]:
    """Nothing is collected meanwhile, and nothing kept by the log, of which the test runner has a copy."""
    gc.collect()
    gc.disable()
    logging.disable()
    yield
    logging.disable(logging.NOTSET)
    gc.enable()


async def gone(keeper: Keeper) -> None:
    """Wait until nothing is held: tasks end in some passes of the loop."""
    for _ in range(100):
        if not keeper.held:
            return
        await turn()
    pytest.fail(f"of {COUNT} handlers {keeper.held} still hold something")


async def ask(peer: Peer, message: Message[int], timeout: float | None = None) -> None:
    """Call, whatever comes of it."""
    with suppress(DuologueError):
        await peer.remote(keeping).call(message, timeout=timeout)


@pytest.mark.parametrize("how", ["waits", "calls back"])
@pytest.mark.parametrize("kind", [Call, Tell])
@pytest.mark.parametrize("end", ["here", "there"])
async def test_with_the_connection(url: str, end: str, kind: Callable[[str], Message[Any]], how: str) -> None:
    """The connection ends under handlers that wait, or that call: they are cancelled, or their calls fail, all at once."""
    keeper, caller = Keeper(), Keeper()
    async with (
        connected(url, keeper.services, caller.services, limits=AT_ONCE) as (client, server),
        anyio.create_task_group() as group,
    ):
        for _ in range(COUNT):
            if kind is Call:
                group.start_soon(ask, client, Call(how))
            else:
                await client.remote(keeping).send(Tell(how))
        await until(lambda: keeper.began == COUNT)
        await turn(5)
        ending = cast("DriverPeer", server if end == "here" else client)
        ending.abort()
        await server.wait_closed()
    await gone(keeper)


@pytest.mark.parametrize("kind", [Call, Tell])
async def test_that_fail(url: str, kind: Callable[[str], Message[Any]]) -> None:
    """Handlers raise errors that hold what they held."""
    keeper = Keeper()
    async with connected(url, keeper.services) as (client, _server):
        for _ in range(COUNT):
            if kind is Call:
                await ask(client, Call("raises"))
            else:
                await client.remote(keeping).send(Tell("raises"))
        await until(lambda: keeper.began == COUNT)
        await gone(keeper)


@pytest.mark.parametrize("how", ["its time is over", "cancelled"])
async def test_callers(url: str, how: str) -> None:
    """Whoever called holds nothing any more when the call's time is over, or nobody waits for it."""
    keeper = Keeper()

    async def wait(peer: Peer) -> None:
        here = keeper.hold()
        with anyio.move_on_after(None if how != "cancelled" else 0.05):
            await ask(peer, Never(), timeout=60 if how == "cancelled" else 0.05)
        assert here is not None

    async with connected(url, keeper.services) as (client, _server):
        async with anyio.create_task_group() as group:
            for _ in range(COUNT):
                group.start_soon(wait, client)
        await gone(keeper)


async def test_in_place(url: str) -> None:
    """A function that runs in place raises an error that holds what it held."""
    keeper = Keeper()
    services = Services(keeping)

    def call(msg: Call, ctx: Context) -> int:
        here = keeper.hold()
        raise ValueError(here)

    services.handler(Call, call, inline=True)
    async with connected(url, services) as (client, _server):
        for _ in range(COUNT):
            await ask(client, Call("raises"))
        await gone(keeper)
