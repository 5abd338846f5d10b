"""Payloads that are small to send and costly to read: refused before they cost anything."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.wireformats.formats import (
    CBOR,
    FORMATS,
    JSON,
    MIB,
    MSGPACK,
    every_format,
    peak_bytes,
    refusal,
    swallow,
    takes_at_most,
)

from duologue import Message, WireFormat
from duologue_wireformats.cbor import Cbor
from duologue_wireformats.json_text import Json
from duologue_wireformats.messagepack import MessagePack


class Tree(msgspec.Struct):
    children: list[Tree] = []


class Closed(Message[None]):
    a: int = 0
    rows: tuple[list[int], ...] = ()


TYPES: tuple[Any, ...] = (Any, Tree, Closed, list[list[int]], type(None))

OPENERS: dict[str, tuple[bytes, ...]] = {
    "cbor": (b"\x81", b"\x9f", b"\xa1\x61a", b"\xbf\x61a", b"\x82\x00", b"\xa1\x68children\x81"),
    "msgpack": (b"\x91", b"\xdc\x00\x01", b"\xdd\x00\x00\x00\x01", b"\x81\xa1a", b"\x92\x00", b"\x81\xa8children\x91"),
    "json": (b"[", b'{"a":', b"[0,", b'["]]]]",', b'{"children":['),
}  # fmt: skip


@pytest.mark.fault(26)
@every_format
@pytest.mark.parametrize("type_", TYPES, ids=str)
def test_row_26_depth_bomb(wireformat: WireFormat, type_: Any) -> None:
    """A megabyte of opening brackets is refused at depth 32: in a few milliseconds, and without a tree of it in memory."""
    for opener in OPENERS[wireformat.name]:
        payload = opener * (MIB // len(opener))
        decode = swallow(wireformat, type_, payload)
        assert takes_at_most(0.1, decode)
        # A few copies of the payload, and no object for each of its bytes.
        assert peak_bytes(decode) < 16 * MIB
        assert refusal(wireformat, type_, payload)


@pytest.mark.fault(26)
@every_format
def test_row_26_depth_bomb_in_a_field_that_is_not_declared(wireformat: WireFormat) -> None:
    """A field that is ignored is no way around: it neither recurses without end nor crashes."""
    depth = 40_000
    nests = {
        "cbor": b"\xa1\x61z" + b"\x81" * depth + b"\x00",
        "msgpack": b"\x81\xa1z" + b"\x91" * depth + b"\x00",
        "json": b'{"z":' + b"[" * depth + b"]" * depth + b"}",
    }
    decode = swallow(wireformat, Closed, nests[wireformat.name])
    assert takes_at_most(0.1, decode)
    assert peak_bytes(decode) < MIB


HUGE: dict[str, tuple[str, ...]] = {
    "cbor": (
        *("9affffffff", "9bffffffffffffffff", "baffffffff", "bb7fffffffffffffff", "bbffffffffffffffff"),
        *(
            "5affffffff",
            "5bffffffffffffffff",
            "7affffffff",
            "7bffffffffffffffff",
            "5f5affffffff",
            "9f9affffffff",
        ),
        *("9a0000c350", "ba0000c350", "81" * 20 + "9a0000c000", "9a0000c000" * 20, "a161619a0000c000"),
    ),
    "msgpack": (
        *("ddffffffff", "dfffffffff", "c6ffffffff", "dbffffffff", "dcffff", "deffff", "c9ffffffff01"),
        *("dd0000c350", "df0000c350", "91" * 20 + "dd0000c000", "dd0000c000" * 20, "81a161dd0000c000"),
    ),
}


@pytest.mark.fault(27)
@pytest.mark.parametrize("wireformat", [CBOR, MSGPACK], ids=["cbor", "msgpack"])
@pytest.mark.parametrize("type_", [*TYPES, bytes, str, dict[int, int], tuple[int, ...], set[int]], ids=str)
def test_row_27_huge_declared_length(wireformat: WireFormat, type_: Any) -> None:
    """A length of gigabytes that is only declared is refused, and nothing of that size is allocated."""
    for text in HUGE[wireformat.name]:
        payload = bytes.fromhex(text)
        assert refusal(wireformat, type_, payload)
        assert peak_bytes(swallow(wireformat, type_, payload)) < MIB // 2


def bombs(name: str) -> dict[str, bytes]:
    """A megabyte of whatever becomes many objects."""
    count = {"cbor": 2**20 - 5, "msgpack": 2**20 - 5, "json": 2**19 - 2}[name]
    if name == "json":
        items = {"lists": b"[]", "dicts": b"{}", "texts": b'""', "numbers": b"00"[:1], "nulls": b"null"}
        made = {
            key: b"[" + b",".join([item] * (MIB // (len(item) + 1) - 2)) + b"]" for key, item in items.items()
        }
        made["pairs"] = b"{" + b",".join(b'"%x":0' % key for key in range(100_000)) + b"}"
        made["spaced lists"] = b"[" + b",".join([b"[ ]"] * 200_000) + b"]"
        made["quotes"] = b'["' + b'\\"' * (MIB // 2 - 4) + b'"]'
        made["open quotes"] = b'"' + b'\\"' * (MIB // 2 - 4)
        made["digits"] = b"[" + b",".join([b"1" * 19] * 52_000) + b"]"
        made["a long number"] = b"1" * MIB
        return made
    array, endless = {"cbor": (b"\x9a", b"\x9f"), "msgpack": (b"\xdd", b"")}[name]
    empty = {"cbor": b"\x80\xa0\x60\x40\x00\xf6", "msgpack": b"\x90\x80\xa0\x00\xc0\xff"}[name]
    made = {f"of {one:02x}": array + count.to_bytes(4) + bytes([one]) * count for one in empty}
    if endless:
        made |= {f"endless of {one:02x}": endless + bytes([one]) * count + b"\xff" for one in empty}
        made["pieces of a text"] = b"\x7f" + b"\x60" * count + b"\xff"
        made["pieces of bytes"] = b"\x5f" + b"\x40" * count + b"\xff"
    row = {"cbor": b"\x98\x64" + b"\x80" * 100, "msgpack": b"\xdc\x00\x64" + b"\x90" * 100}[name]
    rows = count // len(row)
    made["rows"] = array + rows.to_bytes(4) + row * rows
    return made


BOMBS = [
    (wireformat, what, payload) for wireformat in FORMATS for what, payload in bombs(wireformat.name).items()
]
bomb_table = pytest.mark.parametrize(
    ("wireformat", "payload"),
    [(wireformat, payload) for wireformat, _, payload in BOMBS],
    ids=[f"{wireformat.name} {what}" for wireformat, what, _ in BOMBS],
)


@pytest.mark.fault(32)
@bomb_table
def test_row_32_bomb_of_empty_containers(wireformat: WireFormat, payload: bytes) -> None:
    """A megabyte of empty containers, which would be 69 MB of objects, is refused by the number of values, for all types."""
    for type_ in (Any, list[list[int]]):
        assert peak_bytes(swallow(wireformat, type_, payload)) < 16 * MIB


@pytest.mark.fault(48)
@bomb_table
def test_row_48_processor_hog(wireformat: WireFormat, payload: bytes) -> None:
    """No payload of a megabyte holds the event loop for long: a tenth of a second at most, here with room for slow machines."""
    for type_ in (Any, list[list[int]], list[str], dict[int, int], Closed):
        assert takes_at_most(0.4, swallow(wireformat, type_, payload))


@pytest.mark.fault(32)
@every_format
def test_row_32_the_number_of_values_is_exact(wireformat: WireFormat) -> None:
    """As many values as allowed pass, in closed types and in open ones; one more does not."""
    small = {"cbor": Cbor, "msgpack": MessagePack, "json": Json}[wireformat.name](items=50)
    lists: list[list[Any]] = [[0] * 49, ["a"] * 49, [[]] * 49, [[0] * 23, {"a": 1}, *[{}] * 23]]
    for type_ in (Any, list[Any]):
        for at_limit in lists:
            assert small.codec(type_).decode(wireformat.encode_plain(at_limit)) == at_limit
            refusal(small, type_, wireformat.encode_plain([*at_limit, 0]))
    rows: list[tuple[Any, Any]] = [
        (list[str], ["abcd"] * 49),
        (list[list[int]], [[70_000] * 23, [2**40] * 24]),
    ]
    for type_, value in rows:
        assert small.codec(type_).decode(wireformat.encode_plain(value)) == value
        refusal(small, type_, wireformat.encode_plain([*value, value[0]]))


@pytest.mark.fault(32)
@every_format
def test_row_32_large_values_are_few(wireformat: WireFormat) -> None:
    """Bytes and texts of a megabyte, and lists of many numbers, are no bombs."""
    for type_, value in (
        (bytes, bytes(700_000)),
        (str, "x" * 1_000_000),
        (str, '"[{,:\\' * 100_000),
        (list[float], [0.5] * 49_000),
        (list[int], list(range(49_000))),
        (list[int], [2**40] * 49_000),
        (list[str], ["abc"] * 49_000),
    ):
        codec = wireformat.codec(type_)
        assert codec.decode(codec.encode(value)) == value


def test_json_strings_may_hold_brackets() -> None:
    """What is in a string is no bracket, no comma and no colon."""
    text = '[{":,\\"' * 20_000
    for type_ in (str, Any):
        assert JSON.codec(type_).decode(JSON.codec(type_).encode(text)) == text
    assert JSON.decode_plain(JSON.encode_plain({text: [text]})) == {text: [text]}
