"""A wire format and a peer of a few lines, so that these tests need no adapter and no codec library."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

import msgspec
import pytest

from duologue import (
    CloseReason,
    Codec,
    DecodeError,
    EncodeError,
    Feed,
    Namespace,
    Peer,
    PeerEvent,
    PeerInfo,
    RegistrationError,
    Remote,
    ServiceMap,
    WireFormat,
)
from duologue.peer import DEFAULT, Timeout

T = TypeVar("T")


class PlainCodec(Codec[Any]):
    """JSON by msgspec. It writes whatever it is given: that the type is right is not its business."""

    def __init__(self, type_: Any) -> None:
        self._encoder = msgspec.json.Encoder()
        self._decoder = msgspec.json.Decoder(type_)

    def encode(self, value: Any) -> bytes:
        try:
            return self._encoder.encode(value)
        except (TypeError, ValueError) as exc:
            raise EncodeError(str(exc)) from exc

    def decode(self, payload: bytes) -> Any:
        try:
            return self._decoder.decode(payload)
        except msgspec.MsgspecError as exc:
            raise DecodeError(str(exc)) from exc


class PlainFormat(WireFormat):
    """Refuses complex numbers, and remembers for which types a codec was made."""

    name = "plain"

    def __init__(self) -> None:
        self.made: list[Any] = []

    def codec(self, type_: type[T]) -> Codec[T]:
        self.made.append(type_)
        if type_ is complex:
            raise RegistrationError("plain has no way to carry complex")
        return PlainCodec(type_)

    def encode_plain(self, value: Any) -> bytes:
        return msgspec.json.encode(value)

    def decode_plain(self, payload: bytes) -> Any:
        return msgspec.json.decode(payload)


class LoopPeer(Peer):
    """Serves its own calls."""

    def __init__(self, wireformat: WireFormat, services: ServiceMap) -> None:
        self.wireformat = wireformat
        self.router = services.router(wireformat)
        self.asked: list[tuple[int, bytes, Timeout]] = []
        self.sent: list[tuple[int, bytes, Timeout]] = []
        self.tamper: Callable[[bytes], bytes] = lambda payload: payload
        """What becomes of an answer on its way back."""

    @property
    def info(self) -> PeerInfo:
        return PeerInfo(name="loop", address="loop:")

    @property
    def is_open(self) -> bool:
        return True

    @property
    def outstanding(self) -> int:
        return 0

    def add_services(self, services: ServiceMap) -> None:
        raise NotImplementedError

    def remove_services(self, services: ServiceMap) -> None:
        raise NotImplementedError

    def when_closed(self, callback: Callable[[Peer], object]) -> Callable[[], None]:
        raise NotImplementedError

    def publish(self, feed: Feed, sid: int, payload: bytes) -> None:
        raise NotImplementedError

    def end_feed(self, feed: Feed) -> None:
        raise NotImplementedError

    def remote(self, namespace: Namespace) -> Remote:
        return Remote(self, namespace)

    async def call_raw(self, sid: int, payload: bytes, *, timeout: Timeout = DEFAULT) -> bytes:
        self.asked.append((sid, payload, timeout))
        route = self.router(sid)
        assert route is not None
        return self.tamper(await route.run(payload, None, True))

    async def send_raw(self, sid: int, payload: bytes, *, timeout: Timeout = DEFAULT) -> None:
        self.sent.append((sid, payload, timeout))

    def events(self) -> AsyncIterator[PeerEvent]:
        raise NotImplementedError

    async def drain(self, reason: str = "", *, timeout: Timeout = DEFAULT) -> bool:
        raise NotImplementedError

    async def close(self, reason: str = "", *, grace: float = 0.0) -> None:
        raise NotImplementedError

    async def wait_closed(self) -> CloseReason:
        raise NotImplementedError


@pytest.fixture
def wireformat() -> PlainFormat:
    return PlainFormat()


@pytest.fixture
def loop_peer(wireformat: PlainFormat) -> Callable[[ServiceMap], LoopPeer]:
    """Makes a peer that serves its own calls with the services it is given."""
    return lambda services: LoopPeer(wireformat, services)
