"""Looking at a value before it is written: too deep, in itself, or nothing that every wire format can say.

It runs before anything is written where a type is open, since the encoders recurse in C: one of them crashes the
interpreter on a value that is nested deep enough. Everywhere else it only runs after something has failed, to say where.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator
from types import NoneType
from typing import Any

import msgspec

from duologue.errors import EncodeError
from duologue_wireformats.plain import is_collection, is_dict

_HARMLESS = (NoneType, bool, bytes, bytearray)


class _Flaw(Exception):
    """What is wrong, and on its way up to the surface where: the path is gathered from its end."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text
        self.steps: list[str] = []


class ValueChecks:
    """The rules that a value must keep to be written, of one wire format and one type."""

    def __init__(self, *, name: str, nesting: int, lowest: int, integer_keys: bool, finite: bool) -> None:
        self._name = name
        self._nesting = nesting
        self._lowest = lowest
        """The lowest integer that the format has. The highest is 2^64 - 1 everywhere."""
        self._integer_keys = integer_keys
        self._finite = finite
        """Whether the format has no NaN and no infinities."""

    def check(self, value: Any) -> None:
        """Raise `EncodeError` with the path to the first part that can't be written, if there is one."""
        try:
            self._check(value, self._nesting)
        except _Flaw as flaw:
            path = "".join(reversed(flaw.steps))
            raise EncodeError(f"{flaw.text} - at `${path}`") from None

    def fault(self, value: Any, exc: Exception) -> EncodeError:
        """The error for a value whose writing failed with `exc`."""
        if isinstance(exc, EncodeError):
            return exc
        try:
            self.check(value)
        except EncodeError as error:
            return error
        unexplained = EncodeError(
            f"A {type(value).__name__} can't be written as {self._name}: {type(exc).__name__}"
        )
        unexplained.__cause__ = exc
        return unexplained

    def _check(self, value: Any, room: int) -> None:
        if room < 0:
            raise _Flaw(f"Nested deeper than {self._nesting}, or in itself")
        if isinstance(value, str):
            _check_text(value)
        elif isinstance(value, _HARMLESS):
            return
        elif isinstance(value, int):
            self._check_integer(value)
        elif isinstance(value, float):
            if self._finite and not math.isfinite(value):
                raise _Flaw(f"NaN and the infinities don't exist in {self._name}")
        elif is_collection(value):
            self._check_all(((f"[{index}]", each) for index, each in enumerate(value)), room)
        elif is_dict(value):
            for key in value:
                self._check_key(key)
            # Keys are contents, so they are not shown.
            self._check_all((("[...]", each) for each in value.values()), room)
        elif (fields := _fields(value)) is not None:
            self._check_all(fields, room)
        else:
            _check_single(value)

    def _check_all(self, parts: Iterable[tuple[str, Any]], room: int) -> None:
        for step, part in parts:
            try:
                self._check(part, room - 1)
            except _Flaw as flaw:
                flaw.steps.append(step)
                raise

    def _check_integer(self, value: int) -> None:
        if not self._lowest <= value < 2**64:
            power = self._lowest.bit_length() - 1
            raise _Flaw(f"Integers must be from -2^{power} to 2^64 - 1")

    def _check_key(self, key: Any) -> None:
        if isinstance(key, str):
            _check_text(key)
        elif isinstance(key, int) and not isinstance(key, bool):
            if not self._integer_keys:
                raise _Flaw(
                    "Keys of a dict that is not declared as dict[int, ...] must be str or bytes, not int"
                )
            self._check_integer(key)
        elif isinstance(key, enum.Enum):
            self._check_key(key.value)
        elif not isinstance(key, bytes):
            raise _Flaw("Keys of a dict must be str, bytes or int, or an enum of them")


def _check_text(value: str) -> None:
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise _Flaw("Not a Unicode text: it has a lone surrogate") from None


def _check_single(value: Any) -> None:
    """Enums, dates, Decimals and the like: msgspec makes a text or a number of them."""
    try:
        msgspec.to_builtins(value)
    except Exception:
        raise _Flaw(f"Objects of type {type(value).__name__} can't be written") from None


def _fields(value: Any) -> Iterator[tuple[str, Any]] | None:
    """The fields of an object that has some, or None."""
    names = _field_names(type(value))
    if names is None:
        return None
    found = ((f".{name}", getattr(value, name, msgspec.UNSET)) for name in names)
    return ((step, part) for step, part in found if part is not msgspec.UNSET)


def _field_names(kind: Any) -> tuple[str, ...] | None:
    if issubclass(kind, msgspec.Struct):
        return kind.__struct_fields__
    if dataclasses.is_dataclass(kind):
        return tuple(each.name for each in dataclasses.fields(kind))
    if hasattr(kind, "__attrs_attrs__"):
        return tuple(each.name for each in kind.__attrs_attrs__)
    return None
