"""What Rust writes in its own way: tagged unions, which it calls enums, and lists of bytes.

    class Circle(Case):
        radius: float

    class Nowhere(Case):
        pass

    Shape = Circle | Nowhere

A tagged union is a union of cases, and may stand wherever a type may. On the wire a case without data is its name,
`"Nowhere"`, and one with data a map with one entry, `{"Circle": {"radius": 1.5}}` (docs/protocol.md, section 3).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, TypeAlias, cast, dataclass_transform, get_origin
from weakref import WeakValueDictionary

import msgspec

from duologue.errors import RegistrationError
from duologue.messages import Shape

CASE_FIELD = "(case)"
"""The field by which msgspec tells cases apart, in memory only: wire formats write something else in its place.

No field can have this name, and whoever finds it in an error of msgspec's can guess what is missing.
"""

_BYTE_LIST = "duologue: byte list"

ByteList: TypeAlias = Annotated[bytes, msgspec.Meta(extra={_BYTE_LIST: True})]
"""Bytes that are written as an array of integers: a Rust `Vec<u8>` without serde_bytes. Both forms are read.

It is the same as `bytes` to Python and to type checkers. A field, a part of another type (`list[ByteList]`,
`ByteList | None`) and an answer may be declared so.
"""

_NOT_TAKEN = {
    "tag": ": its tag is its name, say name=",
    "tag_field": ": its tag is the key of a map with one entry",
    "array_like": ": write as_tuple=True",
    "frozen": ": cases never change",
}
"""Keywords of `msgspec.Struct` that cases don't take, and why."""

_by_tag: WeakValueDictionary[str, type[Case]] = WeakValueDictionary()


def _check_options(class_name: str, options: Mapping[str, Any]) -> None:
    for option, value in options.items():
        if option in _NOT_TAKEN and (option, value) != ("frozen", True):
            raise RegistrationError(f"the case {class_name} can't have {option}={_NOT_TAKEN[option]}")


def _check_shape(made: msgspec.StructMeta, newtype: bool, as_tuple: bool) -> None:
    name, count = made.__name__, len(made.__struct_fields__)
    if newtype and as_tuple:
        raise RegistrationError(
            f"{name} has both newtype and as_tuple: choose one, its data is either the value or an array"
        )
    if newtype and count != 1:
        raise RegistrationError(
            f"{name} has newtype=True and {count} fields: it must have exactly one, whose value is the data"
        )
    if (newtype or as_tuple) and made.__struct_config__.omit_defaults:
        raise RegistrationError(
            f"{name} can't omit defaults: with newtype or as_tuple every field has its place"
        )


@dataclass_transform(frozen_default=True, field_specifiers=(msgspec.field,))
class CaseMeta(msgspec.StructMeta):
    """Makes cases out of class statements, takes their keywords, and tells type checkers about the fields."""

    def __new__(
        mcls,
        class_name: str,
        bases: tuple[type, ...],
        namespace: dict[str, Any],
        /,
        *,
        name: str | None = None,
        newtype: bool = False,
        as_tuple: bool = False,
        **options: Any,
    ) -> CaseMeta:
        """See `Case`."""
        if msgspec.Struct not in bases:  # it is not Case itself
            _check_options(class_name, options)
        tag = f"{namespace.get('__module__')}.{namespace.get('__qualname__', class_name)}"
        namespace["__duologue_name__"] = class_name if name is None else name
        namespace["__duologue_shape__"] = Shape.VALUE if newtype else Shape.TUPLE if as_tuple else Shape.MAP
        made = super().__new__(mcls, class_name, bases, namespace, tag=tag, tag_field=CASE_FIELD, **options)
        _check_shape(made, newtype, as_tuple)
        _by_tag[tag] = cast("type[Case]", made)
        return made


# Said twice, since mypy asks the base classes first, and there Struct says that objects can be changed.
@dataclass_transform(frozen_default=True, field_specifiers=(msgspec.field,))
class Case(msgspec.Struct, metaclass=CaseMeta, frozen=True):
    """The base of the cases of tagged unions. Its fields are declared as in a dataclass; one without fields has no data.

    Keywords of the class statement, which hold for this class and not for those derived from it:

    - `name="..."`: the name on the wire, where it is not the class's;
    - `newtype=True`: the data is the value of the only field, as for Rust's `Named(String)`;
    - `as_tuple=True`: the data is an array of the fields, as for Rust's `Line(f64, f64)`;

    and of `msgspec.Struct`'s own: `rename`, `omit_defaults`, `forbid_unknown_fields`, `kw_only`, `order`, `eq`,
    `repr_omit_defaults`, `gc`, `weakref`, `dict`, `cache_hash`.

    A class statement that makes no sense raises `RegistrationError`. Objects are compared by value and can't be changed.
    """

    __duologue_name__: ClassVar[str]
    __duologue_shape__: ClassVar[Shape]


def case_class(type_: Any) -> type[Case] | None:
    """The class of the case that the type is, with or without its parameters; None if it is something else."""
    kind: Any = get_origin(type_) or type_
    return cast("type[Case]", kind) if isinstance(kind, CaseMeta) else None


def case_by_tag(tag: object) -> type[Case] | None:
    """The case whose objects msgspec marks with this tag, in their `CASE_FIELD`; None if there is none."""
    return _by_tag.get(tag) if isinstance(tag, str) else None


def case_tag(case: type[Case]) -> str:
    """The tag by which msgspec knows the case. It is the class's own, the same at each start of the program."""
    tag = case.__struct_config__.tag
    assert isinstance(tag, str)
    return tag


def case_name(case: type[Case]) -> str:
    """The name of the case on the wire."""
    return case.__duologue_name__


def case_shape(case: type[Case]) -> Shape:
    """What the data of the case looks like on the wire."""
    return case.__duologue_shape__ if case.__struct_fields__ else Shape.NOTHING


def is_byte_list(metadata: Any) -> bool:
    """Whether a `msgspec.inspect.Metadata` says of bytes that they are a `ByteList`."""
    return metadata.extra is not None and _BYTE_LIST in metadata.extra
