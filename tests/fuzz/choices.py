"""A fuzzer's bytes, read as choices: what to do next, with which number, and with which bytes.

Each choice takes as few bytes as can be, and what is missing at the end is 0: so a change of one byte is a change of one choice,
and any bytes are a course of events. It needs no fuzzer, and reads the same bytes in the same way for ever: the corpus depends on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Choices:
    """What is left to choose from. Has what `tests.core.story_tables` wants of a `random.Random`, too."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def is_empty(self) -> bool:
        return self._at >= len(self._data)

    def byte(self) -> int:
        at = self._at
        if at >= len(self._data):
            return 0
        self._at = at + 1
        return self._data[at]

    def bytes(self, size: int) -> bytes:
        """Up to so many, as they are."""
        at = self._at
        self._at = min(at + size, len(self._data))
        return self._data[at : self._at]

    def rest(self) -> bytes:
        return self.bytes(len(self._data))

    def integer(self, size: int) -> int:
        return int.from_bytes(self.bytes(size), "little")

    def choice(self, values: Sequence[T]) -> T:
        count = len(values)
        return values[(self.byte() if count <= 0x100 else self.integer(2)) % count]

    def randint(self, lowest: int, highest: int) -> int:
        return lowest + self.byte() % (highest - lowest + 1)


def pieces(choices: Choices, most: int = 6) -> list[int]:
    """Sizes that a stream is to be cut into, over and over: at least one of them is not 0."""
    sizes = [choices.byte() for _ in range(1 + choices.byte() % most)]
    return sizes if any(sizes) else [1]


def cut(data: bytes, sizes: Sequence[int]) -> list[bytes]:
    """The stream in such pieces, of which some may be empty."""
    made: list[bytes] = []
    offset = 0
    while offset < len(data):
        size = sizes[len(made) % len(sizes)]
        made.append(data[offset : offset + size])
        offset += size
    return made
