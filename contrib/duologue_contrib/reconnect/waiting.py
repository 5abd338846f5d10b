"""Those who wait for a connection: bounded, and for no longer than they have time."""

from __future__ import annotations

import anyio

from duologue import Overloaded


class Gate:
    """Where calls wait until something has changed: there is a connection, or there will be none."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._changed = anyio.Event()
        self.waiting = 0
        """How many wait now."""

    async def wait(self, seconds: float | None) -> bool:
        """Wait for a change, so many seconds; None for ever. False if none came. Raises `Overloaded` if too many wait."""
        if self.waiting >= self._limit:
            raise Overloaded(
                f"{self.waiting} calls wait for a connection already: make fewer at once, or raise Limits.waiting"
            )
        self.waiting += 1
        try:
            with anyio.move_on_after(seconds) as scope:
                await self._changed.wait()
        finally:
            self.waiting -= 1
        return not scope.cancelled_caught

    def wake(self) -> None:
        """Something has changed: all look again."""
        self._changed.set()
        self._changed = anyio.Event()
