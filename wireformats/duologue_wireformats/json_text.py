"""JSON: readable, known to everything, and in need of no further library.

What JSON can't say is done as msgspec does it: bytes are base64 texts, integer keys of a dict are texts. In a place
that is declared as `Any` nobody can tell them from texts, and so they come out as texts. NaN and the infinities can't
be written. Of two equal keys in a map the last one counts in closed types; for open types they are refused.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from duologue.errors import DecodeError, RegistrationError
from duologue.plugins import hookimpl
from duologue.wireformat import Codec
from duologue_wireformats.json_scan import JsonScan, has_long_integer, outside_strings
from duologue_wireformats.plain import count_members
from duologue_wireformats.schema import Schema
from duologue_wireformats.typed import DirectCodec, PlainCodec, Read, TypedWireFormat, Write


class Json(TypedWireFormat):
    """The wire format `json`."""

    name = "json"
    has_nan = False

    def _value_codec(self, schema: Schema) -> Codec[Any]:
        if schema.mixed_keys:
            raise RegistrationError(
                f"{schema.mixed_keys} has keys that may be integers or texts, and JSON has only texts: 1 and '1' would be "
                "one key there; use one type of key, or another wire format"
            )
        decoder = msgspec.json.Decoder(schema.type_)
        write, checks = msgspec.json.Encoder().encode, self._checks(schema)
        plain = PlainCodec[Any](
            self.name,
            schema,
            checks,
            # An open type's values are looked at before they are written.
            write if schema.is_open else _careful(write, checks.check_plain, schema),
            self._reader(schema),
            binary=False,
            text_keys=schema.has_integer_keys,
        )
        if schema.is_open or schema.has_forms:
            return plain
        # What is deeper than a closed type is in unknown fields, which msgspec skips with a guard on recursion and
        # little stack: no need to look how deep a text is that can't hold too many values either.
        scan = self._scan(schema, strict=False)
        return DirectCodec(
            self.name,
            checks,
            _careful(write, checks.check, schema),
            decoder.decode,
            short=scan.short,
            screen=scan.check,
            reread=plain.decode if schema.has_bytes else None,
        )

    def _scan(self, schema: Schema, *, strict: bool) -> JsonScan:
        return JsonScan(
            nesting=self.nesting,
            items=self.items,
            strict=strict,
            integers=schema.has_integers or schema.is_open,
            integer_keys=schema.has_integer_keys,
            byte_lists=schema.has_byte_lists,
        )

    def _reader(self, schema: Schema) -> Read:
        """For open types: from a payload to plain data, with every check."""
        scan, parse = self._scan(schema, strict=True).check, msgspec.json.Decoder().decode

        def read(payload: bytes) -> Any:
            scan(payload)
            plain = parse(payload)
            # The parser took it, so each colon outside of strings is a member of an object. Those that are not in
            # the dicts have had the same key as another.
            if count_members(plain) != sum(piece.count(b":") for piece in outside_strings(payload)):
                raise DecodeError("An object has the same key twice")
            return plain

        return read


@hookimpl
def duologue_wireformat() -> Json:
    """The plug-in."""
    return Json()


def _careful(write: Write, check: Callable[[Any], None], schema: Schema) -> Write:
    """Look again where msgspec may have written an integer that is too large, or null for NaN."""
    has_integers, has_floats = schema.has_integers, schema.has_floats
    if not has_integers and not has_floats:
        return write

    def write_and_look(value: Any) -> bytes:
        payload = write(value)
        if (has_integers and has_long_integer(payload)) or (has_floats and payload.find(b"null") >= 0):
            check(value)
        return payload

    return write_and_look
