"""Passing arrays of integers from 0 to 255 in a payload without looking at each: a `ByteList` may be as long as bytes may.

In CBOR and MessagePack alike such an integer is one byte, or a certain byte and one more. All that is asked here is
done by counting and replacing in C, so a megabyte of them takes milliseconds.
"""

from __future__ import annotations


class ByteRuns:
    """Those of one format: integers less than `below` are one byte, the others `head` and one more."""

    def __init__(self, *, head: int, below: int) -> None:
        self._small = bytes(range(below))
        self._pair = bytes([head, head])
        kinds = bytearray(b"x" * 0x100)
        kinds[:below] = b"s" * below
        kinds[head] = ord("h")
        self._kinds = bytes(kinds)

    def after(self, data: bytes, position: int, count: int) -> int:
        """Where an array of `count` items ends that are all such integers; where it begins if they are not.

        If the data ends within it, that is beyond the data, or an `IndexError`.
        """
        start = position
        while count:
            # So many bytes are at most so many items, and at least half as many: it takes few rounds.
            part = data[position : position + count]
            if len(part) < count:
                raise IndexError
            if not part.translate(None, self._small):
                return position + count
            # Two heads in a row are an integer: that of a run is where an item begins, since no other byte goes before
            # an item of two. So each head that is left has the byte behind it, and every other byte is an item.
            kinds = part.replace(self._pair, b"\0").translate(self._kinds)
            if kinds.count(b"x") != kinds.count(b"hx"):
                return start
            is_cut = kinds.endswith(b"h")
            position += count + is_cut
            count -= len(kinds) - kinds.count(b"h") + is_cut
        return position
