"""Which engine runs where."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager

from duologue_adapters.engines.callbacks import CallbacksEngine
from duologue_adapters.engines.streams import StreamsEngine
from duologue_adapters.ports import Engine


def engine_here() -> AbstractAsyncContextManager[Engine]:
    """Callbacks on asyncio and uvloop, streams on trio."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return StreamsEngine()
    return CallbacksEngine()
