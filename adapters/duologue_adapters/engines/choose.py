"""Which engine runs where."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from duologue_adapters.engines.callbacks import CallbacksEngine
from duologue_adapters.engines.streams import StreamsEngine
from duologue_adapters.ports import Engine


def engine_here() -> AbstractAsyncContextManager[Engine]:
    """Callbacks on asyncio and uvloop, streams on trio.

    An asyncio loop whose time is not the world's, as in a simulation, has a `duologue_engine` that makes its own.
    """
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return StreamsEngine()
    make: Callable[[], AbstractAsyncContextManager[Engine]] = getattr(
        loop, "duologue_engine", CallbacksEngine
    )
    return make()
