"""Engines: what runs the driver. Callbacks on asyncio and uvloop, streams on trio."""

from duologue_adapters.engines.callbacks import CallbacksEngine
from duologue_adapters.engines.choose import engine_here
from duologue_adapters.engines.listener import SocketListener
from duologue_adapters.engines.streams import StreamsEngine

__all__ = ["CallbacksEngine", "SocketListener", "StreamsEngine", "engine_here"]
