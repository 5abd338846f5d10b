"""Finding what a message class would ignore. Between two programs that is a virtue; for one who types it is a misspelled field."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from duologue import DecodeError
from duologue_contrib.command_line.json_text import is_dict, is_list

LOOKED_AT = 100
"""Parts that are looked at more closely, at most: each costs as much as reading the whole, and what one types has few."""

_PROBES: tuple[Any, ...] = (None, 0, "", [], {})
"""No declared field takes all of them without a difference."""


def ignored_part(given: Any, read: Callable[[Any], Any]) -> str:
    """The path of a part of plain data that is read by nobody; empty if there is none.

    `read` gives the plain data of what was understood, and raises `DecodeError`. A part that does not come back may be
    a default that is left out. So something else is put in its place: nobody reads it if that never makes a difference.
    """
    understood = read(given)
    for count, (path, container, key) in enumerate(_missing(given, understood, "$")):
        if count == LOOKED_AT:
            break
        if _is_ignored(container, key, lambda: bool(read(given) == understood)):
            return path
    return ""


def _is_ignored(container: Any, key: Any, is_the_same: Callable[[], bool]) -> bool:
    original = container[key]
    try:
        for probe in _PROBES:
            container[key] = probe
            if not is_the_same():
                return False
    except DecodeError:
        return False
    finally:
        container[key] = original
    return True


def _missing(given: Any, understood: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    """The parts of containers that have not come back: path, container, and key or index."""
    if is_dict(given) and is_dict(understood):
        for key, each in given.items():
            if key in understood:
                yield from _missing(each, understood[key], f"{path}.{key}")
            else:
                yield f"{path}.{key}", given, key
    elif is_list(given) and is_list(understood):
        for index, each in enumerate(given):
            if index < len(understood):
                yield from _missing(each, understood[index], f"{path}[{index}]")
            else:
                yield f"{path}[{index}]", given, index
