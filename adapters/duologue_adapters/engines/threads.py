"""Worker threads for handlers that are plain functions, the same for both engines."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import anyio
import anyio.to_thread


class Threads:
    """A limit of its own, so that waiting handlers never take the threads that others of the process need.

    Each peer whose handlers run in threads adds as many as it may have handlers at once: with fewer, one that waits
    for a remote could keep out the very one that it waits for (docs/flow.md, F6).
    """

    def __init__(self, call_from_thread: Callable[[Callable[[], None]], object]) -> None:
        self._allowed = 0
        self._call_from_thread = call_from_thread
        self._limiter: anyio.CapacityLimiter | None = None

    def allow(self, count: int) -> None:
        """So many more; with a negative number, fewer."""
        self._allowed += count
        if self._limiter is not None:
            self._limiter.total_tokens = max(1, self._allowed)

    async def run(self, function: Callable[[], None], ended: Callable[[], None]) -> None:
        """Run it; it raises nothing. `ended` is called in the loop when the thread is through, whether or not anyone still waits."""
        if self._limiter is None:
            self._limiter = anyio.CapacityLimiter(max(1, self._allowed))

        def job() -> None:
            function()
            # A loop that has ended before the thread has taken along all that `ended` could give back.
            with suppress(RuntimeError):
                self._call_from_thread(ended)

        await anyio.to_thread.run_sync(job, abandon_on_cancel=True, limiter=self._limiter)
