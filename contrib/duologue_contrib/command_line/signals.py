"""The signals that end a server: the first asks, the second is obeyed at once."""

from __future__ import annotations

import os
import signal
from types import FrameType
from typing import Any, Self

import anyio

ENDING = (signal.SIGINT, signal.SIGTERM)


class FirstSignal:
    """A block in which the first SIGINT or SIGTERM can be waited for, on any event loop.

    With the first one both are set back to what the system does by itself. So the second ends the process, whatever
    that is at: a handler that blocks the event loop holds up nobody who wants it to end.
    """

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        self._before = {each: signal.signal(each, self._came) for each in ENDING}
        return self

    def __exit__(self, *_: object) -> None:
        for each, handler in self._before.items():
            signal.signal(each, handler)
        os.close(self._reader)
        os.close(self._writer)

    async def wait(self) -> None:
        """Wait for it."""
        await anyio.wait_readable(self._reader)

    def _came(self, number: int, frame: FrameType | None) -> None:
        for each in ENDING:
            signal.signal(each, signal.SIG_DFL)
        os.write(self._writer, b"\0")
