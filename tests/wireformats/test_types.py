"""The three formats agree: what one carries the others carry, in the same way."""

from __future__ import annotations

import datetime
import decimal
import enum
import uuid
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec
import pytest
from tests.wireformats.declared import (
    Box,
    Colour,
    Empty,
    Everything,
    Get,
    GetInt,
    Key,
    Keyword,
    Level,
    Pair,
    Point,
    Record,
    Renamed,
    Rights,
    Row,
    Size,
    Sparse,
    Tuple,
    WrappedAny,
    WrappedBytes,
)
from tests.wireformats.formats import CBOR, FORMATS, JSON, MSGPACK, encode_refusal, every_format, refusal

from duologue import WireFormat

EVERYTHING = Everything(
    Point(1), Size(2), Pair(3), {"name": "a", "data": b"\x00"}, Row(4, b"\xff"), {Colour.RED: Level.LOW},
    {Key(2**64 - 1): b"x"}, [1, 2], datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC),
)  # fmt: skip

CARRIED: list[tuple[Any, Any]] = [
    (Point, Point(1, 2)),
    (Size, Size(1, 2)),
    (Pair, Pair(1, "c")),
    (Record, {"name": "a", "data": b"b"}),
    (Record, {"name": "a"}),
    (Row, Row(1, b"a")),
    (Empty, Empty()),
    (Renamed, Renamed("a")),
    (Box[int], Box(1)),
    (Box[list[bytes]], Box([b"a"])),
    (Sparse, Sparse()),
    (Sparse, Sparse(1)),
    (Everything, EVERYTHING),
    (Tuple, Tuple(1, "c")),
    (GetInt, GetInt(5)),
    (Get[str], Get("a")),
    (Keyword, Keyword(number=5)),
    (WrappedBytes, WrappedBytes(b"\x01\x02")),
    (WrappedAny, WrappedAny({"a": [1, None]})),
    (Rights, Rights.READ),
    (bytearray, bytearray(b"abc")),
    (list[bytearray], [bytearray(b"abc")]),
    (Mapping[str, int], {"a": 1}),
    (Sequence[int], [1, 2]),
    (list, [1, "a", None]),
    (dict, {"a": [1]}),
    (list[Any], [[]]),
    (dict[bytes, int], {b"\x00": 1}),
    (dict[Level, int], {Level.LOW: 1}),
    (dict[Literal[1, 2], str], {1: "a"}),
    (dict[Key, list[Point]], {Key(1): [Point(1)]}),
    (dict[str, dict[int, Any]], {"a": {1: {"b": 2}}}),
    (set[Colour], {Colour.RED}),
    (frozenset[bytes], frozenset({b"a"})),
    (Annotated[int, msgspec.Meta(ge=0)], 5),
    (list[Annotated[str, msgspec.Meta(max_length=3)]], ["abc"]),
    (
        dict[
            Annotated[str, msgspec.Meta(extra_json_schema={"a": 1})],
            Annotated[int, msgspec.Meta(extra={"b": 2})],
        ],
        {"a": 1},
    ),
    (Any, ["ä", {"ü": "€"}]),
    (datetime.datetime, datetime.datetime(2024, 5, 6, 7, 8, 9, 10, tzinfo=datetime.UTC)),
    (datetime.date | None, datetime.date(2024, 1, 1)),
    (list[uuid.UUID], [uuid.UUID(int=1)]),
    (decimal.Decimal, decimal.Decimal("1.10")),
    (tuple[()], ()),
    (None, None),
    (bytes | None, b"a"),
    (bytes | list[int], b"a"),
]


@every_format
@pytest.mark.parametrize(
    ("type_", "value"), CARRIED, ids=[f"{index} {type_}" for index, (type_, _) in enumerate(CARRIED)]
)
def test_carried_by_all(wireformat: WireFormat, type_: Any, value: Any) -> None:
    """It comes back equal and of the same type, and is written the same way twice."""
    codec = wireformat.codec(type_)
    payload = codec.encode(value)
    back = codec.decode(payload)
    assert back == value or (isinstance(value, bytes) and back == list(value))
    if isinstance(value, bytes | bytearray | tuple | enum.Enum):
        assert type(back) is type(value)
    assert codec.encode(back) == payload


@every_format
@pytest.mark.parametrize(
    ("type_", "value", "plain"),
    [
        (
            datetime.datetime,
            datetime.datetime(2024, 5, 6, 7, 8, 9, tzinfo=datetime.UTC),
            "2024-05-06T07:08:09Z",
        ),
        (datetime.date, datetime.date(2024, 5, 6), "2024-05-06"),
        (datetime.time, datetime.time(7, 8), "07:08:00"),
        (datetime.timedelta, datetime.timedelta(seconds=90), "PT90S"),
        (decimal.Decimal, decimal.Decimal("1.50"), "1.50"),
        (uuid.UUID, uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Colour, Colour.RED, "red"),
        (Level, Level.LOW, 1),
        (Point, Point(1, 2), {"x": 1, "y": 2}),
        (Renamed, Renamed("a"), {"firstName": "a"}),
        (Tuple, Tuple(1), [1, "b"]),
        (Keyword, Keyword(number=5), 5),
        (Any, datetime.datetime(2024, 5, 6, tzinfo=datetime.UTC), "2024-05-06T00:00:00Z"),
        (Any, [decimal.Decimal(1), Colour.RED, Point(1), (1, 2)], ["1", "red", {"x": 1, "y": 0}, [1, 2]]),
    ],
    ids=[
        *(
            "datetime",
            "date",
            "time",
            "timedelta",
            "Decimal",
            "UUID",
            "enum",
            "enum of numbers",
            "dataclass",
            "renamed",
        ),
        *("tuple", "newtype", "datetime in Any", "objects in Any"),
    ],
)
def test_the_same_in_all(wireformat: WireFormat, type_: Any, value: Any, plain: Any) -> None:
    """What has no form of its own is the same text, number, map or array in each format, as it shows when read without a type."""
    assert wireformat.decode_plain(wireformat.codec(type_).encode(value)) == plain


@every_format
def test_extra_items_of_a_tuple_are_ignored(wireformat: WireFormat) -> None:
    """As extra fields of a map are."""
    assert wireformat.codec(Tuple).decode(wireformat.encode_plain([1, "c", "more"])) == Tuple(1, "c")


@every_format
@pytest.mark.parametrize(
    ("type_", "plain", "value"),
    [
        (bytes, [1, 255], b"\x01\xff"),
        (WrappedBytes, [0], WrappedBytes(b"\x00")),
        (bytes | None, [], b""),
        (Record, {"name": "a", "data": [1]}, {"name": "a", "data": b"\x01"}),
        (Row, [1, [2], "more"], Row(1, b"\x02")),
        (tuple[bytes, ...], [[1], [2]], (b"\x01", b"\x02")),
        (dict[str, Box[bytes]], {"a": {"content": [1], "extra": [2]}}, {"a": Box(b"\x01")}),
        (bytearray, [1], bytearray(b"\x01")),
        (Box[bytes | dict[str, bytes]], {"content": {"a": [1]}}, Box({"a": b"\x01"})),
        (list[bytes | int | None], [[1], 2, None], [b"\x01", 2, None]),
        (bytes | list[bytes], [[1], [2]], [b"\x01", b"\x02"]),
        (list[Annotated[bytes, msgspec.Meta(extra_json_schema={"a": 1})]], [[1]], [b"\x01"]),
        (Box[Annotated[bytes, msgspec.Meta(max_length=2)]], {"content": [1, 2]}, Box(b"\x01\x02")),
        (tuple[Pair, bytes], [[1, "b"], [1]], (Pair(1), b"\x01")),
        (bytes | list[int], [1], [1]),
    ],
    ids=str,
)
def test_arrays_that_are_bytes(wireformat: WireFormat, type_: Any, plain: Any, value: Any) -> None:
    """Every format takes an array of integers for bytes, wherever bytes are declared and arrays are not."""
    assert wireformat.codec(type_).decode(wireformat.encode_plain(plain)) == value


@every_format
@pytest.mark.parametrize(
    ("type_", "plain"),
    [
        (bytes, [256]),
        (bytes, [-1]),
        (bytes, [True]),
        (bytes, ["a"]),
        (bytes, {}),
        (Row, [1, [[1]]]),
        (Box[Annotated[bytes, msgspec.Meta(max_length=2)]], {"content": [1, 2, 3]}),
        (Record, {"data": [1]}),
        (Pair, [[1]]),
    ],
)
def test_arrays_that_are_not_bytes(wireformat: WireFormat, type_: Any, plain: Any) -> None:
    """What is not in 0 to 255, is not an integer, or is too long, is refused as it would be without this."""
    assert refusal(wireformat, type_, wireformat.encode_plain(plain))


def test_bytes_in_json_are_base64() -> None:
    """JSON has no bytes: they are base64 texts, which is documented; without a type nobody can tell."""
    assert JSON.codec(bytes).encode(b"\x00\xff") == b'"AP8="'
    assert JSON.decode_plain(JSON.encode_plain(b"\x00\xff")) == "AP8="
    assert CBOR.decode_plain(CBOR.encode_plain(b"\x00\xff")) == b"\x00\xff"
    assert MSGPACK.decode_plain(MSGPACK.encode_plain(bytearray(b"\xff"))) == b"\xff"
    assert (
        CBOR.decode_plain(CBOR.encode_plain({b"\x00": 1}))
        == MSGPACK.decode_plain(MSGPACK.encode_plain({b"\x00": 1}))
        == {b"\x00": 1}
    )
    assert JSON.codec(dict[int, int]).encode({1: 2}) == b'{"1":2}'
    assert JSON.codec(type(None)).decode(b" null ") is None
    assert refusal(JSON, bytes, b'"not base64"')
    assert "infinities" in encode_refusal(JSON, Box[list[float]], Box([float("inf")]))
    assert JSON.codec(Box[float | None]).encode(Box(None)) == b'{"content":null}'


def test_formats_say_what_they_are() -> None:
    assert [each.name for each in FORMATS] == ["cbor", "msgpack", "json"]
    assert repr(CBOR) == "Cbor(nesting=32, items=50000)"
