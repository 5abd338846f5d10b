"""The port that transports fulfil: from a URL to a `Peer`, or to a `Server` that makes peers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from duologue.peer import Peer, Server
from duologue.protocol.limits import Limits
from duologue.services import ServiceMap
from duologue.wireformat import WireFormat

if TYPE_CHECKING:
    from duologue.protocol.budget import CallBudget

ServicesFactory = Callable[[Peer], ServiceMap | None]
"""Makes the services of one new peer, for state per connection. None: this peer is served nothing."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PeerSettings:
    """What `connect` was given, but for the URL."""

    wireformat: WireFormat
    """How messages become bytes. The other end must use the same."""
    services: ServiceMap | ServicesFactory | None = None
    """What this end serves. None: nothing, every request of the remote's is for an unknown service."""
    limits: Limits = field(default_factory=Limits)
    """The bounds of this end."""
    budget: CallBudget | None = None
    """Permits for the remote's calls, to be shared with other connections. None: a budget of its own, by the limits."""
    name: str = ""
    """The name of this connection for people: it appears in `PeerInfo` and in logs, and never leaves the process."""
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """What else `connect` was given by keyword. They are the adapter's own: it refuses what it does not know."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ServerSettings(PeerSettings):
    """What `serve` was given, but for the URL. All but `on_peer` is for each peer of the server."""

    on_peer: Callable[[Peer], Awaitable[None] | None] | None = None
    """Called with each new peer, before anything that it sent is looked at."""


class Adapter(ABC):
    """A transport, found by the scheme of a URL. One object serves every connection of the process: it has no state of any."""

    schemes: tuple[str, ...]
    """The URL schemes that it understands, in lower case and without the colon: `("ws", "wss")`."""

    @abstractmethod
    def connect(self, url: str, settings: PeerSettings) -> AbstractAsyncContextManager[Peer]:
        """Open a connection on entering, and close it on leaving.

        Entering raises `ConnectFailed` or `HandshakeTimeout`. An option that the adapter does not know is refused
        with `TypeError`, before anything else is done.
        """

    @abstractmethod
    def serve(self, url: str, settings: ServerSettings) -> AbstractAsyncContextManager[Server]:
        """Listen on entering, and close the server and its peers on leaving.

        Entering raises `ConnectFailed` if the address can't be had. Options as with `connect`.
        """
