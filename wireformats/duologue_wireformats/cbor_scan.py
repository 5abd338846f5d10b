"""Walking over the items of a CBOR payload without making anything of them, so that a bomb costs no memory.

The walk ends at the first thing that is not allowed, so it takes no more steps than there may be items. Python is slow
at this, a tenth of a microsecond for an item; arrays of equally long numbers or texts, the large ones in practice, are
passed in one step.
"""

from __future__ import annotations

from collections.abc import Container

from duologue.errors import DecodeError
from duologue_wireformats.byte_runs import ByteRuns

_ENDLESS = 1 << 62
"""How many items an indefinite container has, until its break comes. Even, so that keys are at even counts here too."""
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
_COUNT_WIDTHS = [
    1 << (first & 3) if first >> 5 in (4, 5) and 0x18 <= first & 0x1F < 0x1C else 0 for first in range(0x100)
]
"""The same for arrays and maps. Empty ones may be written so, too."""


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
        self._first_key = 0x00 if integer_keys else 0x40
        """Keys begin with bytes from this one on: integers up to 0x3f, then byte strings, then texts up to 0x7f."""
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
        sizes, widths, counts, first_key = _SIZES, _STRING_WIDTHS, _COUNT_WIDTHS, self._first_key
        position, budget = 0, self._items - 1
        left, is_map, outer = 1, False, list[tuple[int, bool]]()
        """`left` items are to come in the container that we are in, keys included; around it are the `outer` ones."""
        while left or outer:
            if not left:
                left, is_map = outer.pop()
                continue
            first = data[position]
            if left > _ENDLESS >> 1 and not (is_map and left & 1):  # a key and its value are one
                if first == _BREAK:
                    position, left = position + 1, 0
                    continue
                budget -= 1
                if budget < 0:
                    raise self._too_many()
            if is_map and not left & 1 and not first_key <= first < 0x80:
                raise DecodeError(f"{_BAD_KEY} (byte {position})")
            left -= 1
            if size := sizes[first]:
                position += size
                continue
            if width := widths[first]:
                begin = position + 1 + width
                position = begin + int.from_bytes(data[position + 1 : begin])
                continue
            if (width := counts[first]) and not int.from_bytes(data[position + 1 : position + 1 + width]):
                position += 1 + width
                continue
            major, count, position = _head(data, first, position)
            if major in (2, 3):  # without an announced end: all others have been passed
                position, budget = self._skip_pieces(data, major, position, budget)
                continue
            if count == 0 and major != 6:
                continue  # nothing is in it, so nothing in it can be too deep
            self._check_depth(outer)
            if major == 6:
                self._check_tag(count, position)
                count = 1
            elif count < 0:
                count = _ENDLESS
            else:
                after, budget = self._pass(data, major, position, count, budget)
                if after > position:
                    position = after
                    continue
                count <<= major == 5
            outer.append((left, is_map))
            left, is_map = count, major == 5
        return position

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

    def _check_depth(self, outer: list[tuple[int, bool]]) -> None:
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
