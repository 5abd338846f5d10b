"""A peer over a stream that the user brings: any anyio byte stream, or object stream of bytes, on either event loop."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio.abc

from duologue import CallBudget, Limits, Peer, PeerSettings, ServiceMap, WireFormat
from duologue.adapter import ServicesFactory
from duologue.plugins import find_wireformat
from duologue_adapters.engines import engine_here
from duologue_adapters.server import running_peer


@asynccontextmanager
async def peer_over(
    stream: anyio.abc.AnyByteStream,
    services: ServiceMap | ServicesFactory | None = None,
    *,
    wireformat: str | WireFormat,
    limits: Limits | None = None,
    budget: CallBudget | None = None,
    name: str = "",
) -> AsyncGenerator[Peer, None]:
    """A peer for the time of a block; the stream is closed with it.

    `stream` is open, and nobody else uses it. The parameters are those of `duologue.connect`. Frames may be cut
    anywhere in the stream's chunks, so an object stream of bytes, whose messages hold pieces of frames, will do.
    """
    if isinstance(wireformat, str):
        wireformat = find_wireformat(wireformat)
    limits = limits if limits is not None else Limits()
    settings = PeerSettings(wireformat=wireformat, services=services, limits=limits, budget=budget, name=name)
    async with engine_here() as engine, running_peer(engine, engine.stream_link(stream), settings) as peer:
        yield peer
