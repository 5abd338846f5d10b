"""Relays: services that another peer provides (docs/relay.md).

Here is decided where a request goes and what a failure there means for the one who asked. The driver does the passing on.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from operator import attrgetter
from typing import TYPE_CHECKING, Final

from xxhash import xxh64_intdigest

from duologue.errors import (
    CallTimeout,
    ConnectionClosed,
    ConnectionLost,
    ErrorKind,
    FailureKind,
    FrameTooLarge,
    Overloaded,
    RegistrationError,
    RemoteError,
    SendTimeout,
)
from duologue.peer import DEFAULT, Peer, Timeout
from duologue.protocol.routes import Mode, RequestFault, Route, Router
from duologue.served import named_services
from duologue.services import ServiceMap
from duologue.wireformat import WireFormat

if TYPE_CHECKING:
    from duologue.namespace import Namespace
    from duologue.protocol.events import IncomingRequest

SEND_PATIENCE: Final = 10.0
"""Seconds that a one-way message waits for room at the peer that it is relayed to. It keeps its slot meanwhile, and
is dropped then: the only way out of a ring of relays that are all full (docs/flow.md, F5)."""


class RelayRequest:
    """What the function that picks a peer may look at."""

    __slots__ = ("is_call", "name", "payload", "peer", "sid")

    def __init__(self, peer: Peer, name: str, request: IncomingRequest) -> None:
        self.peer = peer
        """The peer that asks."""
        self.sid = request.sid
        """The service that is asked for."""
        self.name = name
        """Its name, for people: `calc::Add`, or the id in hex."""
        self.payload = request.payload
        """The encoded message."""
        self.is_call = request.cid != 0
        """Whether an answer is awaited."""

    def __repr__(self) -> str:
        return f"<RelayRequest {self.name}, {'call' if self.is_call else 'send'}, {len(self.payload)} bytes>"


Pick = Callable[[RelayRequest], "Peer | Awaitable[Peer | None] | None"]
"""Chooses the peer for one request. None: nobody serves it now, `NoHandler`."""


class RelayMap(ServiceMap):
    """Services that are asked of another peer: `RelayMap(provider, calc)`.

    `target` is that peer, or a function that picks one for each message: `RoundRobin(peers)`, or one of your own,
    which may be `async`. `services` are namespaces or service ids. Payloads are passed on without being decoded, so
    both peers must have the same wire format. `timeout` in seconds is for each call at the provider; the default is
    its `Limits.call_timeout`.

    No permits are taken: the provider has its own. Raises `RegistrationError` and `ServiceIdError` for services
    that can't be, or are given twice.
    """

    def __init__(
        self, target: Peer | Pick, /, *services: Namespace | int, timeout: Timeout = DEFAULT
    ) -> None:
        if not isinstance(target, Peer) and not callable(target):
            raise RegistrationError(f"{target!r} is neither a Peer nor a function that picks one")
        self._target = target
        self._names = named_services(services, "a RelayMap")
        self._routes: dict[int, Route] = {
            sid: RelayRoute(name, target, timeout) for sid, name in self._names.items()
        }

    def router(self, wireformat: WireFormat) -> Router:
        """From service ids to routes: the same in each wire format."""
        return self._routes.get

    def sids(self) -> Iterable[int]:
        """What it relays."""
        return self._names.keys()

    def name_of(self, sid: int) -> str:
        """The name of a service, for people."""
        return self._names.get(sid) or super().name_of(sid)

    def __repr__(self) -> str:
        return f"<RelayMap of {', '.join(self._names.values())} to {self._target!r}>"


class RelayRoute(Route):
    """One service that is relayed."""

    __slots__ = ("name", "pick", "target", "timeout")

    mode = Mode.RELAY
    takes_permit = False

    def __init__(self, name: str, target: Peer | Pick, timeout: Timeout) -> None:
        self.name = name
        self.timeout = timeout
        """Of each call, at the provider."""
        self.target: Peer | None = target if isinstance(target, Peer) else None
        """Where all go, if there is no choice."""
        self.pick: Pick | None = None if isinstance(target, Peer) else target
        """Chooses, if there is."""

    def __repr__(self) -> str:
        return f"<RelayRoute {self.name} to {self.target or self.pick!r}>"


def check_target(source: Peer, target: object) -> Peer:
    """The picked peer, if a request of `source` may be relayed to it. Raises `RequestFault`."""
    if target is None:
        raise RequestFault(FailureKind.NO_HANDLER)
    if not isinstance(target, Peer):
        raise TypeError(f"the function that picks a peer to relay to gave {target!r}: give a Peer, or None")
    if target is source:
        raise RequestFault(FailureKind.RELAY_REFUSED) from RegistrationError(
            f"it would go back to {source!r}, which it came from: two peers that relay the same service to each other"
        )
    if target.wireformat is not source.wireformat and target.wireformat.name != source.wireformat.name:
        raise RequestFault(FailureKind.RELAY_REFUSED) from RegistrationError(
            f"{source!r} speaks {source.wireformat.name} and {target!r} speaks {target.wireformat.name}: a relay passes "
            "payloads on as they are, so connect both in the same wire format"
        )
    return target


def relay_failure(error: BaseException) -> FailureKind:
    """What the failure of a relayed request is to the one who asked. Kinds are kept, texts are not passed on."""
    match error:
        case RequestFault():
            return error.kind
        case RemoteError():
            return _KINDS.get(error.kind, FailureKind.RELAY_FAILED)
        case CallTimeout():
            return FailureKind.TIMEOUT
        case ConnectionLost() | ConnectionClosed():
            return FailureKind.RELAY_GONE
        case Overloaded():
            return FailureKind.OVERLOADED
        case FrameTooLarge():
            return FailureKind.FRAME_TOO_LARGE
        case SendTimeout():
            return FailureKind.DROPPED
        case _:
            return FailureKind.HANDLER_FAILED


_KINDS = {
    ErrorKind.UNKNOWN_SERVICE: FailureKind.UNKNOWN_SERVICE,
    ErrorKind.DESERIALIZE: FailureKind.DESERIALIZE,
    ErrorKind.PUBSUB_NO_CALL: FailureKind.PUBSUB_NO_CALL,
}


class Balancer:
    """Picks among several peers. They can be added and removed at any time; one that is closed is forgotten.

    Derive from it for a policy of your own: `choose` is all that is needed.
    """

    def __init__(self, peers: Iterable[Peer] = ()) -> None:
        self._peers: list[Peer] = list(peers)

    @property
    def peers(self) -> tuple[Peer, ...]:
        """Those that are open."""
        return tuple(peer for peer in self._peers if peer.is_open)

    def add(self, peer: Peer) -> None:
        """One more. Raises `RegistrationError` if it is among them."""
        if peer in self._peers:
            raise RegistrationError(f"{peer!r} is among the peers already")
        self._peers.append(peer)

    def remove(self, peer: Peer) -> None:
        """One less. What it has been asked is still answered. Raises `RegistrationError` if it is not among them."""
        if peer not in self._peers:
            raise RegistrationError(f"{peer!r} is not among the peers")
        self._peers.remove(peer)

    def __call__(self, request: RelayRequest) -> Peer | None:
        for peer in self._peers:
            if not peer.is_open:
                self._peers = [each for each in self._peers if each.is_open]
                break
        return self.choose(self._peers, request) if self._peers else None

    def choose(self, peers: list[Peer], request: RelayRequest) -> Peer:
        """One of the peers, which are all open; there is at least one."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self.peers)} peers>"


class RoundRobin(Balancer):
    """One after the other."""

    def __init__(self, peers: Iterable[Peer] = ()) -> None:
        super().__init__(peers)
        self._turn = -1

    def choose(self, peers: list[Peer], request: RelayRequest) -> Peer:
        """The next one."""
        self._turn = (self._turn + 1) % len(peers)
        return peers[self._turn]


class LeastOutstanding(Balancer):
    """The one that owes the fewest answers; of several, the one that was picked longest ago."""

    def choose(self, peers: list[Peer], request: RelayRequest) -> Peer:
        """The one with the least to do."""
        chosen = min(peers, key=_outstanding)
        peers.remove(chosen)
        peers.append(chosen)
        return chosen


class ConsistentHash(Balancer):
    """The same peer for the same key, as long as it is there; when one comes or goes, only its own keys move.

    `key` gives the bytes or text that decides: `lambda request: request.payload` if the whole message does.
    Peers are told apart by their names, or by `name_of(peer)`: each needs one of its own that stays the same when
    it connects again.
    """

    def __init__(
        self,
        peers: Iterable[Peer] = (),
        *,
        key: Callable[[RelayRequest], bytes | str],
        name_of: Callable[[Peer], str] = lambda peer: peer.info.name or peer.info.address,
    ) -> None:
        super().__init__(peers)
        self._key = key
        self._name_of = name_of

    def choose(self, peers: list[Peer], request: RelayRequest) -> Peer:
        """The one whose name and the key together have the highest hash: rendezvous hashing."""
        key = self._key(request)
        data = key.encode() if isinstance(key, str) else bytes(key)

        def weight(peer: Peer) -> tuple[int, str]:
            name = self._name_of(peer)
            return xxh64_intdigest(data, seed=xxh64_intdigest(name.encode())), name

        return max(peers, key=weight)


_outstanding = attrgetter("outstanding")
