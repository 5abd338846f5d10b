"""What is refused when it is received: whatever is no value, or one that nobody should be sent."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from typing import Any

import cbor2
import pytest
from tests.wireformats.formats import (
    CBOR,
    JSON,
    MIB,
    every_format,
    refusal,
)

from duologue import DecodeError, Message, WireFormat
from duologue.protocol.errors import ErrorKind
from duologue.protocol.failures import read_error
from duologue_wireformats.cbor import Cbor, negative_big_integer, unsigned_big_integer


class Add(Message[int]):
    a: int
    b: int


class Log(Message[None]):
    line: str


class Numbered(Message[None]):
    by_number: dict[int, int]


class Free(Message[None]):
    anything: Any = None


@dataclass
class Checked:
    number: int

    def __post_init__(self) -> None:
        if self.number == 0:
            raise ValueError("nothing at all")
        if self.number == 1:
            raise KeyboardInterrupt
        if self.number == 2:
            raise asyncio.CancelledError
        if self.number == 3:
            raise RuntimeError("out of order")


class Wrapped(Message[None], newtype=True):
    number: int

    def __post_init__(self) -> None:
        Checked(self.number)


INVALID = {
    "cbor": ("", "ff", "1c", "a1", "a16161", "6261", "61ff", "8201", "a2616101", "5f01ff", "7f4161ff", "bf6161ff", "fc", "f818"),
    "msgpack": ("", "c1", "81", "81a161", "a261", "a1ff", "9201", "82a16101", "cc", "cd00", "d9", "dc00", "c401"),
    "json": ("", "7b", "7b2261223a", "5b312c", "22", "227d", "6e756c", "2261ff22", "303030", "4e614e", "2d", "5b315d5d", "7b313a317d"),
}  # fmt: skip


@pytest.mark.fault(24, 25)
@every_format
@pytest.mark.parametrize("type_", [Add, Log, Free, Any, int, str, bytes, list[int], type(None)], ids=str)
def test_row_24_invalid_payload(wireformat: WireFormat, type_: Any) -> None:
    """Bytes that are no value of the format are a `DecodeError`, the same for calls and for sends, and of nothing else."""
    for text in INVALID[wireformat.name]:
        assert refusal(wireformat, type_, bytes.fromhex(text))


BUILT_IN_TAGS = (
    *(0, 1, 2, 3, 4, 5, 25, 28, 29, 30, 35, 36, 37, 52, 54, 100),
    *(256, 258, 260, 261, 1004, 43000, 55799),
)


def tagged(tag: int, content: object) -> bytes:
    return cbor2.dumps(cbor2.CBORTag(tag, content))


@pytest.mark.fault(28)
@pytest.mark.parametrize("tag", [*BUILT_IN_TAGS, 6, 24, 40, 999, 2**32, 2**64 - 1])
def test_row_28_tags(tag: int) -> None:
    """Every tag is refused, known or not, whatever is in it, wherever it is: nothing but plain data comes out."""
    contents: list[Any] = [
        0,
        1.5,
        "2013-03-21T20:04:00Z",
        b"\x01",
        [1, 2],
        [b"\x01", 2],
        {},
        None,
        ["a", "b", "c"],
    ]
    for content in contents:
        item = tagged(tag, content)
        for type_ in (Any, int, str, bytes, list[int], Add, Free, dict[int, int], type(None)):
            assert refusal(CBOR, type_, item)
        for around in (b"\x81%b", b"\xa1\x61a%b", b"\xa1\x68anything%b", b"\xa3\x61a\x01\x61b\x02\x61z%b"):
            for type_ in (Any, Add, Free):
                assert refusal(CBOR, type_, around % item)


@pytest.mark.fault(28)
def test_row_28_tags_that_are_allowed() -> None:
    """A tag that the format was made to allow gives what its function makes of it; big integers up to 256 bits."""
    big = Cbor(
        tags={2: unsigned_big_integer, 3: negative_big_integer, 4000: lambda content: {"tag": content}}
    )
    for value in (2**64, 2**255, -(2**64) - 1, -(2**255)):
        assert big.decode_plain(cbor2.dumps([value])) == [value]
        assert big.codec(int).decode(cbor2.dumps(value)) == value
    for value in (2**256, -(2**300), 2**8000):
        assert refusal(big, Any, cbor2.dumps(value))
    assert big.decode_plain(tagged(4000, [1])) == {"tag": [1]}
    assert refusal(big, Any, tagged(2, "not bytes"))
    assert refusal(big, Any, tagged(1, 5))
    assert refusal(big, Any, b"\xd9\x0f\xa0" * 1000 + b"\x01")
    assert big.encode_plain([1]) == CBOR.encode_plain([1])


@pytest.mark.fault(31)
@every_format
def test_row_31_bytes_after_the_value(wireformat: WireFormat) -> None:
    """A byte after the value is a `DecodeError`: cbor2 by itself would say nothing."""
    rows: list[tuple[Any, Any]] = [
        (Add, Add(1, 2)),
        (int, 5),
        (Any, {"a": []}),
        (str, ""),
        (type(None), None),
        (Numbered, Numbered({1: 2})),
    ]
    for type_, value in rows:
        payload = wireformat.codec(type_).encode(value)
        for more in (b"\x00", b"\xf6", b"\xff", b"\xc0", b"]", b"\x50" + bytes(16), payload[:-1] + b"\x00"):
            assert refusal(wireformat, type_, payload + more)


@pytest.mark.fault(31)
def test_row_31_the_mark_behind_a_payload_can_not_be_taken_over() -> None:
    """A payload that wants what comes after it, as a text that is too long or an array that lacks an item, is refused."""
    for text in (
        "81",
        "58",
        "5803",
        "51",
        "5f",
        "7f",
        "9f",
        "9f01",
        "bf6161",
        "a16161",
        "8201",
        "d8",
        "c2",
        "f9",
        "1b00",
    ):
        for type_ in (Any, Add, int, bytes, list[int], list[bytes], Free):
            assert refusal(CBOR, type_, bytes.fromhex(text))
    for length in range(1, 40):
        assert refusal(CBOR, bytes, bytes([0x58, length]))
        assert refusal(CBOR, list[bytes], bytes([0x80 + min(length, 23)]))


@pytest.mark.fault(33)
@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit, asyncio.CancelledError, GeneratorExit])
@pytest.mark.parametrize("depth", [0, 1, 20])
def test_row_33_a_hook_is_stopped(stop: type[BaseException], depth: int) -> None:
    """`KeyboardInterrupt` and `CancelledError` in a hook get out, though cbor2 wraps them as errors in the payload."""

    def make(content: object) -> object:
        raise stop

    wireformat = Cbor(tags={4000: make})
    with pytest.raises(stop):
        wireformat.decode_plain(b"\x81" * depth + tagged(4000, 1))


@pytest.mark.fault(33)
def test_row_33_a_hook_refuses() -> None:
    """Any other exception in a hook is a `DecodeError`."""

    def make(content: object) -> object:
        raise ValueError(f"can't make anything of {content}")

    text = refusal(Cbor(tags={4000: make}), Any, tagged(4000, "a secret"))
    assert "secret" not in text


@pytest.mark.fault(33)
@every_format
@pytest.mark.parametrize("type_", [Checked, Wrapped, list[Checked]], ids=str)
def test_row_33_a_class_is_stopped(wireformat: WireFormat, type_: Any) -> None:
    """The same in a class's own checks: what is not an `Exception` gets out, everything else is a `DecodeError`."""

    def payload(number: int) -> bytes:
        plain = number if type_ is Wrapped else {"number": number}
        return wireformat.encode_plain([plain] if type_ == list[Checked] else plain)

    codec = wireformat.codec(type_)
    with pytest.raises(KeyboardInterrupt):
        codec.decode(payload(1))
    with pytest.raises(asyncio.CancelledError):
        codec.decode(payload(2))
    for number in (0, 3):
        with pytest.raises(DecodeError) as caught:
            codec.decode(payload(number))
        assert isinstance(caught.value.__cause__, ValueError | RuntimeError)
        assert "nothing at all" not in str(caught.value)
    codec.decode(payload(4))


@pytest.mark.fault(34)
@every_format
def test_row_34_nothing_is_kept_between_messages(wireformat: WireFormat) -> None:
    """A payload that fails leaves nothing behind: the next one is read as if it were the first."""
    rows: list[tuple[Any, Any]] = [
        (Add, Add(1, 2)),
        (Any, {"a": ["text", "text"]}),
        (list[str], ["a", "a"]),
        (Numbered, Numbered({1: 2})),
    ]
    for type_, value in rows:
        codec = wireformat.codec(type_)
        payload = codec.encode(value)
        for text in INVALID[wireformat.name]:
            with pytest.raises(DecodeError):
                codec.decode(bytes.fromhex(text))
            with pytest.raises(DecodeError):
                codec.decode(payload[:-1])
            assert codec.decode(payload) == value
            assert codec.encode(value) == payload


@pytest.mark.fault(34)
def test_row_34_no_references() -> None:
    """No message can point at a value of another: the tags for references are refused, in one message too."""
    for text in (
        "d81c8101",
        "d81d00",
        "82d81c01d81d00",
        "d9010082616163",
        "d90100826461626364d81900",
        "d81900",
    ):
        assert refusal(CBOR, Any, bytes.fromhex(text))


@pytest.mark.fault(36)
@every_format
def test_row_36_bodies_of_errors(wireformat: WireFormat) -> None:
    """A remote's error of a megabyte of text, of the wrong shape or of an unknown kind, is read without harm, and cut to 1 KiB."""
    encode, decode = wireformat.encode_plain, wireformat.decode_plain
    kind, text = read_error(encode({"DeserializeWireFormat": {"context": "x" * MIB}}), decode)
    assert (kind, len(text)) == (ErrorKind.DESERIALIZE_WIREFORMAT, 1024)
    kind, text = read_error(encode({"y" * MIB: None}), decode)
    assert (kind, len(text)) == (ErrorKind.UNREADABLE, 1024)
    bodies: list[Any] = [
        None,
        1,
        "text",
        [],
        {},
        {"Unheard": {}},
        {"Timeout": {}, "Deserialize": {}},
        [["Timeout", {}]],
        {"a": [[[[]]]]},
    ]
    for body in bodies:
        assert read_error(encode(body), decode)[0] is ErrorKind.UNREADABLE
    for payload in (
        *(bytes.fromhex(each) for each in INVALID[wireformat.name]),
        b"\x9f" * MIB,
        b"[" * MIB,
        b"\x91" * MIB,
    ):
        assert read_error(payload, decode) == (ErrorKind.UNREADABLE, "")


@pytest.mark.fault(82)
@every_format
def test_row_82_only_plain_data(wireformat: WireFormat) -> None:
    """Where nothing is declared only plain data comes out, and elsewhere only objects of the declared types: none is named by the payload."""
    plain = (type(None), bool, int, float, str, bytes, list, dict)
    special = {
        "cbor": [
            tagged(tag, content) for tag in BUILT_IN_TAGS for content in (0, "a", b"a", [1, 2], [0, "a"])
        ]
        + [b"\xf7", b"\xe0"],
        "msgpack": [b"\xd6\xff\x00\x00\x00\x01", b"\xc7\x03\x05abc", b"\xd4\x00\x01"],
        "json": [b'{"__class__":"os.system"}', b'{"type":"Add","a":1}', b"NaN", b"Infinity"],
    }
    for payload in special[wireformat.name]:
        try:
            value = wireformat.decode_plain(payload)
        except DecodeError:
            continue
        assert type(value) in plain


@every_format
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_not_a_number(wireformat: WireFormat, value: float) -> None:
    """NaN and the infinities come back where the format has them; JSON has none, and says so instead of writing null."""
    for type_ in (float, Any):
        codec: Any = wireformat.codec(type_)
        if wireformat is JSON:
            with pytest.raises(Exception, match="NaN"):
                codec.encode(value)
        else:
            assert repr(codec.decode(codec.encode(value))) == repr(value)
