"""Relay maps and the policies that pick a peer."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from tests.core.harness import Solo
from tests.services.conftest import PlainFormat
from tests.services.subscribers import NotingPeer

from duologue import (
    Balancer,
    ConsistentHash,
    FailureKind,
    LeastOutstanding,
    Message,
    Namespace,
    RegistrationError,
    RelayMap,
    RelayRequest,
    RoundRobin,
    ServiceIdError,
)
from duologue.protocol.events import CallReceived, SendReceived
from duologue.protocol.routes import Mode, RequestFault
from duologue.relay import RelayRoute, check_target


class Add(Message[int]):
    a: int


calc = Namespace("calc", [Add])
ADD = calc.sid(Add)


def route_of(relay: RelayMap) -> RelayRoute:
    route = relay.router(PlainFormat())(ADD)
    assert isinstance(route, RelayRoute)
    return route


def request(payload: bytes = b"", cid: int = 1) -> RelayRequest:
    return RelayRequest(NotingPeer(), "calc::Add", CallReceived(ADD, cid, payload, None))


def connected(name: str) -> NotingPeer:
    """A peer that the state machine knows."""
    peer = NotingPeer(name)
    peer.relays = Solo().connection.relays
    return peer


def test_a_route_takes_no_permit_and_runs_nothing() -> None:
    """It only says where to go, and how long a call may take there."""
    peer = connected("one")
    route = route_of(RelayMap(peer, calc, timeout=5.0))
    assert (route.mode, route.takes_permit, route.name, route.relay_timeout) == (
        Mode.RELAY,
        False,
        "calc::Add",
        5.0,
    )
    assert route.relays_to is not None
    assert route.relays_to() is peer.relays
    with pytest.raises(NotImplementedError):
        route.run(b"", None, True)


def test_what_the_state_machine_does_not_know_is_left_to_the_driver() -> None:
    """A peer that is no connection, a function, and a policy that wants to see the request."""
    for target in (NotingPeer(), lambda request: None, ConsistentHash(key=lambda request: b"")):
        assert route_of(RelayMap(target, calc)).relays_to is None


@pytest.mark.parametrize("policy", [RoundRobin, LeastOutstanding])
def test_a_policy_that_looks_at_no_request_is_asked_by_the_state_machine(policy: type[Balancer]) -> None:
    """None if there is nobody, and then the driver says so."""
    peer = connected("one")
    balancer = policy([peer])
    route = route_of(RelayMap(balancer, calc))
    assert route.relays_to is not None
    assert route.relays_to() is peer.relays
    peer.open = False
    assert route.relays_to() is None


def test_round_robin_takes_turns() -> None:
    """Peers come and go, and those that are closed are forgotten."""
    peers = [NotingPeer(name) for name in "abc"]
    balancer = RoundRobin(peers)
    names = [peer.info.name for _ in range(6) if (peer := balancer(request()))]
    assert names == ["a", "b", "c"] * 2
    peers[1].open = False
    names = [peer.info.name for _ in range(4) if (peer := balancer(request()))]
    assert sorted(names) == ["a", "a", "c", "c"]
    balancer.remove(peers[0])
    balancer.add(late := NotingPeer("d"))
    assert balancer.peers == (peers[2], late)
    assert repr(balancer) == "<RoundRobin of 2 peers>"


def test_least_outstanding_takes_who_has_the_least_to_do() -> None:
    """Among equals everyone has his turn."""
    peers = [NotingPeer(name) for name in "abc"]
    balancer = LeastOutstanding(peers)
    peers[0].busy = 2
    names = [peer.info.name for _ in range(4) if (peer := balancer(request()))]
    assert names == ["b", "c", "b", "c"]
    peers[1].busy = peers[2].busy = 3
    assert balancer(request()) is peers[0]


def test_the_same_key_goes_to_the_same_peer_as_long_as_it_is_there() -> None:
    """And when one goes, only its own keys move."""
    peers = [NotingPeer(name) for name in "abcde"]
    balancer = ConsistentHash(peers, key=lambda request: request.payload)
    keys = [b"key %d" % number for number in range(1000)]

    def owners() -> dict[bytes, Any]:
        return {key: balancer(request(key)) for key in keys}

    before = owners()
    assert owners() == before
    assert all(100 < count < 300 for count in Counter(before.values()).values())
    peers[2].open = False
    after = owners()
    assert all(after[key] is before[key] for key in keys if before[key] is not peers[2])
    back = NotingPeer("c")
    balancer.add(back)
    assert all(owner is back for key, owner in owners().items() if before[key] is peers[2])


def test_a_key_may_be_text_and_names_ones_own() -> None:
    """Names decide, so two with the same are one to it."""
    peers = [NotingPeer("same"), NotingPeer("same")]
    balancer = ConsistentHash(
        peers,
        key=lambda request: request.name,
        name_of=lambda peer: f"{peers.index(peer)}",  # type: ignore[arg-type]
    )
    assert balancer(request()) in peers
    assert ConsistentHash([NotingPeer("")], key=lambda request: "k")(request()) is not None


def test_nobody_is_none() -> None:
    """Which means that there is no handler now."""
    assert RoundRobin()(request()) is None
    with pytest.raises(RequestFault):
        check_target(None)


def test_a_policy_of_ones_own() -> None:
    """`choose` is all that it needs."""

    class First(Balancer):
        def choose(self, peers: list[Any], request: RelayRequest) -> Any:
            return peers[0]

    peers = [NotingPeer("a"), NotingPeer("b")]
    assert First(peers)(request()) is peers[0]
    with pytest.raises(NotImplementedError):
        Balancer(peers)(request())


def test_a_peer_is_added_once_and_removed_once() -> None:
    """The error names it."""
    peer = NotingPeer()
    balancer = RoundRobin([peer])
    with pytest.raises(RegistrationError, match="is among the peers already"):
        balancer.add(peer)
    balancer.remove(peer)
    with pytest.raises(RegistrationError, match="is not among the peers"):
        balancer.remove(peer)


def test_whoever_cleans_up_need_not_know_whether_a_closed_peer_was_forgotten() -> None:
    """It is forgotten with the next request. Removing it does no harm before that, nor after it."""
    before, after = NotingPeer("before"), NotingPeer("after")
    balancer = RoundRobin([before, after])
    before.open = after.open = False
    balancer.remove(before)
    assert balancer(request()) is None
    balancer.remove(after)
    assert balancer.peers == ()


@pytest.mark.parametrize("policy", [RoundRobin, LeastOutstanding])
def test_whose_turn_it_was_it_still_is(policy: type[Balancer]) -> None:
    """The state machine picks a peer that it does not know, and leaves it to the driver: that one gets the request."""
    peers = [NotingPeer("stranger"), connected("a"), NotingPeer("other stranger"), connected("b")]
    balancer = policy(peers)
    picked: list[str] = []
    for _ in range(8):
        relays = balancer.next_relays()
        peer = next(each for each in peers if each.relays is relays) if relays else balancer(request())
        assert peer is not None
        picked.append(peer.info.name)
    assert picked == ["stranger", "a", "other stranger", "b"] * 2


def test_a_turn_that_is_left_over_lapses_with_its_peer() -> None:
    """Who was removed, or has closed, before the driver asked gets nothing; and nobody picks while one is left over."""
    peers = [NotingPeer("closes"), NotingPeer("is removed"), NotingPeer("stays")]
    balancer = RoundRobin(peers)
    assert balancer.next_relays() is None
    assert balancer.next_relays() is None
    peers[0].open = False
    assert balancer(request()) is peers[2]
    assert balancer.next_relays() is None
    balancer.remove(peers[1])
    assert balancer(request()) is peers[2]


def test_a_policy_that_raises_fails_the_one_request() -> None:
    """Not the state machine, in the middle of its reading: the driver gets what was raised, once."""

    class Sly(RoundRobin):
        def choose(self, peers: list[Any], request: Any) -> Any:
            if self._turn < 0:
                self._turn = 0
                raise KeyboardInterrupt
            return super().choose(peers, request)

    peer = connected("one")
    balancer = Sly([peer])
    assert balancer.next_relays() is None
    with pytest.raises(KeyboardInterrupt):
        balancer(request())
    assert balancer.next_relays() is peer.relays


def test_what_a_function_may_look_at() -> None:
    """Who asks, for what, and with which bytes."""
    asking = NotingPeer()
    call = RelayRequest(asking, "calc::Add", CallReceived(ADD, 7, b"payload", None))
    assert (call.peer, call.sid, call.name, call.payload, call.is_call) == (
        asking,
        ADD,
        "calc::Add",
        b"payload",
        True,
    )
    assert not RelayRequest(asking, "calc::Add", SendReceived(ADD, 0, b"", None)).is_call
    assert repr(call) == "<RelayRequest calc::Add, call, 7 bytes>"


@pytest.mark.parametrize(
    ("arguments", "timeout", "error", "text"),
    [
        ((17, calc), 1.0, RegistrationError, "neither a Peer nor a function"),
        ((print,), 1.0, RegistrationError, "without services"),
        ((print, calc, calc), 1.0, ServiceIdError, "given twice"),
        ((print, calc), -1.0, RegistrationError, "a timeout of -1.0"),
        ((print, calc), float("nan"), RegistrationError, "a timeout of nan"),
    ],
)
def test_mistakes_are_found_when_it_is_made(
    arguments: Any, timeout: float, error: type[Exception], text: str
) -> None:
    """Not with the first request."""
    with pytest.raises(error, match=text):
        RelayMap(*arguments, timeout=timeout)


def test_a_function_that_gives_something_else_is_a_mistake_of_its_own() -> None:
    """The text says what to give."""
    with pytest.raises(TypeError, match="give a Peer, or None"):
        check_target("tcp://somewhere:1")
    peer = NotingPeer()
    assert check_target(peer) is peer


@pytest.mark.parametrize("policy", [RoundRobin, LeastOutstanding])
def test_only_peers_are_picked_from(policy: type[Balancer]) -> None:
    """A URL, say, is refused where it is given, and not by each request. So is a peer that is given twice."""
    for wrong in ("tcp://somewhere:1", None):
        with pytest.raises(RegistrationError, match="is no Peer: give what `connect` gives"):
            policy([wrong])  # type: ignore[list-item]
        with pytest.raises(RegistrationError, match="is no Peer"):
            policy().add(wrong)  # type: ignore[arg-type]
    peer = NotingPeer()
    with pytest.raises(RegistrationError, match="among the peers already"):
        policy([peer, peer])


def test_who_picks_nobody_is_told_what_that_means() -> None:
    """In the event and the log: that nobody is there, which the kind of the failure alone does not say."""
    with pytest.raises(RequestFault) as caught:
        check_target(None)
    assert caught.value.kind is FailureKind.NO_HANDLER
    assert "no peer was picked" in str(caught.value.__cause__)


def test_it_tells_what_it_relays() -> None:
    """And where to."""
    relay = RelayMap(RoundRobin([NotingPeer()]), calc, 17)
    assert set(relay.sids()) == {ADD, 17}
    assert (relay.name_of(ADD), relay.name_of(18)) == ("calc::Add", "0x0000000000000012")
    assert repr(relay) == "<RelayMap of calc::Add, 0x0000000000000011 to <RoundRobin of 1 peers>>"
    assert repr(route_of(relay)) == "<RelayRoute calc::Add to <RoundRobin of 1 peers>>"
