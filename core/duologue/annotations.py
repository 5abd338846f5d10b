"""What annotations mean: finding the types that they name, and whether a handler's answer is the message's."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Never, NewType, NoReturn, Union, get_args, get_origin, get_type_hints

MISSING: Any = inspect.Parameter.empty
"""There is no annotation."""


class _Holder:
    """Something with annotations, for `typing.get_type_hints` to look at one of them at a time."""

    def __init__(self, annotation: object) -> None:
        self.__annotations__ = {"it": annotation}


def resolve(annotation: object, names: Mapping[str, Any]) -> Any:
    """The type that an annotation means: names in quotes are looked up. Raises `NameError` and whatever else evaluating may."""
    if annotation is MISSING:
        return MISSING
    return get_type_hints(_Holder(annotation), globalns=dict(names))["it"]


def visible_names(function: Callable[..., Any], fallback: Mapping[str, Any]) -> dict[str, Any]:
    """The names that a function's annotations may use, as far as they can still be found.

    Those of its module, and, for one that was defined in another function, what that one's variables are now, if it
    is still running. `fallback` is for what none of them knows: imports that only type checkers see.
    """
    names = dict(fallback)
    names.update(getattr(function, "__globals__", {}))
    qualified = getattr(function, "__qualname__", "")
    if "<locals>" in qualified:
        names.update(_enclosing_names(function, qualified))
    return names


def _enclosing_names(function: Callable[..., Any], qualified: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    frame = inspect.currentframe()
    while frame is not None:
        code = frame.f_code
        if frame.f_globals is function.__globals__ and qualified.startswith(f"{code.co_qualname}.<locals>."):
            names = {**frame.f_locals, **names}
        frame = frame.f_back
    # What it closes over is sure to be its own; the frames may be of another call of the same function.
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            names[name] = cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    return names


def text_of(annotation: Any) -> str:
    """As somebody would write it."""
    if annotation is None or annotation is types.NoneType:
        return "None"
    if isinstance(annotation, type) and get_origin(annotation) is None:
        return annotation.__name__
    return str(annotation).replace("typing.", "")


def accepts_answer(answer: Any, returned: Any) -> bool:
    """Whether what a function is declared to return is always an answer of the declared type.

    `Any` is taken at its word. A class may be the answer's or derived from it, a union a part of the answer's,
    everything else must be equal.
    """
    answer, returned = _plain(answer), _plain(returned)
    if Any in (answer, returned) or returned in (Never, NoReturn) or answer == returned:
        return True
    if _is_union(returned):
        return all(accepts_answer(answer, part) for part in get_args(returned))
    if _is_union(answer):
        return any(accepts_answer(part, returned) for part in get_args(answer))
    if isinstance(returned, NewType):
        return accepts_answer(answer, returned.__supertype__)
    if get_origin(answer) is not None or get_origin(returned) is not None:
        return _same_generic(answer, returned)
    if isinstance(answer, type) and isinstance(returned, type):
        if answer is float and returned is int:
            return True  # as type checkers have it
        # True is an int to Python, and something else on the wire.
        return issubclass(returned, answer) and (returned is not bool or answer is object)
    return False


def accepts_message(parameter: Any, message: type) -> bool:
    """Whether a parameter with this annotation takes messages of the class."""
    parameter = _plain(parameter)
    if _is_union(parameter):
        return any(accepts_message(part, message) for part in get_args(parameter))
    kind = get_origin(parameter) or parameter
    if kind is Any or not isinstance(kind, type) or getattr(kind, "_is_protocol", False):
        return True  # a type variable or a protocol is left to the type checkers
    return issubclass(message, kind)


def _same_generic(one: Any, other: Any) -> bool:
    """`list[int]` and `List[int]` are the same to us, and not equal to Python."""
    parts, others = get_args(one), get_args(other)
    return (
        (get_origin(one) or one) == (get_origin(other) or other)
        and len(parts) == len(others)
        and all(_same_part(part, another) for part, another in zip(parts, others, strict=True))
    )


def _same_part(one: Any, other: Any) -> bool:
    one, other = _plain(one), _plain(other)
    return Any in (one, other) or one == other or _same_generic(one, other)


def _plain(annotation: Any) -> Any:
    while True:
        if get_origin(annotation) is Annotated:
            annotation = get_args(annotation)[0]
        elif hasattr(annotation, "__value__"):
            annotation = annotation.__value__  # `type Shape = Circle | Square`, from Python 3.12 on
        else:
            return types.NoneType if annotation is None else annotation


def parts_of(annotation: Any) -> tuple[Any, ...]:
    """The parts of a union; what is not one is its own only part."""
    annotation = getattr(annotation, "__value__", annotation)
    return get_args(annotation) if _is_union(annotation) else (annotation,)


def _is_union(annotation: Any) -> bool:
    return get_origin(annotation) in (Union, types.UnionType)
