"""Byte for byte what the Rust crate writes, and everything that it may write is read (docs/protocol.md, section 3)."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from tests.wireformats.formats import CBOR, refusal

from duologue import Message

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "base_frames.json").read_text(encoding="utf-8"))


class Add(Message[int], newtype=True):
    number: int


class Show(Message[None]):
    pass


class Position(Message[None]):
    x: int
    label: str


class Line(Message[None], as_tuple=True):
    text: str
    number: int


class Blob(Message[None]):
    data: bytes


class Blobs(Message[None]):
    one: bytes | None
    many: list[bytes]
    by_name: dict[str, bytes]
    pair: tuple[bytes, int]


class Measured(Message[None]):
    value: float


class Counted(Message[None]):
    counts: dict[int, int]


def error_id(number: int) -> dict[str, Any]:
    return {"inner": {"id": number}}


PAYLOADS: dict[str, tuple[Any, Any]] = {
    "send Add(5), a newtype": (Add, Add(5)),
    "call Add(5)": (Add, Add(5)),
    "call Show, a message without fields": (Show, Show()),
    "response ()": (type(None), None),
    "response 10": (int, 10),
    "error UnknownService for service id 1, call 2": (
        Any,
        {"UnknownService": {"sid": error_id(1), "cid": error_id(2)}},
    ),
    "error InternalServerError without service id, call 1": (
        Any,
        {"InternalServerError": {"sid": None, "cid": error_id(1)}},
    ),
    "error DeserializeWireFormat, about the connection": (Any, {"DeserializeWireFormat": {"context": "x"}}),
}


@pytest.mark.parametrize("vector", VECTORS["frames"], ids=lambda vector: vector["what"])
def test_the_golden_frames(vector: dict[str, Any]) -> None:
    """Written, each is exactly the frame of the original; read, each is the message that it was."""
    type_, value = PAYLOADS[vector["what"]]
    payload, frame = bytes.fromhex(vector["payload"]), bytes.fromhex(vector["frame"])
    sid, cid = int(vector["sid"], 16), vector["cid"]
    codec = CBOR.codec(type_)

    assert codec.encode(value).hex() == payload.hex()
    assert (CBOR.framing.header(len(frame), sid, cid) + payload).hex() == frame.hex()
    decoder = CBOR.framing.decoder(1000)
    decoder.feed(frame)
    assert list(decoder.frames()) == [(sid, cid, payload)]
    assert codec.decode(payload) == value


@pytest.mark.parametrize(
    ("type_", "value", "payload"),
    [
        (Position, Position(1, "a"), "a2 6178 01 656c6162656c 6161"),
        (Line, Line("a", 1), "82 6161 01"),
        (Blob, Blob(b"\x01\x02"), "a1 6464617461 42 0102"),
        (int, 0, "00"),
        (int, 23, "17"),
        (int, 24, "1818"),
        (int, 255, "18ff"),
        (int, 256, "190100"),
        (int, 65536, "1a00010000"),
        (int, 2**32, "1b0000000100000000"),
        (int, 2**64 - 1, "1bffffffffffffffff"),
        (int, -1, "20"),
        (int, -(2**64), "3bffffffffffffffff"),
        (float, 1.5, "fb3ff8000000000000"),
        (bool, True, "f5"),
        (str, "ü", "62c3bc"),
        (list[int], [1, 2], "820102"),
        (tuple[int, str], (1, "a"), "82016161"),
        (dict[str, int], {"b": 1, "a": 2}, "a2 6162 01 6161 02"),
        (int | None, None, "f6"),
        (Counted, Counted({5: 6}), "a1 66636f756e7473 a1 05 06"),
    ],
)
def test_what_is_written(type_: Any, value: Any, payload: str) -> None:
    """Shortest integers, definite lengths, fields in the order of declaration, floats of 64 bits."""
    codec = CBOR.codec(type_)
    assert codec.encode(value).hex() == bytes.fromhex(payload).hex()
    assert codec.decode(bytes.fromhex(payload)) == value


@pytest.mark.parametrize(
    ("type_", "payload", "value"),
    [
        (int, "1800", 0),
        (int, "1b0000000000000001", 1),
        (int, "3900ff", -256),
        (Position, "bf 6178 01 656c6162656c 7f 6161 6162 ff ff", Position(1, "ab")),
        (list[int], "9f 01 02 ff", [1, 2]),
        (Blob, "a1 6464617461 5f 4101 4102 ff", Blob(b"\x01\x02")),
        (Measured, "a1 6576616c7565 f93e00", Measured(1.5)),
        (Measured, "a1 6576616c7565 fa3fc00000", Measured(1.5)),
        (Measured, "a1 6576616c7565 01", Measured(1.0)),
        (Measured, "a1 6576616c7565 f97c00", Measured(math.inf)),
        (Position, "a3 6178 01 61ff 00 656c6162656c 6161".replace("61ff", "617a"), Position(1, "a")),
    ],
)
def test_what_is_read_as_well(type_: Any, payload: str, value: Any) -> None:
    """Longer integers, indefinite lengths, all sizes of floats, unknown fields."""
    assert CBOR.codec(type_).decode(bytes.fromhex(payload)) == value


def test_nan_is_read_and_written() -> None:
    codec = CBOR.codec(float)
    assert codec.encode(math.nan).hex() == "f97e00"
    for payload in ("f97e00", "fa7fc00000", "fb7ff8000000000000"):
        assert math.isnan(codec.decode(bytes.fromhex(payload)))


@pytest.mark.parametrize("payload", ["a1 6464617461 83 00 18ff 07", "a1 6464617461 9f 00 18ff 07 ff"])
def test_a_vec_of_u8_is_read_into_bytes(payload: str) -> None:
    """Rust without serde_bytes writes an array of integers: it is bytes where bytes are declared."""
    assert CBOR.codec(Blob).decode(bytes.fromhex(payload)) == Blob(b"\x00\xff\x07")


def test_arrays_of_integers_are_bytes_wherever_bytes_are_declared() -> None:
    """In a union, in a list, in a dict and in a tuple too, and mixed with byte strings."""
    plain = {"one": [1], "many": [[2], b"\x03"], "by_name": {"a": [4]}, "pair": [[5], 6]}
    read = CBOR.codec(Blobs).decode(CBOR.encode_plain(plain))
    assert read == Blobs(b"\x01", [b"\x02", b"\x03"], {"a": b"\x04"}, (b"\x05", 6))


@pytest.mark.parametrize("array", ["8119 0100", "8120", "8161 61", "81f5", "81fb3ff0000000000000"])
def test_other_arrays_are_not_bytes(array: str) -> None:
    """256, -1, a text, true and 1.0 are not bytes."""
    assert "$.data" in refusal(CBOR, Blob, bytes.fromhex("a1 6464617461" + array))


def test_a_text_is_not_bytes() -> None:
    """A text is not taken for base64 where byte strings exist."""
    assert "Expected `bytes`, got `str`" in refusal(CBOR, Blob, bytes.fromhex("a1 6464617461 6461476b3d"))


def test_integer_keys_of_a_rust_map() -> None:
    """A `HashMap<u64, u64>` is a dict[int, int]."""
    payload = bytes.fromhex("a1 66636f756e7473 a2 1bffffffffffffffff 01 20 02")
    assert CBOR.codec(Counted).decode(payload) == Counted({2**64 - 1: 1, -1: 2})


@pytest.mark.parametrize("payload", ["a0", "80", "00", "f7", "60"])
def test_nothing_is_only_null(payload: str) -> None:
    """A message without fields is null, and neither an empty map nor anything else."""
    for type_ in (Show, type(None)):
        assert refusal(CBOR, type_, bytes.fromhex(payload))
