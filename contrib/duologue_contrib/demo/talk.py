"""Rows about what goes well: typed calls and sends, in both directions, many at once."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

import anyio

from duologue import Limits, Peer, Services
from duologue_contrib.demo.messages import Add, CallBack, MostAtOnce, Note, Notes, Work, server_side
from duologue_contrib.demo.parallel import in_parallel
from duologue_contrib.demo.rows import Outcome, Row, expect, per_second
from duologue_contrib.demo.server import BUDGET, SHARED, WIREFORMATS
from duologue_contrib.demo.services import Caller
from duologue_contrib.demo.stage import Stage

CALLS = 3_000
SENDS = 5_000
CALLS_BACK = 2_000
AT_ONCE = 64

MANY = 10_000
"""Calls at once."""
CONNECTIONS = 10
WORK = 0.005
"""Seconds that each of them takes: 100 at once could do 20,000 a second."""


def talk_rows() -> list[Row]:
    """All of them."""
    return [
        *(_talking("memory", wireformat) for wireformat in WIREFORMATS),
        *(_talking("tcp", wireformat) for wireformat in WIREFORMATS),
        Row(f"{MANY:,} calls at once, budget of {BUDGET}", many_on_one),
        Row(f"the same on {CONNECTIONS} connections with one budget", many_on_several),
    ]


def _talking(transport: str, wireformat: str) -> Row:
    def connection(stage: Stage, services: Services) -> AbstractAsyncContextManager[Peer]:
        return stage.memory(wireformat, services) if transport == "memory" else stage.tcp(wireformat, services)

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
    return Outcome(f"all right; {sends}; the server calls us: {back}", CALLS, calling)


async def many_on_one(stage: Stage) -> Outcome:
    """Far more than a connection takes at once: the rest waits, parked at the server or in line here."""
    async with stage.tcp("json", limits=Limits(waiting=MANY)) as peer:
        return await _many(peer, [peer])


async def many_on_several(stage: Stage) -> Outcome:
    """No limit is raised for it, and one budget holds for all connections of a server."""

    async def on_each(peers: list[Peer]) -> Outcome:
        if len(peers) == CONNECTIONS:
            return await _many(peers[0], peers)
        async with stage.tcp(SHARED, wireformat="json") as peer:
            return await on_each([*peers, peer])

    return await on_each([])


async def _many(asked: Peer, peers: list[Peer]) -> Outcome:
    remotes = [peer.remote(server_side) for peer in peers]
    await remotes[0].call(MostAtOnce())  # what was before does not count

    async def work(number: int) -> None:
        await remotes[number % len(remotes)].call(Work(seconds=WORK))

    seconds = await in_parallel(MANY, MANY, work)
    most = await remotes[0].call(MostAtOnce())
    expect(most <= BUDGET, f"at most {BUDGET} at once", most)
    expect(most > 0.9 * BUDGET, f"the budget of {BUDGET} to be used", f"at most {most} at once")
    return Outcome(f"all answered; at most {most} ran at once, by the server's own count", MANY, seconds)
