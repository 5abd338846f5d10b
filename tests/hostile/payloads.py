"""Hostile payloads of the size of the largest frame: what is wrong with them, in each wire format, and what they are read as.

What is wrong comes at once, or again and again, or at the very end, behind as many values as are allowed. The last cost most:
everything before is in order, and has to be looked at.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from duologue import Message
from duologue.protocol.frames import HEADER_SIZE
from duologue.protocol.limits import Limits
from duologue_wireformats.cbor import Cbor
from duologue_wireformats.json_text import Json
from duologue_wireformats.messagepack import MessagePack
from duologue_wireformats.typed import TypedWireFormat

SIZE = Limits().max_frame - HEADER_SIZE
"""Bytes of the largest payload."""
ITEMS = Limits().items
PRIME = 2**61 - 1
"""Python hashes integers modulo this."""

FORMATS: dict[str, type[TypedWireFormat]] = {"cbor": Cbor, "msgpack": MessagePack, "json": Json}


class Tree(msgspec.Struct):
    children: tuple[Tree, ...] = ()


class Closed(Message[None]):
    number: int = 0
    texts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Hostile:
    """One payload."""

    hazard: str
    what: str
    wireformat: str
    type_: Any
    payload: bytes

    @property
    def name(self) -> str:
        return (
            f"{self.wireformat}: {self.hazard}, {self.what}, as {getattr(self.type_, '__name__', self.type_)}"
        )


HAZARDS = (
    "depth",
    "tags and extension types",
    "big integers",
    "shared references",
    "empty containers",
    "the same key twice",
    "keys that collide, or are none",
    "bytes after the value",
    "lengths that are not there",
    "texts that are not UTF-8",
    "NaN and infinities",
    "lone surrogates",
)


def hostile(wireformat: str, hazard: str, size: int = SIZE, items: int = ITEMS) -> Iterator[Hostile]:
    """All of a kind. With other numbers they are smaller, to see what grows how."""
    for what, types, payload in _MAKERS[hazard](_WRITERS[wireformat], size, items):
        for type_ in types:
            yield Hostile(hazard, what, wireformat, type_, payload)


# -- writing by hand -------------------------------------------------------------------------------------


class CborWriter:
    name = "cbor"
    null = b"\xf6"

    def head(self, major: int, number: int) -> bytes:
        if number < 0x18:
            return bytes([major << 5 | number])
        for power, bits in enumerate((8, 16, 32, 64)):
            if number < 1 << bits:
                return bytes([major << 5 | 0x18 + power]) + number.to_bytes(bits // 8)
        raise ValueError(number)

    def array(self, items: Sequence[bytes]) -> bytes:
        return self.head(4, len(items)) + b"".join(items)

    def map(self, pairs: Sequence[tuple[bytes, bytes]]) -> bytes:
        return self.head(5, len(pairs)) + b"".join(key + value for key, value in pairs)

    def text(self, content: bytes) -> bytes:
        return self.head(3, len(content)) + content

    def integer(self, number: int) -> bytes:
        return self.head(0, number)


class PackWriter:
    name = "msgpack"
    null = b"\xc0"

    def array(self, items: Sequence[bytes]) -> bytes:
        return b"\xdd" + len(items).to_bytes(4) + b"".join(items)

    def map(self, pairs: Sequence[tuple[bytes, bytes]]) -> bytes:
        return b"\xdf" + len(pairs).to_bytes(4) + b"".join(key + value for key, value in pairs)

    def text(self, content: bytes) -> bytes:
        size = len(content)
        return (bytes([0xA0 + size]) if size < 32 else b"\xdb" + size.to_bytes(4)) + content

    def integer(self, number: int) -> bytes:
        return b"\xcf" + number.to_bytes(8)


class JsonWriter:
    name = "json"
    null = b"null"

    def array(self, items: Sequence[bytes]) -> bytes:
        return b"[" + b",".join(items) + b"]"

    def map(self, pairs: Sequence[tuple[bytes, bytes]]) -> bytes:
        return b"{" + b",".join(key + b":" + value for key, value in pairs) + b"}"

    def text(self, content: bytes) -> bytes:
        return b'"' + content + b'"'

    def integer(self, number: int) -> bytes:
        return b"%d" % number


Writer = CborWriter | PackWriter | JsonWriter
Made = Iterator[tuple[str, tuple[Any, ...], bytes]]
OPEN: tuple[Any, ...] = (Any,)
BOTH: tuple[Any, ...] = (Any, list[str])


def late(writer: Writer, bad: bytes, size: int, items: int, *, tail: bytes = b"") -> bytes:
    """As many texts as are allowed, and then what is wrong."""
    count = items - 60  # the limit itself is not what is to be met
    each = max(1, (size - len(bad)) // count - 3)
    return writer.array([writer.text(b"x" * each)] * count + ([bad] if bad else [])) + tail


def texts(writer: Writer, count: int, length: int) -> list[bytes]:
    return [writer.text(b"%0*d" % (length, number)) for number in range(count)]


# -- what can be wrong -----------------------------------------------------------------------------------


def depth(writer: Writer, size: int, items: int) -> Made:
    openers: dict[str, tuple[bytes, ...]] = {
        "cbor": (b"\x81", b"\x9f", b"\xa1\x61a", b"\x82\x00", b"\xa1\x68children\x81"),
        "msgpack": (b"\x91", b"\xdd\x00\x00\x00\x01", b"\x81\xa1a", b"\x92\x00", b"\x81\xa8children\x91"),
        "json": (b"[", b'{"a":', b"[0,", b'{"children":['),
    }
    for opener in openers[writer.name]:
        yield f"{opener!r} over and over", (Any, Tree, Closed), opener * (size // len(opener))
    nested = writer.null
    for _ in range(40):
        nested = writer.array([nested])
    yield "at the end", OPEN, late(writer, nested, size, items)


def tags(writer: Writer, size: int, items: int) -> Made:
    if writer.name == "json":
        return
    if writer.name == "cbor":
        one, bad = b"\xc1", b"\xc1\x00"
        yield "one around bytes", BOTH, b"\xd9\xd9\xf7\x5a" + (size - 8).to_bytes(4) + bytes(size - 8)
    else:
        one, bad = b"\xd4\x05\x00", b"\xd6\xff\x00\x00\x00\x01"
        yield "one, of bytes", BOTH, b"\xc9" + (size - 6).to_bytes(4) + b"\x05" + bytes(size - 6)
    yield "over and over", BOTH, one * (size // len(one))
    yield "at the end", BOTH, late(writer, bad, size, items)


def big_integers(writer: Writer, size: int, items: int) -> Made:
    if writer.name == "cbor":
        big = b"\xc2\x49\x01" + bytes(8)
        yield "one", (Any, int), b"\xc2\x5a" + (size - 6).to_bytes(4) + b"\xff" * (size - 6)
    elif writer.name == "json":
        big = b"1" + b"0" * 24
        yield "one", (Any, int, float), b"1" * size
        yield "negative", (Any, int), b"-" + b"9" * (size - 1)
        rows = [b"1" * 19] * min(items - 60, size // 20)
        yield "at the end of others", (Any, list[int]), writer.array([*rows, big])
    else:
        return
    yield "at the end", BOTH, late(writer, big, size, items)


def references(writer: Writer, size: int, items: int) -> Made:
    if writer.name == "cbor":
        shared, namespace = b"\xd8\x1c\x81\xd8\x1d\x00", b"\xd9\x01\x00\x82\x63aaa\xd8\x19\x00"
        yield "over and over", BOTH, writer.array([shared] * min(items - 60, size // len(shared)))
        yield "of texts", BOTH, namespace * (size // len(namespace))
        yield "at the end", BOTH, late(writer, shared, size, items)


def empty(writer: Writer, size: int, items: int) -> Made:
    singles = {"cbor": b"\x80\xa0\x60\x40\xf6", "msgpack": b"\x90\x80\xa0\xc0"}
    if writer.name == "json":
        for item in (b"[]", b"{}", b'""', b"0"):
            yield f"{item!r}", (Any, list[list[int]]), writer.array([item] * (size // (len(item) + 1) - 2))
        yield "with spaces", OPEN, writer.array([b"[ ]"] * (size // 4 - 2))
        return
    for byte in singles[writer.name]:
        yield f"{byte:02x}", (Any, list[list[int]]), writer.array([bytes([byte])] * (size - 10))
    if writer.name == "cbor":
        yield "without an announced end", OPEN, b"\x9f" + b"\x80" * (size - 2) + b"\xff"
        yield "pieces of a text", OPEN, b"\x7f" + b"\x60" * (size - 2) + b"\xff"
    longer = {"cbor": b"\x98\x00", "msgpack": b"\xdd\x00\x00\x00\x00"}[writer.name]
    for what, item in (
        ("in rows", bytes([singles[writer.name][0]])),
        ("in rows, longer than need be", longer),
    ):
        row = writer.array([item] * 100)
        yield what, OPEN, writer.array([row] * (size // len(row) - 1))


def keys(writer: Writer, size: int, items: int) -> list[bytes]:
    """As many as are allowed, for a map whose values are null."""
    count = items - 60
    return texts(writer, count, max(5, size // count - 4 - len(writer.null)))


def twice(writer: Writer, size: int, items: int) -> Made:
    different = keys(writer, size, items)
    yield "at the end", OPEN, writer.map([(key, writer.null) for key in [*different, different[0]]])
    yield "over and over", OPEN, writer.map([(different[0], writer.null)] * len(different))


def colliding(writer: Writer, size: int, items: int) -> Made:
    nan: dict[str, bytes] = {"cbor": b"\xf9\x7e\x00", "msgpack": b"\xcb\x7f\xf8" + bytes(6)}
    count = min(items - 60, size // 30)
    numbers = [PRIME * factor + (1 << 70) for factor in range(count)]
    if writer.name == "cbor":
        big = [b"\xc2" + b"\x4a" + number.to_bytes(10) for number in numbers]
        yield "big integers", (Any, dict[int, int]), writer.map([(key, b"\x00") for key in big])
    if writer.name == "json":
        big = [writer.text(b"%d" % number) for number in numbers]
        yield "big integers", (dict[int, int], dict[int, Any]), writer.map([(key, b"0") for key in big])
    else:
        bad = nan[writer.name]
        yield "NaN", (Any, dict[int, int]), writer.map([(bad, writer.null)] * count)
        pairs = [(key, writer.null) for key in keys(writer, size, items)]
        yield "NaN at the end", OPEN, writer.map([*pairs, (bad, writer.null)])


def trailing(writer: Writer, size: int, items: int) -> Made:
    yield "many", (Any, int, list[str]), writer.integer(1) + bytes(size - 9)
    yield "one behind a text", (Any, str), writer.text(b"x" * (size - 10)) + b"0"
    yield "one behind many values", BOTH, late(writer, b"", size, items, tail=b"0")


def announced(writer: Writer, size: int, items: int) -> Made:
    heads = {
        "cbor": (
            "9bffffffffffffffff",
            "9affffffff",
            "bbffffffffffffffff",
            "7bffffffffffffffff",
            "5affffffff",
        ),
        "msgpack": ("ddffffffff", "dfffffffff", "dbffffffff", "c6ffffffff"),
        "json": (),
    }[writer.name]
    for head in heads:
        data = bytes.fromhex(head)
        yield head, (Any, list[str], str, bytes), data + b"\x00" * (size - len(data))
        yield f"{head} at the end", BOTH, late(writer, data, size, items)
    if writer.name != "json":
        inner = {"cbor": b"\x9a\x00\x00\xc0\x00", "msgpack": b"\xdd\x00\x00\xc0\x00"}[writer.name]
        yield "one in the other", OPEN, inner * (size // 5)


def not_unicode(writer: Writer, size: int, items: int) -> Made:
    yield "at the end of a text", (Any, str), writer.text(b"x" * (size - 10) + b"\xff")
    yield "at the end", BOTH, late(writer, writer.text(b"\xff"), size, items)
    yield "over and over", BOTH, late(writer, b"", size, items).replace(b"x", b"\xff")


def not_a_number(writer: Writer, size: int, items: int) -> Made:
    if writer.name != "json":
        return  # they are numbers there, and may be sent
    for word in (b"NaN", b"Infinity", b"-Infinity", b"1e999"):
        yield (
            word.decode(),
            (Any, list[float]),
            writer.array([word] * min(items - 60, size // (len(word) + 1))),
        )
        yield f"{word.decode()} at the end", (Any, list[str]), late(writer, word, size, items)


def surrogates(writer: Writer, size: int, items: int) -> Made:
    lone = b"\\ud800" if writer.name == "json" else b"\xed\xa0\x80"
    yield "over and over", (Any, str), writer.text(lone * ((size - 10) // len(lone)))
    yield "at the end of a text", (Any, str), writer.text(b"x" * (size - 20) + lone)
    yield "at the end", BOTH, late(writer, writer.text(lone), size, items)


_WRITERS: dict[str, Writer] = {"cbor": CborWriter(), "msgpack": PackWriter(), "json": JsonWriter()}
_MAKERS = dict(
    zip(
        HAZARDS,
        (
            *(depth, tags, big_integers, references, empty, twice),
            *(colliding, trailing, announced, not_unicode, not_a_number, surrogates),
        ),
        strict=True,
    )
)
