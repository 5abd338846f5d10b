"""A look at the frames in a stream of bytes, beside it: for the trace, and to check what was said."""

from __future__ import annotations

import struct

from duologue.protocol import ERROR_SID, RESPONSE_SID

HEADER = struct.Struct("<QQQ")


class Frame:
    """The header of a frame, and where in the stream it begins."""

    __slots__ = ("cid", "length", "sid", "start")

    def __init__(self, start: int, length: int, sid: int, cid: int) -> None:
        self.start = start
        self.length = length
        self.sid = sid
        self.cid = cid

    @property
    def is_answer(self) -> bool:
        """To one call."""
        return self.cid != 0 and self.sid in (RESPONSE_SID, ERROR_SID)

    @property
    def kind(self) -> str:
        """What it is, for people."""
        if self.sid == ERROR_SID:
            return "error"
        if self.sid == RESPONSE_SID:
            return "answer"
        return "call" if self.cid else "send"


class FrameTap:
    """Reads along. It keeps the bytes of headers only, and ends with the first length that can't be one."""

    __slots__ = ("_head", "_open", "_rest", "_size", "is_broken", "largest")

    def __init__(self, largest: int) -> None:
        self.largest = largest
        """No frame is longer."""
        self.is_broken = False
        """What comes are no frames."""
        self._size = 0
        self._head = b""
        self._rest = 0
        """Bytes of the present frame that have not come."""
        self._open: Frame | None = None

    def feed(self, data: bytes) -> tuple[list[Frame], list[Frame]]:
        """The frames that begin in these bytes (with their whole header), and those that end in them."""
        begun: list[Frame] = []
        ended: list[Frame] = []
        offset = 0
        while not self.is_broken and offset < len(data):
            if self._open is None:
                taken = data[offset : offset + HEADER.size - len(self._head)]
                self._head += taken
                offset += len(taken)
                if len(self._head) < HEADER.size:
                    break
                length, sid, cid = HEADER.unpack(self._head)
                start = self._size + offset - HEADER.size
                self._head = b""
                if not HEADER.size <= length <= self.largest:
                    self.is_broken = True
                    break
                self._open = Frame(start, length, sid, cid)
                self._rest = length - HEADER.size
                begun.append(self._open)
            step = min(self._rest, len(data) - offset)
            offset += step
            self._rest -= step
            if not self._rest:
                ended.append(self._open)
                self._open = None
        self._size += len(data)
        return begun, ended

    def beginning_in(self, data: bytes) -> list[Frame]:
        """The frames that would begin in these bytes, whose `start` counts from their first one; none is taken note of."""
        if self._head or self.is_broken:
            return []
        peek = FrameTap(self.largest)
        peek._size = self._rest
        return peek.feed(data[self._rest :])[0]
