"""Messages: what a class statement says about them, and what it may not say."""

from __future__ import annotations

import types
from typing import Annotated, Any, Generic, TypeVar

import msgspec
import pytest

from duologue import Message, RegistrationError
from duologue.messages import Shape, answer_type, shape_of

T = TypeVar("T")
U = TypeVar("U")


class Add(Message[int]):
    a: int
    b: int = 2


class More(Add, kw_only=True):
    c: int


class Said(Message["Answer | None"]):
    text: str


class SaidInside(Message[list["Answer"]]):
    pass


class Nothing(Message[None]):
    pass


class QuotedNothing(Message["None"]):
    pass


class Wrapped(Message[bool], newtype=True):
    number: int


class WrappedToo(Wrapped):
    pass


class Unwrapped(Wrapped, newtype=False):
    more: int = 0


class Row(Message[None], as_tuple=True):
    a: int
    b: str


class RowToo(Row):
    c: int = 0


class Map(Row, as_tuple=False):
    pass


class Get(Message[T], Generic[T]):
    key: str


class GetInt(Get[int]):
    pass


class GetList(Get[list[U]], Generic[U]):
    size: U


class GetListOfText(GetList[str]):
    pass


class Optional(Message[T | None], Generic[T]):
    pass


class OptionalBytes(Optional[bytes]):
    pass


class Mixin:
    def shout(self) -> str:
        return "!"


class Mixed(Mixin, Get[float]):
    pass


class Checked(Message[Annotated[int, msgspec.Meta(ge=0)]]):
    pass


Alias = Message[dict[str, int]]


class ByAlias(Alias):
    pass


class Page(msgspec.Struct, Generic[T]):
    items: list[T]


class Pages(Message[Page[T]], Generic[T]):
    pass


class IntPages(Pages[int]):
    pass


class BarePages(Message[Page]):  # type: ignore[type-arg]
    pass


class Answer(msgspec.Struct):
    text: str


@pytest.mark.parametrize(
    ("message", "answer"),
    [
        (Add, int),
        (More, int),
        (Said, Answer | None),
        (SaidInside, list[Answer]),
        (Nothing, types.NoneType),
        (QuotedNothing, types.NoneType),
        (GetInt, int),
        (Get[int], int),
        (GetListOfText, list[str]),
        (GetList[bytes], list[bytes]),
        (OptionalBytes, bytes | None),
        (Mixed, float),
        (Checked, Annotated[int, msgspec.Meta(ge=0)]),
        (ByAlias, dict[str, int]),
        (IntPages, Page[int]),
        (BarePages, Page),
    ],
    ids=str,
)
def test_the_type_of_the_answer(message: Any, answer: Any) -> None:
    """It is what is in the brackets, the class's own or a base's, by its name or the type itself."""
    assert answer_type(message) == answer


def test_an_answer_that_is_not_said() -> None:
    """A class without the brackets is refused, with what to write."""

    class Forgotten(Message):  # type: ignore[type-arg]
        a: int

    class ForgottenToo(Forgotten):
        pass

    for message in (Forgotten, ForgottenToo, Message):
        with pytest.raises(RegistrationError, match=rf"write `class {message.__name__}\(Message\[int\]\)`"):
            answer_type(message)


@pytest.mark.parametrize("message", [Get, GetList, Optional, Pages], ids=str)
def test_an_answer_that_is_left_open(message: Any) -> None:
    """A generic message says its answer only once its parameter is given."""
    with pytest.raises(RegistrationError, match=r"derive a class that says it"):
        answer_type(message)


def test_an_answer_that_can_not_be_looked_up() -> None:
    """A name that is not in the module of the class is refused, with what to do."""

    class Elsewhere(Message["NotHere"]):  # type: ignore[name-defined]
        pass

    with pytest.raises(RegistrationError, match=r"'NotHere' is not defined.*define or import it"):
        answer_type(Elsewhere)


def test_an_answer_of_what_is_no_message() -> None:
    not_a_message: Any = Answer
    with pytest.raises(RegistrationError, match="Answer is not a message class"):
        answer_type(not_a_message)


@pytest.mark.parametrize(
    ("message", "shape"),
    [
        (Add, Shape.MAP),
        (More, Shape.MAP),
        (GetInt, Shape.MAP),
        (Nothing, Shape.NOTHING),
        (Wrapped, Shape.VALUE),
        (WrappedToo, Shape.VALUE),
        (Unwrapped, Shape.MAP),
        (Row, Shape.TUPLE),
        (RowToo, Shape.TUPLE),
        (Map, Shape.MAP),
    ],
)
def test_the_shape(message: type[Message[Any]], shape: Shape) -> None:
    """Said by a keyword of the class statement, and inherited; without fields it is null."""
    assert shape_of(message) is shape


def test_objects() -> None:
    """Made by name or by position, compared by value, never changed."""
    assert Add(5) == Add(a=5, b=2) == Add(5, 2)
    assert Add(1) != Add(2)
    assert repr(Add(1)) == "Add(a=1, b=2)"
    assert hash(Add(1)) == hash(Add(1))
    assert More(1, c=3).c == 3
    assert Mixed("a").shout() == "!"
    message: Any = Add(1)
    with pytest.raises(AttributeError):
        message.a = 2
    with pytest.raises(TypeError):
        message.__class__()


def test_keywords_of_msgspec() -> None:
    """Those that don't change what a message is are passed on."""

    class Renamed(
        Message[None], rename="camel", omit_defaults=True, forbid_unknown_fields=True, order=True, frozen=True
    ):
        first_name: str

    assert msgspec.json.encode(Renamed("a")) == b'{"firstName":"a"}'
    assert Renamed("a") < Renamed("b")


@pytest.mark.parametrize(
    ("keywords", "text"),
    [
        ({"tag": True}, "it has a service id instead"),
        ({"tag_field": "kind"}, "it has a service id instead"),
        ({"array_like": True}, "write as_tuple=True"),
        ({"frozen": False}, "messages never change"),
        ({"newtype": True, "as_tuple": True}, "choose one"),
    ],
    ids=str,
)
def test_keywords_that_are_refused(keywords: dict[str, Any], text: str) -> None:
    """Each with the reason, or what to write instead."""
    with pytest.raises(RegistrationError, match=text):
        types.new_class(
            "Odd", (Message[int],), keywords, lambda names: names.update(__annotations__={"a": int})
        )


@pytest.mark.parametrize("fields", [{}, {"a": int, "b": int}], ids=["none", "two"])
def test_a_newtype_has_one_field(fields: dict[str, Any]) -> None:
    with pytest.raises(RegistrationError, match=f"newtype=True and {len(fields)} fields"):
        types.new_class(
            "Odd", (Message[int],), {"newtype": True}, lambda names: names.update(__annotations__=fields)
        )
