"""The port that wire formats fulfil: how messages become bytes, and how those bytes are framed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Generic, TypeVar

from duologue.protocol.frames import LENGTH_PREFIXED, Framing

T = TypeVar("T")


class Codec(ABC, Generic[T]):
    """Writes and reads the values of one type. Made once per type, when a namespace is used, so it may be slow to make."""

    @abstractmethod
    def encode(self, value: T) -> bytes:
        """The bytes of `value`. Raises `EncodeError`, and nothing else, if the value can't be written."""

    @abstractmethod
    def decode(self, payload: bytes) -> T:
        """The value in `payload`. Raises `DecodeError`, and nothing else, if it is not exactly one valid value."""


class WireFormat(ABC):
    """A wire format. Two peers understand each other if both use the same one. Instances hold no state of a connection."""

    name: str
    """The name to choose it by: `connect(url, wireformat="cbor")`."""

    framing: Framing = LENGTH_PREFIXED
    """The layout of frames. The default is the one of docs/protocol.md, section 1; a plug-in may bring its own."""

    @abstractmethod
    def codec(self, type_: type[T]) -> Codec[T]:
        """The codec of a type: a `Message` class, the type of an answer, or `None`'s type.

        Raises `RegistrationError` if the format has no way to carry the type, and says which field is the matter.
        """

    @abstractmethod
    def encode_plain(self, value: Any) -> bytes:
        """The bytes of plain data (None, bool, int, float, str, bytes, list, dict): the bodies of error frames. Raises `EncodeError`."""

    @abstractmethod
    def decode_plain(self, payload: bytes) -> Any:
        """Plain data, decoded with every check for hostile input. Raises `DecodeError`."""
