"""Random storms: requests of every kind, callers that give up, connections that end at any moment; after each all is at rest."""

from __future__ import annotations

import logging
import os
from collections import Counter
from random import Random

import anyio
import pytest
from tests.adapters.common import QUICK, State, collect, connected, turn, until

from duologue import (
    CallBudget,
    CallError,
    Context,
    DuologueError,
    Limits,
    Message,
    Namespace,
    Peer,
    Services,
)

SEEDS = int(os.environ.get("DUOLOGUE_STORMS", "12"))


class Do(Message[int]):
    """What the handler shall do."""

    how: str
    number: int = 0


class DoInline(Message[int]):
    how: str
    number: int = 0


class DoInThread(Message[int]):
    how: str
    number: int = 0


class DoInOrder(Message[int]):
    how: str
    number: int = 0


doing = Namespace("doing", [Do, DoInline, DoInThread, DoInOrder])
HOW = ["answer", "answer", "pass", "passes", "raise", "scope", "call back", "send back", "spawn", "waiting"]
HOW_SYNC = ["answer", "answer", "raise"]


class Actor:
    """Handlers that do what they are told, and count."""

    def __init__(self) -> None:
        self.begun: Counter[int] = Counter()
        self.services = Services(doing)
        self.services.handler(self.do)
        self.services.handler(self.do_inline, inline=True)
        self.services.handler(self.do_in_thread)
        self.services.handler(DoInOrder, self.do_in_order, ordered=True)

    async def do(self, msg: Do, ctx: Context) -> int:
        self.begun[msg.number] += 1
        return await self._do(msg.how, msg.number, ctx)

    async def do_in_order(self, msg: DoInOrder, ctx: Context) -> int:
        self.begun[msg.number] += 1
        return await self._do(msg.how, msg.number, ctx)

    async def _do(self, how: str, number: int, ctx: Context) -> int:
        match how:
            case "pass":
                await turn()
            case "passes":
                await turn(number % 7)
            case "raise":
                await turn(number % 2)
                raise LookupError(number)
            case "scope":
                with anyio.move_on_after(0):
                    await anyio.sleep_forever()
            case "call back":
                return await ctx.peer.remote(doing).call(Do(how="passes", number=-number))
            case "send back":
                await ctx.peer.remote(doing).send(Do(how="pass", number=-number))
            case "spawn":
                async with anyio.create_task_group() as group:
                    group.start_soon(turn, 2)
                    group.start_soon(ctx.peer.remote(doing).call, DoInline(how="answer", number=-number))
            case "waiting":
                async with ctx.waiting():
                    await turn(2)
            case _:
                pass
        return number

    def do_inline(self, msg: DoInline) -> int:
        return self._do_now(msg.how, msg.number)

    def do_in_thread(self, msg: DoInThread) -> int:
        return self._do_now(msg.how, msg.number)

    def _do_now(self, how: str, number: int) -> int:
        self.begun[number] += 1
        if how == "raise":
            raise LookupError(number)
        return number


def message(random: Random, number: int) -> Message[int]:
    kind = random.choice([Do, Do, Do, Do, DoInline, DoInOrder, DoInThread])
    how = random.choice(HOW if kind in (Do, DoInOrder) else HOW_SYNC)
    if kind is DoInOrder and how in ("call back", "spawn"):
        how = "pass"  # a ring of ordered handlers that wait for each other is a deadlock of their own making
    return kind(how=how, number=number)


async def storm(random: Random, peers: tuple[Peer, Peer], ends: bool) -> Counter[str]:
    """A crowd of callers; some give up; and then, perhaps, one end goes."""
    outcomes: Counter[str] = Counter()

    async def caller(number: int, peer: Peer) -> None:
        remote = peer.remote(doing)
        request = message(random, number)
        try:
            with anyio.move_on_after(random.choice([0, 0.001, 5, 5, 5])):
                if random.random() < 0.3:
                    await remote.send(request)
                else:
                    assert await remote.call(request, timeout=random.choice([0.002, 20, 20])) is not None
                outcomes["done"] += 1
                return
            outcomes["cancelled"] += 1
        except CallError as exc:
            outcomes[f"{type(exc).__name__} {exc.executed.value}"] += 1
        except DuologueError as exc:
            outcomes[type(exc).__name__] += 1

    async with anyio.create_task_group() as group:
        for number in range(1, 81):
            group.start_soon(caller, number, random.choice(peers))
            if random.random() < 0.2:
                await turn(random.randrange(4))
        if ends:
            await turn(random.randrange(12))
            match random.choice(["close", "grace", "abort", "both"]):
                case "close":
                    await random.choice(peers).close()
                case "grace":
                    await random.choice(peers).close(grace=random.choice([0.001, 1]))
                case "abort":
                    random.choice(peers).abort()  # type: ignore[attr-defined]
                case _:
                    group.start_soon(peers[0].close)
                    await peers[1].close()
    return outcomes


@pytest.mark.fault(37, 45, 55, 58, 59)
@pytest.mark.parametrize("ends", [False, True])
async def test_storms(url: str, ends: bool, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever comes together: each caller gets one outcome, no handler begins twice, and in the end nothing is held."""
    caplog.set_level(logging.CRITICAL, "duologue")
    for seed in range(SEEDS):
        random = Random(f"{seed} {ends}")
        limits = Limits(
            calls=random.choice([1, 2, 10]),
            sends=random.choice([1, 5, 1000]),
            parked=random.choice([5, 1000]),
            owed=random.choice([3, 1000]),
            discard_timeout=QUICK.discard_timeout,
        )
        here, there = Actor(), Actor()
        budget = CallBudget(limits.calls)
        async with connected(
            url, there.services, here.services, limits=limits, client_limits=limits, budget=budget
        ) as peers:
            with anyio.fail_after(30):
                outcomes = await storm(random, peers, ends)
                assert sum(outcomes.values()) == 80, outcomes
                await until(lambda peers=peers: all(State(peer).is_idle for peer in peers))  # type: ignore[misc]
            if not ends:
                assert await peers[0].remote(doing).call(Do(how="answer", number=1000)) == 1000
        await until(lambda budget=budget: budget.in_use == budget.lent == budget.waiting == 0)  # type: ignore[misc]
        for actor in (here, there):
            assert max(actor.begun.values(), default=1) <= 2  # a number and its call back
    collect()
