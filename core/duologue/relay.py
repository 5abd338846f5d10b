"""Relays: services that another peer provides (docs/relay.md).

Here is decided where a request goes and what a failure there means for the one who asked. The driver does the passing on.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

from xxhash import xxh64_intdigest

from duologue.errors import FailureKind, RegistrationError
from duologue.peer import Peer
from duologue.protocol.errors import RelayRefused
from duologue.protocol.routes import Mode, RequestFault, Route, Router
from duologue.served import named_services
from duologue.services import ServiceMap
from duologue.wireformat import WireFormat

if TYPE_CHECKING:
    from duologue.namespace import Namespace
    from duologue.protocol.events import IncomingRequest
    from duologue.protocol.relaying import Relays

CALL_TIMEOUT: Final = 60.0
"""Seconds for each call at the provider, if nothing else is said."""


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
    both peers must have the same wire format. `timeout` in seconds, None for ever, is for each call at the provider: there is a
    caller who waits, and has a timeout too.

    No permits are taken: the provider has its own. Raises `RegistrationError` and `ServiceIdError` for services
    that can't be, or are given twice.
    """

    def __init__(
        self, target: Peer | Pick, /, *services: Namespace | int, timeout: float | None = CALL_TIMEOUT
    ) -> None:
        if timeout is not None and not timeout >= 0:
            raise RegistrationError(f"a timeout of {timeout!r}: give seconds, or None for waiting for ever")
        if not isinstance(target, Peer) and not callable(target):
            raise RegistrationError(
                f"{target!r} is neither a Peer nor a function that picks one: give what `connect` gives, or RoundRobin(peers)"
            )
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

    __slots__ = ("name", "relay_timeout", "relays_to", "target")

    mode = Mode.RELAY
    takes_permit = False

    def __init__(self, name: str, target: Peer | Pick, timeout: float | None) -> None:
        self.name = name
        self.relay_timeout = timeout
        self.target = target
        """Where all go, or what chooses."""
        self.relays_to = None
        if isinstance(target, Peer):
            relays = target.relays
            self.relays_to = None if relays is None else lambda: relays
        elif isinstance(target, Balancer) and not target.looks_at_requests:
            self.relays_to = target.next_relays

    def __repr__(self) -> str:
        return f"<RelayRoute {self.name} to {self.target!r}>"


def check_target(target: object) -> Peer:
    """What a function picked, if it is a peer. Raises `RequestFault`, or `TypeError`."""
    if target is None:
        raise RequestFault(FailureKind.NO_HANDLER) from RelayRefused(
            "no peer was picked: none is there that could answer"
        )
    if not isinstance(target, Peer):
        raise TypeError(f"the function that picks a peer to relay to gave {target!r}: give a Peer, or None")
    return target


class Balancer:
    """Picks among several peers. They can be added and removed at any time; one that is closed is forgotten.

    Derive from it for a policy of your own: `choose` is all that is needed.
    """

    looks_at_requests = True
    """Whether `choose` wants to see the request. If not, what is relayed need not be looked at at all, and costs less."""

    _left: Peer | BaseException | None = None
    """What was picked for the state machine and is of no use to it, or what was raised then: for whoever asks next."""

    def __init__(self, peers: Iterable[Peer] = ()) -> None:
        self._peers: list[Peer] = []
        for peer in peers:
            self.add(peer)

    @property
    def peers(self) -> tuple[Peer, ...]:
        """Those that are open."""
        return tuple(peer for peer in self._peers if peer.is_open)

    def add(self, peer: Peer) -> None:
        """One more. Raises `RegistrationError` if it is among them, or no peer."""
        if not isinstance(peer, Peer):  # pyright: ignore[reportUnnecessaryIsInstance] - not all callers are checked
            raise RegistrationError(f"{peer!r} is no Peer: give what `connect` gives")
        if peer in self._peers:
            raise RegistrationError(f"{peer!r} is among the peers already")
        self._peers.append(peer)

    def remove(self, peer: Peer) -> None:
        """One less. What it has been asked is still answered.

        Raises `RegistrationError` if it is not among them; not if it is closed, since it may have been forgotten for that.
        """
        if peer in self._peers:
            self._peers.remove(peer)
        elif peer.is_open:
            raise RegistrationError(f"{peer!r} is not among the peers")

    def __call__(self, request: RelayRequest | None) -> Peer | None:
        if self._left is not None:
            left, self._left = self._left, None
            if isinstance(left, BaseException):
                raise left
            if left.is_open and left in self._peers:
                return left
        for peer in self._peers:
            if not peer.is_open:
                self._peers = [each for each in self._peers if each.is_open]
                break
        return self.choose(self._peers, request) if self._peers else None

    def next_relays(self) -> Relays | None:
        """The same without a look at the request, for the state machine. None too if the peer is none that it knows, or
        something was raised. Then the driver asks, and must get just that: whose turn it was, it still is.
        """
        if self._left is not None:
            return None
        try:
            peer = self(None)
            relays = None if peer is None else peer.relays
        except BaseException as exc:
            self._left = exc
            return None
        if relays is None:
            self._left = peer
        return relays

    def choose(self, peers: list[Peer], request: Any) -> Peer:
        """One of the peers, which are all open; there is at least one. `request` is a `RelayRequest` if it `looks_at_requests`."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self.peers)} peers>"


class RoundRobin(Balancer):
    """One after the other."""

    looks_at_requests = False

    def __init__(self, peers: Iterable[Peer] = ()) -> None:
        super().__init__(peers)
        self._turn = -1

    def choose(self, peers: list[Peer], request: Any) -> Peer:
        """The next one."""
        self._turn = (self._turn + 1) % len(peers)
        return peers[self._turn]


class LeastOutstanding(Balancer):
    """The one that owes the fewest answers; of several, the one that was picked longest ago."""

    looks_at_requests = False

    def choose(self, peers: list[Peer], request: Any) -> Peer:
        """The one with the least to do."""
        # The list is the policy's own, so its order may say who was picked longest ago.
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

    def choose(self, peers: list[Peer], request: Any) -> Peer:
        """The one whose name and the key together have the highest hash: rendezvous hashing."""
        key = self._key(request)
        data = key.encode() if isinstance(key, str) else bytes(key)

        def weight(peer: Peer) -> tuple[int, str]:
            name = self._name_of(peer)
            return xxh64_intdigest(data, seed=xxh64_intdigest(name.encode())), name

        return max(peers, key=weight)


_outstanding = attrgetter("outstanding")
