"""Rows about the worst: the process at the other end is killed while it works for us."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

import anyio

from duologue import Limits, Peer
from duologue_contrib.demo.messages import Add, Hang, Prompt, server_side
from duologue_contrib.demo.parallel import Endings
from duologue_contrib.demo.rows import Outcome, Row, expect
from duologue_contrib.demo.services import Caller
from duologue_contrib.demo.stage import Stage

IN_FLIGHT = 1_000
WAITING = 500
"""Calls more than may be in flight at once: they wait here for room."""
AT_ONCE = 2.0
"""Seconds within which all must have ended, on a machine that is busy. It takes milliseconds."""


def crash_rows() -> list[Row]:
    """The child of an `exec:`, and then the server: nothing can be played after that."""
    section = "SIGKILL to the other end: each call ends at once, and says whether its handler may have run (executed)"
    title = f"{IN_FLIGHT:,} calls in flight, {WAITING} waiting"
    return [
        Row(f"exec, {title}", child_killed, section, "exec"),
        Row(f"tcp, {title}", server_killed, section, "tcp"),
    ]


async def child_killed(stage: Stage) -> Outcome:
    """A child's end shows at its pipe, and how it ended in its exit status."""
    caller = Caller()
    async with stage.connection("exec", "json", caller.services, Limits(owed=IN_FLIGHT)) as peer:
        pid = peer.info.extra["pid"]
        outcome = await _killed(stage, peer, caller, lambda: os.kill(pid, signal.SIGKILL))
    status = peer.info.extra["exit_status"]
    expect(status == -signal.SIGKILL, f"the child to have ended by signal {signal.SIGKILL:d}", status)
    return outcome


async def server_killed(stage: Stage) -> Outcome:
    """The system closes the sockets of a process that has died."""
    caller = Caller()
    async with stage.connection("tcp", "json", caller.services, Limits(owed=IN_FLIGHT)) as peer:
        return await _killed(stage, peer, caller, stage.kill_server)


async def _killed(stage: Stage, peer: Peer, caller: Caller, kill: Callable[[], None]) -> Outcome:
    """Every call ends, at once, and exactly once, and knows whether its handler may have run."""
    endings, seconds = await _kill_under_calls(stage, peer, caller, kill)
    expected = {"ConnectionLost (executed: unknown)": IN_FLIGHT, "ConnectionLost (executed: no)": WAITING}
    wanted = "; ".join(f"{count:,} {ending}" for ending, count in expected.items())
    expect(endings.counts == expected, wanted, str(endings))
    expect(seconds < AT_ONCE, f"all to end within {AT_ONCE:g} s", f"{seconds:.2f} s")
    reason = await peer.wait_closed()
    late = Endings()
    await late.note(peer.remote(server_side).call(Add(a=1, b=2)))
    expect(str(late) == "1 ConnectionClosed (executed: no)", "one more call to be refused", str(late))
    # The ones that waited for room, too: whoever has not been sent can be tried again elsewhere.
    text = f"{endings}, all within {1000 * seconds:.0f} ms; {reason.value}"
    return Outcome(text, endings.total, seconds, "ended")


async def _kill_under_calls(
    stage: Stage, peer: Peer, caller: Caller, kill: Callable[[], None]
) -> tuple[Endings, float]:
    remote = peer.remote(server_side)
    endings = Endings()
    begun = 0
    all_begun = anyio.Event()

    async def call() -> None:
        nonlocal begun
        begun += 1
        if begun == IN_FLIGHT + WAITING:
            all_begun.set()
        await endings.note(remote.call(Hang(), timeout=None))
        stage.progress.step()

    stage.progress.begin("calls", IN_FLIGHT + WAITING, endings)
    killed = 0.0
    async with anyio.create_task_group() as group:
        for _ in range(IN_FLIGHT + WAITING):
            group.start_soon(call)
        await all_begun.wait()
        # When its answer is here, all that was sent before has arrived there.
        await remote.send(Prompt())
        await caller.all_cues.wait()
        expect(endings.total == 0, "no call to have ended yet", str(endings))
        killed = time.perf_counter()
        kill()
    return endings, time.perf_counter() - killed
