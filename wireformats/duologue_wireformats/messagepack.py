"""MessagePack: the fastest of the wire formats, and the smallest together with CBOR.

Closed types are written and read by msgspec directly; of two equal keys in a map the last one counts. For open types
two equal keys are refused, as are extension types and keys that are neither texts, byte strings nor declared integers.
"""

from __future__ import annotations

from typing import Any

import msgspec

from duologue.errors import DecodeError
from duologue.plugins import hookimpl
from duologue.wireformat import Codec
from duologue_wireformats.messagepack_scan import MessagePackScan
from duologue_wireformats.plain import count_members
from duologue_wireformats.schema import Schema
from duologue_wireformats.typed import DirectCodec, PlainCodec, Read, TypedWireFormat


class MessagePack(TypedWireFormat):
    """The wire format `msgpack`."""

    name = "msgpack"
    lowest_integer = -(2**63)

    def _value_codec(self, schema: Schema) -> Codec[Any]:
        decoder = msgspec.msgpack.Decoder(schema.type_)
        write, checks = msgspec.msgpack.Encoder().encode, self._checks(schema)
        plain = PlainCodec[Any](self.name, schema, checks, write, self._reader(schema), binary=True)
        if schema.is_open or schema.has_instants or schema.has_forms:
            return plain
        # A payload of no more bytes can't hold too many items. Nor can it do harm by its depth: what is deeper than
        # the type is in unknown fields, which msgspec skips with a guard on recursion and little stack.
        scan = MessagePackScan(nesting=self.nesting, items=self.items, integer_keys=True, strict=False)
        return DirectCodec(
            self.name,
            checks,
            write,
            decoder.decode,
            short=self.items,
            screen=scan.check,
            reread=plain.decode if schema.has_bytes else None,
        )

    def _reader(self, schema: Schema) -> Read:
        """For open types: from a payload to plain data, with every check."""
        items, integer_keys, byte_lists = self.items, schema.has_integer_keys, schema.has_byte_lists
        scan = MessagePackScan(
            nesting=self.nesting,
            items=items,
            integer_keys=integer_keys,
            strict=True,
            byte_lists=byte_lists,
        ).check
        # Not by the library `msgpack`: it interns the keys of maps, and what is interned Python 3.12 keeps for ever. So a remote
        # could have used up this process with keys that are never the same.
        decode = msgspec.msgpack.Decoder().decode

        def read(payload: bytes) -> Any:
            members = scan(payload)
            plain = decode(payload)
            # What is missing in the dicts has had the same key as another.
            if members and count_members(plain) != members:
                raise DecodeError("A map has the same key twice")
            return plain

        return read


@hookimpl
def duologue_wireformat() -> MessagePack:
    """The plug-in."""
    return MessagePack()
