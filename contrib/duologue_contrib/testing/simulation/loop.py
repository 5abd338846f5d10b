"""An event loop of asyncio whose time is a number: when nothing is ready, the next timer is due at once.

Nothing in it waits for anything outside, so the same program does the same things in the same order, every time. What would
bring the outside in, sockets and threads, is refused.
"""

from __future__ import annotations

import asyncio
import contextvars
import itertools
import math
import selectors
import threading
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import Any, NoReturn, TypeVar, TypeVarTuple

import anyio

from duologue_contrib.testing.simulation.errors import SimulationError, Standstill

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

NO_SOCKETS = (
    "there are no sockets in a simulation: serve and connect at world.url(name), or give your code that URL"
)
NO_PROCESSES = "there are no processes in a simulation but those of the world: world.process(name).run(main)"
NO_THREADS = (
    "there are no threads in a simulation: a `def` handler, asyncio.to_thread and loop.run_in_executor run in place; "
    "anyio.to_thread and threads of your own can't"
)


LEAST = 1e-9
"""Seconds: asyncio takes a timer for due when its time has come within that."""


class VirtualSelector(selectors.BaseSelector):
    """Waits for no descriptor. Where a real one would sleep, it moves the clock."""

    def __init__(self, on_pass: Callable[[], None]) -> None:
        self.now = 0.0
        """Seconds since the simulation began."""
        self.passes = 0
        self.is_sealed = False
        """The loop's own pipe to itself is in here, and nothing else may come."""
        self._on_pass = on_pass
        self._map: dict[Any, selectors.SelectorKey] = {}

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        if self.is_sealed:
            raise SimulationError(NO_SOCKETS)
        key = selectors.SelectorKey(fileobj, fileobj, events, data)
        self._map[fileobj] = key
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._map.pop(fileobj)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.passes += 1
        self._on_pass()
        if timeout is None:
            raise Standstill("nothing will ever happen any more, and the scenario has not ended")
        if timeout > 0:
            self.now += timeout
        if self.now + LEAST == self.now:
            # Half a year has gone by, and the clock is too coarse for asyncio: it would take no timer for due, for ever.
            self.now += 2 * math.ulp(self.now)
        return []

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._map


class VirtualTask(asyncio.Task[Any]):
    """A task that is in the same place of a set in each process: sets of tasks are gone through in the order of their hashes."""

    def __init__(self, coroutine: Any, *, loop: VirtualLoop, **options: Any) -> None:
        self._number = next(loop.task_numbers)
        # asyncio's own names go on counting from one seed to the next: seen again it would be another one.
        options["name"] = options.get("name") or f"Task-{self._number}"
        super().__init__(coroutine, loop=loop, **options)
        if not self.done() and loop.on_task is not None:
            loop.on_task(self, options.get("context"))

    def set_name(self, value: object) -> None:
        """Some versions of Python call this with None for every task that is given no name: it would be called that."""
        if value is not None:
            super().set_name(value)

    def __hash__(self) -> int:
        return self._number


class VirtualLoop(asyncio.SelectorEventLoop):
    """The loop. `duologue_engine` is what `connect` and `serve` run their peers with."""

    def __init__(self, engine: Callable[[], Any], on_pass: Callable[[], None]) -> None:
        self.task_numbers = itertools.count()
        self.selector = VirtualSelector(on_pass)
        super().__init__(self.selector)
        self.selector.is_sealed = True
        self.duologue_engine = engine
        self.on_task: Callable[[asyncio.Task[Any], contextvars.Context | None], None] | None = None
        """Told of each task that is made."""
        self.set_task_factory(_make_task)

    def time(self) -> float:
        return self.selector.now

    def call_at(
        self,
        when: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        """A timer. What is due never is not kept: days would go by in steps, and who sleeps for ever would hide a standstill."""
        if when == math.inf:
            return asyncio.TimerHandle(when, callback, args, self, context)
        return super().call_at(when, callback, *args, context=context)

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """In place: the function has ended when this returns."""
        future: asyncio.Future[T] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as exc:
            future.set_exception(exc)
        return future

    async def getaddrinfo(self, *args: Any, **options: Any) -> NoReturn:
        raise SimulationError(NO_SOCKETS)

    async def subprocess_exec(self, *args: Any, **options: Any) -> NoReturn:
        raise SimulationError(NO_PROCESSES)

    async def subprocess_shell(self, *args: Any, **options: Any) -> NoReturn:
        raise SimulationError(NO_PROCESSES)


def _make_task(loop: Any, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
    return VirtualTask(coroutine, loop=loop, **options)


@contextmanager
def sealed(loop: VirtualLoop) -> Generator[None]:
    """A block for a loop, in which this thread starts no other, and cancel scopes stand in sets in the order in which they came.

    anyio goes through sets of scopes to cancel what is in them. Their hashes are addresses otherwise, others in each process.
    """
    mine = threading.get_ident()
    start = threading.Thread.start
    scope_class: Any = loop.run_until_complete(_scope_class())

    def refuse(self: threading.Thread) -> None:
        if threading.get_ident() == mine:
            raise SimulationError(NO_THREADS)
        start(self)

    def same(self: object) -> int:
        return 0 if threading.get_ident() == mine else object.__hash__(self)

    threading.Thread.start = refuse  # type: ignore[method-assign]
    scope_class.__hash__ = same
    try:
        yield
    finally:
        threading.Thread.start = start  # type: ignore[method-assign]
        del scope_class.__hash__


async def _scope_class() -> type:
    return type(anyio.CancelScope())
