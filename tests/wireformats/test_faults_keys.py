"""Keys of maps: what they may be, and that nobody can make them slow."""

from __future__ import annotations

import decimal
import sys
import uuid
from collections.abc import Callable
from typing import Any, Literal

import cbor2
import pytest
from tests.wireformats.formats import (
    CBOR,
    FORMATS,
    JSON,
    MSGPACK,
    every_format,
    refusal,
    seconds,
    swallow,
    takes_at_most,
)

from duologue import Message, RegistrationError, WireFormat


class Add(Message[int]):
    a: int
    b: int


class Numbered(Message[None]):
    by_number: dict[int, int]


class Free(Message[None]):
    anything: Any = None


BAD_KEYS = {
    "cbor": {
        "array": "a1 80 01", "map": "a1 a0 01", "float": "a1 f93c00 01", "NaN": "a1 f97e00 01", "null": "a1 f6 01",
        "bool": "a1 f5 01", "big integer": "a1 c249010000000000000000 01", "undefined": "a1 f7 01", "tag": "a1 c100 01",
        "text twice": "a2 6161 01 6161 02", "bytes twice": "a2 4161 01 4161 02", "text twice, one longer": "a2 6161 01 780161 02",
        "text twice, in pieces": "bf 6161 01 7f6161ff 02 ff", "simple value": "a1 e0 01",
    },
    "msgpack": {
        "array": "81 90 01", "map": "81 80 01", "float": "81 ca3f800000 01", "NaN": "81 cb7ff8000000000000 01",
        "nil": "81 c0 01", "bool": "81 c3 01", "extension": "81 d40501 01", "timestamp": "81 d6ff00000001 01",
        "text twice": "82 a161 01 a161 02", "bytes twice": "82 c40161 01 c40161 02", "text twice, one longer": "82 a161 01 d90161 02",
    },
    "json": {"text twice": b'{"a":1,"a":2}'.hex(), "escaped": b'{"a":1,"\\u0061":2}'.hex(), "deep": b'{"x":[{"a":1,"a":{}}]}'.hex()},
}  # fmt: skip


@pytest.mark.fault(29)
@every_format
def test_row_29_the_same_key_twice_among_many(wireformat: WireFormat) -> None:
    """In a map of thousands, and beside one, a key that comes twice is found as in a small one; without it the map is read."""
    many = {f"{number:05}": number for number in range(8_000)}
    for value in (many, {"a": {"00000": 1}, "b": many}):
        payload = wireformat.encode_plain(value)
        assert wireformat.decode_plain(payload) == value
        for last in (b"07999", b"00001"):
            assert "twice" in refusal(wireformat, Any, payload.replace(b"00002", last))


@pytest.mark.fault(30)
@every_format
@pytest.mark.parametrize("type_", [Any, dict[str, int], Free], ids=str)
def test_row_30_no_key_is_kept(wireformat: WireFormat, type_: Any) -> None:
    """Keys are not interned: Python 3.12 keeps what is for ever, so keys that are never the same would use up the process."""
    name = f"a key of {wireformat.name} as {type_}"
    value = {"anything": {name: 1}} if type_ is Free else {name: 1}
    decoded = wireformat.codec(type_).decode(wireformat.encode_plain(value))
    (key,) = decoded.anything if type_ is Free else decoded
    assert key == name
    again = "".join(list(name))
    assert again is not key
    assert sys.intern(again) is again, "an equal text is interned already"


UNDECLARED = {"cbor": "a1 05 01", "msgpack": "81 05 01"}
TWICE = {"cbor": "a2 05 01 1805 02", "msgpack": "82 05 01 cc05 02"}


@pytest.mark.fault(29)
@pytest.mark.parametrize(
    ("wireformat", "payload"),
    [(each, bytes.fromhex(text)) for each in FORMATS for text in BAD_KEYS[each.name].values()],
    ids=[f"{each.name} {what}" for each in FORMATS for what in BAD_KEYS[each.name]],
)
def test_row_29_keys(wireformat: WireFormat, payload: bytes) -> None:
    """Keys that are no text, byte string or integer, and keys that come twice, are refused."""
    types: list[Any] = [Any, dict[str, Any], list[Any], Free]
    if wireformat is CBOR:
        types += [Add, dict[int, int], Numbered, dict[str, int], dict[bytes, int]]
    for type_ in types:
        assert refusal(wireformat, type_, payload)


@pytest.mark.fault(29)
@pytest.mark.parametrize("wireformat", [CBOR, MSGPACK], ids=["cbor", "msgpack"])
def test_row_29_integer_keys(wireformat: WireFormat) -> None:
    """Integers are keys where they are declared, so that a Rust `HashMap<u64, _>` works, and nowhere else."""
    name = wireformat.name
    assert wireformat.codec(dict[int, int]).decode(bytes.fromhex(UNDECLARED[name])) == {5: 1}
    assert wireformat.codec(dict[int, Any]).decode(bytes.fromhex(UNDECLARED[name])) == {5: 1}
    for type_ in (Any, Free, dict[str, Any]):
        assert "key" in refusal(wireformat, type_, bytes.fromhex(UNDECLARED[name]))
    assert refusal(wireformat, dict[int, Any], bytes.fromhex(TWICE[name]))
    for key in (0, 2**64 - 1, -(2**63)):
        codec = wireformat.codec(Numbered)
        assert codec.decode(codec.encode(Numbered({key: 1}))) == Numbered({key: 1})


@pytest.mark.fault(29)
@pytest.mark.parametrize("wireformat", [MSGPACK, JSON], ids=["msgpack", "json"])
def test_row_29_the_last_of_two_equal_keys_counts_in_closed_types(wireformat: WireFormat) -> None:
    """That is documented: where the type says what is in it, a key that comes twice can't confuse anybody else."""
    payload = {"msgpack": bytes.fromhex("83 a161 01 a162 02 a161 03"), "json": b'{"a":1,"b":2,"a":3}'}
    assert wireformat.codec(Add).decode(payload[wireformat.name]) == Add(3, 2)


PRIME = 2**61 - 1
"""Integers are hashed modulo this."""


@pytest.mark.fault(30)
def test_row_30_colliding_keys() -> None:
    """20,000 keys of one hash, which would take minutes, are refused at once: integers are of 64 bits at most."""
    count, values = 20_000, [PRIME * factor for factor in range(20_000)]
    big = b"\xb9" + count.to_bytes(2) + b"".join(cbor2.dumps(value) + b"\x00" for value in values)
    texts = b"{" + b",".join(b'"%d":0' % value for value in values) + b"}"
    array = b"[" + b",".join(b"%d" % value for value in values) + b"]"
    for wireformat, type_, payload in (
        (CBOR, dict[int, int], big),
        (CBOR, Any, big),
        (JSON, dict[int, int], texts),
        (JSON, dict[int, Any], texts),
        (JSON, set[int], array),
        (JSON, Any, array),
    ):
        assert refusal(wireformat, type_, payload)
        assert takes_at_most(0.4, swallow(wireformat, type_, payload))
    # As keys of a dict[str, ...] the same are texts, whose hashes have a secret.
    assert len(JSON.codec(dict[str, int]).decode(texts)) == count


@pytest.mark.fault(30)
@every_format
def test_row_30_what_is_accepted_is_linear(wireformat: WireFormat) -> None:
    """Twice as many of the worst keys that are accepted take about twice as long."""

    def payload(count: int) -> bytes:
        keys = [(index << 40) * PRIME % 2**64 for index in range(count)]
        return wireformat.codec(dict[int, int]).encode(dict.fromkeys(keys, 0))

    few, many = (swallow(wireformat, dict[int, int], payload(count)) for count in (6_000, 24_000))
    assert seconds(many, 5) < 16 * seconds(few, 5) + 0.01


@pytest.mark.fault(30)
@every_format
@pytest.mark.parametrize(
    "type_",
    [
        set[uuid.UUID], frozenset[decimal.Decimal], set[float], set[tuple[int, int]], set, dict[uuid.UUID, int],
        dict[tuple[int, ...], int], dict[float, int], list[dict[decimal.Decimal, int]],
    ],
    ids=str,
)  # fmt: skip
def test_row_30_types_whose_hashes_can_be_made_equal(wireformat: WireFormat, type_: Any) -> None:
    """Sets and keys of UUIDs, Decimals, floats and tuples can't be declared: thousands of one hash are easy to make."""
    with pytest.raises(RegistrationError, match="collide"):
        wireformat.codec(type_)


def test_json_integers_of_any_size_are_refused_wherever_they_are_read() -> None:
    """Numbers are out of range, texts that look like numbers are not."""
    read: Callable[[Any, bytes], Any] = lambda type_, payload: JSON.codec(type_).decode(payload)  # noqa: E731
    for digits in (b"18446744073709551616", b"-18446744073709551617", b"1" * 4000, b"9" * 30):
        for type_, around in (
            (int, b"%b"),
            (list[int], b"[%b]"),
            (Any, b'{"a":%b}'),
            (dict[int, int], b'{"%b":1}'),
            (int | str, b"%b"),
        ):
            assert refusal(JSON, type_, around % digits)
        assert read(str, b'"%b"' % digits) == digits.decode()
        assert read(dict[str, str], b'{"a":"%b, \\"%b\\""}' % (digits, digits)) == {
            "a": f'{digits.decode()}, "{digits.decode()}"'
        }
    assert read(int, b"18446744073709551615") == 2**64 - 1
    assert read(int, b"-18446744073709551616") == -(2**64)
    assert (
        read(
            list[float], b"[0.11111111111111111111111, 1e00000000000000000000001, 11111111111111111111111.5]"
        )[1]
        == 10
    )


@pytest.mark.parametrize(
    "type_",
    [dict[int | str, int], dict[Literal[1, "1"], int], list[dict[int | bytes, int]]],
    ids=["union", "literal", "bytes"],
)
def test_keys_that_json_could_not_tell_apart(type_: Any) -> None:
    """1 and "1" would be one key in JSON, and an entry would be lost: the type is refused. The others carry both."""
    with pytest.raises(RegistrationError, match="keys that may be integers or texts"):
        JSON.codec(type_)
    for wireformat in (CBOR, MSGPACK):
        codec = wireformat.codec(dict[int | str, int])
        assert codec.decode(codec.encode({1: 1, "1": 2})) == {1: 1, "1": 2}
    for fine in (dict[int, int], dict[str, int], dict[Literal[1, 2], int]):
        JSON.codec(fine)
