"""Tagged unions, as Rust writes its enums: what is written, and what is read (docs/protocol.md, section 3).

The bytes are written by hand, from the rules: a case without data is a text, one with data a map with one entry.
"""

from __future__ import annotations

from typing import Any

import pytest
from tests.wireformats.declared_cases import (
    Box,
    Circle,
    Deep,
    Draw,
    Drawing,
    Err,
    Grey,
    Held,
    Id,
    Keyed,
    Leaf,
    Line,
    Node,
    Number,
    Ok,
    Pair,
    Red,
    Row,
    Shape,
    Text,
    Timeout,
    Tree,
    UnknownService,
)
from tests.wireformats.formats import CBOR, JSON, MSGPACK, every_format

from duologue import Message, WireFormat
from duologue.cases import CASE_FIELD, case_tag
from duologue_wireformats.cbor import Cbor

GOLDEN: list[tuple[Any, Any, str, str]] = [
    (Shape, Red(), "63 526564", '"Red"'),
    (Shape, Circle(1.5), "a1 66436972636c65 a2 66726164697573 fb3ff8000000000000 656c6162656c f6", '{"Circle":{"radius":1.5,"label":null}}'),
    (Shape, Text("a"), "a1 6454657874 6161", '{"Text":"a"}'),
    (Shape, Line(1, 2), "a1 644c696e65 82 01 02", '{"Line":[1,2]}'),
    (Shape, Grey(5), "a1 6467726579 05", '{"grey":5}'),
    (Shape | None, None, "f6", "null"),
    (list[Shape], [Red(), Text("a")], "82 63526564 a1 6454657874 6161", '["Red",{"Text":"a"}]'),
    (dict[str, Shape], {"x": Red()}, "a1 6178 63526564", '{"x":"Red"}'),
    (Draw, Draw(Red()), "63526564", '"Red"'),
    (Draw, Draw(Line(1, 2)), "a1 644c696e65 82 01 02", '{"Line":[1,2]}'),
    (Ok[int] | Err, Ok(5), "a1 624f6b 05", '{"Ok":5}'),
    (Ok[None] | Err, Ok(None), "a1 624f6b f6", '{"Ok":null}'),
    (Ok[list[Shape]] | Err, Ok([Red()]), "a1 624f6b 81 63526564", '{"Ok":["Red"]}'),
    (Ok[Shape] | Err, Ok(Grey(1)), "a1 624f6b a1 6467726579 01", '{"Ok":{"grey":1}}'),
    (Ok[int] | Err, Err("no"), "a1 63457272 626e6f", '{"Err":"no"}'),
    (Red, Red(), "63526564", '"Red"'),
    (Tree, Node(Leaf(), Leaf(), b"\x01\xff"), "a1 644e6f6465 a3 646c656674 644c656166 657269676874 644c656166 6464617461 82 01 18ff",
        '{"Node":{"left":"Leaf","right":"Leaf","data":[1,255]}}'),
    (Shape | list[int] | float | None, [1], "81 01", "[1]"),
    (Held, Held(Red()), "a1 657368617065 63526564", '{"shape":"Red"}'),
    (Pair, Pair(Red(), Grey(1)), "82 63526564 a1 6467726579 01", '["Red",{"grey":1}]'),
    (Keyed, {"shape": Red()}, "a1 657368617065 63526564", '{"shape":"Red"}'),
    (Row, Row(1, Red()), "82 01 63526564", '[1,"Red"]'),
    (Box[Shape], Box(Red()), "a1 67636f6e74656e74 63526564", '{"content":"Red"}'),
    (Deep, Deep(Row(1, Red()), (Pair(Red(), Red()),)), "a1 6444656570 a2 63726f77 82 01 63526564 657061697273 81 82 63526564 63526564",
        '{"Deep":{"row":[1,"Red"],"pairs":[["Red","Red"]]}}'),
]  # fmt: skip


@pytest.mark.parametrize(
    ("type_", "value", "cbor", "json"), GOLDEN, ids=[f"{i} {g[1]!r}" for i, g in enumerate(GOLDEN)]
)
def test_what_is_written(type_: Any, value: Any, cbor: str, json: str) -> None:
    """CBOR by its bytes, JSON by its text; MessagePack is the same plain data. All of it is read again."""
    assert CBOR.codec(type_).encode(value).hex() == bytes.fromhex(cbor).hex()
    assert JSON.codec(type_).encode(value) == json.encode()
    packed = MSGPACK.codec(type_).encode(value)
    assert MSGPACK.decode_plain(packed) == CBOR.decode_plain(bytes.fromhex(cbor))
    for wireformat in (CBOR, MSGPACK, JSON):
        codec = wireformat.codec(type_)
        back = codec.decode(codec.encode(value))
        assert back == value
        assert type(back) is type(value)


def test_messagepack_by_its_bytes() -> None:
    """A text, and a map with one entry."""
    codec = MSGPACK.codec(Shape)
    assert codec.encode(Red()).hex() == "a3526564"
    assert codec.encode(Line(1, 2)).hex() == "81a44c696e65920102"


def test_bodies_of_errors_are_an_enum() -> None:
    """The original's own errors are a Rust enum, and the golden bytes of one of them are read as such."""

    body = bytes.fromhex(
        "a16e556e6b6e6f776e53657276696365a263736964a165696e6e6572a16269640163636964a165696e6e6572a162696402"
    )
    codec = CBOR.codec(UnknownService | Timeout)
    value = UnknownService(Id(Number(1)), Id(Number(2)))
    assert codec.decode(body) == value
    assert codec.encode(value) == body


@every_format
def test_everywhere_in_a_message(wireformat: WireFormat) -> None:
    """As a field, in a list, in a dict, and where there may be none."""
    drawing = Drawing(Red(), [Circle(1.0), Line(1)], {"a": None, "b": Text("x")}, Grey(3))
    codec = wireformat.codec(Drawing)
    assert codec.decode(codec.encode(drawing)) == drawing
    assert codec.decode(codec.encode(Drawing(Red(), [], {}))) == Drawing(Red(), [], {})


@every_format
@pytest.mark.parametrize(
    ("type_", "plain", "value"),
    [
        (Shape, {"Red": None}, Red()),
        (Shape, {"Line": [1]}, Line(1, 7)),
        (Shape, {"Line": [1, 2, "more"]}, Line(1, 2)),
        (Shape, {"Circle": {"radius": 1, "more": [{}]}}, Circle(1.0)),
        (Shape, {"Circle": {"radius": 1.0, CASE_FIELD: case_tag(Red)}}, Circle(1.0)),
        (Tree, {"Node": {"left": {"Leaf": None}, "right": "Leaf", "data": [255]}}, Node(Leaf(), Leaf(), b"\xff")),
        (Shape | int, 5, 5),
        (Shape | tuple[int, ...], [5], (5,)),
        (Shape | list[Shape], ["Red", {"Line": [1]}], [Red(), Line(1)]),
        (Row, [1, "Red", "more"], Row(1, Red())),
    ],
    ids=str,
)  # fmt: skip
def test_what_is_read_as_well(wireformat: WireFormat, type_: Any, plain: Any, value: Any) -> None:
    """A map for a case without data, missing and further parts of the data as anywhere else."""
    assert wireformat.codec(type_).decode(wireformat.encode_plain(plain)) == value


def test_an_indefinite_map_is_one_entry_too() -> None:
    """What serde_cbor would refuse, and nobody is harmed by: containers of any length have one meaning."""
    assert CBOR.codec(Shape).decode(bytes.fromhex("bf 644c696e65 9f 01 02 ff ff")) == Line(1, 2)


@every_format
@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (Red(), "Red"),
        ([Red(), (Line(1, 2), {"a": Text("x")})], ["Red", [{"Line": [1, 2]}, {"a": {"Text": "x"}}]]),
        (Node(Node(Leaf(), Leaf()), Leaf()), {"Node": {"left": {"Node": {"left": "Leaf", "right": "Leaf"}}, "right": "Leaf"}}),
        (Held(Grey(1)), {"shape": {"grey": 1}}),
        ({CASE_FIELD: "nobody's", "a": Red()}, {CASE_FIELD: "nobody's", "a": "Red"}),
        ({CASE_FIELD: {}, "a": Red()}, {CASE_FIELD: {}, "a": "Red"}),
    ],
    ids=repr,
)  # fmt: skip
def test_where_anything_may_be(wireformat: WireFormat, value: Any, plain: Any) -> None:
    """A case in a place without a type is written in the same form, and comes out as plain data like every object there."""
    written = wireformat.decode_plain(wireformat.encode_plain(value))
    assert without_bytes(written) == plain

    class Both(Message[None]):
        shape: Shape
        anything: Any

    codec = wireformat.codec(Both)
    assert without_bytes(codec.decode(codec.encode(Both(Red(), value))).anything) == plain


def without_bytes(value: Any) -> Any:
    """Without the field of a `Node` that JSON has another form for where no type is declared."""
    if isinstance(value, list):
        return [without_bytes(each) for each in value]
    if isinstance(value, dict):
        return {key: without_bytes(each) for key, each in value.items() if key != "data"}
    return value


def test_tags_of_cbor_are_plain_data_first() -> None:
    """What an allowed tag makes is looked at as if it had come so."""
    codec = Cbor(tags={7: lambda content: content}).codec(Shape)
    assert codec.decode(bytes.fromhex("c7 63 526564")) == Red()
