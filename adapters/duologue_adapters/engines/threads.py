"""Worker threads for handlers that are plain functions, the same for both engines."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import anyio
import anyio.to_thread


class Threads:
    """A limit of its own, so that waiting handlers never take the threads that others of the process need."""

    def __init__(self, limit: int, call_from_thread: Callable[[Callable[[], None]], object]) -> None:
        self._limit = limit
        self._call_from_thread = call_from_thread
        self._limiter: anyio.CapacityLimiter | None = None

    async def run(self, function: Callable[[], None], ended: Callable[[], None]) -> None:
        """Run it; it raises nothing. `ended` is called in the loop when the thread is through, whether or not anyone still waits."""
        if self._limiter is None:
            self._limiter = anyio.CapacityLimiter(self._limit)

        def job() -> None:
            function()
            # A loop that has ended before the thread has taken along all that `ended` could give back.
            with suppress(RuntimeError):
                self._call_from_thread(ended)

        await anyio.to_thread.run_sync(job, abandon_on_cancel=True, limiter=self._limiter)
