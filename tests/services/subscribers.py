"""A peer for maps that pass messages on: it notes what it gets, and can be full or closed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

from tests.services.conftest import PlainFormat

from duologue import (
    DEFAULT,
    CloseReason,
    ConnectionClosed,
    Feed,
    FrameTooLarge,
    Namespace,
    Peer,
    PeerEvent,
    PeerInfo,
    Remote,
    ServiceMap,
    WireFormat,
)
from duologue.peer import Timeout
from duologue.protocol.relaying import Relays


class NotingPeer(Peer):
    def __init__(self, name: str = "peer", wireformat: WireFormat | None = None) -> None:
        self.wireformat = wireformat or PlainFormat()
        self.relays: Relays | None = None
        self.name = name
        self.got: list[tuple[int, bytes]] = []
        self.callbacks: dict[int, Callable[[Peer], object]] = {}
        self.open = True
        self.has_ended = False
        self.largest = 1000
        self.busy = 0

    def close_now(self) -> None:
        """It is closed, and says so to all who wanted to know."""
        self.open = False
        for callback in tuple(self.callbacks.values()):
            callback(self)

    @property
    def info(self) -> PeerInfo:
        return PeerInfo(name=self.name, address="here:")

    @property
    def is_open(self) -> bool:
        return self.open

    @property
    def outstanding(self) -> int:
        return self.busy

    def when_closed(self, callback: Callable[[Peer], object]) -> Callable[[], None]:
        if self.has_ended:
            callback(self)
        token = len(self.callbacks)
        self.callbacks[token] = callback
        return lambda: self.callbacks.pop(token, None) and None

    def publish(self, feed: Feed, sid: int, payload: bytes) -> None:
        if not self.open:
            raise ConnectionClosed(CloseReason.CLOSED_BY_REMOTE)
        if len(payload) > self.largest:
            raise FrameTooLarge(len(payload), self.largest)
        self.got.append((sid, payload))
        feed.sent += 1

    def end_feed(self, feed: Feed) -> None:
        feed.clear()

    def add_services(self, services: ServiceMap) -> None:
        raise NotImplementedError

    def remove_services(self, services: ServiceMap) -> None:
        raise NotImplementedError

    def remote(self, namespace: Namespace) -> Remote:
        raise NotImplementedError

    async def call_raw(self, sid: int, payload: bytes, *, timeout: Timeout = DEFAULT) -> bytes:
        raise NotImplementedError

    async def send_raw(self, sid: int, payload: bytes, *, timeout: Timeout = DEFAULT) -> None:
        raise NotImplementedError

    def events(self) -> AsyncIterator[PeerEvent]:
        raise NotImplementedError

    async def drain(self, reason: str = "", *, timeout: Timeout = DEFAULT) -> bool:
        raise NotImplementedError

    async def close(self, reason: str = "", *, grace: float = 0.0) -> None:
        raise NotImplementedError

    async def wait_closed(self) -> CloseReason:
        raise NotImplementedError


class OtherFormat(PlainFormat):
    """The same under another name, and with a space at the end, so that one sees which it was."""

    name = "other"

    def codec(self, type_: Any) -> Any:
        codec = super().codec(type_)
        return _Spaced(codec)


class _Spaced:
    def __init__(self, codec: Any) -> None:
        self.decode = codec.decode
        self._encode = codec.encode

    def encode(self, value: Any) -> bytes:
        return bytes(self._encode(value)) + b" "
