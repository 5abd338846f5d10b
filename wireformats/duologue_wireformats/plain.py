"""Plain data: None, bool, int, float, str, bytes, list, dict. What every wire format can carry without being told a type."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, TypeGuard

# Tuples that are made once: a union in the call would be made anew with each.
_SEQUENCES = (list, tuple)
_COLLECTIONS = (list, tuple, set, frozenset)

# `isinstance(value, list)` leaves a type checker with a list of nobody knows what.


def is_list(value: object) -> TypeGuard[list[Any]]:
    """Whether it is an array."""
    return isinstance(value, list)


def is_sequence(value: object) -> TypeGuard[list[Any] | tuple[Any, ...]]:
    """Whether it is an array that has not been written yet: msgspec leaves tuples as they are."""
    return isinstance(value, _SEQUENCES)


def is_dict(value: object) -> TypeGuard[dict[Any, Any]]:
    """Whether it is a map."""
    return isinstance(value, dict)


def is_collection(value: object) -> TypeGuard[list[Any] | tuple[Any, ...] | set[Any] | frozenset[Any]]:
    """Whether it becomes an array when it is written."""
    return isinstance(value, _COLLECTIONS)


_CONTAINERS = frozenset([dict, list])
_SHORT = 8
"""Shorter lists and dicts are walked over: asking what is in them would cost as much."""


def count_members(plain: Any) -> int:
    """How many keys there are in all dicts together."""
    count = 0
    rest: list[Any] = [plain]
    while rest:
        value = rest.pop()
        if is_dict(value):
            count += len(value)
            parts: Collection[Any] = value.values()
        elif is_list(value):
            parts = value
        else:
            continue
        if len(parts) < _SHORT or not _CONTAINERS.isdisjoint(map(type, parts)):
            rest.extend(parts)
    return count
