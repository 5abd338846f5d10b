"""kill -9 of the server: everybody who waits learns it at once, and what is said of each call is true."""

from __future__ import annotations

import random
import signal
from collections import Counter
from pathlib import Path

import anyio
from tests.adapters.common import State, until
from tests.torture.messages import Work, tools
from tests.torture.processes import Server, victim
from tests.torture.setting import Finding, Setting, exactly

from duologue import CallError, Executed, Limits, Peer, connect

RUNNING = 600
"""Handlers that run when the server is killed; the other calls that have left are parked there."""
SENT = 1024


class Callers:
    """Calls by number, and what came of each."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.answered: set[int] = set()
        self.failed: dict[int, Executed] = {}
        self.outcomes: Counter[int] = Counter()
        self.last = 0.0

    async def call(self, number: int) -> bool:
        """Says whether it was answered."""
        try:
            assert await self.peer.remote(tools).call(Work(number=number), timeout=None) == number
        except CallError as exc:
            self.failed[number] = exc.executed
        else:
            self.answered.add(number)
        self.outcomes[number] += 1
        self.last = anyio.current_time()
        return number in self.answered

    def untrue(self, begun: set[int]) -> int:
        """Calls of which something was said that is not so, by the numbers that handlers wrote down."""
        said_no = {number for number, executed in self.failed.items() if executed is Executed.NO}
        said_yes = {number for number, executed in self.failed.items() if executed is Executed.YES}
        return len(said_no & begun) + len((said_yes | self.answered) - begun)


def begun_in(record: Path) -> set[int]:
    """The numbers of the calls whose handlers have begun."""
    data = record.read_bytes()
    return {int.from_bytes(data[start : start + 4], "little") for start in range(0, len(data) - 3, 4)}


async def kill(server: Server) -> float:
    """Says when."""
    server.signal(signal.SIGKILL)
    return anyio.current_time()


async def killed(setting: Setting) -> list[Finding]:
    """10,000 wait, of which 1,024 have left, after others were answered."""
    waiting = setting.pick(10_000, 3_000)
    answered = setting.pick(2_000, 500)
    record = setting.folder / "record"
    limits = {"calls": RUNNING, "parked": 2 * SENT}
    async with (
        victim(setting, record=str(record), answered_below=answered, limits=limits) as server,
        connect(server.url, wireformat="msgpack", limits=Limits(waiting=20_000)) as peer,
    ):
        callers = Callers(peer)
        async with anyio.create_task_group() as group:
            for number in range(answered):
                group.start_soon(callers.call, number)
            await until(lambda: len(callers.answered) == answered)
            for number in range(answered, answered + waiting):
                group.start_soon(callers.call, number)
            await until(lambda: len(begun_in(record)) == answered + RUNNING)
            state = State(peer)
            killed_at = await kill(server)
        begun = begun_in(record)
        by_kind = Counter(callers.failed.values())
        return [
            *exactly("callers that waited", state.pending + state.waiting, waiting),
            *exactly("of their calls had left", by_kind[Executed.UNKNOWN], SENT),
            *exactly("errors", len(callers.failed), waiting),
            *exactly("most outcomes of a call", max(callers.outcomes.values()), 1),
            *exactly("untrue `executed`", callers.untrue(begun), 0),
            setting.seconds("last error after", callers.last - killed_at, 1.0),
            *exactly("held by the connection", sum(vars(State(peer)).values()), 0),
        ]


async def killed_in_full_flow(setting: Setting) -> list[Finding]:
    """In the middle of calls that come and go, again and again, each time at another moment."""
    rounds = setting.pick(20, 2)
    choice = random.Random(5)
    untrue = failed = answered = 0
    latest = 0.0
    kinds: Counter[Executed] = Counter()
    for number in range(rounds):
        record = setting.folder / f"record-{number}"
        async with (
            victim(setting, record=str(record), answered_below=2**31, work_seconds=0.001) as server,
            connect(server.url, wireformat="msgpack") as peer,
        ):
            callers = Callers(peer)
            numbers = iter(range(2**31))

            async def caller(callers: Callers = callers, numbers: object = numbers) -> None:
                while await callers.call(next(numbers)):  # type: ignore[call-overload]
                    pass

            async with anyio.create_task_group() as group:
                for _ in range(2_000):
                    group.start_soon(caller)
                await until(lambda callers=callers: len(callers.answered) > 100)  # type: ignore[misc]
                await anyio.sleep(choice.uniform(0.0, 0.5))
                killed_at = await kill(server)
            untrue += callers.untrue(begun_in(record))
            failed += len(callers.failed)
            answered += len(callers.answered)
            kinds.update(callers.failed.values())
            latest = max(latest, callers.last - killed_at)
    return [
        *exactly("errors", failed, 2_000 * rounds),
        Finding("calls answered before", answered, 1, is_least=True),
        Finding("said to be unknown", kinds[Executed.UNKNOWN]),
        Finding("said to be not executed", kinds[Executed.NO]),
        *exactly("untrue `executed`", untrue, 0),
        setting.seconds("last error after", latest, 1.0),
    ]
