"""Measuring a JSON text without making anything of it, so that a bomb costs no memory.

It asks only for what a parser would not mind: how deep, how many values, how large the integers. All of it is counting
and replacing bytes, in C; what is not JSON at all is left to the parser.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from duologue.errors import DecodeError

_LONG_INTEGER = re.compile(rb"(?<![\d.eE+-])-?\d{20,}(?![\d.eE])")
"""An integer that may be out of range: -2^64 and 2^64 - 1 have 20 digits."""
_LONG_KEY = re.compile(rb'"-?\d{20,}"\s*:')
_BYTE_LIST = re.compile(rb"\[\d{1,3}+(?:,\d{1,3}+)*+\]")
"""An array of integers that have no more digits than 255. It never goes back either."""
_DIGITS_OF_LIMIT = 20
_SPACE = b" \t\r\n"
_NOT_BRACKETS = bytes(set(range(0x100)) - set(b"[]{}"))
_NOT_COUNTED = bytes(set(range(0x100)) - set(b"[{,"))
_PIECE = 64 * 1024
"""So much of a text is looked at before what it holds is compared with what is allowed."""
_DIGITS_ALIKE = bytes(0x30 if 0x30 <= byte <= 0x39 else 0x20 for byte in range(0x100))
_TWENTY_DIGITS = b"0" * _DIGITS_OF_LIMIT
_LARGEST = b"%d" % (2**64 - 1)
_ROUND = bytes.maketrans(b"[]{}", b"()()")


class JsonScan:
    """The rules that a payload must keep."""

    def __init__(
        self,
        *,
        nesting: int,
        items: int,
        strict: bool,
        integers: bool,
        integer_keys: bool,
        byte_lists: bool = False,
    ) -> None:
        """`strict`: of texts with fewer bytes than there may be values, too, ask how deep they are.

        `integers`: there may be some, so they must be in range. `integer_keys`: of a dict, where they are texts.
        `byte_lists`: arrays of small integers may be long, since the type declares some. They count as one value.
        """
        self._nesting = nesting
        self._items = items
        self._strict = strict
        self._integers = integers
        self._integer_keys = integer_keys
        self._byte_lists = byte_lists
        self.short = min(nesting, items) if strict else items
        """A text of no more bytes can't break a rule: each bracket and each digit takes one."""
        if integers:
            self.short = min(self.short, _DIGITS_OF_LIMIT - 1)

    def check(self, text: bytes) -> None:
        """Raise `DecodeError` if the text is over the limits."""
        if self._strict or len(text) > self._items:
            self._measure(text)
        if self._integers and has_long_integer(text):
            self._check_integers(text)

    def _measure(self, text: bytes) -> None:
        # Brackets and commas may be in strings too: only if there are too many, count again without the strings.
        counted = text if len(text) <= _PIECE else text.translate(None, _NOT_COUNTED)
        if counted is text or len(counted) < self._items:  # counting takes long where there are many
            openings = counted.count(b"[") + counted.count(b"{")
            if openings <= self._nesting and openings + counted.count(b",") < self._items:
                return
        pieces = outside_strings(text)
        if self._byte_lists:
            bare = b"".join(pieces).translate(
                None, _SPACE
            )  # no digit of it was in a string: texts are no bytes
            if self._count(_BYTE_LIST.sub(b"0", bare)) >= self._items:
                raise self._too_many()
            pieces = iter((bare,))
        self._walk(pieces, counts=not self._byte_lists)

    def _walk(self, pieces: Iterator[bytes], *, counts: bool) -> None:
        """Look at the brackets and commas outside of strings, and stop at the first piece with which there are too many."""
        values = openings = depth = 0
        carried = b""
        brackets: list[bytes] = []
        for piece in pieces:
            bare = carried + piece.translate(None, _SPACE)
            # An array that is empty must not be cut in the middle, or nobody would see that it is.
            carried = bare[-1:] if bare.endswith((b"[", b"{")) else b""
            bare = bare.removesuffix(carried)
            if counts and (values := values + self._count(bare)) >= self._items:
                raise self._too_many()
            # Empty arrays and maps have nothing in them that could be too deep.
            kept = bare.replace(b"[]", b"").replace(b"{}", b"").translate(_ROUND, _NOT_BRACKETS)
            opened = kept.count(b"(")
            openings += opened
            depth += 2 * opened - len(kept)
            if depth > self._nesting:
                raise self._too_deep()
            if depth < 0:
                return  # the parser stops at the bracket that closes nothing
            brackets.append(kept)
        if openings > self._nesting:
            self._check_depth(b"".join(brackets))

    def _count(self, bare: bytes) -> int:
        """The values in a text without strings and spaces, but for the outermost one."""
        openings = bare.count(b"[") + bare.count(b"{")
        empty = bare.count(b"[]") + bare.count(b"{}")
        return bare.count(b",") + openings - empty

    def _too_many(self) -> DecodeError:
        return DecodeError(f"More than {self._items} values in one payload")

    def _too_deep(self) -> DecodeError:
        return DecodeError(f"Nested deeper than {self._nesting}, or not closed")

    def _check_depth(self, brackets: bytes) -> None:
        # They are like (()(())). Each round takes away the innermost ones, so a text that is nested n deep is gone after n.
        for _ in range(self._nesting):
            if not brackets:
                return
            brackets = brackets.replace(b"()", b"")
        if brackets:
            raise self._too_deep()

    def _check_integers(self, text: bytes) -> None:
        bare = b"".join(outside_strings(text))
        alike = bare.translate(_DIGITS_ALIKE)
        # A regular expression would take long to find the place.
        at = alike.find(_TWENTY_DIGITS)
        while at >= 0:
            end = alike.find(b" ", at)
            if end < 0:
                end = len(bare)
            if end - at > _DIGITS_OF_LIMIT or bare[at:end] > _LARGEST:
                found = _LONG_INTEGER.match(bare, at - 1 if bare[at - 1 : at] == b"-" else at)
                if found is not None:
                    _check_range(found[0])
            at = alike.find(_TWENTY_DIGITS, end)
        if self._integer_keys:
            for found in _LONG_KEY.finditer(text):
                _check_range(found[0].rpartition(b'"')[0][1:])


def has_long_integer(text: bytes) -> bool:
    """Whether there may be an integer in it that is out of range: 20 digits in a row, somewhere."""
    # Of each 20 bytes in a row, 4 are at an offset that 5 divides. A regular expression would look at each byte.
    # (`find`, since `in` takes five times as long: it tries first whether what it looks for is an integer.)
    return (
        len(text) >= _DIGITS_OF_LIMIT
        and text[::5].translate(_DIGITS_ALIKE).find(b"0000") >= 0
        and text.translate(_DIGITS_ALIKE).find(_TWENTY_DIGITS) >= 0
    )


def _check_range(digits: bytes) -> None:
    # Not `int` right away: it takes quadratic time.
    if len(digits) > _DIGITS_OF_LIMIT + 1 or not -(2**64) <= int(digits) < 2**64:
        raise DecodeError("Integers must be from -2^64 to 2^64 - 1")


def outside_strings(text: bytes) -> Iterator[bytes]:
    """What of the text is outside of strings, piece by piece, with an `s` or more in the place of each string."""
    if b"\\" in text:
        # Without the backslashes in pairs, and then the quotes behind one, each quote that is left begins or ends a string. (Outside
        # of strings there is no backslash in JSON, so there the parser stops, and what follows does not matter.)
        text = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    is_inside = False
    for start in range(0, len(text), _PIECE):
        parts = text[start : start + _PIECE].split(b'"')
        outside = b"s".join(parts[is_inside::2])
        yield b"s" + outside if is_inside else outside
        is_inside ^= len(parts) % 2 == 0
