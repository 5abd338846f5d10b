"""Walking over the items of a MessagePack payload without making anything of them: see `cbor_scan`, which does the same."""

from __future__ import annotations

from duologue.errors import DecodeError
from duologue_wireformats.byte_runs import ByteRuns

_BYTES = ByteRuns(head=0xCC, below=0x80)
_SHORT_RUN = 8
_ARRAYS = {0xDC: 2, 0xDD: 4}
_MAPS = {0xDE: 2, 0xDF: 4}
_STRINGS = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4}
_EXTENSIONS = {0xC7: 1, 0xC8: 2, 0xC9: 4}
_NEVER_USED = 0xC1


def _sizes() -> list[int]:
    """By the first byte of an item: its length, where that byte alone tells it; 0 where it does not."""
    sizes = [0] * 256
    # Small integers, nil, false, true; and empty maps and arrays, which are complete, with nothing in them that could be too deep.
    for first in [*range(0x80), *range(0xE0, 0x100), 0xC0, 0xC2, 0xC3, 0x80, 0x90]:
        sizes[first] = 1
    for first in range(0xA0, 0xC0):  # short texts
        sizes[first] = 1 + (first & 0x1F)
    for power in range(4):  # unsigned and signed integers
        sizes[0xCC + power] = sizes[0xD0 + power] = 1 + (1 << power)
    sizes[0xCA], sizes[0xCB] = 5, 9  # floats
    for power in range(5):  # extensions of fixed size
        sizes[0xD4 + power] = 2 + (1 << power)
    return sizes


_SIZES = _sizes()

_STRING_WIDTHS = [_STRINGS.get(first, 0) for first in range(0x100)]
"""By the first byte of a string whose length follows: of how many bytes that is; 0 for everything else."""

_COUNTS = _ARRAYS | _MAPS
_EMPTY = [bytes([first]) + bytes(_COUNTS[first]) if first in _COUNTS else b"" for first in range(0x100)]
"""By the first byte of an array or a map whose count follows: the whole of an empty one. It is longer than need be."""

_ARE_EXTENSIONS = frozenset([*_EXTENSIONS, *range(0xD4, 0xD9)])
_ARE_TEXTS = frozenset([*range(0xA0, 0xC0), *_STRINGS])
_ARE_INTEGERS = frozenset([*range(0x80), *range(0xE0, 0x100), *range(0xCC, 0xD4)])


class MessagePackScan:
    """The rules that a payload must keep. `strict` asks for keys that are allowed, and for no extension types."""

    def __init__(
        self, *, nesting: int, items: int, integer_keys: bool, strict: bool, byte_lists: bool = False
    ) -> None:
        """`byte_lists`: arrays of integers from 0 to 255 may be long, since the type declares some. They count as one value."""
        self._nesting = nesting
        self._items = items
        self._byte_lists = byte_lists
        # The bytes that a key may begin with, and those that nothing may; then the lengths of values and of keys by their first
        # byte, 0 for what is not allowed, too.
        if strict:
            self._are_keys = _ARE_TEXTS | _ARE_INTEGERS if integer_keys else _ARE_TEXTS
            self._refused = _ARE_EXTENSIONS
            self._values = [0 if first in self._refused else size for first, size in enumerate(_SIZES)]
            self._keys = [size if first in self._are_keys else 0 for first, size in enumerate(_SIZES)]
        else:
            self._are_keys, self._refused = frozenset(range(0x100)), frozenset[int]()
            self._values = self._keys = _SIZES

    def check(self, data: bytes) -> int:
        """How many keys there are in all maps together. Raises `DecodeError` unless the payload is exactly one item, within the limits."""
        members = 0
        try:
            end, members = self._walk(data)
        except IndexError:
            end = len(data) + 1
        if end > len(data):
            raise DecodeError("MessagePack data is malformed: the payload ends early")
        if end < len(data):
            raise DecodeError(f"MessagePack data is malformed: bytes after the value (byte {end})")
        return members

    def _walk(self, data: bytes) -> tuple[int, int]:
        """Where the first item ends, and the keys in it. One loop without calls for what is common: it is in the way of every large payload."""
        values, keys, widths, empties = self._values, self._keys, _STRING_WIDTHS, _EMPTY
        position, members, budget = 0, 0, self._items - 1
        left, is_map, outer = 1, False, list[tuple[int, bool]]()
        """`left` items are to come in the container that we are in, keys included; around it are the `outer` ones."""
        here = there = values
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
                elif here is values and (empty := empties[first]) and data.startswith(empty, position):
                    position += len(empty)
                else:
                    break
                left -= 1
                here, there = there, here
            else:
                if not outer:
                    return position, members
                left, is_map = outer.pop()
                here, there = (keys if is_map else values), values
                continue

            if here is keys and first not in self._are_keys:
                raise DecodeError(
                    f"A key of a map is not a text, byte string or declared integer (byte {position})"
                )
            if first in self._refused:
                raise DecodeError(
                    f"A MessagePack extension type, which is not allowed here (byte {position})"
                )
            left -= 1
            here, there = there, here
            if first in _EXTENSIONS:
                position = _after_extension(data, first, position)
                continue
            makes_map, count, position = _head(data, first, position)
            if len(outer) >= self._nesting:
                raise DecodeError(f"Nested deeper than {self._nesting}")
            if (
                self._byte_lists
                and not makes_map
                and (after := _BYTES.after(data, position, count)) > position
            ):
                position = after
                continue
            budget -= count
            if budget < 0:
                raise DecodeError(f"More than {self._items} values in one payload")
            if count > len(data) - position:
                raise IndexError
            if makes_map:
                members += count
            after = position if makes_map else _after_run(data, position, count)
            if after == position:
                outer.append((left, is_map))
                left, is_map = count << makes_map, makes_map
                here, there = (keys if is_map else values), values
            position = after


def _head(data: bytes, first: int, position: int) -> tuple[bool, int, int]:
    """Whether it is a map that begins at the position, how many items it has, and where they begin."""
    if first == _NEVER_USED:
        raise DecodeError(f"MessagePack data is malformed: an undefined item (byte {position})")
    if first < 0xA0:
        return first < 0x90, first & 0x0F, position + 1
    begin = position + 1
    end = begin + (_MAPS.get(first) or _ARRAYS[first])
    if end > len(data):
        raise IndexError
    return first in _MAPS, int.from_bytes(data[begin:end]), end


def _after_extension(data: bytes, first: int, position: int) -> int:
    """Where an extension ends whose length follows its first byte."""
    begin = position + 1
    end = begin + _EXTENSIONS[first]
    if end > len(data):
        raise IndexError
    return end + int.from_bytes(data[begin:end]) + 1  # its type is another byte


def _after_run(data: bytes, position: int, count: int) -> int:
    """Where an array ends whose items all begin with the same byte, and so are equally long; else where it begins.

    It looks at one byte of each item, so it costs no more than the array has items, whatever it is.
    """
    if count < _SHORT_RUN:
        return position
    first = data[position]
    size = _SIZES[first]
    if first < 0x80:
        uniform = data[position : position + count].isascii()
    else:
        uniform = (
            size > 0
            and first not in _ARE_EXTENSIONS
            and data[position : position + count * size : size].count(first) == count
        )
    return position + count * size if uniform else position
