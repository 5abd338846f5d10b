"""The third engine: the driver on a virtual clock. The first two are those of asyncio and trio."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from typing import Any

from duologue_adapters import CallbacksEngine, Engine, Job, Link, Timer
from duologue_contrib.testing.simulation.errors import SimulationError
from duologue_contrib.testing.simulation.loop import NO_SOCKETS, VirtualTask

CAN_START_AT_ONCE = sys.version_info >= (3, 12)
"""Whether this Python can run the first step of a task as it is made."""


class SimulatedEngine(CallbacksEngine):
    """What asyncio's engine does, with the loop's own time, and with what runs in threads run in place."""

    task_class = VirtualTask

    def __init__(
        self,
        *,
        eager: bool,
        in_turns: bool,
        thread_delay: Callable[[], float],
        on_use: Callable[[Engine], None],
    ) -> None:
        """`eager`: handlers run their first step at once, as from Python 3.12 on; else as on 3.11. `in_turns`: each request takes up all
        the time that a connection has at once.

        `on_use` is told whenever the time is asked for, which comes with all that is done to a connection.
        """
        super().__init__()
        time = self._loop.time

        def now() -> float:
            on_use(self)
            return time()

        self.now = now
        self.starts_at_once = eager and CAN_START_AT_ONCE
        if in_turns:
            self.time_slices.length = 0.0
        self._thread_delay = thread_delay

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        return self._loop.call_at(when, callback, context=self.context)

    def start(self, coroutine: Coroutine[Any, Any, None]) -> Job | None:
        if self.starts_at_once:
            return super().start(coroutine)
        task = self._loop.create_task(coroutine, context=self.context.copy())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def run_in_thread(self, function: Callable[[], None], ended: Callable[[], None]) -> None:
        """A thread would begin some time later, and end some time after that. Others run in between."""
        await asyncio.sleep(self._thread_delay())
        function()
        # Not cancelled with the one who waits, as a thread would not be.
        self._loop.call_later(self._thread_delay(), ended, context=self.context)
        await asyncio.sleep(0)

    def watch_readable(self, fd: int, callback: Callable[[], None]) -> Job:
        raise SimulationError(NO_SOCKETS)

    def pipe_link(self, reader: int, writer: int) -> Link:
        raise SimulationError(NO_SOCKETS)
