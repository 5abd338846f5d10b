"""Worker threads for handlers that are plain functions, the same for both engines."""

from __future__ import annotations

from collections.abc import Callable

import anyio
import anyio.to_thread


class Threads:
    """A limit of its own, so that waiting handlers never take the threads that others of the process need."""

    def __init__(self, limit: int, call_from_thread: Callable[[Callable[[], None]], object]) -> None:
        self._limit = limit
        self._call_from_thread = call_from_thread
        self._limiter: anyio.CapacityLimiter | None = None

    async def run(self, function: Callable[[], bytes], ended: Callable[[], None]) -> bytes:
        """Run it. `ended` is called in the loop when the thread is through, whether or not anyone still waits."""
        if self._limiter is None:
            self._limiter = anyio.CapacityLimiter(self._limit)

        def job() -> bytes:
            try:
                return function()
            finally:
                try:
                    self._call_from_thread(ended)
                except RuntimeError:
                    # The loop has ended before the thread, and with it all that `ended` could give back.
                    return b""

        return await anyio.to_thread.run_sync(job, abandon_on_cancel=True, limiter=self._limiter)
