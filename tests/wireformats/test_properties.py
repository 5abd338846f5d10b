"""Whatever goes in comes out, and whatever comes is a value or a `DecodeError`."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from tests.core.profiles import look
from tests.wireformats.formats import FORMATS

from duologue import ByteList, Case, DecodeError, Message

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


class Stop(Case):
    pass


class Go(Case):
    speed: float
    via: list[str]


class Turn(Case, as_tuple=True):
    degrees: int
    data: ByteList = b""


class Say(Case, newtype=True, name="say"):
    text: str | None


class Both(Case):
    first: Step
    second: Step


Step = Stop | Go | Turn | Say | Both


class Walk(Message[None]):
    steps: list[Step]
    last: Step | None
    named: dict[str, Step]
    trace: ByteList
    traces: list[ByteList]


class Command(Message[None], newtype=True):
    step: Step


steps: st.SearchStrategy[Any] = st.recursive(
    st.just(Stop())
    | st.builds(Go, floats, st.lists(st.text(max_size=5), max_size=3))
    | st.builds(Turn, integers, st.binary(max_size=20))
    | st.builds(Say, st.none() | st.text(max_size=10)),
    lambda inner: st.builds(Both, inner, inner),
    max_leaves=6,
)
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
    | st.builds(
        Walk,
        steps=st.lists(steps, max_size=4),
        last=st.none() | steps,
        named=st.dictionaries(st.text(max_size=5), steps, max_size=3),
        trace=st.binary(max_size=100),
        traces=st.lists(st.binary(max_size=20), max_size=4),
    )
    | st.builds(Command, steps)
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
    Walk,
    Command,
    Step | int | None,
    list[ByteList],
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


@given(st.lists(steps, max_size=3))
@look(brief=200, thorough=10_000)
def test_cases_are_written_the_same_where_anything_may_be(value: Any) -> None:
    """But for lists of bytes, which nobody can tell from bytes there."""
    for wireformat in FORMATS:
        declared = wireformat.decode_plain(wireformat.codec(list[Step]).encode(value))
        assert without_turns(wireformat.decode_plain(wireformat.encode_plain(value))) == without_turns(
            declared
        )


def without_turns(value: Any) -> Any:
    if isinstance(value, list):
        return [without_turns(each) for each in value]
    if isinstance(value, dict):
        return {key: None if key == "Turn" else without_turns(each) for key, each in value.items()}
    return value


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
