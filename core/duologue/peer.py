"""What users hold: a `Peer`, one end of one connection, and a `Server`, which makes peers. The driver has the real ones."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from duologue.protocol.errors import CloseReason
from duologue.protocol.events import ErrorReported, EventsMissed, PeerClosed, RequestFailed
from duologue.wireformat import WireFormat

if TYPE_CHECKING:
    from duologue.namespace import Namespace
    from duologue.remote import Remote

PeerEvent = PeerClosed | RequestFailed | ErrorReported | EventsMissed
"""What `Peer.events()` gives."""


class _Default:
    """The type of `DEFAULT`: a value that says `use the limits' own`, since None says `for ever`."""

    def __repr__(self) -> str:
        return "DEFAULT"


DEFAULT: Final = _Default()
Timeout = float | None | _Default
"""Seconds; None waits for ever, 0 not at all, `DEFAULT` as `Limits` says."""


class PeerInfo:
    """Who is at the other end, as far as the transport knows."""

    __slots__ = ("address", "extra", "name")

    def __init__(self, name: str = "", address: str = "", extra: Mapping[str, Any] | None = None) -> None:
        self.name = name
        """The name that was given to this connection here; empty if none was."""
        self.address = address
        """The other end's address, as the transport writes it."""
        self.extra = dict(extra or {})
        """What else the transport knows, by the name of what knows it. `"tls"`: a `TlsIdentity` of
        `duologue_adapters.layers`, with the protocol's version, the cipher, and the other end's certificate."""

    def __repr__(self) -> str:
        return f"PeerInfo(name={self.name!r}, address={self.address!r})"


class Peer(ABC):
    """One end of one connection. Both ends are alike: either may call and send, either may serve."""

    wireformat: WireFormat

    @property
    @abstractmethod
    def info(self) -> PeerInfo:
        """Who is at the other end."""

    @property
    @abstractmethod
    def is_open(self) -> bool:
        """Whether calls and sends are still taken."""

    @abstractmethod
    def remote(self, namespace: Namespace) -> Remote:
        """The remote's services of a namespace, typed: `await peer.remote(calc).call(Add(a=1, b=2))`."""

    @abstractmethod
    async def call_raw(self, sid: int, payload: bytes, *, timeout: Timeout = DEFAULT) -> bytes:
        """Call a service with an encoded message, and return the encoded answer. For relays and tools.

        Raises `CallTimeout`, `RemoteError`, `Overloaded`, `ConnectionClosed`, `ConnectionLost`, `FrameTooLarge`.
        """

    @abstractmethod
    async def send_raw(self, sid: int, payload: bytes, *, timeout: Timeout = DEFAULT) -> None:
        """Send an encoded message, one way: returns when it is in the outbox, and nothing tells whether it arrived.

        Raises `SendTimeout`, `Overloaded`, `ConnectionClosed`, `ConnectionLost`, `FrameTooLarge`.
        """

    @abstractmethod
    def events(self) -> AsyncIterator[PeerEvent]:
        """What happens on this connection, from now on, ending with `PeerClosed`. Any number may listen; nobody waits for them."""

    @abstractmethod
    async def close(self, reason: str = "", *, grace: float = 0.0) -> None:
        """End the connection, and wait until it has ended.

        Own calls fail at once. Running handlers get `grace` seconds, and their answers still go out. Idempotent.
        In a handler it does not wait for itself: it returns as soon as the closing has begun.
        """

    @abstractmethod
    async def wait_closed(self) -> CloseReason:
        """Wait until the connection has ended, and say why."""


class Server(ABC):
    """Listens, and makes a `Peer` of each connection."""

    @property
    @abstractmethod
    def url(self) -> str:
        """Where it really listens: a port 0 in the URL given to `serve` is the real one here."""

    @property
    @abstractmethod
    def peers(self) -> Iterable[Peer]:
        """The peers that are connected now."""

    @abstractmethod
    async def close(self, *, grace: float = 0.0) -> None:
        """Stop listening, close every peer, and wait until that is done.

        In a handler of one of the peers it does not wait: it returns as soon as the closing has begun.
        """

    @abstractmethod
    async def wait_closed(self) -> None:
        """Wait until the server and every peer of it are closed."""
