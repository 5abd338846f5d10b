"""The event loops that a subject can run on, behind the few verbs that the load generators need."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

Main = Callable[[], Coroutine[Any, Any, None]]


class Runtime(ABC):
    """One event loop: run a main function on it, run many at once, give way to the others."""

    @abstractmethod
    def run(self, main: Main) -> None:
        """Run `main` to its end."""

    @abstractmethod
    async def run_all(self, functions: Sequence[Callable[[], Awaitable[None]]]) -> None:
        """Run all functions in tasks of their own, and return when all have ended."""

    @abstractmethod
    async def checkpoint(self) -> None:
        """Let the loop make one pass."""


class Asyncio(Runtime):
    """asyncio, on the standard loop or on uvloop's. The policy is never touched: only the loop factory."""

    def __init__(self, *, uvloop: bool = False) -> None:
        self._uvloop = uvloop

    def run(self, main: Main) -> None:
        factory: Callable[[], asyncio.AbstractEventLoop] | None = None
        if self._uvloop:
            import uvloop

            factory = uvloop.new_event_loop
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(main())

    async def run_all(self, functions: Sequence[Callable[[], Awaitable[None]]]) -> None:
        async with asyncio.TaskGroup() as group:
            for function in functions:
                group.create_task(_as_coroutine(function))

    async def checkpoint(self) -> None:
        await asyncio.sleep(0)


class Trio(Runtime):
    """trio."""

    def run(self, main: Main) -> None:
        import trio

        trio.run(main)

    async def run_all(self, functions: Sequence[Callable[[], Awaitable[None]]]) -> None:
        import trio

        async with trio.open_nursery() as nursery:
            for function in functions:
                nursery.start_soon(function)

    async def checkpoint(self) -> None:
        import trio

        await trio.lowlevel.checkpoint()


async def _as_coroutine(function: Callable[[], Awaitable[None]]) -> None:
    await function()
