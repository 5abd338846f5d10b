"""CBOR, as Rust's serde_cbor writes it: the wire format to choose for talking with a Rust peer.

Reading takes what serde_cbor can write and little more (docs/protocol.md, section 3): no tags, no undefined, no keys
but texts, byte strings and, where they are declared, integers; no key twice, nothing after the value.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import cbor2

from duologue.errors import DecodeError
from duologue.plugins import hookimpl
from duologue.wireformat import Codec
from duologue_wireformats.cbor_scan import CborScan
from duologue_wireformats.schema import Schema
from duologue_wireformats.typed import DEFAULTS, PlainCodec, Read, TypedWireFormat, Write

Tag = Callable[[Any], Any]
"""Makes a value of what a tag is on. Raises `ValueError` if it can't."""

_BUILT_IN = (
    *(0, 1, 2, 3, 4, 5, 25, 28, 29, 30, 35, 36, 37, 52, 54, 100),
    *(256, 258, 260, 261, 1004, 43000, 55799),
)
"""The tags that cbor2 makes something of, from big integers to regular expressions and references."""

_MARK = os.urandom(16)
_PAIR = b"\x82"
_MARK_ITEM = bytes([0x40 + len(_MARK)]) + _MARK

_BIG_INTEGER = re.compile(rb"[\xc2\xc3][\x40-\x5b]")
"""How an integer of more than 64 bits begins: a tag, then a byte string. No UTF-8 text has these two in a row."""
_SMALLEST_WITH_BIG_INTEGER = 11

_LARGEST_BIG_INTEGER = 32


class Cbor(TypedWireFormat):
    """The wire format `cbor`.

    `tags` allows some: a tag's number, and what makes plain data of its content. All others are refused.
    """

    name = "cbor"

    def __init__(
        self,
        *,
        nesting: int = DEFAULTS.nesting,
        items: int = DEFAULTS.items,
        tags: Mapping[int, Tag] | None = None,
    ) -> None:
        self._tags = dict(tags or {})
        super().__init__(nesting=nesting, items=items)

    def _value_codec(self, schema: Schema) -> Codec[Any]:
        checks = self._checks(schema)
        return PlainCodec(
            self.name, schema, checks, _writer(checks.check_plain), self._reader(schema), binary=True
        )

    def _reader(self, schema: Schema) -> Read:
        """From a payload to plain data, with every check."""
        items, always = self.items, schema.is_open or schema.has_integer_keys
        scan = CborScan(
            nesting=self.nesting,
            items=items,
            integer_keys=schema.has_integer_keys,
            tags=self._tags,
            byte_lists=schema.has_byte_lists,
        ).check
        decoders: dict[int, Any] = dict.fromkeys(_BUILT_IN, _refuse_tag)
        decoders.update({tag: _called_with_content(make) for tag, make in self._tags.items()})
        depth = self.nesting + 1  # of the pair
        hashable = not schema.has_integer_keys  # then the scan looks at the keys
        loads, mark_item, mark = cbor2.loads, _MARK_ITEM, _MARK

        def read(payload: bytes) -> Any:
            if always or len(payload) > items:
                scan(payload)
            try:
                # cbor2 is silent about bytes after the value. In a pair with something that nobody else knows,
                # they would be the second item, or keep the real one from being it.
                value, end = loads(
                    _PAIR + payload + mark_item,
                    max_depth=depth,
                    allow_duplicate_keys=False,
                    strict_hashable_types=hashable,
                    semantic_decoders=decoders,
                    tag_hook=_refuse_tag,
                )
            except cbor2.CBORError as exc:
                raise _fault(exc) from None
            if end != mark:
                raise DecodeError("CBOR is malformed: the payload ends early, or bytes come after the value")
            return value

        return read


def unsigned_big_integer(content: Any) -> int:
    """For `Cbor(tags={2: unsigned_big_integer})`: integers of up to 256 bits."""
    if not isinstance(content, bytes) or len(content) > _LARGEST_BIG_INTEGER:
        raise ValueError(f"not a byte string of at most {_LARGEST_BIG_INTEGER} bytes")
    return int.from_bytes(content)


def negative_big_integer(content: Any) -> int:
    """For `Cbor(tags={3: negative_big_integer})`."""
    return -1 - unsigned_big_integer(content)


@hookimpl
def duologue_wireformat() -> Cbor:
    """The plug-in."""
    return Cbor()


def _writer(check: Callable[[Any], None]) -> Write:
    dumps, has_big_integer = cbor2.dumps, _BIG_INTEGER.search

    def write(plain: Any) -> bytes:
        payload: bytes = dumps(plain)
        if len(payload) >= _SMALLEST_WITH_BIG_INTEGER and has_big_integer(payload):
            check(plain)
        return payload

    return write


def _called_with_content(make: Tag) -> Callable[[Any, bool], Any]:
    return lambda content, _immutable: make(content)


def _refuse_tag(content: Any, immutable: bool) -> NoReturn:
    raise DecodeError("A CBOR tag, which is not allowed here")


def _fault(exc: cbor2.CBORError) -> DecodeError:
    """The error for one of cbor2's. Raises instead what must not be held up: a hook's `KeyboardInterrupt` comes wrapped."""
    cause: BaseException | None = exc
    ours: DecodeError | None = None
    while cause is not None:
        if not isinstance(cause, Exception):
            raise cause
        if isinstance(cause, DecodeError):
            ours = cause
        cause = cause.__cause__
    if ours is not None:
        return ours
    text = str(exc)
    if isinstance(exc, cbor2.CBORDecodeEOF):
        return DecodeError("CBOR is malformed: the payload ends early")
    if "nesting depth" in text:
        return DecodeError("Nested too deep")
    if "Duplicate map key" in text:
        return DecodeError("A map has the same key twice")
    if "map key must be" in text:
        return DecodeError("A key of a map is not a text, byte string or declared integer")
    if isinstance(exc.__cause__, UnicodeError):
        return DecodeError("Not valid CBOR: a text is not UTF-8")
    return DecodeError("CBOR is malformed, or a tag's content is refused")
