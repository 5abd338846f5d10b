"""Who has subscribed, and what is on its way to them (docs/pubsub.md)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any

from duologue.errors import ConnectionClosed, FrameTooLarge
from duologue.messages import Message
from duologue.namespace import MessageType, Namespace
from duologue.peer import Peer
from duologue.protocol.feed import Feed
from duologue.wireformat import WireFormat


class Publication:
    """One message on its way to all, encoded at most once for each wire format, and decoded at most once."""

    __slots__ = ("_failures", "_message", "_type", "payloads", "sid", "source")

    def __init__(
        self, sid: int, type_: tuple[Namespace, MessageType] | None, message: Message[Any] | None
    ) -> None:
        self.sid = sid
        self._type = type_
        self._message = message
        self.source: WireFormat | None = None
        """The one that it came in; None if it was made here."""
        self.payloads: dict[str, bytes] = {}
        self._failures: dict[str | None, Exception] = {}
        """Why it has no bytes in a wire format, or can't be decoded at all (None). Found out once, and not for each subscriber."""

    def payload(self, wireformat: WireFormat) -> bytes:
        """Its bytes. Raises `DecodeError` if they have to be made of what can't be decoded, `EncodeError`."""
        payload = self.payloads.get(wireformat.name)
        if payload is None:
            message = self.message()
            namespace, message_type = self._known_type()
            codec, _ = namespace.codecs(wireformat)[message_type]
            payload = self._once(wireformat.name, partial(codec.encode, message))
            self.payloads[wireformat.name] = payload
        return payload

    def message(self) -> Message[Any]:
        """Itself. Raises `DecodeError`."""
        if self._message is None:
            namespace, message_type = self._known_type()
            assert self.source is not None
            codec, _ = namespace.codecs(self.source)[message_type]
            self._message = self._once(None, partial(codec.decode, self.payloads[self.source.name]))
        return self._message

    def _once(self, what: str | None, make: Callable[[], Any]) -> Any:
        """Make it, unless that has failed before."""
        failure = self._failures.get(what)
        if failure is None:
            try:
                return make()
            except Exception as exc:
                failure = self._failures[what] = exc
        raise failure.with_traceback(None)  # or it would grow with each

    def _known_type(self) -> tuple[Namespace, MessageType]:
        assert self._type is not None, "what is known by its id alone is never decoded"
        return self._type


class Subscription(ABC):
    """One subscriber of a `PubSub`."""

    def __init__(
        self, subscriber: object, sids: frozenset[int], on_end: Callable[[Subscription], None]
    ) -> None:
        self.subscriber = subscriber
        """Who it is: the peer, or the function."""
        self.sids = sids
        """The services whose messages it gets."""
        self._on_end = on_end

    @property
    @abstractmethod
    def sent(self) -> int:
        """Messages that were given to it."""

    @property
    def waiting(self) -> int:
        """Messages that wait for it."""
        return 0

    @property
    def dropped(self) -> int:
        """Messages that it will never get."""
        return 0

    @abstractmethod
    def put(self, publication: Publication) -> None:
        """Give it a message. Raises `DecodeError` if it needs it decoded, and it can't be."""

    @abstractmethod
    def end(self) -> None:
        """It wants no more. Ending twice does nothing."""


class PeerSubscription(Subscription):
    """A peer that has subscribed."""

    def __init__(
        self, peer: Peer, feed: Feed, sids: frozenset[int], on_end: Callable[[Subscription], None]
    ) -> None:
        super().__init__(peer, sids, on_end)
        self.peer = peer
        """Who it is."""
        self._feed = feed
        self._refused = 0
        self.forget: Callable[[], None] = _nothing
        """Takes back the wish to be told that the peer has closed."""

    @property
    def sent(self) -> int:
        """Messages that are in its outbox, or were."""
        return self._feed.sent

    @property
    def waiting(self) -> int:
        """Messages that wait for room there."""
        return self._feed.waiting

    @property
    def dropped(self) -> int:
        """Messages that its feed had no room for, or that are over its `Limits.max_frame`."""
        return self._feed.dropped + self._refused

    def put(self, publication: Publication) -> None:
        """Into its outbox, or into its feed."""
        payload = publication.payload(self.peer.wireformat)
        try:
            self.peer.publish(self._feed, publication.sid, payload)
        except FrameTooLarge:
            self._refused += 1
        except ConnectionClosed:
            self._leave()  # it is closing, or draining: what waits for it may still leave, and no more will

    def closed(self, _: Peer) -> None:
        """The peer has ended."""
        self._on_end(self)

    def end(self) -> None:
        """It wants no more."""
        self.peer.end_feed(self._feed)
        self._leave()

    def _leave(self) -> None:
        self.forget()
        self._on_end(self)

    def __repr__(self) -> str:
        return f"<Subscription of {self.peer!r}: {self.sent} sent, {self.waiting} waiting, {self.dropped} dropped>"


class ListenerSubscription(Subscription):
    """A function of this process that listens."""

    def __init__(
        self,
        listener: Callable[[Message[Any]], None],
        sids: frozenset[int],
        on_end: Callable[[Subscription], None],
    ) -> None:
        super().__init__(listener, sids, on_end)
        self._listener = listener
        self._sent = 0

    @property
    def sent(self) -> int:
        """Messages that it was called with."""
        return self._sent

    def put(self, publication: Publication) -> None:
        """Call it."""
        message = publication.message()
        self._sent += 1
        self._listener(message)

    def end(self) -> None:
        """It wants no more."""
        self._on_end(self)

    def __repr__(self) -> str:
        return f"<Subscription of {self._listener!r}: {self.sent} sent>"


def _nothing() -> None:
    """What is to be forgotten before anything is known."""
