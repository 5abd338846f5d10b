"""Actors that would wait for each other: refused at once where it is seen, and ended by a timeout where it is not."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from tests.contrib.actors.common import Note, until

from duologue import CallError, CallTimeout, Executed, Message, RemoteError
from duologue_contrib.actors import Actor, ActorDeadlock, LocalAddress, Resume, actor_scope, handles


class Ask(Message[str]):
    """Ask the next one, which asks the next; who has none answers."""

    how: str = "call"


class Flood(Message[str]):
    """Send to the next until there is no room."""


class Node(Actor):
    """Knows one other."""

    def __init__(self) -> None:
        self.next: LocalAddress | None = None
        self.errors: list[BaseException] = []
        self.noted = 0

    @handles
    async def ask(self, msg: Ask) -> str:
        if self.next is None:
            return "the end"
        try:
            match msg.how:
                case "call":
                    return await self.next.call(msg)
                case "task":
                    async with anyio.create_task_group() as tasks:
                        tasks.start_soon(self.ask_next, Ask("call"))
                    return "asked"
                case "send":
                    await self.next.send(Ask("send"))
                    return "sent"
                case "stop":
                    await self.next.stop()
                    return "stopped"
                case _:
                    await self.next.wait_stopped()
                    return "waited"
        except CallError as exc:
            self.errors.append(exc)
            raise

    async def ask_next(self, msg: Ask) -> None:
        assert self.next is not None
        try:
            await self.next.call(msg, timeout=0.05)
        except CallError as exc:
            self.errors.append(exc)

    @handles
    async def flood(self, msg: Flood) -> str:
        assert self.next is not None
        for _ in range(10):
            await self.next.send(Note("drop"))
        return "no end of room"

    @handles
    async def note(self, msg: Note) -> None:
        self.noted += 1


async def ring(actors: Any, count: int, **options: Any) -> tuple[list[Node], list[LocalAddress]]:
    """Actors each of which knows the next, and the last the first."""
    nodes = [Node() for _ in range(count)]
    addresses = [
        await actors.start(lambda node=node: node, name=f"node {n}", failure=Resume(), **options)
        for n, node in enumerate(nodes)
    ]
    for n, node in enumerate(nodes):
        node.next = addresses[(n + 1) % count]
    return nodes, addresses


@pytest.mark.parametrize("count", [1, 2, 5])
async def test_a_circle_of_calls_is_refused_at_once(count: int) -> None:
    """The last call of the circle raises, though nothing has a timeout; the error tells who waits for whom."""
    async with actor_scope() as actors:
        nodes, addresses = await ring(actors, count)
        with pytest.raises(RemoteError):
            await addresses[0].call(Ask(), timeout=None)
        (error,) = nodes[-1].errors
        assert isinstance(error, ActorDeadlock)
        assert error.executed is Executed.NO
        last, *others = (f"node {n}" for n in (count - 1, *range(count - 1), count - 1))
        assert error.names == (last, *others)
        advice = "call the method itself" if count == 1 else "somebody who is not among them make the calls"
        assert advice in str(error)
        nodes[-1].next = None
        assert await addresses[0].call(Ask()) == "the end"


async def test_a_chain_is_no_circle() -> None:
    async with actor_scope() as actors:
        nodes, addresses = await ring(actors, 10)
        nodes[-1].next = None
        assert await addresses[0].call(Ask()) == "the end"


async def test_a_message_one_way_to_oneself_is_handled_later() -> None:
    """It does not wait, so there is no circle."""
    async with actor_scope() as actors:
        (node,), (address,) = await ring(actors, 1)
        assert await address.call(Ask("send")) == "sent"
        node.next = None
        await address.call(Ask())
        assert not node.errors


@pytest.mark.parametrize("count", [1, 2])
async def test_waiting_for_room_is_waiting(count: int) -> None:
    """A handler that fills its own mailbox would wait for itself; two that fill each other's, for each other."""
    async with actor_scope() as actors, anyio.create_task_group() as tasks:
        _, addresses = await ring(actors, count, mailbox=2)
        outcomes: list[Any] = []

        async def caller(address: LocalAddress) -> None:
            try:
                outcomes.append(await address.call(Flood(), timeout=None))
            except RemoteError as exc:
                outcomes.append(exc.__cause__)

        for address in addresses:
            tasks.start_soon(caller, address)
        await until(lambda: len(outcomes) == count)
        refused = [each for each in outcomes if isinstance(each, ActorDeadlock)]
        assert len(refused) == 1
        assert [each for each in outcomes if each not in refused] == ["no end of room"] * (count - 1)


async def test_waiting_for_ones_own_end_is_refused() -> None:
    """`wait_stopped` in a handler of the actor itself; `stop` there does not wait."""
    async with actor_scope() as actors:
        (node,), (address,) = await ring(actors, 1)
        with pytest.raises(RemoteError) as caught:
            await address.call(Ask("wait"))
        assert isinstance(caught.value.__cause__, ActorDeadlock)
        assert await address.call(Ask("stop")) == "stopped"
        await address.wait_stopped()
        assert len(node.errors) == 1


async def test_a_circle_by_way_of_a_task_ends_with_a_timeout() -> None:
    """Tasks that a handler starts may call its own actor, since it need not wait for them. If it does, time ends it."""
    async with actor_scope() as actors:
        (node,), (address,) = await ring(actors, 1)
        assert await address.call(Ask("task")) == "asked"
        (error,) = node.errors
        assert isinstance(error, CallTimeout)
        assert error.executed is Executed.NO


async def test_two_that_ask_each_other_in_turn_are_no_circle() -> None:
    """Who has answered waits for nobody any more."""
    async with actor_scope() as actors:
        nodes, addresses = await ring(actors, 2)
        for n in (0, 1, 0, 1):
            nodes[n].next, nodes[1 - n].next = addresses[1 - n], None
            assert await addresses[n].call(Ask()) == "the end"
