"""The time that restarts and idle actors are counted by: a port, so that tests have one of their own."""

from __future__ import annotations

from typing import Protocol

import anyio


class Clock(Protocol):
    """Seconds that never go back, and waiting for them."""

    def now(self) -> float:
        """The time now, in seconds since whenever."""
        ...

    async def sleep_until(self, time: float) -> None:
        """Wait until it is `time` by `now`."""
        ...


class LoopClock:
    """The clock of the event loop that runs."""

    def now(self) -> float:
        return anyio.current_time()

    async def sleep_until(self, time: float) -> None:
        await anyio.sleep_until(time)
