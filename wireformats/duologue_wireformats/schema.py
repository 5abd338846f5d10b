"""What a declared type may hold, as far as it matters for reading and writing it safely. Read once per type.

A type is *closed* if it says what is in it down to the last value, and so how deep it can be. It is *open* if it has
an `Any` in it (a bare `dict` or `list` has one), or is recursive: then what it holds is up to the sender.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, cast, get_origin

import msgspec
import msgspec.inspect as mi

from duologue.annotations import text_of
from duologue.cases import Case, case_name
from duologue.errors import RegistrationError
from duologue.messages import Message, Shape, shape_of
from duologue_wireformats.forms import case_of, is_array, is_list_of_bytes, without_metadata

_BESIDE_CASES = (mi.NoneType, mi.BoolType, mi.IntType, mi.FloatType)
"""What may be in a union with cases, besides arrays: everything else is a text in some format, or a map."""


@dataclass(slots=True)
class Schema:
    """Facts about a declared type."""

    type_: Any
    """The type itself."""
    tree: mi.Type
    """What msgspec makes of it."""
    is_open: bool = False
    """It has an `Any` in it, or is recursive."""
    has_bytes: bool = False
    has_integers: bool = False
    has_integer_keys: bool = False
    """It has a `dict` whose keys are integers. No other map may have such keys."""
    mixed_keys: str = ""
    """Where there is a `dict` whose keys may be integers or something else; empty if nowhere."""
    has_floats: bool = False
    has_instants: bool = False
    """It has a `datetime`, which msgspec's MessagePack writes as an extension type."""
    has_cases: bool = False
    has_byte_lists: bool = False

    @property
    def has_forms(self) -> bool:
        """Whether something in it is written in another form than msgspec gives it."""
        return self.has_cases or self.has_byte_lists


def read_schema(type_: Any) -> Schema:
    """Look through a type. Raises `RegistrationError` if it can't be carried, and says which part is the matter."""
    try:
        tree = mi.type_info(type_)
        msgspec.json.Decoder(type_)  # knows more rules, which else would show up with the first payload
    except Exception as exc:
        instead = (
            "; derive each from Case, by which they are told apart"
            if "more than one dataclass" in str(exc)
            else ""
        )
        raise RegistrationError(f"{text_of(type_)} can't be carried: {exc}{instead}") from exc
    schema = Schema(type_, tree)
    _Reader(schema).read(tree, text_of(type_))
    return schema


def message_class(type_: Any) -> type[Message[Any]] | None:
    """The class of messages that the type is, with or without its parameters; None if it is something else."""
    kind: Any = get_origin(type_) or type_
    is_message = isinstance(kind, type) and issubclass(kind, Message)
    return cast("type[Message[Any]]", kind) if is_message else None


class _Reader:
    """Fills a schema, by looking at each part of a type once."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._around: set[int] = set()
        """The classes that the one which is being looked at is in. One that is in itself is recursive."""
        self._done: set[int] = set()

    def read(self, node: mi.Type, path: str) -> None:
        """Look at a part of the type, and what is in it."""
        match node:
            case mi.AnyType():
                self._schema.is_open = True
            case mi.BytesType() | mi.ByteArrayType():
                self._schema.has_bytes = True
            case mi.IntType():
                self._schema.has_integers = True
            case mi.FloatType():
                self._schema.has_floats = True
            case mi.DateTimeType():
                self._schema.has_instants = True
            case mi.Metadata():
                self._schema.has_byte_lists |= is_list_of_bytes(node)
                self.read(node.type, path)
            case mi.UnionType():
                _check_union(node.types, path)
                for each in node.types:
                    self.read(each, path)
            case mi.DictType():
                self._read_keys(node.key_type, path)
                self.read(node.value_type, f"{path}[...]")
            case mi.SetType() | mi.FrozenSetType():
                _check_hashable(node.item_type, path, "a set")
                self.read(node.item_type, f"{path}[...]")
            case mi.ListType() | mi.VarTupleType():
                self.read(node.item_type, f"{path}[...]")
            case mi.TupleType():
                for index, each in enumerate(node.item_types):
                    self.read(each, f"{path}[{index}]")
            case mi.StructType() | mi.DataclassType() | mi.TypedDictType() | mi.NamedTupleType():
                self._read_class(node, path)
            case mi.CustomType() | mi.RawType() | mi.ExtType() | mi.MemoryViewType():
                _refuse_kind(node, path)
            case _:
                pass  # the rest are single values, which all formats write as a text or a number

    def _read_class(
        self, node: mi.StructType | mi.DataclassType | mi.TypedDictType | mi.NamedTupleType, path: str
    ) -> None:
        if id(node) in self._around:
            self._schema.is_open = True
        if id(node) in self._around | self._done:
            return
        if isinstance(node, mi.StructType):
            self._schema.has_cases |= case_of(node) is not None
            _check_struct(node, path)
        self._around.add(id(node))
        for field in node.fields:
            self.read(field.type, f"{path}.{field.name}")
        self._around.discard(id(node))
        self._done.add(id(node))

    def _read_keys(self, node: mi.Type, path: str) -> None:
        if isinstance(node, mi.AnyType):
            return  # texts and byte strings, as in every map that is not declared
        _check_hashable(node, path, "the keys of a dict")
        if is_list_of_bytes(node):
            raise RegistrationError(
                f"{path} has keys that are a ByteList, and arrays can't be keys: use bytes"
            )
        if any(_is_integer(each) for each in _parts(node)):
            self._schema.has_integer_keys = True
            if any(_is_other(each) for each in _parts(node)):
                self._schema.mixed_keys = path
        self.read(node, f"{path}[...]")


def _parts(node: mi.Type) -> Iterable[mi.Type]:
    """What a value of the type can be."""
    if isinstance(node, mi.Metadata):
        return _parts(node.type)
    return node.types if isinstance(node, mi.UnionType) else (node,)


def _is_integer(node: mi.Type) -> bool:
    if isinstance(node, mi.EnumType):
        return any(isinstance(each.value, int) for each in _members(node))
    if isinstance(node, mi.LiteralType):
        return any(isinstance(each, int) for each in node.values)
    return isinstance(node, mi.IntType)


def _is_other(node: mi.Type) -> bool:
    """Whether a value of the type may be something else than an integer."""
    if isinstance(node, mi.LiteralType):
        return any(not isinstance(each, int) for each in node.values)
    return not _is_integer(node)  # the values of an enum are all of one kind


def _kind(node: mi.Type) -> str:
    return type(node).__name__.removesuffix("Type").lower()


def _members(node: mi.EnumType) -> Iterable[enum.Enum]:
    return node.cls


def _check_hashable(node: mi.Type, path: str, what: str) -> None:
    """Allow only what nobody can craft thousands of with one hash, which would make a set of them quadratic.

    UUIDs and Decimals hash as integers of any size do, modulo 2^61 - 1; tuples and objects have no secret in theirs.
    """
    fine = (mi.StrType, mi.BytesType, mi.IntType, mi.EnumType, mi.LiteralType)
    for each in _parts(node):
        if not isinstance(each, fine):
            raise RegistrationError(
                f"{path} has {what} of {_kind(each)}: let them be str, bytes, int, an enum or a Literal, since others can be made to collide"
            )


def _check_union(nodes: Sequence[mi.Type], path: str) -> None:
    cases = [case for each in nodes if (case := case_of(each))]
    others = [without_metadata(each) for each in nodes if not case_of(each)]
    names = [case_name(case) for case in cases]
    if len(set(names)) < len(names):
        classes = ", ".join(case.__qualname__ for case in cases)
        raise RegistrationError(
            f"{path} has two cases with one name, of {classes}: give one another name, `class Mine(Case, name=...)`"
        )
    for each in others if cases else ():
        if not isinstance(each, _BESIDE_CASES) and not is_array(each):
            raise RegistrationError(
                f"{path} has cases beside {_kind(each)}: they are texts and maps, so only None, numbers and arrays can be told "
                "from them; make it a case of its own, `class Mine(Case, newtype=True)`"
            )
    if any(map(is_list_of_bytes, nodes)) and any(map(is_array, nodes)):
        raise RegistrationError(
            f"{path} has a ByteList beside another array, and can't tell them apart: use bytes"
        )


def _check_struct(node: mi.StructType, path: str) -> None:
    if node.cls is Case:
        raise RegistrationError(f"{path} is a Case: write the union of its cases, `Circle | Square`")
    if node.tag is not None and case_of(node) is None:
        raise RegistrationError(
            f"{path} is the msgspec-tagged struct {text_of(node.cls)}: its tag would be a field among the others, which "
            "no Rust peer writes or reads; derive the cases from duologue.Case instead"
        )
    kind = message_class(node.cls)
    if kind is not None and shape_of(kind) in (Shape.VALUE, Shape.NOTHING):
        raise RegistrationError(
            f"{path} is the message {kind.__name__}, whose shape ({shape_of(kind).value}) only holds for a whole payload: "
            "use the type of its value there, or a NewType"
        )


def _refuse_kind(node: mi.Type, path: str) -> NoReturn:
    match node:
        case mi.CustomType(cls) if cls is object:
            raise RegistrationError(f"{path} is an object: write Any where everything is allowed")
        case mi.CustomType(cls):
            raise RegistrationError(
                f"{path} is a {text_of(cls)}, which no wire format can carry: use a dataclass or a msgspec.Struct"
            )
        case mi.MemoryViewType():
            raise RegistrationError(f"{path} is a memoryview: use bytes, since what is received is not kept")
        case _:
            raise RegistrationError(f"{path} is bound to one encoding: use Any, or bytes")
