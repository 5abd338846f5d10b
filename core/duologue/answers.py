"""Is what a handler returned of the declared type? Annotations can't promise it, and the encoders write whatever they get.

An object of just the declared class passes at a glance; its fields are the type checkers' business. For everything
else msgspec looks, into containers too, and turns it into the declared type where nothing is lost: a tuple into a list,
an int into a float, an object of a derived class into one of the declared class.
"""

from __future__ import annotations

import datetime
import decimal
import functools
import uuid
from collections.abc import Callable, Iterator
from typing import Any, cast

import msgspec
import msgspec.inspect as mi

from duologue.annotations import parts_of, text_of
from duologue.cases import CASE_FIELD
from duologue.errors import EncodeError

_NATIVE = (
    *(bytes, bytearray, uuid.UUID, decimal.Decimal),
    *(datetime.datetime, datetime.date, datetime.time, datetime.timedelta),
)
"""Types that msgspec would read from a text. A handler that returns one declares it, and one that doesn't has erred."""

_NO_CASE = f"Object missing required field `{CASE_FIELD}`"
"""How msgspec says that a value is none of the cases of a union."""

_NATIVE_NODES = (
    *(mi.BytesType, mi.ByteArrayType, mi.UUIDType, mi.DecimalType),
    *(mi.DateTimeType, mi.DateType, mi.TimeType, mi.TimeDeltaType),
)


def checks_of(answer: Any) -> tuple[frozenset[type], Callable[[Any], Any]]:
    """`classes_of` and `converter` of a type, which are slow to make: state per connection asks for them with each."""
    try:
        return _checks_of(answer)
    except TypeError:  # a type with annotations that can't be hashed
        return classes_of(answer), converter(answer)


@functools.lru_cache(maxsize=1024)
def _checks_of(answer: Any) -> tuple[frozenset[type], Callable[[Any], Any]]:
    return classes_of(answer), converter(answer)


def classes_of(answer: Any) -> frozenset[type]:
    """The classes whose own objects need no second look. The parts of `list[int]` do."""
    return frozenset(part for part in parts_of(answer) if isinstance(part, type) and part is not Any)


def converter(answer: Any) -> Callable[[Any], Any]:
    """What gives a value as the declared type, or raises `EncodeError` where that is not possible."""
    if answer is Any:
        return lambda result: result
    try:
        tree = mi.type_info(answer)
    except TypeError:
        return _by_class(classes_of(answer))
    # For types such as `list[int]` msgspec works out what they mean each time it is asked, and for a class once.
    holder: Any = msgspec.defstruct("Answer", [("value", answer)], array_like=True)
    convert = msgspec.convert

    def thoroughly(result: Any) -> Any:
        try:
            return convert((result,), holder, builtin_types=_NATIVE, from_attributes=True).value
        except msgspec.ValidationError as exc:
            text = str(exc).replace(_NO_CASE, "Expected one of its cases").replace("`$[0]", "`$")
            raise EncodeError(text.removesuffix(" - at `$`")) from None

    def quickly(result: Any) -> Any:
        # Keyword arguments cost more than the conversion.
        try:
            return convert((result,), holder).value
        except msgspec.ValidationError:
            pass  # out of here, so that the traceback of the second try is not burdened with this one
        return thoroughly(result)

    return thoroughly if _mentions_native(tree) else quickly


def _by_class(classes: frozenset[type]) -> Callable[[Any], Any]:
    """For types that msgspec can't describe, and the wire format has its own way with."""
    kinds = tuple(classes)

    def check(result: Any) -> Any:
        if kinds and not isinstance(result, kinds):
            raise EncodeError(f"Expected {' or '.join(sorted(map(text_of, kinds)))}")
        return result

    return check


def _mentions_native(root: mi.Type) -> bool:
    seen: set[int] = set()
    rest = [root]
    while rest:
        node = rest.pop()
        if isinstance(node, _NATIVE_NODES):
            return True
        if id(node) not in seen:  # types may be recursive
            seen.add(id(node))
            rest.extend(_nodes_in(node))
    return False


def _nodes_in(node: msgspec.Struct) -> Iterator[Any]:
    """What a node of msgspec's description of a type refers to."""
    for value in msgspec.structs.astuple(node):
        parts = cast("tuple[object, ...]", value if isinstance(value, tuple) else (value,))
        yield from (part for part in parts if isinstance(part, mi.Type | mi.Field))
