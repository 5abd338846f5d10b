"""Tagged unions: payloads, values and types that are refused, and what is said then."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from tests.wireformats.declared_cases import (
    Chain,
    Circle,
    Deep,
    Draw,
    Drawing,
    End,
    Err,
    Grey,
    Held,
    Leaf,
    More,
    Node,
    Ok,
    Red,
    Row,
    Same,
    Shape,
    Tree,
    Untagged,
)
from tests.wireformats.formats import CBOR, JSON, MSGPACK, encode_refusal, every_format, refusal

from duologue import ByteList, Case, RegistrationError, WireFormat
from duologue.cases import CASE_FIELD, case_tag


@dataclass
class Plain:
    x: int


@dataclass
class Other:
    y: int


NAMES = "Red, Circle, Text, Line, grey"


@every_format
@pytest.mark.parametrize(
    ("type_", "plain", "text"),
    [
        (Shape, "Blue", f"Expected one of the cases {NAMES}"),
        (Shape, "Grey", f"Expected one of the cases {NAMES}"),
        (Shape, {"Blue": 1}, f"Expected one of the cases {NAMES}"),
        (Shape, 5, f"Expected one of the cases {NAMES}"),
        (Shape, None, f"Expected one of the cases {NAMES}"),
        (Shape, ["Red"], f"Expected one of the cases {NAMES}"),
        (Shape, True, f"Expected one of the cases {NAMES}"),
        (Shape | None, 5, "Expected `object | null`, got `int`"),
        (Shape, {}, f"Expected a map with one entry, whose key is one of the cases {NAMES}"),
        (Shape, {"Red": None, "Text": "a"}, f"Expected a map with one entry, whose key is one of the cases {NAMES}"),
        (Shape, {CASE_FIELD: case_tag(Red)}, f"Expected one of the cases {NAMES}"),
        (Shape, {CASE_FIELD: case_tag(Circle), "radius": 1.0}, f"Expected a map with one entry, whose key is one of the cases {NAMES}"),
        (Shape, "Text", "Expected the data of the case Text, too"),
        (Shape, "Circle", "Expected the data of the case Circle, too"),
        (Shape, {"Red": {}}, "Expected null, since the case Red has no data"),
        (Shape, {"Red": []}, "Expected null, since the case Red has no data"),
        (Shape, {"Text": None}, "Expected `str`, got `null` - at `$.value`"),
        (Shape, {"grey": "dark"}, "Expected `int`, got `str` - at `$.howDark`"),
        (Shape, {"Circle": None}, "Expected the data of the case Circle to be a map"),
        (Shape, {"Circle": [1.5, None]}, "Expected the data of the case Circle to be a map"),
        (Shape, {"Circle": {}}, "Object missing required field `radius`"),
        (Shape, {"Circle": {"radius": "1"}}, "Expected `float`, got `str` - at `$.radius`"),
        (Shape, {"Line": {"start": 1}}, "Expected the data of the case Line to be an array"),
        (Shape, {"Line": []}, "Object missing required field `start`"),
        (Shape, {"Line": [1, "2"]}, "Expected `int`, got `str` - at `$.end`"),
        (Draw, "Blue", f"Expected one of the cases {NAMES}"),
        (Drawing, {"main": "Blue", "others": [], "by_name": {}}, f"Expected one of the cases {NAMES} - at `$.main`"),
        (Drawing, {"main": "Red", "others": ["Red", "Blue"], "by_name": {}}, f"Expected one of the cases {NAMES} - at `$.others[1]`"),
        (Drawing, {"main": "Red", "others": [], "by_name": {"a": 5}}, "Expected `object | null`, got `int` - at `$.by_name[...]`"),
        (Drawing, {"main": "Red", "others": [], "by_name": {"a": {"x": 5}}}, f"Expected one of the cases {NAMES} - at `$.by_name[...]`"),
        (Drawing, {"main": "Red", "others": [{"Circle": {"radius": "1"}}], "by_name": {}}, "got `str` - at `$.others[0].radius`"),
        (Deep, {"Deep": {"row": [1, "Blue"], "pairs": []}}, f"Expected one of the cases {NAMES} - at `$.row[1]`"),
        (Deep, {"Deep": {"row": [1, "Red"], "pairs": [["Red", "Blue"]]}}, f"Expected one of the cases {NAMES} - at `$.pairs[0][1]`"),
        (Tree, {"Node": {"left": "Leaf", "right": {"Node": {"left": 1}}}}, "Expected one of the cases Leaf, Node - at `$.right.left`"),
        (Tree, {"Node": {"left": "Leaf", "right": "Leaf", "data": [256]}}, "integers from 0 to 255 - at `$.data`"),
        (Row, [1], "at least length 2, got 1"),
        (Row, 1, "Expected `array`, got `int`"),
        (list[Shape], "Red", "Expected `array`, got `str`"),
        (dict[str, Shape], [], "Expected `object`, got `array`"),
        (Held, [], "Expected `object`, got `array`"),
    ],
    ids=repr,
)  # fmt: skip
def test_what_is_refused(wireformat: WireFormat, type_: Any, plain: Any, text: str) -> None:
    """Other names, several entries, data that does not fit: each with the path of the field, and no word of what was received."""
    error = refusal(wireformat, type_, wireformat.encode_plain(plain))
    assert error == text or (error.endswith(text) and not text.startswith("Expected one"))


@every_format
def test_the_same_key_twice(wireformat: WireFormat) -> None:
    """Types with cases are read with every check that open types get: two entries with one name are not one."""
    twice = {
        "cbor": "a2 6454657874 6161 6454657874 6162",
        "msgpack": "82 a454657874 a161 a454657874 a162",
        "json": b'{"Text":"a","Text":"b"}'.hex(),
    }
    assert "same key twice" in refusal(wireformat, Shape, bytes.fromhex(twice[wireformat.name]))


@every_format
def test_limits_hold(wireformat: WireFormat) -> None:
    """A union that is in itself is bounded by the depth, and each map of a case counts; so are the values."""
    tree: Tree = Leaf()
    codec = wireformat.codec(Tree)
    for _ in range(16):
        tree = Node(tree, Leaf())
    assert codec.decode(codec.encode(tree)) == tree
    assert "Nested deeper than 32" in encode_refusal(wireformat, Tree, Node(tree, Leaf()))
    deeper = {"Node": {"left": wireformat.decode_plain(codec.encode(tree)), "right": "Leaf", "data": b""}}
    roomy = type(wireformat)(nesting=100)
    assert "ested deeper than 32" in refusal(wireformat, Tree, roomy.encode_plain(deeper))
    many = wireformat.codec(list[Shape]).encode([Red()] * 50_001)
    assert "More than 50000" in refusal(wireformat, list[Shape], many)


@every_format
def test_a_newtype_in_itself_is_one_map_deep(wireformat: WireFormat) -> None:
    """32 of them are read and written, one more is neither."""
    codec = wireformat.codec(Chain)
    chain: Any = End()
    for _ in range(32):
        chain = More(chain)
    assert codec.decode(codec.encode(chain)) == chain
    assert "Nested deeper than 32" in encode_refusal(wireformat, Chain, More(chain))


@every_format
def test_limits_hold_where_anything_may_be(wireformat: WireFormat) -> None:
    """Depth, range, and values in themselves: with the path, as without cases."""
    circle: list[Any] = [Red()]
    circle.append(circle)
    assert "in itself" in encode_refusal(wireformat, Any, circle)
    assert "2^64 - 1 - at `$[0].how_dark`" in encode_refusal(wireformat, Any, [Grey(2**64)])
    assert "Objects of type object" in encode_refusal(wireformat, Any, [Red(), object()])


def test_what_does_not_fit_when_it_is_written() -> None:
    """A case that is not one of the union's, in a field where it was not expected, is an error here and not at the other end."""

    class Unset(Case, as_tuple=True):
        a: int
        b: int | msgspec.UnsetType = msgspec.UNSET

    for wireformat in (CBOR, MSGPACK, JSON):
        assert encode_refusal(wireformat, Shape, Err("x")) == f"Expected one of the cases {NAMES}"
        held = Drawing(Red(), [Red(), Err("x")], {})
        assert (
            encode_refusal(wireformat, Drawing, held)
            == f"Expected one of the cases {NAMES} - at `$.others[1]`"
        )
        assert "fields that are not set" in encode_refusal(wireformat, Unset, Unset(1))
        assert "2^64 - 1 - at `$.how_dark`" in encode_refusal(wireformat, Shape, Grey(2**64))
        assert "Objects of type object" in encode_refusal(wireformat, Drawing, Drawing(object(), [], {}))
    assert "infinities" in encode_refusal(JSON, Shape, Circle(float("inf")))


@every_format
@pytest.mark.parametrize(
    ("type_", "text"),
    [
        (Red | Same, "two cases with one name, of Red, Same: give one another name"),
        (Plain | Other, "derive each from Case, by which they are told apart"),
        (Shape | str, "has cases beside str"),
        (Shape | bytes, "has cases beside bytes"),
        (Shape | ByteList, "has cases beside bytes"),
        (Shape | Any, "has cases beside any"),
        (Drawing | Red, "Struct"),
        (Shape | dict[str, int], "dict-like"),
        (Shape | Untagged, "Struct"),
        (Case, "write the union of its cases"),
        (list[Case | None], "write the union of its cases"),
        (set[Red], "a set of struct"),
        (dict[Red, int], "keys of a dict of struct"),
        (Ok[int] | Ok[str], "Struct"),
        (Ok[object], "write Any"),
    ],
    ids=str,
)
def test_unions_that_no_format_carries(wireformat: WireFormat, type_: Any, text: str) -> None:
    """What could not be told from a case is refused when the codec is made, as is what hides in the data of one."""
    with pytest.raises(RegistrationError, match=text):
        wireformat.codec(type_)
