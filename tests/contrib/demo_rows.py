"""Rows for the demo that come out in all possible ways, and a program that plays rows of a test's choice.

`python -m tests.contrib.demo_rows fine,wrong --plain` is `duologue demo --plain`, with two rows.
"""

from __future__ import annotations

import os
import sys
from contextlib import AsyncExitStack

import anyio

import duologue
from duologue_contrib.cli import main
from duologue_contrib.demo import command
from duologue_contrib.demo.messages import Hang, Prompt, server_side
from duologue_contrib.demo.parallel import Endings
from duologue_contrib.demo.play import start_server
from duologue_contrib.demo.rows import Outcome, Row, expect
from duologue_contrib.demo.services import Caller
from duologue_contrib.demo.stage import Stage
from duologue_contrib.demo.transports import TRANSPORTS


class Bug(BaseException):
    """What no row may raise."""


async def fine(stage: Stage) -> Outcome:
    return Outcome("fine", count=10, seconds=0.5)


async def wrong(stage: Stage) -> Outcome:
    expect(2 + 2 == 5, "2 + 2 = 5", 2 + 2)
    return Outcome("never")


async def crashing(stage: Stage) -> Outcome:
    async with anyio.create_task_group() as group:
        group.start_soon(wrong, stage)
    return Outcome("never")


async def surprising(stage: Stage) -> Outcome:
    raise duologue.DuologueError("nobody thought of this")


async def buggy(stage: Stage) -> Outcome:
    raise Bug("the demo itself is broken")


async def endless(stage: Stage) -> Outcome:
    """A hundred of so many are done, and some have gone wrong."""
    endings = Endings()
    endings.count("a fault that was injected")
    stage.progress.begin("calls", 1_000, endings)
    for _ in range(100):
        stage.progress.step()
    await anyio.sleep_forever()
    return Outcome("never")


async def everywhere(stage: Stage) -> Outcome:
    """Connected by every transport at once, with a call on each that never ends. All of it is there when the progress says so."""
    stage.progress.begin("connections", len(TRANSPORTS))
    async with anyio.create_task_group() as group, AsyncExitStack() as stack:
        for transport in TRANSPORTS:
            caller = Caller()
            connection = stage.connection(transport.scheme, services=caller.services)
            remote = (await stack.enter_async_context(connection)).remote(server_side)
            group.start_soon(remote.call, Hang())
            await remote.send(Prompt())
            await caller.all_cues.wait()
            stage.progress.step()
        sys.stdout.write("all are connected\n")
        sys.stdout.flush()
        await anyio.sleep_forever()
    return Outcome("never")


async def waiting(stage: Stage) -> Outcome:
    """Until something is written to stdin."""
    await anyio.wait_readable(sys.stdin.fileno())
    return Outcome("enough")


ROWS = {
    row.title: row
    for row in (
        Row("server", start_server, "A section"),
        Row("fine", fine, "A section", compared=True),
        Row("wrong", wrong, "Another section"),
        Row("crashing", crashing),
        Row("surprising", surprising),
        Row("buggy", buggy),
        Row("endless", endless),
        Row("everywhere", everywhere),
        Row("waiting", waiting),
    )
}

if __name__ == "__main__":
    if sys.stdin.isatty():
        # The first terminal that a session's leader opens is the session's: now Ctrl-C there is a signal here.
        os.close(os.open(os.ttyname(0), os.O_RDWR))
    names = sys.argv.pop(1)
    command.all_rows = lambda: [ROWS[name] for name in names.split(",")]
    sys.argv.insert(1, "demo")
    main()
