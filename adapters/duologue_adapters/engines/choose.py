"""Which engine runs where."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager

from duologue import Limits
from duologue_adapters.engines.callbacks import CallbacksEngine
from duologue_adapters.engines.streams import StreamsEngine
from duologue_adapters.ports import Engine


def engine_here(limits: Limits) -> AbstractAsyncContextManager[Engine]:
    """Callbacks on asyncio and uvloop, streams on trio. As many threads as there can be handlers (docs/flow.md, F6)."""
    threads = limits.calls + limits.lent
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return StreamsEngine(threads)
    return CallbacksEngine(threads)
