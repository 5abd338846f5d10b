"""Rows about more calls at once than a server takes: the rest waits, and nothing is lost."""

from __future__ import annotations

from contextlib import AsyncExitStack

import anyio

from duologue import Limits, Peer
from duologue_contrib.demo.messages import Begin, MostAtOnce, Prompt, Work, server_side
from duologue_contrib.demo.parallel import in_parallel
from duologue_contrib.demo.rows import Outcome, Row, expect
from duologue_contrib.demo.server import BUDGET, SHARED
from duologue_contrib.demo.services import Caller
from duologue_contrib.demo.stage import Stage

MANY = 10_000
"""Calls at once, on one connection."""
CONNECTIONS = 10
ON_EACH = 300
"""Calls at once on each of several connections."""
WORK = 0.002
"""Seconds that each of them takes: 100 at once could do 50,000 a second."""


def crowd_rows() -> list[Row]:
    """Both."""
    section = f"More at once than there is room for: a budget of {BUDGET}, and the others wait"
    return [
        Row(f"{MANY:,} calls at once on one connection", many_on_one, section),
        Row(f"{ON_EACH} on each of {CONNECTIONS}, which share a budget", many_on_several, section),
    ]


async def many_on_one(stage: Stage) -> Outcome:
    """Far more than a connection takes at once: the rest waits, parked at the server or in line here."""
    caller = Caller()
    limits = Limits(waiting=MANY)
    async with stage.connection(services=caller.services, limits=limits) as peer:
        return await _many(stage, [peer], caller, MANY)


async def many_on_several(stage: Stage) -> Outcome:
    """No limit is raised for it, and one budget holds for all connections of a server."""
    caller = Caller(CONNECTIONS)
    async with AsyncExitStack() as stack:
        connections = [stage.connection(SHARED, services=caller.services) for _ in range(CONNECTIONS)]
        peers = [await stack.enter_async_context(each) for each in connections]
        return await _many(stage, peers, caller, CONNECTIONS * ON_EACH)


async def _many(stage: Stage, peers: list[Peer], caller: Caller, count: int) -> Outcome:
    remotes = [peer.remote(server_side) for peer in peers]
    await remotes[0].call(MostAtOnce())
    begun = 0
    seconds = 0.0

    async def work(number: int) -> None:
        nonlocal begun
        begun += 1
        if begun == count:
            group.start_soon(let_them_begin)
        await remotes[number % len(remotes)].call(Work(seconds=WORK))

    async def let_them_begin() -> None:
        # When the cues are here, all calls for which there was room have arrived, and as many run as may.
        for remote in remotes:
            await remote.send(Prompt())
        await caller.all_cues.wait()
        await remotes[0].send(Begin())

    stage.progress.begin("calls", count)
    async with anyio.create_task_group() as group:
        seconds = await in_parallel(count, count, work, stage.progress.step)
    most = await remotes[0].call(MostAtOnce())
    expect(most <= BUDGET, f"at most {BUDGET} at once", most)
    expect(most > 0.9 * BUDGET, f"the budget of {BUDGET} to be used", f"at most {most} at once")
    return Outcome(
        f"{count:,} calls answered; at most {most} ran at once, by the server's own count", count, seconds
    )
