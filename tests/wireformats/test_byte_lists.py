"""Lists of bytes: what Rust writes for a `Vec<u8>` without serde_bytes, and how long one may be."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import pytest
from tests.wireformats.formats import (
    CBOR,
    JSON,
    MIB,
    MSGPACK,
    encode_refusal,
    every_format,
    peak_bytes,
    refusal,
    swallow,
    takes_at_most,
)

from duologue import ByteList, Message, RegistrationError, WireFormat


class Blob(Message[ByteList]):
    data: ByteList


class Blobs(Message[None]):
    data: bytes
    one: ByteList | None
    many: list[ByteList]
    by_name: dict[str, ByteList]
    pair: tuple[ByteList, bytes]
    short: Annotated[ByteList, msgspec.Meta(max_length=2)] = b""


class Wrapped(Message[None], newtype=True):
    data: ByteList


class Plain(Message[None]):
    data: bytes


class Chain(msgspec.Struct):
    data: ByteList = b""
    rest: Chain | None = None
    anything: Any = None


BLOBS = Blobs(b"\x01", b"\xff", [b"", b"\x18\x00"], {"a": b"\x7f\x80"}, (b"\x02", b"\x03"), b"ab")

GOLDEN: list[tuple[Any, Any, str, str, str]] = [
    (Blob, Blob(b"\x00\xff\x07"), "a1 6464617461 83 00 18ff 07", "81 a464617461 93 00 ccff 07", '{"data":[0,255,7]}'),
    (Wrapped, Wrapped(b"\x17\x18"), "82 17 1818", "92 17 18", "[23,24]"),
    (ByteList, b"", "80", "90", "[]"),
    (ByteList, b"\x7f\x80", "82 187f 1880", "92 7f cc80", "[127,128]"),
    (ByteList | None, None, "f6", "c0", "null"),
    (list[ByteList], [b"\x01", b""], "82 81 01 80", "92 91 01 90", "[[1],[]]"),
    (tuple[ByteList, bytes], (b"\x01", b"\x01"), "82 81 01 41 01", "92 91 01 c4 01 01", '[[1],"AQ=="]'),
    (dict[bytes, ByteList], {b"\x01": b"\x01"}, "a1 41 01 81 01", "81 c4 01 01 91 01", '{"AQ==":[1]}'),
    (set[ByteList], {b"\x01"}, "81 81 01", "91 91 01", "[[1]]"),
    (ByteList | int, 5, "05", "05", "5"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("type_", "value", "cbor", "msgpack", "json"), GOLDEN, ids=[repr(g[1]) for g in GOLDEN]
)
def test_what_is_written(type_: Any, value: Any, cbor: str, msgpack: str, json: str) -> None:
    """An array of integers; `bytes` beside it are what they always are. All of it is read again."""
    expected = (bytes.fromhex(cbor), bytes.fromhex(msgpack), json.encode())
    for wireformat, payload in zip((CBOR, MSGPACK, JSON), expected, strict=True):
        codec = wireformat.codec(type_)
        assert codec.encode(value) == payload
        assert codec.decode(payload) == value


@every_format
def test_both_forms_are_read(wireformat: WireFormat) -> None:
    """As bytes of the format too: into the same value."""
    codec = wireformat.codec(Blobs)
    assert codec.decode(codec.encode(BLOBS)) == BLOBS
    both = {"data": [1], "one": b"\xff", "many": [b"", [24, 0]], "by_name": {"a": b"\x7f\x80"}, "pair": [b"\x02", [3]], "short": [97, 98]}  # fmt: skip
    assert codec.decode(wireformat.encode_plain(both)) == BLOBS


@every_format
@pytest.mark.parametrize(
    "items", [[256], [-1], [1.0], [True], ["a"], [None], [[1]], [1, 2**64 - 1]], ids=repr
)
def test_what_is_no_byte(wireformat: WireFormat, items: Any) -> None:
    """256, -1, a text, true and 1.0 are not bytes, wherever they stand, and the error says where."""
    text = "Expected bytes, or an array of integers from 0 to 255"
    for type_, plain, path in (
        (ByteList, items, ""),
        (Blob, {"data": items}, " - at `$.data`"),
        (list[ByteList], [[0], [0, *items]], " - at `$[1]`"),
        (dict[str, ByteList], {"a": [*items, 0]}, " - at `$[...]`"),
        (tuple[int, ByteList], [1, items], " - at `$[1]`"),
    ):
        assert refusal(wireformat, type_, wireformat.encode_plain(plain)) == text + path


@every_format
@pytest.mark.parametrize("plain", [5, {}, None, "not base64"], ids=repr)
def test_what_is_no_array(wireformat: WireFormat, plain: Any) -> None:
    assert "$.data" in refusal(wireformat, Blob, wireformat.encode_plain({"data": plain}))


@every_format
def test_the_length_that_is_declared_holds(wireformat: WireFormat) -> None:
    """For both forms."""
    for short in ([1, 2, 3], b"abc"):
        plain = {"data": b"", "one": None, "many": [], "by_name": {}, "pair": [b"", b""], "short": short}
        assert "Expected `bytes` of length <= 2 - at `$.short`" in refusal(
            wireformat, Blobs, wireformat.encode_plain(plain)
        )


LONG = bytes(range(256)) * 1000
"""256,000 bytes: five times as many as there may be values in a payload."""


@every_format
def test_a_byte_list_counts_as_one_value(wireformat: WireFormat) -> None:
    """It may be as long as bytes may: where the type declares one, its bytes are not values of the payload."""
    codec = wireformat.codec(Blob)
    assert codec.decode(codec.encode(Blob(LONG))) == Blob(LONG)
    blobs = wireformat.codec(list[ByteList])
    assert blobs.decode(blobs.encode([b"\xff\x00"] * 40_000)) == [b"\xff\x00"] * 40_000
    assert "More than 50000" in refusal(wireformat, list[ByteList], blobs.encode([b"\xff"] * 50_001))


@every_format
def test_where_none_is_declared_each_counts(wireformat: WireFormat) -> None:
    """Long arrays for `bytes`, for anything, and in a list of integers are as long as values may be many."""
    for type_, value in ((Plain, Blob(LONG)), (Any, LONG), (list[int], LONG)):
        written = wireformat.codec(Blob if type_ is Plain else ByteList).encode(value)
        assert "More than 50000" in refusal(wireformat, type_, written)


@every_format
def test_other_long_arrays_still_count(wireformat: WireFormat) -> None:
    """A type with a byte list is no way around the limit for anything but bytes."""
    roomy = type(wireformat)(items=10**6)
    for item in (-1, 256000, "", [], {}, None, True):
        assert "More than 50000" in refusal(wireformat, Blob, roomy.encode_plain({"x": [item] * 50_001}))


SIZES = {"cbor": (1.95, 1), "msgpack": (1.5, 1), "json": (3.6, 2)}
"""About how many bytes one of a `ByteList` takes, if they are evenly spread and if all are zero."""


@pytest.mark.fault(48)
@every_format
def test_row_48_a_megabyte_of_a_byte_list(wireformat: WireFormat) -> None:
    """Payloads as large as a frame, all of them bytes one by one: they don't hold the event loop for long, and cost no more memory
    than a few references for each."""
    spread, zeros = (int(MIB / size) - 100 for size in SIZES[wireformat.name])
    for type_, value in (
        (ByteList, (LONG * 5)[:spread]),
        (ByteList, bytes(zeros)),
        (list[ByteList], [bytes(zeros // 45_000 - 4)] * 45_000),
    ):
        payload = wireformat.codec(type_).encode(value)
        assert MIB * 0.65 < len(payload) < MIB
        decode = swallow(wireformat, type_, payload)
        assert takes_at_most(0.4, decode)
        # A reference of eight bytes for each, twice while a list grows, and a few copies of the payload.
        assert peak_bytes(decode) < 28 * MIB
        assert wireformat.codec(type_).decode(payload) == value


@every_format
def test_a_byte_list_is_an_array_deep(wireformat: WireFormat) -> None:
    """Where bytes could be and an array could not, it is not written, since it could not be read."""
    codec = wireformat.codec(Chain)

    def chain(length: int, **inside: Any) -> Chain:
        made = Chain(**inside)
        for _ in range(length - 1):
            made = Chain(rest=made)
        return made

    for fits in (chain(31, data=b"a"), chain(32), chain(32, data=b"")):
        assert codec.decode(codec.encode(fits)) == fits
    assert "Nested deeper than 32" in encode_refusal(wireformat, Chain, chain(32, data=b"a"))


@every_format
@pytest.mark.parametrize(
    ("type_", "text"),
    [
        (ByteList | list[int], "a ByteList beside another array"),
        (ByteList | tuple[str, ...] | None, "a ByteList beside another array"),
        (dict[ByteList, int], "arrays can't be keys"),
        (ByteList | str, "str-like"),
    ],
    ids=str,
)
def test_types_that_no_format_carries(wireformat: WireFormat, type_: Any, text: str) -> None:
    """What could not be told from a list of bytes, and keys, which are no arrays anywhere."""
    with pytest.raises(RegistrationError, match=text):
        wireformat.codec(type_)
