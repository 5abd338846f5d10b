"""Walking over the items of a CBOR payload without making anything of them, so that a bomb costs no memory.

The walk ends at the first thing that is not allowed, so it takes no more steps than there may be items. Python is slow
at this, 0.06 us for an item and more; arrays of equally long numbers or texts, the large ones in practice, are passed in
one step.
"""

from __future__ import annotations

from collections.abc import Container

from duologue.errors import DecodeError
from duologue_wireformats.byte_runs import ByteRuns

_BREAK = 0xFF
_BAD_KEY = "A key of a map is not a text, byte string or declared integer"
_SMALL_INTEGERS = bytes(range(0x18))
_BYTES = ByteRuns(head=0x18, below=0x18)
_SHORT_RUN = 8
"""Shorter arrays are walked over: asking whether they are uniform would cost as much."""


def _sizes() -> list[int]:
    """By the first byte of an item: its length, where that byte alone tells it; 0 where it does not."""
    sizes = [0] * 256
    for first in range(0x80):  # integers, byte strings, texts
        argument = first & 0x1F
        if argument < 0x18:
            sizes[first] = 1 if first < 0x40 else 1 + argument
        elif argument < 0x1C and first < 0x40:
            sizes[first] = 1 + (1 << (argument - 0x18))
    for first, size in {
        0x80: 1,  # what is empty is complete, and nothing in it can be too deep
        0xA0: 1,
        0xF4: 1,
        0xF5: 1,
        0xF6: 1,
        0xF9: 3,
        0xFA: 5,
        0xFB: 9,
    }.items():  # empty arrays and maps, false, true, null, floats
        sizes[first] = size
    return sizes


_SIZES = _sizes()
_STRING_WIDTHS = [
    1 << (first & 3) if first >> 5 in (2, 3) and 0x18 <= first & 0x1F < 0x1C else 0 for first in range(0x100)
]
"""By the first byte of a string whose length follows: of how many bytes that is; 0 for everything else."""
_EMPTY = [
    bytes([first]) + bytes(1 << (first & 3)) if first >> 5 in (4, 5) and 0x18 <= first & 0x1F < 0x1C else b""
    for first in range(0x100)
]
"""By the first byte of an array or a map whose count follows: the whole of an empty one. It is longer than need be."""


class CborScan:
    """The rules that a payload must keep."""

    def __init__(
        self,
        *,
        nesting: int,
        items: int,
        integer_keys: bool,
        tags: Container[int],
        byte_lists: bool = False,
    ) -> None:
        """`byte_lists`: arrays of integers from 0 to 255 may be long, since the type declares some. They count as one value."""
        self._nesting = nesting
        self._items = items
        self._are_keys = range(0x00 if integer_keys else 0x40, 0x80)
        """The bytes that a key may begin with: integers up to 0x3f, then byte strings, then texts."""
        self._keys = [size if first in self._are_keys else 0 for first, size in enumerate(_SIZES)]
        """The lengths of keys, by their first byte."""
        self._tags = tags
        self._byte_lists = byte_lists

    def check(self, data: bytes) -> None:
        """Raise `DecodeError` unless the payload is exactly one item, within the limits and with nothing exotic in it."""
        try:
            end = self._walk(data)
        except IndexError:
            end = len(data) + 1
        if end > len(data):
            raise DecodeError("CBOR is malformed: the payload ends early")
        if end < len(data):
            raise DecodeError(f"CBOR is malformed: bytes after the value (byte {end})")

    def _walk(self, data: bytes) -> int:
        """Where the first item ends. One loop without calls for what is common: it is in the way of every large payload."""
        sizes, keys, widths, empties = _SIZES, self._keys, _STRING_WIDTHS, _EMPTY
        position, budget = 0, self._items - 1
        left, is_map, is_endless = 1, False, False
        outer: list[tuple[int, bool, bool]] = []
        """`left` items may come in the container that we are in, keys included; around it are the `outer` ones. In an
        endless one as many may come as the budget has left: there it is `left` that counts, a pair as one value."""
        here = there = sizes
        """By the first byte, how long is what may come now, and after it: in a map keys and values take turns."""
        while True:
            while left:
                first = data[position]
                if size := here[first]:
                    position += size
                elif width := widths[first]:  # a string, which may be a key, too
                    begin = position + 1 + width
                    position = begin + (
                        data[begin - 1] if width == 1 else int.from_bytes(data[position + 1 : begin])
                    )
                elif here is sizes and (empty := empties[first]) and data.startswith(empty, position):
                    position += len(empty)
                else:
                    break
                left -= 1
                here, there = there, here
            else:
                if is_endless:
                    if data[position] != _BREAK:
                        raise self._too_many()
                    position, budget = position + 1, 0
                if not outer:
                    return position
                left, is_map, is_endless = outer.pop()
                here, there = (keys if is_map else sizes), sizes
                if is_endless:
                    left = budget << is_map
                continue

            if is_endless and first == _BREAK and not (is_map and left & 1):
                position, budget = position + 1, left >> is_map
                left, is_endless = 0, False
                continue
            if here is keys and first not in self._are_keys:
                raise DecodeError(f"{_BAD_KEY} (byte {position})")
            left -= 1
            here, there = there, here
            if is_endless:
                budget = left >> is_map
            major, count, position = _head(data, first, position)
            if major in (2, 3):  # without an announced end: all others have been passed
                position, budget = self._skip_pieces(data, major, position, budget)
            elif count == 0 and major != 6:
                continue  # nothing is in it, so nothing in it can be too deep
            else:
                self._check_depth(outer)
                after = position
                if major == 6:
                    self._check_tag(count, position)
                    count = 1
                elif count >= 0:
                    after, budget = self._pass(data, major, position, count, budget)
                if after == position:
                    outer.append((left, is_map, is_endless))
                    is_map, is_endless = major == 5, count < 0
                    left = (budget if is_endless else count) << is_map
                    here, there = (keys if is_map else sizes), sizes
                    continue
                position = after
            if is_endless:
                left = budget << is_map | left & is_map

    def _pass(self, data: bytes, major: int, position: int, count: int, budget: int) -> tuple[int, int]:
        """Where an array ends that can be passed in one step, else where its items begin; and what is left of the budget."""
        if self._byte_lists and major == 4 and (after := _BYTES.after(data, position, count)) > position:
            return after, budget
        if count > budget:
            raise self._too_many()
        if count > len(data) - position:
            raise IndexError
        return _after_run(data, position, count) if major == 4 else position, budget - count

    def _too_many(self) -> DecodeError:
        return DecodeError(f"More than {self._items} values in one payload")

    def _check_depth(self, outer: list[tuple[int, bool, bool]]) -> None:
        if len(outer) >= self._nesting:
            raise DecodeError(f"Nested deeper than {self._nesting}")

    def _check_tag(self, tag: int, position: int) -> None:
        if tag not in self._tags:
            raise DecodeError(f"A CBOR tag, which is not allowed here (before byte {position})")

    def _skip_pieces(self, data: bytes, major: int, position: int, budget: int) -> tuple[int, int]:
        """Where a string in pieces ends, and what is left of the budget: each piece is an item, too."""
        while (first := data[position]) != _BREAK:
            budget -= 1
            if budget < 0:
                raise self._too_many()
            if first >> 5 == major and (whole := _SIZES[first]):
                position += whole
                continue
            kind, size, position = _head(data, first, position)
            if kind != major or size < 0:
                raise DecodeError(f"CBOR is malformed: a string in pieces of another kind (byte {position})")
            position += size
        return position + 1, budget


def _head(data: bytes, first: int, position: int) -> tuple[int, int, int]:
    """The major type of the item at the position, its count (-1: until a break), and where its contents begin."""
    major, argument = first >> 5, first & 0x1F
    if major == 7 or 0x1C <= argument < 0x1F or (argument == 0x1F and major not in (2, 3, 4, 5)):
        what = "a break out of place" if first == _BREAK else "an undefined or reserved item"
        raise DecodeError(f"CBOR is malformed: {what} (byte {position})")
    position += 1
    if argument < 0x18:
        return major, argument, position
    if argument == 0x1F:
        is_empty = major in (4, 5) and data[position] == _BREAK
        return (major, 0, position + 1) if is_empty else (major, -1, position)
    end = position + (1 << (argument - 0x18))
    if end > len(data):
        raise IndexError
    return major, int.from_bytes(data[position:end]), end


def _after_run(data: bytes, position: int, count: int) -> int:
    """Where an array ends whose items all begin with the same byte, and so are equally long; else where it begins.

    It looks at one byte of each item, so it costs no more than the array has items, whatever it is.
    """
    if count < _SHORT_RUN:
        return position
    first = data[position]
    size = _SIZES[first]
    if first < len(_SMALL_INTEGERS):
        uniform = not data[position : position + count].translate(None, _SMALL_INTEGERS)
    else:
        uniform = size > 0 and data[position : position + count * size : size].count(first) == count
    return position + count * size if uniform else position
