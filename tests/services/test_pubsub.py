"""Publish and subscribe: who gets what, in which wire format, and what one subscriber means to the others."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from tests.services.conftest import PlainFormat
from tests.services.subscribers import NotingPeer, OtherFormat

from duologue import (
    EncodeError,
    FailureKind,
    Message,
    Namespace,
    PubSub,
    RegistrationError,
    ServiceIdError,
)
from duologue.protocol.routes import Mode, RequestFault
from duologue.subscriptions import PeerSubscription


class Tick(Message[None]):
    price: int


class Tock(Message[None]):
    price: int


class Odd(Message[None]):
    value: Any


ticker = Namespace("ticker", [Tick, Tock])
TICK, TOCK = ticker.sid(Tick), ticker.sid(Tock)


def run(pubsub: PubSub, sid: int, payload: bytes, *, is_call: bool = False) -> bytes:
    """A peer sends, or calls."""
    route = pubsub.router(PlainFormat())(sid)
    assert route is not None
    assert route.mode is Mode.INLINE
    return route.run_sync(payload, None, is_call)


def test_a_send_goes_to_all_subscribers() -> None:
    """As it came, to each; nothing is decoded for that."""
    pubsub = PubSub(ticker)
    peers = [NotingPeer(), NotingPeer()]
    subscriptions = [pubsub.subscribe(peer) for peer in peers]
    run(pubsub, TICK, b"no json at all")
    assert [peer.got for peer in peers] == [[(TICK, b"no json at all")]] * 2
    assert [(each.sent, each.waiting, each.dropped) for each in subscriptions] == [(1, 0, 0)] * 2


def test_a_call_is_refused() -> None:
    """Nobody could say whose answer it should get."""
    pubsub = PubSub(ticker)
    peer = NotingPeer()
    pubsub.subscribe(peer)
    with pytest.raises(RequestFault) as caught:
        run(pubsub, TICK, b"{}", is_call=True)
    assert caught.value.kind is FailureKind.PUBSUB_NO_CALL
    assert peer.got == []


def test_who_subscribes_to_some_gets_those() -> None:
    """A message class, an id, or a namespace."""
    pubsub = PubSub(ticker)
    by_class, by_id, by_namespace = NotingPeer(), NotingPeer(), NotingPeer()
    pubsub.subscribe(by_class, Tick)
    pubsub.subscribe(by_id, TOCK)
    pubsub.subscribe(by_namespace, ticker)
    pubsub.publish(Tick(1))
    pubsub.publish(Tock(2))
    assert by_class.got == [(TICK, b'{"price":1}')]
    assert by_id.got == [(TOCK, b'{"price":2}')]
    assert len(by_namespace.got) == 2


@pytest.mark.parametrize("stranger", [Odd, 17, Namespace("odd", [Odd])])
def test_one_can_not_subscribe_to_what_is_not_published(stranger: Any) -> None:
    """The error says what is."""
    pubsub = PubSub(ticker)
    with pytest.raises(RegistrationError, match="ticker::Tick, ticker::Tock"):
        pubsub.subscribe(NotingPeer(), stranger)
    assert pubsub.subscriptions == ()


def test_subscribing_twice_is_a_mistake() -> None:
    """Of a peer, and of a listener. After unsubscribing it is none."""
    pubsub = PubSub(ticker)
    peer, heard = NotingPeer(), [].append
    assert pubsub.subscription_of(peer) is pubsub.subscription_of(heard) is None
    assert pubsub.subscribe(peer) is pubsub.subscription_of(peer)
    assert pubsub.listen(heard) is pubsub.subscription_of(heard)
    with pytest.raises(RegistrationError, match="has subscribed already"):
        pubsub.subscribe(peer, Tick)
    with pytest.raises(RegistrationError, match="listens already"):
        pubsub.listen(heard)
    pubsub.unsubscribe(peer)
    pubsub.unsubscribe(heard)
    pubsub.subscribe(peer)
    pubsub.listen(heard)


@pytest.mark.parametrize("wrong", [ticker, "peer", None])
def test_only_a_peer_subscribes(wrong: Any) -> None:
    """The error says what there is for others."""
    pubsub = PubSub(ticker)
    with pytest.raises(
        RegistrationError, match=r"is no Peer, so it can't subscribe; for a function .* listen"
    ):
        pubsub.subscribe(wrong)
    assert pubsub.subscriptions == ()


def test_a_listener_is_a_function_that_can_just_be_called() -> None:
    """What is none would fail with each message, and nobody would await what an `async def` gives."""

    async def hear(message: Message[Any]) -> None:
        raise AssertionError

    pubsub = PubSub(ticker)
    wrong: Any
    for wrong in (hear, 3, None):
        with pytest.raises(
            RegistrationError, match="can't listen, since nobody would await it: give a plain `def`"
        ):
            pubsub.listen(wrong)
    assert pubsub.subscriptions == ()


def test_after_unsubscribing_nothing_comes() -> None:
    """And nothing is kept of the peer. Ending a subscription is the same, and may be done twice."""
    pubsub = PubSub(ticker)
    peer = NotingPeer()
    subscription = pubsub.subscribe(peer)
    pubsub.unsubscribe(peer)
    subscription.end()
    pubsub.publish(Tick(1))
    assert (peer.got, peer.callbacks, pubsub.subscriptions) == ([], {}, ())
    with pytest.raises(RegistrationError, match="has not subscribed"):
        pubsub.unsubscribe(peer)


def test_ending_a_subscription_twice_leaves_the_next_one_alone() -> None:
    """Whoever has subscribed anew in between keeps that: a peer, and a function."""
    pubsub = PubSub(ticker)
    peer = NotingPeer()
    heard: list[Message[Any]] = []
    listener = heard.append
    for first in (pubsub.subscribe(peer), pubsub.listen(listener)):
        first.end()
        again = pubsub.subscribe(peer) if first.subscriber is peer else pubsub.listen(listener)
        first.end()
        assert pubsub.subscription_of(again.subscriber) is again  # type: ignore[arg-type]
    pubsub.publish(Tick(1))
    assert (peer.got, heard) == ([(TICK, b'{"price":1}')], [Tick(1)])


@pytest.mark.fault(84)
def test_a_peer_that_closes_is_no_subscriber_any_more() -> None:
    """A subscriber that closes is removed, whether it says so or is found closed."""
    pubsub = PubSub(ticker)
    tells, is_found, stays = NotingPeer(), NotingPeer(), NotingPeer()
    for peer in (tells, is_found, stays):
        pubsub.subscribe(peer)
    tells.close_now()
    is_found.open = False
    pubsub.publish(Tick(1))
    assert len(pubsub.subscriptions) == 1
    assert stays.got == [(TICK, b'{"price":1}')]


def test_a_peer_that_drains_still_gets_what_waits_for_it() -> None:
    """It takes nothing new, so it is no subscriber any more; what is in its feed was accepted, and may still leave."""
    pubsub = PubSub(ticker)
    peer = NotingPeer()
    subscription = pubsub.subscribe(peer)
    assert isinstance(subscription, PeerSubscription)
    subscription._feed.put(1, TICK, b"before")
    peer.open = False
    pubsub.publish(Tick(1))
    assert pubsub.subscriptions == ()
    assert (subscription.waiting, subscription.dropped) == (1, 0)
    assert peer.callbacks == {}


def test_a_message_that_one_can_not_take_is_counted_there() -> None:
    """It is over the limit of that connection, and not of the others."""
    pubsub = PubSub(ticker)
    small, large = NotingPeer(), NotingPeer()
    small.largest = 5
    subscription = pubsub.subscribe(small)
    pubsub.subscribe(large)
    pubsub.publish(Tick(1))
    assert (subscription.dropped, len(large.got)) == (1, 1)
    assert repr(subscription).endswith(": 0 sent, 0 waiting, 1 dropped>")


def test_each_gets_its_own_wire_format() -> None:
    """A message is encoded once for each, and decoded only if another needs it."""
    pubsub = PubSub(ticker)
    same, other = NotingPeer(), NotingPeer("other", OtherFormat())
    pubsub.subscribe(same)
    pubsub.subscribe(other)
    run(pubsub, TICK, b'{"price":  7}')
    assert same.got == [(TICK, b'{"price":  7}')]
    assert other.got == [(TICK, b'{"price":7} ')]


def test_what_is_not_readable_reaches_those_who_need_not_read_it() -> None:
    """And is the failure of the one who sent it."""
    pubsub = PubSub(ticker)
    peers = [NotingPeer(), NotingPeer("other", OtherFormat()), NotingPeer()]
    heard: list[Any] = []
    for peer in peers:
        pubsub.subscribe(peer)
    pubsub.listen(heard.append)
    with pytest.raises(RequestFault) as caught:
        run(pubsub, TICK, b"no json at all")
    assert caught.value.kind is FailureKind.DESERIALIZE
    assert [len(peer.got) for peer in peers] == [1, 0, 1]
    assert heard == []


def test_a_listener_hears_messages() -> None:
    """The same object as was published, or one that was decoded."""
    pubsub = PubSub(ticker)
    heard: list[Message[Any]] = []
    subscription = pubsub.listen(heard.append, Tick)
    message = Tick(1)
    pubsub.publish(message)
    pubsub.publish(Tock(2))
    run(pubsub, TICK, b'{"price":3}')
    assert heard == [Tick(1), Tick(3)]
    assert heard[0] is message
    assert (subscription.sent, subscription.waiting, subscription.dropped) == (2, 0, 0)
    assert "2 sent" in repr(subscription)


def test_a_listener_that_raises_disturbs_nobody() -> None:
    """All others have the message. Who published learns it."""
    pubsub = PubSub(ticker)
    first, last = NotingPeer(), NotingPeer()

    def fail(message: object) -> None:
        raise LookupError("a mistake")

    pubsub.subscribe(first)
    pubsub.listen(fail)
    pubsub.subscribe(last)
    with pytest.raises(LookupError):
        pubsub.publish(Tick(1))
    assert (len(first.got), len(last.got)) == (1, 1)


def test_one_who_unsubscribes_while_it_is_told_harms_nobody() -> None:
    """A listener may end its own subscription, or another's."""
    pubsub = PubSub(ticker)
    peer = NotingPeer()

    def once(message: object) -> None:
        pubsub.unsubscribe(once)

    pubsub.listen(once)
    pubsub.subscribe(peer)
    pubsub.publish(Tick(1))
    pubsub.publish(Tick(2))
    assert len(peer.got) == 2


def test_ids_alone_are_passed_on_in_one_wire_format() -> None:
    """What can't be decoded can't be translated."""
    pubsub = PubSub(TICK, 17)
    peer = NotingPeer()
    pubsub.subscribe(peer)
    run(pubsub, 17, b"bytes")
    assert peer.got == [(17, b"bytes")]
    with pytest.raises(RegistrationError, match="has begun with plain"):
        pubsub.subscribe(NotingPeer("other", OtherFormat()))
    with pytest.raises(RegistrationError, match="so that it can speak other too"):
        pubsub.router(OtherFormat())
    with pytest.raises(RegistrationError, match="by its id alone"):
        pubsub.listen(print)
    with pytest.raises(RegistrationError, match="in none of the namespaces"):
        pubsub.publish(Tick(1))


def test_a_wire_format_that_can_not_carry_it_is_refused_when_subscribing() -> None:
    """Not with the first message."""

    class Complex(Message[complex]): ...

    pubsub = PubSub(Namespace("maths", [Complex]))
    with pytest.raises(RegistrationError, match="no way to carry complex"):
        pubsub.subscribe(NotingPeer())


def test_what_does_not_encode_is_the_publishers_mistake() -> None:
    """Nobody gets anything."""
    pubsub = PubSub(Namespace("odd", [Odd]))
    peer = NotingPeer()
    pubsub.subscribe(peer)
    with pytest.raises(EncodeError):
        pubsub.publish(Odd({1, 2, object()}))
    assert peer.got == []


def test_services_are_named_and_given_once() -> None:
    """What is wrong is said when the map is made."""
    with pytest.raises(RegistrationError, match="without services does nothing"):
        PubSub()
    with pytest.raises(ServiceIdError, match="given twice"):
        PubSub(ticker, TICK)
    with pytest.raises(ServiceIdError, match="can't have the service id"):
        PubSub(0)
    with pytest.raises(RegistrationError, match="neither a Namespace nor a service id"):
        PubSub("ticker")  # type: ignore[arg-type]


def test_it_tells_what_it_serves() -> None:
    """By id and by name."""
    pubsub = PubSub(ticker)
    pubsub.subscribe(NotingPeer())
    assert set(pubsub.sids()) == {TICK, TOCK}
    assert (pubsub.name_of(TICK), pubsub.name_of(17)) == ("ticker::Tick", "0x0000000000000011")
    assert repr(pubsub) == "<PubSub of ticker::Tick, ticker::Tock to 1 subscribers>"


def test_a_listener_may_end_the_subscription_of_another() -> None:
    """From then on that one gets nothing, also not the message that is just being given to all."""
    pubsub = PubSub(ticker)
    peer, later = NotingPeer(), NotingPeer()

    def end_others(message: Message[Any]) -> None:
        for each in (peer, later):
            pubsub.unsubscribe(each)
        pubsub.subscribe(later)

    pubsub.listen(end_others)
    pubsub.subscribe(peer)
    pubsub.subscribe(later)
    pubsub.publish(Tick(1))
    assert (peer.got, later.got) == ([], [])  # the new subscription is for what comes from now on
    pubsub.unsubscribe(end_others)
    pubsub.publish(Tick(2))
    assert (peer.got, later.got) == ([], [(TICK, b'{"price":2}')])


class Picky(Message[None]):
    price: int
    attempts: ClassVar[list[int]] = []

    def __post_init__(self) -> None:
        self.attempts.append(self.price)
        if self.price < 0:
            raise ValueError("under 0")


def test_what_can_not_be_decoded_is_tried_once_and_not_for_each_subscriber() -> None:
    """A thousand subscribers that need it decoded: one bad message costs as much as with one of them."""
    namespace = Namespace("picky", [Picky])
    pubsub = PubSub(namespace)
    peers = [NotingPeer(wireformat=OtherFormat()) for _ in range(1000)]
    for peer in peers:
        pubsub.subscribe(peer)
    same = NotingPeer()
    pubsub.subscribe(same)
    Picky.attempts.clear()
    with pytest.raises(RequestFault) as caught:
        run(pubsub, namespace.sid(Picky), b'{"price":-1}')
    assert caught.value.kind is FailureKind.DESERIALIZE
    assert Picky.attempts == [-1]
    assert same.got == [(namespace.sid(Picky), b'{"price":-1}')]
    assert not any(peer.got for peer in peers)


def test_who_has_ended_already_is_no_subscriber() -> None:
    """That is no mistake: a connection may end at any time, also just before."""
    pubsub = PubSub(ticker)
    peer = NotingPeer()
    peer.open = False
    peer.has_ended = True
    subscription = pubsub.subscribe(peer)
    assert pubsub.subscriptions == ()
    subscription.end()
