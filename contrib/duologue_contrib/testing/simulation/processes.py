"""Processes: what runs under one name, may die at any moment, and may come back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import ContextVar, copy_context
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from duologue_contrib.testing.simulation.links import SimulatedLink
    from duologue_contrib.testing.simulation.world import World

current_process: ContextVar[Process] = ContextVar("current_process")
"""The one whose code runs here."""


class Process:
    """Tasks and connections that live and die together. What they have left in objects outlives them, as on a disk."""

    def __init__(self, world: World, name: str) -> None:
        self.name = name
        self.restarts = False
        """It dies by the faults of the seed, and comes back."""
        self.frozen_until = 0.0
        """It reads nothing until then."""
        self.links: dict[SimulatedLink, None] = {}
        self.tasks: dict[asyncio.Task[Any], None] = {}
        self.is_alive = True
        self._world = world
        self._mains: list[Callable[[], Awaitable[object]]] = []
        self._doomed: list[asyncio.Task[Any]] = []
        """What ran when it died."""
        self._begun: dict[asyncio.Task[object], None] = {}

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"<Process {self.name}{'' if self.is_alive else ', dead'}>"

    def run(self, main: Callable[[], Awaitable[object]]) -> asyncio.Task[object]:
        """Run a function in it; again whenever it comes back. What it raises fails the seed."""
        self._mains.append(main)
        return self._begin(main)

    def crash(self) -> None:
        """It dies here and now. Its connections break, its tasks are cancelled: Python can't end them otherwise.

        First the main functions, which take along what they have begun, and then whatever is left.
        """
        if not self.is_alive:
            return
        self.is_alive = False
        self._world.trace.note("FAULT", f"{self.name} dies")
        self._world.network.forget(self)
        for link in tuple(self.links):
            link.die()
        self._doomed += self.tasks
        for task in tuple(self._begun):
            task.cancel()

    def start(self) -> None:
        """It comes back, and runs all that it ran."""
        if self.is_alive:
            return
        self.is_alive = True
        self._world.trace.note(self.name, "comes back")
        for main in self._mains:
            self._begin(main)  # type: ignore[unused-awaitable]

    def freeze(self, seconds: float) -> None:
        """It reads nothing for so long."""
        self._world.trace.note("FAULT", f"{self.name} reads nothing for {seconds:.3f} s")
        self.frozen_until = max(self.frozen_until, self._world.now + seconds)
        for link in self.links:
            link.into.was_slow = True

    def stop(self) -> None:
        """Its main functions are cancelled, as by the end of the program: what they opened they close."""
        self._mains.clear()
        for task in tuple(self._begun):
            task.cancel()

    def _begin(self, main: Callable[[], Awaitable[object]]) -> asyncio.Task[object]:
        context = copy_context()
        context.run(current_process.set, self)
        task = self._world.loop.create_task(_run(main), context=context, name=f"{self.name}")
        self._begun[task] = None
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[object]) -> None:
        self._begun.pop(task, None)
        if self._doomed and not any(each in self._begun for each in self._doomed):
            for each in self._doomed:
                each.cancel()
            self._doomed.clear()
        if task.cancelled():
            return
        exc = task.exception()
        if exc is not None and self.is_alive:
            self._world.failed(exc)


async def _run(main: Callable[[], Awaitable[object]]) -> object:
    return await main()
