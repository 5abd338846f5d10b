"""A page, the client that it imports, and the WebSocket through which it is a peer: one call, on one port."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from duologue import ConnectFailed, Peer, Server, ServiceMap, WireFormat, serve

CLIENT_FILES = Path(__file__).parent / "client"
"""The client's files, for a web server of yours, a bundler, or an editor."""

CLIENT_PATH = "/duologue/"
"""Where `serve_page` serves them: a page imports `/duologue/duologue.mjs`."""

_SCHEMES = {"http": "ws", "https": "wss"}


@dataclass(frozen=True)
class PageServer:
    """What `serve_page` has started."""

    server: Server
    """For `peers`, `close` and `wait_closed`."""

    @property
    def url(self) -> str:
        """Where to open the page: a port 0 is the real one here."""
        scheme, _, rest = self.server.url.partition("://")
        return f"{'https' if scheme == 'wss' else 'http'}://{rest}/"


@asynccontextmanager
async def serve_page(
    url: str,
    folder: str | Path,
    services: ServiceMap | Sequence[ServiceMap] | Callable[[Peer], ServiceMap | None] | None = None,
    *,
    wireformat: str | WireFormat,
    on_peer: Callable[[Peer], Awaitable[None] | None] | None = None,
    origins: Collection[str] = (),
    **options: Any,
) -> AsyncGenerator[PageServer]:
    """Serve the page in a folder, and what it calls: `async with serve_page("http://127.0.0.1:8000", "page", services, wireformat="cbor")`.

    The page may connect, and no other may: list in `origins` what else is to be let in, and the page's own origin where it has another
    name than the one in `url`, as behind a proxy. For `https` give `certificate` and `key`. Further keywords are those of
    `duologue.serve`.

    Raises `ConnectFailed` if the URL makes no sense, the address can't be had or the folder is not there. Go on with `page.url`, which is to be
    opened in a browser, and `page.server`.
    """
    scheme, separator, place = url.partition("://")
    place = place.removesuffix("/")
    if scheme not in _SCHEMES or not separator or "/" in place:
        raise ConnectFailed(url, "write http://host:port, or https://host:port")
    async with serve(
        f"{_SCHEMES[scheme]}://{place}",
        services,
        wireformat=wireformat,
        on_peer=on_peer,
        origins=["self", *origins],
        static={"/": folder, CLIENT_PATH: CLIENT_FILES},
        **options,
    ) as server:
        yield PageServer(server)
