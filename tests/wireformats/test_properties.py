"""Whatever goes in comes out, and whatever comes is a value or a `DecodeError`."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from tests.core.profiles import look
from tests.wireformats.formats import FORMATS

from duologue import DecodeError, Message

integers = st.integers(-(2**63), 2**64 - 1)
floats = st.floats(allow_nan=False, allow_infinity=False)
plain = st.recursive(
    st.none() | st.booleans() | integers | floats | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=8), inner, max_size=5),
    max_leaves=40,
)


class Part(msgspec.Struct):
    name: str
    size: float | None = None


class Order(Message[None]):
    number: int
    texts: list[str]
    parts: dict[str, Part]
    data: bytes
    counts: dict[int, bool]
    rest: Any = None


class Row(Message[None], as_tuple=True):
    number: int
    texts: tuple[str, ...]
    part: Part | None = None


class Single(Message[None], newtype=True):
    values: list[int | str | None]


parts = st.builds(Part, st.text(), st.none() | floats)
messages = (
    st.builds(
        Order,
        number=integers,
        texts=st.lists(st.text(max_size=10), max_size=5),
        parts=st.dictionaries(st.text(max_size=5), parts, max_size=3),
        data=st.binary(max_size=50),
        counts=st.dictionaries(integers, st.booleans(), max_size=5),
        rest=plain,
    )
    | st.builds(Row, integers, st.lists(st.text(max_size=10), max_size=4).map(tuple), st.none() | parts)
    | st.builds(Single, st.lists(integers | st.text(max_size=5) | st.none(), max_size=8))
)

TYPES: tuple[Any, ...] = (
    Order,
    Row,
    Single,
    Any,
    list[Any],
    int,
    str,
    bytes,
    dict[int, Any],
    type(None),
    list[Part],
    set[int],
)
CODECS = [wireformat.codec(type_) for wireformat in FORMATS for type_ in TYPES]


@given(messages)
@look(brief=200, thorough=10_000)
def test_messages_come_back(message: Message[None]) -> None:
    for wireformat in FORMATS:
        codec = wireformat.codec(type(message))
        payload = codec.encode(message)
        assert codec.decode(payload) == message
        assert codec.encode(codec.decode(payload)) == payload


@given(plain)
@look(brief=200, thorough=10_000)
def test_plain_data_comes_back(value: Any) -> None:
    for wireformat in FORMATS:
        assert wireformat.decode_plain(wireformat.encode_plain(value)) == value


@given(messages, st.data())
@look(brief=200, thorough=10_000)
def test_damaged_messages(message: Message[None], data: st.DataObject) -> None:
    """A payload with some bytes changed is a value or a `DecodeError`, for its own type and for every other."""
    for wireformat in FORMATS:
        payload = bytearray(wireformat.codec(type(message)).encode(message))
        at = data.draw(st.integers(0, len(payload) - 1))
        payload[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=3))
        decode_all(bytes(payload))


@given(st.binary(max_size=100))
@look(brief=500, thorough=50_000)
def test_random_bytes(payload: bytes) -> None:
    decode_all(payload)


@given(st.text(alphabet='[]{}",:\\u0123456789eE+-.truefalsn \n\x00\ud83d', max_size=40))
@look(brief=500, thorough=50_000)
def test_random_texts_that_look_like_json(text: str) -> None:
    decode_all(text.encode("utf-8", "surrogatepass"))


def decode_all(payload: bytes) -> None:
    for codec in CODECS:
        try:
            codec.decode(payload)
        except DecodeError:
            pass
