"""What annotations mean: which answers fit, and how names are found."""

# ruff: noqa: UP006, UP007, UP035, UP045 (the old spellings are among what is tested)

from __future__ import annotations

import sys
import types
import typing
from collections.abc import Callable, Sequence
from typing import Annotated, Any, List, Literal, NewType, NoReturn, Optional, Protocol, TypeVar, Union

import pytest

from duologue import Message
from duologue.annotations import MISSING, accepts_answer, accepts_message, resolve, text_of, visible_names

T = TypeVar("T")
UserId = NewType("UserId", int)


if sys.version_info >= (3, 12):
    Number = typing.TypeAliasType("Number", int | float)
    MaybeNumber = typing.TypeAliasType("MaybeNumber", Annotated[Number | None, "or not"])
else:
    Number = types.SimpleNamespace(__value__=int | float)
    MaybeNumber = types.SimpleNamespace(__value__=Annotated[int | float | None, "or not"])


class Point(Message[None]):
    x: float


class Point3(Point):
    z: float


class Add(Message[int]):
    a: int


class Closeable(Protocol):
    def close(self) -> None: ...


@pytest.mark.parametrize(
    ("answer", "returned"),
    [
        (int, int),
        (int, Any),
        (Any, str),
        (object, bool),
        (int, NoReturn),
        (type(None), None),
        (None, type(None)),
        (Point, Point3),
        (float, int),
        (int, UserId),
        (UserId, UserId),
        (UserId | None, UserId),
        (int | None, Optional[int]),
        (Union[int, None], int | None),
        (int | str | None, str | None),
        (int | None, None),
        (list[int], List[int]),
        (list[list[int]], List[List[int]]),
        (dict[str, object], dict[str, Any]),
        (list[Annotated[int, "metres"]], list[int]),
        (Annotated[int, "metres"], int),
        (Number, int),
        (Number, Number),
        (MaybeNumber, float | None),
        (int | float | None, Number),
        (int, Annotated[int, "metres"]),
        (Literal[1, 2], Literal[1, 2]),
        (tuple[int, ...], tuple[int, ...]),
    ],
    ids=str,
)
def test_what_may_be_returned(answer: Any, returned: Any) -> None:
    assert accepts_answer(answer, returned)


@pytest.mark.parametrize(
    ("answer", "returned"),
    [
        (int, str),
        (int, bool),  # an int to Python, and something else on the wire
        (bool, int),
        (int, None),
        (None, int),
        (int, int | None),
        (int, float),
        (Point3, Point),
        (UserId, int),
        (str, UserId),
        (list[int], list[str]),
        (list[int], list[bool]),
        (list[int], list),
        (list, list[int]),
        (list[int], Sequence[int]),
        (tuple[int, int], tuple[int]),
        (tuple[int, str], tuple[str, int]),
        (int | None, str | None),
        (int, Callable[[], int]),
        (int, Literal["a"]),
        (int, T),
    ],
    ids=str,
)
def test_what_may_not_be_returned(answer: Any, returned: Any) -> None:
    assert not accepts_answer(answer, returned)


@pytest.mark.parametrize(
    "parameter",
    [
        Add,
        Message,
        Message[int],
        Message[Any],
        Any,
        object,
        Add | Point,
        Optional[Add],
        T,
        Closeable,
        Annotated[Add, "it"],
    ],
    ids=str,
)
def test_parameters_that_take_a_message(parameter: Any) -> None:
    assert accepts_message(parameter, Add)


@pytest.mark.parametrize("parameter", [Point, int, None, Point | None, list[Add]], ids=str)
def test_parameters_that_do_not_take_a_message(parameter: Any) -> None:
    assert not accepts_message(parameter, Add)


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        (None, "None"),
        (type(None), "None"),
        (int, "int"),
        (list[int], "list[int]"),
        (Optional[int], "Optional[int]"),
        (Add, "Add"),
    ],
    ids=str,
)
def test_types_are_shown_as_somebody_would_write_them(annotation: Any, text: str) -> None:
    assert text_of(annotation) == text


@pytest.mark.parametrize(
    ("annotation", "meant"),
    [
        (int, int),
        ("int", int),
        ("None", type(None)),
        ("Point | None", Point | None),
        ("list['Point']", list[Point]),
        (list["Point"], list[Point]),
        (MISSING, MISSING),
    ],
    ids=repr,
)
def test_names_in_quotes_are_looked_up(annotation: Any, meant: Any) -> None:
    assert resolve(annotation, {"Point": Point}) == meant


@pytest.mark.parametrize("annotation", ["Missing", "typing.Missing", "not a type"])
def test_what_can_not_be_looked_up(annotation: str) -> None:
    with pytest.raises((NameError, AttributeError, SyntaxError)):
        resolve(annotation, {"typing": typing})


def test_the_names_of_a_module_go_before_the_fallback() -> None:
    def function() -> None: ...

    names = visible_names(function, {"Add": 1, "unknown": 2})
    assert (names["Add"], names["unknown"]) == (Add, 2)


def test_what_the_enclosing_functions_know_goes_first() -> None:
    """A class of the enclosing function hides the module's, as it does for the interpreter."""

    class Add: ...

    def outer() -> dict[str, Any]:
        inner = "of outer"

        def function() -> None: ...

        assert inner
        return visible_names(function, {})

    names = outer()
    assert (names["Add"], names["inner"]) == (Add, "of outer")


def test_another_function_that_is_running_does_not_count() -> None:
    """`registering` runs when the names are looked up, and has nothing to do with the function."""

    def make() -> Callable[[], None]:
        def function() -> None: ...

        return function

    def registering(function: Callable[[], None]) -> dict[str, Any]:
        hidden = 1
        assert hidden
        return visible_names(function, {})

    assert "hidden" not in registering(make())


def test_what_a_function_closes_over_is_its_own() -> None:
    """Of two calls of the same function, the running one must not lend its variables to the other's result."""

    def make(value: int, then: Callable[[], None] | None) -> Any:
        def function() -> None:
            print(value)

        return function if then is None else visible_names(then, {})["value"]

    first = make(1, None)
    assert make(2, first) == 1


def test_a_variable_that_has_no_value_yet_is_left_out() -> None:
    def function() -> None:
        print(later)

    assert "later" not in visible_names(function, {})
    later = 1


def test_what_is_no_function_has_no_names() -> None:
    assert visible_names(len, {"a": 1}) == {"a": 1}
