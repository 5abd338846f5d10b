"""Running a scenario: once for a seed, and for many of them."""

from __future__ import annotations

import asyncio
import gc
import logging
import random
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import cast

import anyio

from duologue import register_adapter, unregister_adapter
from duologue_contrib.reconnect.backoff import dice
from duologue_contrib.testing.simulation import ending
from duologue_contrib.testing.simulation.errors import SimulationError, SimulationFailed, Standstill
from duologue_contrib.testing.simulation.faults import Faults
from duologue_contrib.testing.simulation.loop import sealed
from duologue_contrib.testing.simulation.processes import current_process
from duologue_contrib.testing.simulation.trace import Trace
from duologue_contrib.testing.simulation.world import World

Scenario = Callable[[World], Awaitable[object]]
"""What a simulation runs: it is given a world, and plays in it."""

MAIN = "scenario"
"""The name of the task that all of it begins with."""

CLEANING = 30.0
"""Seconds of virtual time for whatever has to end after a failure."""

SHOWN = 60
"""Lines of the trace in the text of a failure."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a seed went that passed."""

    seed: int
    digest: str
    """Of the trace: equal where the same things happened in the same order, at the same times."""
    trace: str = field(repr=False)
    seconds: float
    """Of virtual time."""
    passes: int
    """Of the event loop, after each of which all that must always hold was looked at."""
    connections: int
    """Ends of connections that there were."""


def simulate(
    scenario: Scenario,
    seed: int,
    *,
    faults: Faults = Faults.GENTLE,
    patience: float | None = None,
    eager: bool = True,
    in_turns: bool = False,
    replay: str = "",
    shown: int = SHOWN,
) -> Outcome:
    """Run a scenario in the world of a seed.

    When it has returned the faults stop. Then all that still waits must end within twice `patience` seconds (by default the
    longest time-out of the connections' limits), every open connection must answer, and all is closed.

    `eager=False` starts handlers as Python 3.11 does, on all Pythons. Handlers that do not wait take no time here; with `in_turns=True`
    others have their turn after each of them, as if they took long. `replay` is the command that shows a failure
    again, `shown` how many lines of the trace stand in its text.
    Raises `SimulationFailed`, whose cause is what the scenario raised, or a `Violation`.
    """
    __tracebackhide__ = True  # for pytest: what is of interest is the cause, and where the test asked for it
    _refuse_loops()
    world = World(seed, faults, eager=eager, in_turns=in_turns)
    with _quiet(), sealed(world.loop), _log_in(world.trace), _chance(seed):
        world.trace.note("world", f"seed {seed}, faults: {world.faults}")
        register_adapter("sim", world.network)
        try:
            _run(world, scenario, patience)
            selector, trace = world.loop.selector, world.trace
            return Outcome(seed, trace.digest, trace.text, selector.now, selector.passes, world.watch.ended)
        except Exception as exc:
            cause = _first_in(exc)
            raise SimulationFailed(
                seed, cause, world.trace.text, world.trace.digest, replay, shown
            ) from cause
        finally:
            _end(world)
            unregister_adapter("sim")


def _refuse_loops() -> None:
    try:
        anyio.get_current_task()
    except RuntimeError:
        return
    raise SimulationError(
        "a simulation has an event loop of its own: call it in a plain function, as `def test_...`"
    )


def _first_in(exc: BaseException) -> BaseException:
    """What went wrong, out of the groups that tasks have put around it."""
    while isinstance(exc, BaseExceptionGroup):
        exc = cast("BaseExceptionGroup[BaseException]", exc).exceptions[0]
    return exc


def _run(world: World, scenario: Scenario, patience: float | None) -> None:
    async def main() -> None:
        current_process.set(world.process("scenario"))
        await scenario(world)
        world.trace.note("scenario", "has ended")
        await ending.end(world, patience)

    try:
        world.loop.run_until_complete(world.loop.create_task(main(), name=MAIN))
    except Standstill as exc:
        raise Standstill(f"{exc}\nthese tasks wait:\n{ending.describe(world)}") from None
    if (failure := world.failure) is not None:
        raise failure


def _end(world: World) -> None:
    """Whatever is still there after a failure must end too, but what happens then is of no interest."""
    loop = world.loop
    loop.set_exception_handler(lambda loop, context: None)
    world.is_over = True
    for process in world.processes.values():
        process.restarts = False
        process.stop()
    # First who began it all, and takes along what he began; then whatever is left.
    tasks = {task for task in asyncio.all_tasks(loop) if task.get_name() == MAIN}
    for _ in range(10):
        for task in sorted(tasks, key=hash):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(CLEANING))
        if not (tasks := {task for task in asyncio.all_tasks(loop) if not task.done()}):
            break
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


@contextmanager
def _quiet() -> Generator[None]:
    """Garbage is collected between the seeds: what runs when it goes would run at another moment each time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@contextmanager
def _chance(seed: int) -> Generator[None]:
    """What asks Python for chance gets that of the seed, and so does a client that connects again."""
    state = random.getstate()
    random.seed(f"users {seed}")
    token = dice.set(random.Random(f"reconnecting {seed}").random)
    try:
        yield
    finally:
        dice.reset(token)
        random.setstate(state)


class _ToTrace(logging.Handler):
    """Writes what is logged into the trace."""

    def __init__(self, trace: Trace) -> None:
        super().__init__()
        self._trace = trace

    def emit(self, record: logging.LogRecord) -> None:
        exc = record.exc_info[1] if record.exc_info else None
        words = f" ({type(exc).__name__}: {exc})" if exc is not None else ""
        self._trace.note("LOG", f"{record.getMessage()}{words}")


@contextmanager
def _log_in(trace: Trace) -> Generator[None]:
    """What the library logs stands in the trace, and nowhere else: a thousand seeds would fill the screen."""
    logger = logging.getLogger("duologue")
    handler = _ToTrace(trace)
    propagates = logger.propagate
    logger.addHandler(handler)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagates
