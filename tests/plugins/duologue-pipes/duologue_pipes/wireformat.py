"""JSON in frames of another layout: a mark, then the length of the payload and both ids, all big endian.

A mark at each frame tells two ends that have lost step, and a frame is four bytes shorter than by default.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from duologue import FrameTooLarge, ProtocolError, WireFormat, hookimpl
from duologue.protocol import Frame, FrameDecoder, Framing
from duologue_wireformats.json_text import Json

MARK = 0xD0
_HEADER = struct.Struct(">BLQQ")


class MarkedFraming(Framing):
    """The layout."""

    overhead = _HEADER.size

    def header(self, size: int, sid: int, cid: int, /) -> bytes:
        return _HEADER.pack(MARK, size - _HEADER.size, sid, cid)

    def decoder(self, max_frame: int) -> FrameDecoder:
        return MarkedDecoder(max_frame)


class MarkedDecoder(FrameDecoder):
    """Holds what has come and is not a whole frame yet."""

    def __init__(self, max_frame: int) -> None:
        self._max = max_frame
        self._held = bytearray()
        self._is_broken = False

    def feed(self, data: bytes | memoryview) -> bool:
        if self._is_broken:
            return False
        self._held += data
        return True

    def frames(self) -> Iterator[Frame]:
        at = 0
        try:
            while len(self._held) > at:
                if self._held[at] != MARK:
                    self.poison()
                    raise ProtocolError(
                        f"a frame begins with {MARK:#x}: the other end speaks another protocol"
                    )
                if len(self._held) - at < _HEADER.size:
                    return
                _, length, sid, cid = _HEADER.unpack_from(self._held, at)
                if length + _HEADER.size > self._max:
                    self.poison()
                    raise FrameTooLarge(length + _HEADER.size, self._max)
                start, end = at + _HEADER.size, at + _HEADER.size + length
                if len(self._held) < end:
                    return
                payload = bytes(memoryview(self._held)[start:end])
                at = end
                yield sid, cid, payload
        finally:
            # Also when the iteration is left between two frames.
            del self._held[:at]

    @property
    def is_inside_frame(self) -> bool:
        return bool(self._held)

    @property
    def buffered(self) -> int:
        return len(self._held)

    def position(self) -> tuple[int, int]:
        have = len(self._held)
        return have, _HEADER.unpack_from(self._held)[1] + _HEADER.size if have >= _HEADER.size else 0

    def poison(self) -> None:
        self._is_broken = True
        self._held.clear()


class MarkedJson(Json):
    """JSON, in these frames."""

    name = "marked-json"
    framing = MarkedFraming()


@hookimpl
def duologue_wireformat() -> WireFormat:
    """The plug-in."""
    return MarkedJson()
