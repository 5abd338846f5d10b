"""What the three wire formats share: from a declared type to its codec, by way of the message's shape.

There are two ways to and from bytes. The direct one has msgspec write and read the objects themselves: the fastest,
for closed types. The other goes by plain data (None, bool, int, float, str, bytes, list, dict), which a hardened
decoder gives and msgspec turns into objects: for open types, and for CBOR, which msgspec does not speak.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from types import NoneType
from typing import Any, TypeVar

import msgspec

from duologue.annotations import text_of
from duologue.errors import DecodeError, EncodeError, RegistrationError
from duologue.messages import Shape, shape_of
from duologue.protocol.limits import Limits
from duologue.wireformat import Codec, WireFormat
from duologue_wireformats.conversion import any_writer, plain_reader, plain_writer
from duologue_wireformats.faults import decode_fault
from duologue_wireformats.schema import Schema, message_class, read_schema
from duologue_wireformats.values import CaseMet, FormChecks, ValueChecks

T = TypeVar("T")

Write = Callable[[Any], bytes]
Read = Callable[[bytes], Any]
Screen = Callable[[bytes], object]

DEFAULTS = Limits()


class TypedWireFormat(WireFormat):
    """A wire format that knows how to make codecs for values; the shapes of messages are done here.

    `nesting` is how many arrays and maps a value may lie in, `items` how many values a payload may hold. Both bound
    what reading costs, so both ends of a connection had better agree on them.
    """

    lowest_integer = -(2**64)
    has_nan = True

    def __init__(self, *, nesting: int = DEFAULTS.nesting, items: int = DEFAULTS.items) -> None:
        if nesting < 1 or items < 1:
            raise ValueError(f"nesting {nesting} and items {items} must be at least 1")
        self.nesting = nesting
        self.items = items
        self._plain = self._value_codec(read_schema(Any))

    @abstractmethod
    def _value_codec(self, schema: Schema) -> Codec[Any]:
        """The codec for values of the type, whatever their shape as a message may be."""

    def codec(self, type_: type[T]) -> Codec[T]:
        declared: Any = type_
        kind: Any = NoneType if declared is None else message_class(declared) or declared
        match _shape(kind):
            case Shape.NOTHING:
                return NothingCodec(self._plain, kind)
            case Shape.VALUE:
                name, inner = _only_field(type_)
                return ValueCodec(self._value_codec(read_schema(inner)), name, kind)
            case _:
                return self._value_codec(read_schema(type_))

    def encode_plain(self, value: Any) -> bytes:
        return self._plain.encode(value)

    def decode_plain(self, payload: bytes) -> Any:
        return self._plain.decode(payload)

    def _checks(self, schema: Schema) -> ValueChecks:
        checks = ValueChecks(
            name=self.name,
            nesting=self.nesting,
            lowest=self.lowest_integer,
            integer_keys=schema.has_integer_keys,
            finite=not self.has_nan,
        )
        return FormChecks(checks, byte_lists=schema.has_byte_lists) if schema.has_forms else checks

    def __repr__(self) -> str:
        return f"{type(self).__name__}(nesting={self.nesting}, items={self.items})"


class NothingCodec(Codec[T]):
    """For None, and for messages without fields: null."""

    __slots__ = ("_kind", "_null", "_plain")

    def __init__(self, plain: Codec[Any], kind: type[T]) -> None:
        self._plain = plain
        self._kind = kind
        self._null = plain.encode(None)

    def encode(self, value: T) -> bytes:
        if not isinstance(value, self._kind):
            raise EncodeError(f"Expected {text_of(self._kind)}, got {type(value).__name__}")
        return self._null

    def decode(self, payload: bytes) -> T:
        if payload != self._null and self._plain.decode(payload) is not None:
            raise DecodeError("Expected `null`, since there are no fields")
        return self._kind()


class ValueCodec(Codec[T]):
    """For messages that wrap one value: the value itself."""

    __slots__ = ("_decode", "_encode", "_kind", "_name")

    def __init__(self, inner: Codec[Any], name: str, kind: Callable[..., T]) -> None:
        self._encode = inner.encode
        self._decode = inner.decode
        self._name = name
        self._kind = kind

    def encode(self, value: T) -> bytes:
        try:
            content = getattr(value, self._name)
        except AttributeError as exc:
            raise EncodeError(f"A {type(value).__name__} has no field {self._name!r}") from exc
        return self._encode(content)

    def decode(self, payload: bytes) -> T:
        content = self._decode(payload)
        try:
            return self._kind(**{self._name: content})
        except Exception as exc:  # its own `__post_init__`
            raise DecodeError(f"Refused by the declared type: {type(exc).__name__}") from exc


class PlainCodec(Codec[T]):
    """By way of plain data."""

    __slots__ = ("_checks", "_from_plain", "_is_open", "_name", "_read", "_to_plain", "_write")

    def __init__(
        self,
        name: str,
        schema: Schema,
        checks: ValueChecks,
        write: Write,
        read: Read,
        *,
        binary: bool,
        text_keys: bool = False,
    ) -> None:
        """`binary`: byte strings are plain data of the format. `text_keys`: all of its keys are texts."""
        self._name = name
        self._is_open = schema.is_open
        self._checks = checks
        self._write = write
        self._read = read
        self._to_plain = plain_writer(schema, binary=binary)
        self._from_plain = plain_reader(schema, binary=binary, text_keys=text_keys)

    def encode(self, value: T) -> bytes:
        try:
            if self._is_open:
                self._checks.check(value)
            return self._write(self._to_plain(value))
        except CaseMet:
            pass
        except Exception as exc:
            error = self._checks.fault(value, exc)
            raise error from error.__cause__
        return self._encode_with_cases(value)

    def _encode_with_cases(self, value: T) -> bytes:
        """Write a value that has cases of tagged unions where anything may be."""
        checks = FormChecks(self._checks)
        try:
            checks.check(value)
            return self._write(any_writer(value))
        except Exception as exc:
            error = checks.fault(value, exc)
            raise error from error.__cause__

    def decode(self, payload: bytes) -> T:
        try:
            return self._from_plain(self._read(payload))  # type: ignore[no-any-return]
        except Exception as exc:
            error = decode_fault(exc, self._name)
            raise error from error.__cause__


class DirectCodec(Codec[T]):
    """By msgspec, without a detour. `reread` is for what it does not accept: byte strings written as arrays."""

    __slots__ = ("_checks", "_name", "_read", "_reread", "_screen", "_short", "_write")

    def __init__(
        self,
        name: str,
        checks: ValueChecks,
        write: Write,
        read: Read,
        *,
        short: int,
        screen: Screen,
        reread: Read | None,
    ) -> None:
        """`screen` looks at payloads of more than `short` bytes, before they are read."""
        self._name = name
        self._checks = checks
        self._write = write
        self._read = read
        self._short = short
        self._screen = screen
        self._reread = reread

    def encode(self, value: T) -> bytes:
        try:
            return self._write(value)
        except Exception as exc:
            error = self._checks.fault(value, exc)
            raise error from error.__cause__

    def decode(self, payload: bytes) -> T:
        try:
            if len(payload) > self._short:
                self._screen(payload)
            return self._read(payload)  # type: ignore[no-any-return]
        except Exception as exc:
            return self._second_look(payload, exc)

    def _second_look(self, payload: bytes, exc: Exception) -> T:
        if self._reread is not None and isinstance(exc, msgspec.ValidationError):
            return self._reread(payload)  # type: ignore[no-any-return]
        error = decode_fault(exc, self._name)
        raise error from error.__cause__


def _shape(kind: Any) -> Shape:
    """The shape of a payload. msgspec knows that of everything but the two that only messages, and None, have."""
    if kind is NoneType:
        return Shape.NOTHING
    return Shape.MAP if message_class(kind) is None else shape_of(kind)


def _only_field(type_: Any) -> tuple[str, Any]:
    try:
        (field,) = msgspec.structs.fields(type_)
    except Exception as exc:
        raise RegistrationError(f"{text_of(type_)} can't be carried: {exc}") from exc
    return field.name, field.type
