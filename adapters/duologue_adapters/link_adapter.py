"""An adapter in two methods: how a client opens a link, and how a server listens. The rest is the same for all transports."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncGenerator, Collection
from contextlib import asynccontextmanager

from duologue import Adapter, ConnectFailed, Peer, PeerSettings, Server, ServerSettings
from duologue_adapters.engines import engine_here
from duologue_adapters.engines.tcp import is_refusal
from duologue_adapters.opening import connecting, is_permanent
from duologue_adapters.ports import Engine, Link, Listener
from duologue_adapters.server import running_peer, running_server
from duologue_adapters.urls import check_options, not_served


class LinkAdapter(Adapter):
    """What most adapters are made of. Give `schemes`, `open_link`, and `listen` if it can be served.

    It refuses options that are not known, bounds opening by `Limits.handshake_timeout`, lets no error of the transport
    through, and runs peers over the links, on whatever event loop runs.
    """

    connect_options: Collection[str] = ()
    """The options of `connect` that it knows. All others are a `TypeError`, before anything else is done."""

    serve_options: Collection[str] = ()
    """The options of `serve`."""

    @abstractmethod
    async def open_link(self, engine: Engine, url: str, settings: PeerSettings) -> Link:
        """Connect to where the URL says. What makes links is the engine: `engine.stream_link(stream)`, for example.

        An `OSError` or a `LayerError` becomes `ConnectFailed`, with the text that `reason` gives. For a URL that means
        nothing raise `ConnectFailed` with what to write instead. When the time is over this is cancelled.
        """

    async def listen(self, engine: Engine, url: str, settings: ServerSettings) -> Listener:
        """Listen where the URL says. An `OSError` becomes `ConnectFailed`. Without this method it can't be served."""
        raise not_served(url)

    def reason(self, exc: Exception) -> str:
        """What an error of the transport means, for people. Of a `TimeoutError` it is a hint, and may be empty."""
        if isinstance(exc, OSError) and is_refusal(exc):
            return f"nobody listens there ({exc})"
        return str(exc)

    def is_permanent(self, exc: Exception) -> bool:
        """Whether trying again would be useless: `ConnectFailed.is_permanent`. Who is not there may come back."""
        return is_permanent(exc)

    @asynccontextmanager
    async def connect(self, url: str, settings: PeerSettings) -> AsyncGenerator[Peer, None]:
        check_options(_scheme_of(url), settings.options, self.connect_options)
        async with engine_here() as engine:
            with connecting(url, settings.limits.handshake_timeout, self.reason, self.is_permanent):
                link = await self.open_link(engine, url, settings)
            link.address = link.address or url
            async with running_peer(engine, link, settings) as peer:
                yield peer

    @asynccontextmanager
    async def serve(self, url: str, settings: ServerSettings) -> AsyncGenerator[Server, None]:
        check_options(_scheme_of(url), settings.options, self.serve_options)
        async with engine_here() as engine:

            async def listen() -> Listener:
                try:
                    return await self.listen(engine, url, settings)
                except OSError as exc:
                    raise ConnectFailed(url, f"can't listen there: {self.reason(exc)}") from exc

            async with running_server(engine, listen, settings) as server:
                yield server


def _scheme_of(url: str) -> str:
    return url.partition(":")[0].lower()
