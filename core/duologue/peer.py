"""What users hold: a `Peer`, one end of one connection, and a `Server`, which makes peers. The driver has the real ones."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from duologue.protocol.errors import CloseReason
from duologue.protocol.events import (
    ErrorReported,
    EventsMissed,
    PeerClosed,
    RelayTargetLost,
    RequestFailed,
)
from duologue.wireformat import WireFormat

if TYPE_CHECKING:
    from duologue.namespace import Namespace
    from duologue.protocol.feed import Feed
    from duologue.protocol.relaying import Relays
    from duologue.remote import Remote
    from duologue.services import ServiceMap

PeerEvent = PeerClosed | RequestFailed | ErrorReported | RelayTargetLost | EventsMissed
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
        extra = f", extra={', '.join(self.extra)}" if self.extra else ""
        return f"PeerInfo(name={self.name!r}, address={self.address!r}{extra})"

    def __str__(self) -> str:
        """For people: the name with the address behind it, or what there is of the two."""
        if self.name and self.address:
            return f"{self.name} ({self.address})"
        return self.name or self.address


class Peer(ABC):
    """One end of one connection. Both ends are alike: either may call and send, either may serve."""

    wireformat: WireFormat
    relays: Relays | None = None
    """For `RelayMap`: what passes requests on to the connection without a task. None: it is no connection, so it is called."""

    @property
    @abstractmethod
    def info(self) -> PeerInfo:
        """Who is at the other end."""

    @property
    @abstractmethod
    def is_open(self) -> bool:
        """Whether calls and sends are still taken."""

    @property
    @abstractmethod
    def outstanding(self) -> int:
        """Calls of this end's that are not answered, those that wait for room too: how much the other end has to do."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.info}>"

    @abstractmethod
    def add_services(self, services: ServiceMap) -> None:
        """Serve these too, from the next request on. They may come and go while the peer lives.

        Raises `ServiceIdError` if one of them is served already, `RegistrationError` if the wire format can't carry it.
        """

    @abstractmethod
    def remove_services(self, services: ServiceMap) -> None:
        """Serve these no more. What runs may end; later requests are for an unknown service.

        Raises `RegistrationError` if they are not served.
        """

    @abstractmethod
    def when_closed(self, callback: Callable[[Peer], object]) -> Callable[[], None]:
        """Call this once, in the event loop, when the connection has ended; at once if it has. Gives what takes it back."""

    @abstractmethod
    def publish(self, feed: Feed, sid: int, payload: bytes) -> None:
        """Send an encoded message to a subscriber, one way. Waits for nothing: without room it goes into the feed.

        Raises `ConnectionClosed`, `FrameTooLarge`. For maps such as `PubSub`; give each subscription one `Feed`.
        """

    @abstractmethod
    def end_feed(self, feed: Feed) -> None:
        """The subscription is over: what waits in the feed is let go."""

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
    async def drain(self, reason: str = "", *, timeout: Timeout = DEFAULT) -> bool:
        """End the connection when all that is under way has ended, and wait until it has.

        Handlers that run, calls that wait for their turn and own calls go on to their ends, at most `timeout` seconds, by
        default `Limits.drain_timeout`; then it is as `close()`. Meanwhile the remote's one-way messages are still handled,
        its new calls are refused, and new calls and sends of this end raise `ConnectionClosed`, but for those that are
        made in the handlers of this peer.

        Gives whether all had ended in time. In a handler of this peer it does not wait, and gives False. Raises `ValueError`.
        """

    @abstractmethod
    async def close(self, reason: str = "", *, grace: float = 0.0) -> None:
        """End the connection, and wait until it has ended.

        Own calls fail at once. Running handlers get `grace` seconds, and their answers still go out. Idempotent.
        In a handler it does not wait for itself: it returns as soon as the closing has begun.
        """

    @abstractmethod
    async def wait_closed(self) -> CloseReason:
        """Wait until the connection has ended, and say why."""


SERVER_CLOSES = "the server closes"
"""The reason that its peers have, if nothing else is said."""


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
    async def drain(self, reason: str = SERVER_CLOSES, *, timeout: Timeout = DEFAULT) -> bool:
        """Stop listening, drain all peers at the same time, and wait until that is done: `Peer.drain` says what it means,
        and what the reason and the timeout are.

        Gives whether all of them had ended in time. In a handler of one of the peers it does not wait, and gives False.
        """

    @abstractmethod
    async def close(self, reason: str = SERVER_CLOSES, *, grace: float = 0.0) -> None:
        """Stop listening, close every peer as `Peer.close` does, and wait until that is done.

        In a handler of one of the peers it does not wait: it returns as soon as the closing has begun.
        """

    @abstractmethod
    async def wait_closed(self) -> None:
        """Wait until the server and every peer of it are closed."""
