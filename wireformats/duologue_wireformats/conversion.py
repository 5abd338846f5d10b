"""From objects to plain data and back, by msgspec, and by way of Rust's forms where a type has some (`forms`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_origin

import msgspec

from duologue_wireformats.forms_read import form_reader
from duologue_wireformats.forms_write import any_form, form_writer
from duologue_wireformats.schema import Schema

_to_builtins = msgspec.to_builtins


def _with_native_bytes(value: Any) -> Any:
    return _to_builtins(value, builtin_types=(bytes, bytearray))


def plain_writer(schema: Schema, *, binary: bool) -> Callable[[Any], Any]:
    """From objects to plain data."""
    if schema.has_forms:
        form = form_writer(schema.tree)
        return lambda value: form(_with_native_bytes(value))
    if binary and (schema.has_bytes or schema.is_open):
        return _with_native_bytes
    return _to_builtins  # saying that there is nothing special costs as much as the conversion


def any_writer(value: Any) -> Any:
    """The same for a type in which no case is declared, and a value that has one where anything may be."""
    return any_form(_with_native_bytes(value))


def plain_reader(schema: Schema, *, binary: bool, text_keys: bool) -> Callable[[Any], Any]:
    """From plain data to objects."""
    if not schema.has_bytes and not schema.has_forms and not text_keys:
        return _converter(schema.type_)

    # Without this msgspec would take a text for base64.
    native = (bytes, bytearray) if binary else ()
    specially = _converter(schema.type_, builtin_types=native, str_keys=text_keys)
    form = form_reader(schema.tree)

    def at_second_try(plain: Any) -> Any:
        # Nobody but who has sent arrays for bytes pays for looking for them.
        try:
            return specially(plain)
        except msgspec.ValidationError:
            if form is None:
                raise
        return specially(form(plain))

    def in_its_form(plain: Any) -> Any:
        return specially(plain if form is None else form(plain))

    return in_its_form if schema.has_forms else at_second_try


def _converter(type_: Any, **options: Any) -> Callable[[Any], Any]:
    """`msgspec.convert` to a type. Of one that is no class msgspec works out each time what it means, so it goes into one."""
    convert = msgspec.convert
    if isinstance(type_, type) and get_origin(type_) is None:
        kind: Any = type_
        if options:  # saying that there are none would cost as much as a small message
            return lambda plain: convert(plain, kind, **options)
        return lambda plain: convert(plain, kind)
    holder: Any = msgspec.defstruct("Payload", [("value", type_)], array_like=True)

    def convert_within(plain: Any) -> Any:
        try:
            return convert((plain,), holder, **options).value
        except msgspec.ValidationError as exc:
            text = str(exc).replace("`$[0]", "`$").removesuffix(" - at `$`")
            raise msgspec.ValidationError(text) from exc.__cause__

    return convert_within
