"""The end of a scenario: the faults stop, everything must come to its end, and nothing may be left."""

from __future__ import annotations

import asyncio
import os.path
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import anyio

from duologue import CallError, CallTimeout, Peer
from duologue_contrib.testing.simulation.errors import Standstill, Violation

if TYPE_CHECKING:
    from duologue_contrib.testing.simulation.invariants import End
    from duologue_contrib.testing.simulation.world import World

NOBODY = 0x0D06_0000_0000_0D06
"""A service that nobody has. Whoever is alive says so."""

LOOK_EVERY = 0.25
"""Seconds of virtual time."""


async def end(world: World, patience: float | None) -> None:
    """Raises `Violation` if something does not end, does not answer any more, or is left behind."""
    world.heal()
    await _settle(world, patience)
    await _ask_all(world, patience)
    await close(world)


async def _settle(world: World, patience: float | None) -> None:
    """Who waits must have what he waits for, or be told that he won't, within twice the time-out."""
    longest = 2 * _patience(world, patience)
    until = world.now + longest
    while busy := [each for each in world.watch.ends.values() if not each.is_quiet]:
        if world.now >= until:
            raise Standstill(
                f"{longest:g} s after the faults have stopped these still wait:\n"
                + "\n".join(f"  {each}: {_waits(each)}" for each in busy)
            )
        await anyio.sleep(LOOK_EVERY)


async def _ask_all(world: World, patience: float | None) -> None:
    """Every connection that is open must work, in both directions: an answer comes to a call of what nobody serves."""

    async def ask(each: End, peer: Peer) -> None:
        seconds = _patience(world, patience)
        try:
            await peer.call_raw(NOBODY, b"", timeout=seconds)
        except CallTimeout:
            if peer.is_open and each.link.other in world.watch.ends and not each.link.is_disturbed:
                world.violated(
                    f"{each}: it is open, and was asked something without an answer for {seconds:g} s"
                )
        except CallError:
            pass  # any other is an answer

    async with anyio.create_task_group() as group:
        for each in tuple(world.watch.ends.values()):
            if each.peer is not None and each.peer.is_open:
                group.start_soon(ask, each, each.peer)


async def close(world: World) -> None:
    """End all processes, as by the end of their programs, and look what is left."""
    processes = tuple(world.processes.values())
    for process in processes:
        process.restarts = False
        process.stop()
    await _until_ended(world, [task for process in processes for task in process.tasks])
    await anyio.sleep(LOOK_EVERY)  # a handler that was a thread's can't be cancelled: it ends a little later
    left = [str(each) for each in world.watch.ends.values()]
    if left:
        raise Violation(f"all have closed, and these connections are not over: {', '.join(left)}")


async def _until_ended(world: World, tasks: list[asyncio.Task[object]]) -> None:
    if not tasks:
        return
    _, pending = await asyncio.wait(tasks, timeout=LONGEST_CLOSE)
    if pending:
        raise Standstill(f"{LONGEST_CLOSE:g} s after their processes were ended tasks still run")


LONGEST_CLOSE = 60.0
"""Seconds that the end of all processes may take."""


def describe(world: World) -> str:
    """Who waits, of which process, and where: each coroutine with the one that it waits for."""
    tasks = sorted((task for task in asyncio.all_tasks(world.loop) if not task.done()), key=hash)
    owners = {task: name for name, process in world.processes.items() for task in process.tasks}
    return "\n".join(f"  {_name(task, owners)}: {' > '.join(_places(task.get_coro()))}" for task in tasks)


def _name(task: asyncio.Task[Any], owners: dict[asyncio.Task[Any], str]) -> str:
    name, owner = task.get_name(), owners.get(task)
    return name if owner is None or owner == name else f"{name} of {owner}"


def _places(coroutine: Any) -> Iterator[str]:
    while (frame := getattr(coroutine, "cr_frame", None)) is not None:
        code = frame.f_code
        yield f"{code.co_qualname} ({os.path.basename(code.co_filename)}:{frame.f_lineno})"
        coroutine = coroutine.cr_await


def _patience(world: World, given: float | None) -> float:
    """The longest of the time-outs of those who are there."""
    if given is not None:
        return given
    timeouts = [
        timeout
        for each in world.watch.ends.values()
        for timeout in (each.limits.call_timeout, each.limits.send_timeout)
        if timeout is not None
    ]
    return max(timeouts, default=60.0)


def _waits(each: End) -> str:
    connection = each.connection
    outgoing = connection.outgoing
    return (
        f"{outgoing.unanswered} calls not answered, {outgoing.waiting} requests without room, "
        f"{connection.outbox.level} bytes unsent, {connection.phase.value}"
    )
