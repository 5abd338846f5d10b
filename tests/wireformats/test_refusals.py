"""The three formats agree: what one refuses the others refuse, and say so in the same words."""

from __future__ import annotations

import datetime
import decimal
import uuid
from typing import Annotated, Any, Literal

import msgspec
import pytest
from tests.wireformats.declared import (
    AlsoPlainly,
    Box,
    Colour,
    Holding,
    HoldingNewtype,
    HoldingNothing,
    Keyword,
    Level,
    Lonely,
    OtherTagged,
    Plainly,
    Point,
    Strict,
    Tagged,
    Tuple,
    Unresolved,
    UnresolvedNewtype,
)
from tests.wireformats.formats import every_format, refusal

from duologue import DecodeError, RegistrationError, WireFormat


@every_format
@pytest.mark.parametrize(
    ("type_", "plain", "path"),
    [
        (Point, {"y": 1}, "missing required field `x`"),
        (Point, {"x": "1"}, "$.x"),
        (Tuple, [1, 2], "$[1]"),
        (Tuple, [], "at least length 1"),
        (Box[list[Point]], {"content": [{"x": 1}, {"x": None}]}, "$.content[1].x"),
        (dict[str, Point], {"a": {"x": 1.5}}, "$[...].x"),
        (Keyword, "5", "Expected `int`, got `str`"),
        (int, 1.0, "Expected `int`, got `float`"),
        (int, True, "Expected `int`, got `bool`"),
        (bool, 1, "Expected `bool`, got `int`"),
        (str, 1, "Expected `str`, got `int`"),
        (float, "1", "Expected `float`, got `str`"),
        (list[int], {}, "Expected `array`, got `object`"),
        (tuple[int, int], [1], "length 2"),
        (Annotated[int, msgspec.Meta(ge=0)], -1, ">= 0"),
        (Colour, "blue", "Expected one of the declared values"),
        (Box[Colour], {"content": "blue"}, "Expected one of the declared values - at `$.content`"),
        (Literal["a"], "b", "Expected one of the declared values"),
        (decimal.Decimal, "one", "Invalid decimal"),
        (datetime.datetime, "now", "Invalid RFC3339"),
        (uuid.UUID, "x", "Invalid UUID"),
    ],
)
def test_refused_by_all(wireformat: WireFormat, type_: Any, plain: Any, path: str) -> None:
    """What does not fit is refused with the same text, which names the field and what was expected there."""
    assert path in refusal(wireformat, type_, wireformat.encode_plain(plain))


SECRET = "s3cr3t - at `$.s3cr3t`"
"""Content that looks like what msgspec writes behind its texts."""


@every_format
@pytest.mark.parametrize(
    ("type_", "plain"),
    [
        (Colour, SECRET),
        (Box[Colour], {"content": SECRET}),
        (Literal["a"], SECRET),
        (list[Literal[1]], [SECRET]),
        (Level, SECRET),
        (Strict, {SECRET: 1}),
        (Point, {"x": SECRET}),
        (dict[int, int], {SECRET: 1}),
        (dict[Colour, int], {SECRET: 1}),
        (uuid.UUID, SECRET),
        (datetime.date, SECRET),
        (decimal.Decimal, SECRET),
        (Annotated[str, msgspec.Meta(pattern="^a$")], SECRET),
    ],
)
def test_texts_quote_nothing(wireformat: WireFormat, type_: Any, plain: Any) -> None:
    """No error holds anything of what was received, nor is the exception behind it shown, which does."""
    payload = wireformat.encode_plain(plain)
    with pytest.raises(DecodeError) as caught:
        wireformat.codec(type_).decode(payload)
    assert "s3cr3t - at" not in str(caught.value)
    assert caught.value.__suppress_context__
    assert caught.value.__cause__ is None


@every_format
def test_text_that_is_not_utf8(wireformat: WireFormat) -> None:
    payload = {"cbor": b"\x61\xff", "msgpack": b"\xa1\xff", "json": b'"\xff"'}[wireformat.name]
    for type_ in (str, Any):
        assert "UTF-8" in refusal(wireformat, type_, payload)


REFUSED: list[tuple[Any, str]] = [
    (Tagged, "tag"),
    (Tagged | OtherTagged, "tag"),
    (list[Tagged | None], "tag"),
    (Box[Tagged], r"content is the msgspec-tagged struct Tagged"),
    (Plainly | AlsoPlainly, "Struct"),
    (Lonely, "Lonely"),
    (Holding, r"Holding.lonely is a Lonely"),
    (object, "write Any"),
    (dict[str, object], "write Any"),
    (memoryview, "use bytes"),
    (msgspec.Raw, "bound to one encoding"),
    (msgspec.msgpack.Ext, "bound to one encoding"),
    (HoldingNewtype, r"HoldingNewtype.keyword\[...\] is the message Keyword"),
    (HoldingNothing, "is the message Nothing"),
    (complex, "complex"),
    (set[Any], "a set of any"),
    (dict[bool, int], "keys of a dict of bool"),
    (Unresolved, "NotThere"),
    (UnresolvedNewtype, "NotThere"),
    (list[int] | tuple[int, ...], "array-like"),
    (str | bytes, "str-like"),
]


@every_format
@pytest.mark.parametrize(("type_", "text"), REFUSED, ids=[str(type_) for type_, _ in REFUSED])
def test_types_that_no_format_carries(wireformat: WireFormat, type_: Any, text: str) -> None:
    """They are refused when the codec is made, with what is the matter and, in most cases, what to do instead."""
    with pytest.raises(RegistrationError, match=text):
        wireformat.codec(type_)
