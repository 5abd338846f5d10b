"""Rows about what goes well: typed calls and sends, in both directions, many at once."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, AsyncExitStack

import anyio

from duologue import Limits, Peer, Services
from duologue_contrib.demo.messages import (
    Add,
    Begin,
    CallBack,
    MostAtOnce,
    Note,
    Notes,
    Prompt,
    Work,
    server_side,
)
from duologue_contrib.demo.parallel import in_parallel
from duologue_contrib.demo.rows import Outcome, Row, expect, per_second
from duologue_contrib.demo.server import BUDGET, SHARED, WIREFORMATS
from duologue_contrib.demo.services import Caller
from duologue_contrib.demo.stage import Stage

CALLS = 2_000
SENDS = 4_000
CALLS_BACK = 1_000
AT_ONCE = 64

MANY = 10_000
"""Calls at once, on one connection."""
CONNECTIONS = 10
ON_EACH = 300
"""Calls at once on each of several connections."""
WORK = 0.002
"""Seconds that each of them takes: 100 at once could do 50,000 a second."""


def talk_rows() -> list[Row]:
    """All of them."""
    return [
        *(_talking("memory", wireformat) for wireformat in WIREFORMATS),
        *(_talking("tcp", wireformat) for wireformat in WIREFORMATS),
        Row(f"{MANY:,} calls at once, budget of {BUDGET}", many_on_one),
        Row(f"{ON_EACH} on each of {CONNECTIONS} connections, one budget", many_on_several),
    ]


def _talking(transport: str, wireformat: str) -> Row:
    def connection(stage: Stage, services: Services) -> AbstractAsyncContextManager[Peer]:
        return (
            stage.memory(wireformat, services) if transport == "memory" else stage.tcp(wireformat, services)
        )

    async def play(stage: Stage) -> Outcome:
        async with connection(stage, Caller().services) as peer:
            return await talk(peer)

    return Row(f"{transport}, {wireformat}: calls, sends, calls back", play, wireformat)


async def talk(peer: Peer) -> Outcome:
    """Calls, sends, and the server's calls to us, `AT_ONCE` at a time."""
    remote = peer.remote(server_side)

    async def add(number: int) -> None:
        total = await remote.call(Add(a=number, b=1))
        expect(total == number + 1, f"{number} + 1 = {number + 1}", total)

    async def note(number: int) -> None:
        await remote.send(Note(text=f"note {number}"))

    calling = await in_parallel(CALLS, AT_ONCE, add)
    began = anyio.current_time()
    await in_parallel(SENDS, 1, note)
    arrived = await remote.call(Notes(expected=SENDS))
    sending = anyio.current_time() - began
    expect(arrived == SENDS, f"{SENDS} notes at the server", arrived)
    began = anyio.current_time()
    total = await remote.call(CallBack(count=CALLS_BACK, at_once=AT_ONCE))
    calling_back = anyio.current_time() - began
    wanted = sum(2 * number for number in range(CALLS_BACK))
    expect(total == wanted, f"our handler's answers to add up to {wanted:,} at the server", total)
    sends, back = per_second(SENDS, sending, "sends"), per_second(CALLS_BACK, calling_back, "calls")
    return Outcome(f"answers right; {sends}, all arrived; the server calls us: {back}", CALLS, calling)


async def many_on_one(stage: Stage) -> Outcome:
    """Far more than a connection takes at once: the rest waits, parked at the server or in line here."""
    caller = Caller()
    async with stage.tcp("json", caller.services, limits=Limits(waiting=MANY)) as peer:
        return await _many([peer], caller, MANY)


async def many_on_several(stage: Stage) -> Outcome:
    """No limit is raised for it, and one budget holds for all connections of a server."""
    caller = Caller(CONNECTIONS)
    async with AsyncExitStack() as stack:
        connections = [stage.tcp(SHARED, caller.services, wireformat="json") for _ in range(CONNECTIONS)]
        peers = [await stack.enter_async_context(each) for each in connections]
        return await _many(peers, caller, CONNECTIONS * ON_EACH)


async def _many(peers: list[Peer], caller: Caller, count: int) -> Outcome:
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

    async with anyio.create_task_group() as group:
        seconds = await in_parallel(count, count, work)
    most = await remotes[0].call(MostAtOnce())
    expect(most <= BUDGET, f"at most {BUDGET} at once", most)
    expect(most > 0.9 * BUDGET, f"the budget of {BUDGET} to be used", f"at most {most} at once")
    return Outcome(f"all answered; at most {most} ran at once, by the server's own count", count, seconds)
