"""Engines: what runs the driver. Callbacks on asyncio and uvloop, streams on trio and over streams that a user brings."""

from duologue_adapters.engines.callbacks import CallbacksEngine
from duologue_adapters.engines.choose import engine_here
from duologue_adapters.engines.streams import StreamsEngine

__all__ = ["CallbacksEngine", "StreamsEngine", "engine_here"]
