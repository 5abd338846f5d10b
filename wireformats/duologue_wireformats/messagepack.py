"""MessagePack: the fastest of the wire formats, and the smallest together with CBOR.

Closed types are written and read by msgspec directly; of two equal keys in a map the last one counts. For open types
two equal keys are refused, as are extension types and keys that are neither texts, byte strings nor declared integers.
"""

from __future__ import annotations

from typing import Any, NoReturn

import msgpack
import msgspec

from duologue.annotations import text_of
from duologue.errors import DecodeError, RegistrationError
from duologue.plugins import hookimpl
from duologue.wireformat import Codec
from duologue_wireformats.messagepack_scan import NOT_CONTAINERS, MessagePackScan
from duologue_wireformats.schema import Schema
from duologue_wireformats.typed import DirectCodec, PlainCodec, Read, Screen, TypedWireFormat


class MessagePack(TypedWireFormat):
    """The wire format `msgpack`."""

    name = "msgpack"
    lowest_integer = -(2**63)

    def _value_codec(self, schema: Schema) -> Codec[Any]:
        try:
            decoder = msgspec.msgpack.Decoder(schema.type_)
        except Exception as exc:
            raise RegistrationError(f"{text_of(schema.type_)} can't be carried: {exc}") from exc
        write, checks = msgspec.msgpack.Encoder().encode, self._checks(schema)
        plain = PlainCodec[Any](self.name, schema, checks, write, self._reader(schema), binary=True)
        if schema.is_open or schema.has_instants:
            return plain
        return DirectCodec(
            self.name,
            checks,
            write,
            decoder.decode,
            short=min(self.nesting, self.items),
            screen=self._screen(),
            reread=plain.decode if schema.has_bytes else None,
        )

    def _screen(self) -> Screen:
        """For closed types: what the typed decoder does not look at, how deep and how many."""
        nesting, items = self.nesting, self.items
        scan = MessagePackScan(nesting=nesting, items=items, integer_keys=True, strict=False).check

        def screen(payload: bytes) -> None:
            # Each array and map begins with one of a few bytes. Where there are less of those than may be nested,
            # nothing is too deep, and that is so in nearly all messages that hold no lists.
            if len(payload) > items or len(payload.translate(None, NOT_CONTAINERS)) > nesting:
                scan(payload)

        return screen

    def _reader(self, schema: Schema) -> Read:
        """For open types: from a payload to plain data, with every check."""
        items, integer_keys = self.items, schema.has_integer_keys
        scan = MessagePackScan(
            nesting=self.nesting, items=items, integer_keys=integer_keys, strict=True
        ).check

        def read(payload: bytes) -> Any:
            scan(payload)
            size = len(payload)
            return msgpack.unpackb(
                payload,
                strict_map_key=not integer_keys,
                object_pairs_hook=_without_duplicates,
                ext_hook=_refuse_extension,
                max_str_len=size,
                max_bin_len=size,
                max_array_len=min(items, size),
                max_map_len=min(items, size),
                max_ext_len=0,
            )

        return read


@hookimpl
def duologue_wireformat() -> MessagePack:
    """The plug-in."""
    return MessagePack()


def _without_duplicates(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise DecodeError("A map has the same key twice")
    return made


def _refuse_extension(code: int, data: bytes) -> NoReturn:
    raise DecodeError("A MessagePack extension type, which is not allowed here")
