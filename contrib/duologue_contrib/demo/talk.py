"""Rows about the same program over each transport and in each wire format: nothing changes but the URL, or a name."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Awaitable, Callable

from duologue_contrib.demo.messages import Add, CallBack, Note, Notes, server_side
from duologue_contrib.demo.parallel import in_parallel
from duologue_contrib.demo.rows import Outcome, Row, expect, per_second
from duologue_contrib.demo.services import Caller
from duologue_contrib.demo.stage import Stage
from duologue_contrib.demo.transports import TRANSPORTS, WIREFORMATS

CALLS = 5_000
SENDS = 10_000
CALLS_BACK = 2_500
AT_ONCE = 64


def transport_rows() -> list[Row]:
    """One for each transport, all in json."""
    section = f'One program, any transport: connect(url, wireformat="{WIREFORMATS[0]}"), calls and one-way messages, both ways'
    return [
        _row(f"{each.scheme}, {WIREFORMATS[0]}: {each.what}", section, each.scheme, WIREFORMATS[0])
        for each in TRANSPORTS
    ]


def wireformat_rows() -> list[Row]:
    """TCP in the wire formats that remain."""
    section = "The same in other wire formats: by their names"
    return [_row(f"tcp, {each}", section, "tcp", each) for each in WIREFORMATS[1:]]


def _row(title: str, section: str, scheme: str, wireformat: str) -> Row:
    return Row(title, _talking(scheme, wireformat), section, scheme, wireformat, compared=True)


def _talking(scheme: str, wireformat: str) -> Callable[[Stage], Awaitable[Outcome]]:
    async def play(stage: Stage) -> Outcome:
        caller = Caller(step=stage.progress.step)
        async with stage.connection(scheme, wireformat, caller.services) as peer:
            remote = peer.remote(server_side)
            step = stage.progress.step

            async def add(number: int) -> None:
                total = await remote.call(Add(a=number, b=1))
                expect(total == number + 1, f"{number} + 1 = {number + 1}", total)

            async def note(number: int) -> None:
                await remote.send(Note(text=f"note {number}"))

            # When a child has been started it is not ready yet. The time for that is no time of its calls.
            await add(0)
            stage.progress.begin("calls", CALLS)
            calling = await in_parallel(CALLS, AT_ONCE, add, step)

            stage.progress.begin("one-way messages", SENDS)
            began = time.perf_counter()
            await in_parallel(SENDS, 1, note, step)
            arrived = await remote.call(Notes(expected=SENDS))
            sends = per_second(SENDS, time.perf_counter() - began, "")
            expect(arrived == SENDS, f"{SENDS} notes at the server", arrived)

            stage.progress.begin("calls back", CALLS_BACK)
            began = time.perf_counter()
            total = await remote.call(CallBack(count=CALLS_BACK, at_once=AT_ONCE))
            back = per_second(CALLS_BACK, time.perf_counter() - began, "")
            wanted = sum(2 * number for number in range(CALLS_BACK))
            expect(total == wanted, f"our answers to add up to {wanted:,} at the other end", total)
        # Where Python lies says nothing, and takes half of the line.
        url = stage.url_of(scheme, wireformat).replace(shlex.quote(sys.executable), "python")
        text = f"{CALLS:,} answered; {CALLS_BACK:,} calls back, {back}; {SENDS:,} one-way, {sends}; {url}"
        return Outcome(text, CALLS, calling)

    return play
