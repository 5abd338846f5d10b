"""Frames: the only layout on the wire (docs/protocol.md, section 1).

    offset  0   8 bytes  length of the whole frame, these 8 bytes included
            8   8 bytes  service id
           16   8 bytes  connection id
           24   rest     payload, opaque to this layer

All integers are little endian. `FrameDecoder` turns any cutting of the byte stream into the same frames, with work
that is linear in the bytes: small frames are sliced out of what arrived, a frame that arrives in pieces is gathered
in a buffer that holds only what has arrived, never what its header promises.
"""

from __future__ import annotations

import io
import struct
from abc import ABC, abstractmethod
from collections.abc import Iterator

from duologue.protocol.errors import FrameTooLarge, ProtocolError

HEADER_SIZE = 24

_HEADER = struct.Struct("<QQQ")
_LENGTH = struct.Struct("<Q")
_IDS = struct.Struct("<QQ")

Frame = tuple[int, int, bytes]
"""Service id, connection id, payload."""


class FrameDecoder(ABC):
    """Cuts a byte stream into frames. One per connection; after an error it gives nothing any more."""

    @abstractmethod
    def feed(self, data: bytes | memoryview) -> bool:
        """Take bytes, which are copied if they are a view. Says whether `frames` may have something to give."""

    @abstractmethod
    def frames(self) -> Iterator[Frame]:
        """The frames that are complete. The iteration may be left between any two frames, and taken up later.

        Raises `ProtocolError` or `FrameTooLarge` when the bytes can't be frames: there is no way back into step.
        """

    @property
    @abstractmethod
    def is_inside_frame(self) -> bool:
        """Whether a frame has begun and is not complete, so that an end of stream would cut it."""

    @property
    @abstractmethod
    def buffered(self) -> int:
        """Bytes held."""

    @abstractmethod
    def position(self) -> tuple[int, int]:
        """Of the frame that is not complete: the bytes that have come and the bytes it announced (0 if unknown)."""

    @abstractmethod
    def poison(self) -> None:
        """Drop what is held, and everything to come."""


class Framing(ABC):
    """The layout of frames: a port, since a wire format may bring its own (docs/wireformats.md)."""

    overhead: int
    """Bytes that a frame has more than its payload."""

    @abstractmethod
    def header(self, size: int, sid: int, cid: int, /) -> bytes:
        """What goes before the payload of a frame of `size` bytes, header included."""

    @abstractmethod
    def decoder(self, max_frame: int) -> FrameDecoder:
        """A decoder for one connection, that refuses frames over `max_frame` bytes."""


class LengthPrefixed(Framing):
    """The layout of the protocol."""

    overhead = HEADER_SIZE
    header = staticmethod(_HEADER.pack)  # nothing of Python in between

    def decoder(self, max_frame: int) -> FrameDecoder:
        return LengthPrefixedDecoder(max_frame)


LENGTH_PREFIXED = LengthPrefixed()


class LengthPrefixedDecoder(FrameDecoder):
    """What is held is one of: chunks not looked at yet, the first bytes of a header, or a header and part of its payload."""

    __slots__ = (
        "_chunks",
        "_head",
        "_ids",
        "_is_first",
        "_max",
        "_missing",
        "_offset",
        "_payload",
        "_poisoned",
    )

    def __init__(self, max_frame: int) -> None:
        self._max = max_frame
        self._chunks: list[bytes] = []
        """A few at most, so this is no `deque`, which has 760 bytes from the start: more than all else that an idle decoder needs."""
        self._offset = 0
        """Where in the first chunk the next frame begins."""
        self._head = b""
        """The start of a frame whose header is not complete: less than 24 bytes."""
        self._ids = (0, 0)
        self._payload: io.BytesIO | None = None
        """The payload of a frame that is not complete. `getvalue` of a `BytesIO` hands out its buffer, without a copy."""
        self._missing = 0
        self._is_first = True
        """No frame was complete yet, so it may be that the other end does not speak in frames."""
        self._poisoned = False

    def feed(self, data: bytes | memoryview) -> bool:
        if self._poisoned:
            return False
        size = len(data)
        if self._payload is not None and not self._chunks:
            # The common case while a large frame arrives: straight from the receive buffer to the payload.
            if size < self._missing:
                self._payload.write(data)
                self._missing -= size
                return False
            if size > self._missing:
                view = memoryview(data)
                self._payload.write(view[: self._missing])
                data = view[self._missing :]
                size -= self._missing
            else:
                self._payload.write(data)
                size = 0
            self._missing = 0
        if size:
            self._chunks.append(bytes(data))
        return True

    def frames(self) -> Iterator[Frame]:
        chunks, limit, unpack = self._chunks, self._max, _HEADER.unpack_from
        while not self._poisoned:
            # Looked at before each chunk: while reading was paused, a frame may have come in many of them.
            if self._payload is not None:
                if not self._gather():
                    return
                yield self._finish()
                continue
            if not chunks:
                return
            chunk = chunks[0]
            if self._head:
                self._complete_head(chunk)
                continue
            end = len(chunk)
            offset = self._offset
            while end - offset >= HEADER_SIZE:
                length, sid, cid = unpack(chunk, offset)
                following = offset + length
                if following > end or length < HEADER_SIZE or length > limit:
                    self._is_first = self._is_first and not offset
                    self._check(length)
                    break
                self._offset = following
                yield sid, cid, chunk[offset + HEADER_SIZE : following]
                if not chunks:
                    return  # poisoned meanwhile
                offset = following
            self._keep_rest(chunk, offset)

    def _keep_rest(self, chunk: bytes, offset: int) -> None:
        """The end of a chunk holds no whole frame: what there is of one becomes the held beginning."""
        rest = len(chunk) - offset
        self._is_first = self._is_first and not offset
        del self._chunks[0]
        self._offset = 0
        if rest < HEADER_SIZE:
            self._head = chunk[offset:]
            if rest >= 8:
                self._check(_LENGTH.unpack_from(self._head)[0])
        else:
            length, sid, cid = _HEADER.unpack_from(chunk, offset)
            self._begin(length, sid, cid)
            assert self._payload is not None
            self._payload.write(memoryview(chunk)[offset + HEADER_SIZE :])
            self._missing -= rest - HEADER_SIZE

    def _complete_head(self, chunk: bytes) -> None:
        """Add to a header that came in pieces; with all 24 bytes of it the payload begins."""
        offset = self._offset
        taken = min(HEADER_SIZE - len(self._head), len(chunk) - offset)
        self._head += chunk[offset : offset + taken]
        offset += taken
        self._offset = offset
        if offset == len(chunk):
            del self._chunks[0]
            self._offset = 0
        if len(self._head) >= 8:
            self._check(_LENGTH.unpack_from(self._head)[0])
        if len(self._head) == HEADER_SIZE:
            length, sid, cid = _HEADER.unpack(self._head)
            self._head = b""
            self._begin(length, sid, cid)

    def _begin(self, length: int, sid: int, cid: int) -> None:
        self._ids = (sid, cid)
        self._payload = io.BytesIO()
        self._missing = length - HEADER_SIZE

    def _gather(self) -> bool:
        """Move from the chunks to the payload that is not complete. Says whether it is complete now."""
        assert self._payload is not None
        while self._missing and self._chunks:
            chunk = self._chunks[0]
            piece = memoryview(chunk)[self._offset : self._offset + self._missing]
            taken = len(piece)
            self._payload.write(piece)
            self._missing -= taken
            self._offset += taken
            if self._offset == len(chunk):
                del self._chunks[0]
                self._offset = 0
        return self._missing == 0

    def _finish(self) -> Frame:
        assert self._payload is not None
        payload = self._payload.getvalue()
        self._payload = None
        self._is_first = False
        sid, cid = self._ids
        return sid, cid, payload

    def _check(self, length: int) -> None:
        if length < HEADER_SIZE:
            self.poison()
            raise ProtocolError(
                f"a frame of {length} bytes can't hold its own header of {HEADER_SIZE}: the other end speaks another protocol, or is broken"
            )
        if length > self._max:
            self.poison()
            raise FrameTooLarge(length, self._max, is_first=self._is_first)

    @property
    def is_inside_frame(self) -> bool:
        return bool(self._head) or self._payload is not None

    @property
    def buffered(self) -> int:
        gathered = self._payload.tell() if self._payload is not None else 0
        return sum(map(len, self._chunks)) - self._offset + len(self._head) + gathered

    def position(self) -> tuple[int, int]:
        if self._payload is not None:
            have = HEADER_SIZE + self._payload.tell()
            return have, have + self._missing
        announced = _LENGTH.unpack_from(self._head)[0] if len(self._head) >= 8 else 0
        return len(self._head), announced

    def poison(self) -> None:
        self._poisoned = True
        self._chunks.clear()
        self._offset = self._missing = 0
        self._head = b""
        self._payload = None
