"""Messages: classes whose objects travel, and which say what the answer is.

    class Add(Message[int]):
        a: int
        b: int

The fields are declared as in a dataclass. How a message looks on the wire is its shape (docs/protocol.md, section 3):
a map of its fields unless a class keyword says something else, and null if it has no fields.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from enum import Enum
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Generic,
    Self,
    TypeVar,
    cast,
    dataclass_transform,
    get_args,
    get_origin,
    get_type_hints,
)

import msgspec

from duologue.annotations import text_of
from duologue.errors import RegistrationError

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

_NOT_TAKEN = {
    "tag": ": it has a service id instead",
    "tag_field": ": it has a service id instead",
    "array_like": ": write as_tuple=True",
    "frozen": ": messages never change",
}
"""Keywords of `msgspec.Struct` that messages don't take, and why."""


class Shape(Enum):
    """What a message looks like on the wire."""

    MAP = "map"
    """Its fields with their names, in the order of declaration: `Add(a=1, b=2)` -> `{"a": 1, "b": 2}`."""
    TUPLE = "tuple"
    """Its fields without their names: `Add(1, 2)` -> `[1, 2]`. Said by `as_tuple=True`."""
    VALUE = "value"
    """The value of its only field: `Add(5)` -> `5`. Said by `newtype=True`."""
    NOTHING = "nothing"
    """Null: it has no fields."""


@dataclass_transform(frozen_default=True, field_specifiers=(msgspec.field,))
class MessageMeta(msgspec.StructMeta):
    """Makes message classes out of class statements, takes their keywords, and tells type checkers about the fields."""

    def __new__(
        mcls,
        name: str,
        bases: tuple[type, ...],
        namespace: dict[str, Any],
        /,
        *,
        newtype: bool | None = None,
        as_tuple: bool | None = None,
        **options: Any,
    ) -> MessageMeta:
        """See `Message`. What is not said is as in the base class."""
        if msgspec.Struct not in bases:  # it is not Message itself
            _check_options(name, options)
        if newtype is None:
            newtype = any(getattr(base, "__duologue_newtype__", False) for base in bases)
        if as_tuple is not None:
            options["array_like"] = as_tuple
        namespace["__duologue_newtype__"] = newtype
        made = super().__new__(mcls, name, bases, namespace, **options)
        if newtype:
            _check_newtype(made)
        return made


# Said twice, since mypy asks the base classes first, and there Struct says that objects can be changed.
@dataclass_transform(frozen_default=True, field_specifiers=(msgspec.field,))
class Message(msgspec.Struct, Generic[R_co], metaclass=MessageMeta, frozen=True):
    """The base of all messages, generic over the type of the answer. The answer to a `Message[None]` says only that it is done.

    Keywords of the class statement:

    - `newtype=True`: the payload is the value of its only field, as for a Rust newtype;
    - `as_tuple=True`: the payload is an array of its fields, as for a Rust tuple struct;
    - and of `msgspec.Struct`'s own: `rename`, `omit_defaults`, `forbid_unknown_fields`, `kw_only`, `order`, `eq`,
      `repr_omit_defaults`, `gc`, `weakref`, `dict`, `cache_hash`.

    A class statement that makes no sense raises `RegistrationError`. Objects are compared by value and can't be changed.
    """

    __duologue_newtype__: ClassVar[bool]

    if TYPE_CHECKING:

        @classmethod
        def __handled_by__(cls, function: Callable[[Self], R_co], /) -> None:
            """Not there when it runs: by it type checkers see which functions can be handlers of the message."""


def shape_of(message_class: type[Message[Any]]) -> Shape:
    """What messages of the class look like on the wire."""
    if not message_class.__struct_fields__:
        return Shape.NOTHING
    if message_class.__duologue_newtype__:
        return Shape.VALUE
    return Shape.TUPLE if message_class.__struct_config__.array_like else Shape.MAP


def answer_type(message_class: type[Message[R]]) -> type[R]:
    """The type of the answer: the `R` of `Message[R]`, be it the class's own or a base's; `NoneType` for `Message[None]`.

    Raises `RegistrationError` if the class does not say it, or says it with a name that can't be looked up.
    """
    answer = _answer(message_class, {}, message_class)
    if isinstance(answer, TypeVar) or _variables(answer):
        name = text_of(message_class)
        raise RegistrationError(
            f"{name} leaves the type of its answer open: derive a class that says it, `class Mine({name}[int])`"
        )
    return cast("type[R]", answer)


def _check_options(name: str, options: Mapping[str, Any]) -> None:
    for option, value in options.items():
        if option in _NOT_TAKEN and (option, value) != ("frozen", True):
            raise RegistrationError(f"the message {name} can't have {option}={_NOT_TAKEN[option]}")


def _check_newtype(made: msgspec.StructMeta) -> None:
    count = len(made.__struct_fields__)
    if count != 1:
        raise RegistrationError(
            f"{made.__name__} has newtype=True and {count} fields: it must have exactly one, whose value is the payload"
        )
    if made.__struct_config__.array_like:
        raise RegistrationError(
            f"{made.__name__} has both newtype and as_tuple: choose one, the payload is either the value or an array"
        )


def _answer(declared: Any, bound: Mapping[Any, Any], asked: Any) -> Any:
    """What `declared`, a message class or one with its parameters given, has in the place of `Message`'s parameter."""
    origin: Any = get_origin(declared) or declared
    given = [_substituted(each, bound) for each in get_args(declared)]
    if origin is Message:
        if given:
            return given[0]
        name = text_of(asked)
        raise RegistrationError(
            f"{name} does not say what its answer is: write `class {name}(Message[int])`, or `Message[None]` if it has none"
        )
    inner = dict(zip(origin.__parameters__, given, strict=True)) if given else {}
    for base in _bases(origin):
        kind: Any = get_origin(base) or base
        if isinstance(kind, type) and issubclass(kind, Message):
            return _answer(_looked_up(base, origin), inner, asked)
    raise RegistrationError(f"{text_of(declared)} is not a message class: derive it from Message[...]")


def _bases(kind: type[Any]) -> tuple[Any, ...]:
    """The base classes as they were written, with their parameters."""
    bases: tuple[Any, ...] = vars(kind).get("__orig_bases__", kind.__bases__)
    return bases


def _looked_up(base: Any, holder: type[Any]) -> Any:
    """A base class with the names in quotes among its parameters looked up, where they were written."""
    try:
        names = vars(sys.modules[holder.__module__])
        return get_type_hints(_Spelled(base), globalns=names, include_extras=True)["base"]
    except Exception as exc:
        raise RegistrationError(
            f"{holder.__name__} is declared as {text_of(base)}, and a name in it can't be looked up ({exc}): "
            "define or import it in the same module, not in a function, and not only for type checkers"
        ) from exc


class _Spelled:
    """Something with an annotation, for `typing.get_type_hints` to look at."""

    def __init__(self, base: object) -> None:
        self.__annotations__ = {"base": base}


def _substituted(argument: Any, bound: Mapping[Any, Any]) -> Any:
    """A type argument with the type variables in it replaced, as far as they are known."""
    if isinstance(argument, TypeVar):
        return bound.get(argument, argument)
    variables = _variables(argument)
    return argument[tuple(bound.get(each, each) for each in variables)] if variables else argument


def _variables(argument: Any) -> tuple[Any, ...]:
    """The type variables that are left in `list[T]`. A class that is only generic itself has none."""
    return () if get_origin(argument) is None else getattr(argument, "__parameters__", ())
