"""Measuring a JSON text without making anything of it, so that a bomb costs no memory.

It asks only for what a parser would not mind: how deep, how many values, how large the integers. All of it is counting
and replacing bytes, in C; what is not JSON at all is left to the parser.
"""

from __future__ import annotations

import re

from duologue.errors import DecodeError

_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)', re.DOTALL)
"""A string, or what has begun as one at the end. It never goes back, and so takes linear time whatever the text is."""
_LONG_INTEGER = re.compile(rb"(?<![\d.eE+-])-?\d{20,}(?![\d.eE])")
"""An integer that may be out of range: -2^64 and 2^64 - 1 have 20 digits."""
_LONG_KEY = re.compile(rb'"-?\d{20,}"\s*:')
_BYTE_LIST = re.compile(rb"\[\d{1,3}+(?:,\d{1,3}+)*+\]")
"""An array of integers that have no more digits than 255. It never goes back either."""
_DIGITS_OF_LIMIT = 20
_SPACE = b" \t\r\n"
_NOT_BRACKETS = bytes(set(range(0x100)) - set(b"[]{}"))
_DIGITS_ALIKE = bytes(0x30 if 0x30 <= byte <= 0x39 else 0x20 for byte in range(0x100))
_TWENTY_DIGITS = b"0" * _DIGITS_OF_LIMIT
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
        openings = text.count(b"[") + text.count(b"{")
        if openings <= self._nesting and openings + text.count(b",") < self._items:
            return
        # Each string is a value, or the key of one. Taking out more of them than there may be would cost memory.
        quotes = text.count(b'"') - text.count(b'\\"')
        if quotes > 4 * self._items:
            raise self._too_many()
        bare = without_strings(text, b"s").translate(None, _SPACE)  # no digit: texts are no bytes
        counted = _BYTE_LIST.sub(b"0", bare) if self._byte_lists else bare
        openings = counted.count(b"[") + counted.count(b"{")
        empty = counted.count(b"[]") + counted.count(b"{}")
        if 1 + counted.count(b",") + openings - empty > self._items:
            raise self._too_many()
        if bare.count(b"[") + bare.count(b"{") > self._nesting:
            self._check_depth(bare)

    def _too_many(self) -> DecodeError:
        return DecodeError(f"More than {self._items} values in one payload")

    def _check_depth(self, bare: bytes) -> None:
        # What is left of the brackets is like (()(())). Each round takes away the innermost ones, so a text that is
        # nested n deep is gone after n. Empty arrays and maps have nothing in them that could be too deep.
        brackets = bare.replace(b"[]", b"").replace(b"{}", b"").translate(_ROUND, _NOT_BRACKETS)
        for _ in range(self._nesting):
            if not brackets:
                return
            brackets = brackets.replace(b"()", b"")
        if brackets:
            raise DecodeError(f"Nested deeper than {self._nesting}, or not closed")

    def _check_integers(self, text: bytes) -> None:
        for found in _LONG_INTEGER.finditer(without_strings(text)):
            _check_range(found[0])
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


def without_strings(text: bytes, instead: bytes = b"0") -> bytes:
    """The text with one byte in the place of each string."""
    if b"\\" in text:
        return _STRING.sub(instead, text)
    return instead.join(text.split(b'"')[::2])
