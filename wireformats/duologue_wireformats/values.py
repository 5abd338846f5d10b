"""Looking at a value before it is written: too deep, in itself, or nothing that every wire format can say.

It runs before anything is written where a type is open, since the encoders recurse in C: one of them crashes the
interpreter on a value that is nested deep enough. Everywhere else it only runs after something has failed, to say where.
"""

from __future__ import annotations

import dataclasses
import enum
import math
from collections.abc import Iterable
from types import NoneType
from typing import Any

import msgspec

from duologue.cases import Case, CaseMeta, case_shape
from duologue.errors import EncodeError
from duologue.messages import Shape
from duologue_wireformats.plain import is_collection, is_dict

_UNSET = msgspec.UNSET
_HARMLESS = (NoneType, bool, bytes, bytearray)


class _Flaw(Exception):
    """What is wrong, and on its way up to the surface where: the path is gathered from its end."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text
        self.steps: list[str] = []


class CaseMet(Exception):
    """There is a case of a tagged union in a place where none is declared, but anything may be."""


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
        except RecursionError:  # where somebody has raised the limit over Python's own
            raise EncodeError("Nested too deep") from None

    def check_plain(self, plain: Any) -> None:
        """The same for what has been made of a value. The codec finds the fault again in the value itself, where fields have names."""
        try:
            self.check(plain)
        except EncodeError as exc:
            raise OverflowError from exc

    def fault(self, value: Any, exc: Exception) -> EncodeError:
        """The error for a value whose writing failed with `exc`."""
        if isinstance(exc, EncodeError):
            return exc
        try:
            self.check(value)
        except EncodeError as error:
            return error
        except CaseMet:
            pass  # what is wrong with it was not found without looking into it
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
        elif is_dict(value):
            self._check_dict(value, room - 1)
        elif is_collection(value):
            self._check_items(value, room - 1)
        else:
            self._check_object(value, room - 1)

    def _check_items(self, items: Iterable[Any], room: int) -> None:
        index = 0
        try:
            for index, each in enumerate(items):  # noqa: B007
                self._check(each, room)
        except _Flaw as flaw:
            flaw.steps.append(f"[{index}]")
            raise

    def _check_dict(self, mapping: dict[Any, Any], room: int) -> None:
        for key in mapping:
            self._check_key(key)
        try:
            for each in mapping.values():
                self._check(each, room)
        except _Flaw as flaw:
            flaw.steps.append("[...]")  # keys are contents, so they are not shown
            raise

    def _check_object(self, value: Any, room: int) -> None:
        if isinstance(value, enum.Enum):
            self._check(value.value, room)
            return
        names = _field_names(type(value))
        if names is None:
            _check_single(value)
            return
        if value.__class__.__class__ is CaseMeta:
            room = self._room_in_case(value, room)
        name = ""
        try:
            for name in names:
                if (part := getattr(value, name, _UNSET)) is not _UNSET:
                    self._check(part, room)
        except _Flaw as flaw:
            flaw.steps.append(f".{name}")
            raise

    def _room_in_case(self, case: Case, room: int) -> int:
        """The room for the fields of a case, where there would be so much in a map."""
        raise CaseMet

    def _check_integer(self, value: int) -> None:
        if not self._lowest <= value < 2**64:
            power = self._lowest.bit_length() - 1
            raise _Flaw(f"Integers must be from -2^{power} to 2^64 - 1")

    def _check_key(self, key: Any) -> None:
        if isinstance(key, enum.Enum):
            self._check_key(key.value)
        elif isinstance(key, str):
            _check_text(key)
        elif isinstance(key, int) and not isinstance(key, bool):
            if not self._integer_keys:
                raise _Flaw(
                    "Keys of a dict that is not declared as dict[int, ...] must be str or bytes, not int"
                )
            self._check_integer(key)
        elif not isinstance(key, bytes):
            raise _Flaw("Keys of a dict must be str, bytes or int, or an enum of them")


class FormChecks(ValueChecks):
    """For values with cases and lists of bytes, which lie deeper on the wire than they do in the value."""

    def __init__(self, like: ValueChecks, *, byte_lists: bool = False) -> None:
        """The rules are those of another. `byte_lists`: some bytes may be arrays, so none can be where no array could."""
        self.__dict__.update(vars(like))
        self._byte_lists = byte_lists

    def _check(self, value: Any, room: int) -> None:
        if room == 0 and self._byte_lists and isinstance(value, bytes | bytearray) and value:
            room = -1
        super()._check(value, room)

    def _room_in_case(self, case: Case, room: int) -> int:
        # Around the data is the map with one entry, and the data of a newtype is no second one.
        return room if case_shape(type(case)) is Shape.VALUE else room - 1


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


def _field_names(kind: Any) -> tuple[str, ...] | None:
    if issubclass(kind, msgspec.Struct):
        names: tuple[str, ...] = kind.__struct_fields__
        return names
    if dataclasses.is_dataclass(kind):
        return tuple(each.name for each in dataclasses.fields(kind))
    if hasattr(kind, "__attrs_attrs__"):
        return tuple(each.name for each in kind.__attrs_attrs__)
    return None
