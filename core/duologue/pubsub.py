"""Publish and subscribe: one-way messages that go to all who want them (docs/pubsub.md)."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar, overload

from duologue.errors import DecodeError, FailureKind, RegistrationError
from duologue.messages import Message
from duologue.namespace import MessageType, Namespace
from duologue.peer import Peer
from duologue.protocol.feed import FEED_BYTES, FEED_LENGTH, Feed, FeedPolicy
from duologue.protocol.routes import Mode, RequestFault, Route, Router
from duologue.served import named_services
from duologue.services import ServiceMap
from duologue.subscriptions import ListenerSubscription, PeerSubscription, Publication, Subscription
from duologue.wireformat import WireFormat

M = TypeVar("M", bound=Message[Any])


class PubSub(ServiceMap):
    """Messages for all who subscribe: `ticks = PubSub(ticker)`, with namespaces or service ids.

    Served to a peer, it takes the peer's sends and gives each to every subscriber; `publish` does the same from
    here. Calls are refused, `PubSubNoCall`. Nobody waits for a subscriber: each has a bounded feed.

    With namespaces, peers of different wire formats can publish and subscribe together. With ids alone a message
    can't be understood here, so all must have the same.
    """

    def __init__(self, *services: Namespace | int) -> None:
        self._names = named_services(services, "a PubSub")
        self._messages: dict[int, tuple[Namespace, MessageType]] = {
            each.sid(message): (each, message)
            for each in services
            if isinstance(each, Namespace)
            for message in each
        }
        self._sids: dict[MessageType, list[int]] = {}
        for sid, (_, message) in self._messages.items():
            self._sids.setdefault(message, []).append(sid)
        self._wireformat: WireFormat | None = None
        """The one and only, if there are services of which only the id is known."""
        self._subscriptions: dict[object, Subscription] = {}

    # -- subscribers -----------------------------------------------------------------------------

    def subscribe(
        self,
        peer: Peer,
        *services: Namespace | MessageType | int,
        queue: int = FEED_LENGTH,
        queue_bytes: int = FEED_BYTES,
        policy: FeedPolicy = "drop_oldest",
    ) -> Subscription:
        """Give a peer all that is published from now on, or what of `services` is.

        While it does not take it, at most `queue` messages of `queue_bytes` wait for it. What is too much goes by the
        policy: `drop_oldest`, `drop_newest`, or `close` its connection. The subscription ends with the peer; for one
        that has ended already it has, too.

        Raises `RegistrationError` if it has subscribed already, or its wire format will not do; `ValueError` for a
        queue without room, or an unknown policy.
        """
        if peer in self._subscriptions:
            raise RegistrationError(f"{peer!r} has subscribed already: unsubscribe it first")
        self._check_wireformat(peer.wireformat)
        feed = Feed(queue, queue_bytes, policy)
        subscription = PeerSubscription(peer, feed, self._wanted(services), self._ended)
        self._subscriptions[peer] = subscription
        subscription.forget = peer.when_closed(subscription.closed)
        return subscription

    @overload
    def listen(self, listener: Callable[[M], None], service: type[M], /) -> Subscription: ...

    @overload
    def listen(
        self, listener: Callable[[Message[Any]], None], /, *services: Namespace | MessageType | int
    ) -> Subscription: ...

    def listen(
        self, listener: Callable[[Any], None], /, *services: Namespace | MessageType | int
    ) -> Subscription:
        """Call a function with each message that is published from now on, or with those of `services`. It must not block,
        and can't be `async`: to wait between messages there is `duologue_contrib.pubsub.listen`.

        Raises `RegistrationError` if services are known by id alone, or the function is `async` or listens already.
        """
        if inspect.iscoroutinefunction(listener):
            raise RegistrationError(
                f"{listener!r} is an `async def`, and nobody would await it: give a plain function, or take the messages "
                "one after another with duologue_contrib.pubsub.listen"
            )
        if listener in self._subscriptions:
            raise RegistrationError(f"{listener!r} listens already")
        wanted = self._wanted(services)
        for sid in wanted:
            if sid not in self._messages:
                raise RegistrationError(
                    f"{self._names[sid]} is known by its id alone: give a Namespace, so that it can be decoded here"
                )
        self._subscriptions[listener] = subscription = ListenerSubscription(listener, wanted, self._ended)
        return subscription

    def unsubscribe(self, subscriber: Peer | Callable[[Any], None]) -> None:
        """It gets nothing more, and what waits for it is let go. Raises `RegistrationError` if it has not subscribed."""
        subscription = self._subscriptions.get(subscriber)
        if subscription is None:
            raise RegistrationError(f"{subscriber!r} has not subscribed")
        subscription.end()

    def subscription_of(self, subscriber: Peer | Callable[[Any], None]) -> Subscription | None:
        """The subscription of a peer, or of a function that listens; None if it has none."""
        return self._subscriptions.get(subscriber)

    @property
    def subscriptions(self) -> tuple[Subscription, ...]:
        """All of them, to look at."""
        return tuple(self._subscriptions.values())

    # -- publishing --------------------------------------------------------------------------------

    def publish(self, message: Message[Any]) -> None:
        """Give a message to all subscribers. Waits for nothing.

        Raises `RegistrationError` if it is in none of the namespaces, `EncodeError`, and what a listener raised: all
        others have it then.
        """
        sids = self._sids.get(type(message))
        if sids is None:
            raise RegistrationError(
                f"{type(message).__name__} is in none of the namespaces of {self!r}: give PubSub its namespace"
            )
        for sid in sids:
            self._give(Publication(sid, self._messages[sid], message))

    def publish_raw(self, sid: int, payload: bytes, wireformat: WireFormat) -> None:
        """Give an encoded message to all subscribers.

        Raises `DecodeError` if somebody needs it decoded and it can't be, and what a listener raised: all others have
        it then.
        """
        publication = Publication(sid, self._messages.get(sid), None)
        publication.payloads[wireformat.name] = payload
        publication.source = wireformat
        self._give(publication)

    def _give(self, publication: Publication) -> None:
        failure: Exception | None = None
        for subscriber, subscription in tuple(self._subscriptions.items()):
            if publication.sid not in subscription.sids:
                continue
            if self._subscriptions.get(subscriber) is not subscription:
                continue  # a listener has ended it, just now
            try:
                subscription.put(publication)
            except Exception as exc:  # whatever it is, the others get theirs
                failure = failure or exc
        if failure is not None:
            raise failure

    # -- as a service map ----------------------------------------------------------------------------

    def router(self, wireformat: WireFormat) -> Router:
        """From service ids to routes. Raises `RegistrationError` if ids alone are known, and another format is used too."""
        self._check_wireformat(wireformat)
        return {sid: PublishRoute(self, name, sid, wireformat) for sid, name in self._names.items()}.get

    def sids(self) -> Iterable[int]:
        """What is published."""
        return self._names.keys()

    def name_of(self, sid: int) -> str:
        """The name of a service, for people."""
        return self._names.get(sid) or super().name_of(sid)

    def __repr__(self) -> str:
        return f"<PubSub of {', '.join(self._names.values())} to {len(self._subscriptions)} subscribers>"

    # -- inside ----------------------------------------------------------------------------------------

    def _check_wireformat(self, wireformat: WireFormat) -> None:
        for namespace in {id(namespace): namespace for namespace, _ in self._messages.values()}.values():
            namespace.codecs(wireformat)  # raises if it can't carry them
        if len(self._messages) == len(self._names):
            return
        if self._wireformat is None:
            self._wireformat = wireformat
        elif self._wireformat.name != wireformat.name:
            raise RegistrationError(
                f"a PubSub that knows services by their ids alone passes on bytes, and has begun with {self._wireformat.name}: "
                f"give it namespaces, so that it can speak {wireformat.name} too"
            )

    def _wanted(self, services: tuple[Namespace | MessageType | int, ...]) -> frozenset[int]:
        if not services:
            return frozenset(self._names)
        return frozenset(sid for each in services for sid in self._sids_of(each))

    def _sids_of(self, service: Namespace | MessageType | int) -> Iterator[int]:
        if isinstance(service, Namespace):
            sids = [service.sid(message) for message in service]
        elif isinstance(service, int):
            sids = [service]
        else:
            sids = self._sids.get(service, [-1])
        for sid in sids:
            if sid not in self._names:
                raise RegistrationError(
                    f"{service!r} is not published here, which is {', '.join(self._names.values())}"
                )
            yield sid

    def _ended(self, subscription: Subscription) -> None:
        # It may have ended before, and its subscriber have another by now.
        if self._subscriptions.get(subscription.subscriber) is subscription:
            del self._subscriptions[subscription.subscriber]


class PublishRoute(Route):
    """One service that is published."""

    __slots__ = ("_pubsub", "_sid", "_wireformat", "name")

    mode = Mode.INLINE
    takes_permit = False

    def __init__(self, pubsub: PubSub, name: str, sid: int, wireformat: WireFormat) -> None:
        self.name = name
        self._pubsub = pubsub
        self._sid = sid
        self._wireformat = wireformat

    def run_sync(self, payload: bytes, context: Any, answered: bool) -> bytes:
        """Give it to all. A call is refused."""
        if answered:
            raise RequestFault(FailureKind.PUBSUB_NO_CALL)
        try:
            self._pubsub.publish_raw(self._sid, payload, self._wireformat)
        except DecodeError as exc:
            raise RequestFault(FailureKind.DESERIALIZE) from exc
        return b""
