"""Checking what handlers return, beside what test_routes.py shows of it on the way to the wire."""

from __future__ import annotations

import datetime
from typing import Annotated, Any, NamedTuple, TypedDict

import msgspec
import pytest

from duologue import ByteList, Case, EncodeError, Message
from duologue.answers import checks_of, classes_of, converter


class Point(Message[None]):
    x: float


class Tree(msgspec.Struct):
    name: str
    children: list[Tree] = []


class Stamped(msgspec.Struct):
    at: datetime.datetime


class Pair(NamedTuple):
    left: int
    right: str


class Options(TypedDict):
    depth: int


class Circle(Case):
    radius: float


class Ring(Circle):
    hole: float


class Nowhere(Case):
    pass


class Cat(msgspec.Struct):
    name: str


class Dog(msgspec.Struct):
    name: str


@pytest.mark.parametrize(
    ("answer", "classes"),
    [
        (int, {int}),
        (type(None), {type(None)}),
        (int | None, {int, type(None)}),
        (list[int], set()),
        (list[int] | None, {type(None)}),
        (Point, {Point}),
        (Any, set()),
        (Circle | Nowhere, {Circle, Nowhere}),
    ],
    # Sets of classes have another order in each process, and pytest-xdist wants the same names in all.
    ids=lambda value: f"{len(value)} classes" if isinstance(value, set) else str(value),
)
def test_which_objects_need_no_second_look(answer: Any, classes: set[type]) -> None:
    assert classes_of(answer) == classes


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        (Tree, Tree("a", [Tree("b")])),
        (Stamped, Stamped(datetime.datetime.now())),
        (Pair, Pair(1, "a")),
        (Options, {"depth": 3}),
        (Any, object()),
        (list[Stamped], [Stamped(datetime.datetime.now())]),
        (list[Circle | Nowhere], [Circle(1.0), Nowhere()]),
        (ByteList, b"\x00\xff"),
    ],
    ids=["Tree", "Stamped", "Pair", "Options", "Any", "list of Stamped", "list of cases", "byte list"],
)
def test_values_that_stay_what_they_are(answer: Any, value: Any) -> None:
    assert converter(answer)(value) == value


@pytest.mark.parametrize(
    ("answer", "value", "text"),
    [
        (int, "3", r"Expected `int`, got `str`$"),
        (list[int], [1, "2"], r"Expected `int`, got `str` - at `\$\[1\]`$"),
        (dict[str, list[int]], {"a": ["1"]}, r"at `\$\[...\]\[0\]`$"),
        (Stamped, {"at": "2024-02-29T00:00:00"}, r"Expected `datetime`, got `str` - at `\$.at`$"),
        (dict[str, Stamped], {"a": {"at": "2024-02-29T00:00:00"}}, "Expected `datetime`"),
        (Circle | Nowhere, "Nowhere", "Expected `object`, got `str`"),
        (Circle | Nowhere, Ring(1.0, 0.5), "Expected one of its cases$"),
        (list[Circle | Nowhere], [Nowhere(), {"Circle": {}}], r"at `\$\[1\]`$"),
        (ByteList, [1, 2], "Expected `bytes`, got `array`"),
    ],
    ids=repr,
)
def test_the_text_says_where_it_went_wrong(answer: Any, value: Any, text: str) -> None:
    """The path begins at what the handler returned."""
    with pytest.raises(EncodeError, match=text):
        converter(answer)(value)


def test_types_that_only_a_wire_format_knows_are_told_by_their_class() -> None:
    """Two classes without a tag are ambiguous to msgspec, and may well be fine for a format that adds one."""
    dog = Dog("Rex")
    assert converter(Cat | Dog)(dog) is dog
    with pytest.raises(EncodeError, match="Expected Cat or Dog"):
        converter(Cat | Dog)("Rex")
    assert converter(list[Cat | Dog])([dog]) == [dog], "nothing is known about it, so it is left to the codec"


def test_what_is_made_of_a_type_is_made_once() -> None:
    """State per connection registers the same handlers again and again, so what costs is kept; where it can be."""
    assert checks_of(list[int]) is checks_of(list[int])
    classes, convert = checks_of(Annotated[list[int], {"a note": "that can't be hashed"}])
    assert classes == classes_of(list[int])
    assert convert((1, 2)) == [1, 2]
