"""Cases of tagged unions: what a class statement says about them, and what it may not say."""

from __future__ import annotations

import copy
import pickle
import types
from typing import Any, Generic, TypeVar, assert_never

import msgspec
import pytest

from duologue import ByteList, Case, RegistrationError
from duologue.cases import CASE_FIELD, case_by_tag, case_class, case_name, case_shape, case_tag, is_byte_list
from duologue.messages import Shape

T = TypeVar("T")


class Circle(Case):
    radius: float


class Square(Case, name="square", order=True):
    side: float = 1.0


class Nowhere(Case):
    pass


class Named(Case, newtype=True):
    value: str


class Line(Case, as_tuple=True):
    start: int
    end: int


class Found(Case, Generic[T], newtype=True):
    value: T


class Ring(Circle):
    hole: float


Figure = Circle | Square | Nowhere


@pytest.mark.parametrize(
    ("case", "name", "shape"),
    [
        (Circle, "Circle", Shape.MAP),
        (Square, "square", Shape.MAP),
        (Nowhere, "Nowhere", Shape.NOTHING),
        (Named, "Named", Shape.VALUE),
        (Line, "Line", Shape.TUPLE),
        (Found, "Found", Shape.VALUE),
        (Ring, "Ring", Shape.MAP),
    ],
)
def test_names_and_shapes(case: type[Case], name: str, shape: Shape) -> None:
    assert (case_name(case), case_shape(case)) == (name, shape)


def test_keywords_hold_for_their_class_alone() -> None:
    """A derived class has a name of its own, and is a map again."""

    class Labelled(Named):
        label: str

    class Rounded(Square):
        pass

    assert (case_name(Labelled), case_shape(Labelled)) == ("Labelled", Shape.MAP)
    assert case_name(Rounded) == "Rounded"


def test_cases_are_values() -> None:
    """Compared by value, hashable, not to be changed; copied and pickled like any value."""
    assert Circle(1.0) == Circle(radius=1.0) != Circle(2.0)
    assert Nowhere() == Nowhere()
    assert len({Circle(1.0), Circle(1.0), Nowhere()}) == 2
    assert Square(1.0) < Square(2.0)
    assert repr(Circle(1.0)) == "Circle(radius=1.0)"
    assert pickle.loads(pickle.dumps(Line(1, 2))) == copy.deepcopy(Line(1, 2)) == Line(1, 2)
    with pytest.raises(AttributeError):
        Circle(1.0).radius = 2.0  # type: ignore[misc]


def area(figure: Figure) -> float:
    match figure:
        case Circle(radius):
            return 3 * radius**2
        case Square(side=side):
            return side**2
        case Nowhere():
            return 0.0
        case _:
            assert_never(figure)


def test_cases_are_told_apart_by_match() -> None:
    assert [area(each) for each in (Circle(1.0), Square(2.0), Nowhere())] == [3.0, 4.0, 0.0]


def test_which_types_are_cases() -> None:
    assert case_class(Circle) is Circle
    assert case_class(Found[int]) is Found
    assert (
        case_class(Figure) is case_class(int) is case_class(list[Circle]) is case_class(Circle(1.0)) is None
    )


def test_the_class_is_found_by_what_msgspec_marks_it_with() -> None:
    """Two cases of one name are two to it."""

    def other() -> type[Case]:
        class Circle(Case):
            pass

        return Circle

    another = other()
    assert msgspec.to_builtins(Circle(1.0)) == {CASE_FIELD: case_tag(Circle), "radius": 1.0}
    assert case_by_tag(case_tag(Circle)) is Circle
    assert case_by_tag(case_tag(another)) is another
    assert case_by_tag("Circle") is case_by_tag(5) is case_by_tag([]) is case_by_tag(None) is None


@pytest.mark.parametrize(
    ("keywords", "fields", "text"),
    [
        ({"tag": "a"}, {}, "say name="),
        ({"tag_field": "a"}, {}, "one entry"),
        ({"array_like": True}, {}, "as_tuple=True"),
        ({"frozen": False}, {}, "never change"),
        ({"newtype": True}, {}, "0 fields"),
        ({"newtype": True}, {"a": int, "b": int}, "2 fields"),
        ({"newtype": True, "as_tuple": True}, {"a": int}, "choose one"),
        ({"newtype": True, "omit_defaults": True}, {"a": int}, "omit defaults"),
        ({"as_tuple": True, "omit_defaults": True}, {"a": int}, "omit defaults"),
    ],
    ids=str,
)
def test_class_statements_that_make_no_sense(
    keywords: dict[str, Any], fields: dict[str, Any], text: str
) -> None:
    with pytest.raises(RegistrationError, match=text):
        types.new_class("Odd", (Case,), keywords, lambda body: body.update(__annotations__=fields))


def test_class_statements_that_make_sense() -> None:
    """What says only what is so anyway, and what msgspec offers besides."""
    made: Any = types.new_class(
        "Fine", (Case,), {"frozen": True, "rename": "camel", "omit_defaults": True, "kw_only": True},
        lambda body: body.update(__annotations__={"some_field": int}),
    )  # fmt: skip
    assert made.__struct_encode_fields__ == ("someField",)
    assert case_name(made) == "Fine"


def test_a_byte_list_is_bytes_with_a_mark() -> None:
    assert is_byte_list(msgspec.inspect.type_info(ByteList))
    for other in (msgspec.Meta(extra={"a": 1}), msgspec.Meta(max_length=1, extra_json_schema={"a": 1})):
        assert not is_byte_list(other)
