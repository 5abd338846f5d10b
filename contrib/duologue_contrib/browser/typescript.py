"""The messages of a namespace as TypeScript declares them, so that an editor knows what a page may send, and what it gets.

The forms are those that the client of `duologue_contrib.browser` reads and writes: what each type is on the wire is in
docs/protocol.md, section 3, and what of that JavaScript makes is in docs/browser.md.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum
from typing import Any, get_origin

import msgspec.inspect as mi

from duologue import (
    Case,
    Message,
    Namespace,
    RegistrationError,
    Shape,
    answer_type,
    case_class,
    case_name,
    case_shape,
    is_byte_list,
    service_id,
    shape_of,
)

_Named = mi.StructType | mi.DataclassType | mi.TypedDictType
"""Types that get a declaration of their own."""

_SIMPLE: dict[type[mi.Type], str] = {
    mi.AnyType: "unknown",
    mi.NoneType: "null",
    mi.BoolType: "boolean",
    mi.FloatType: "number",
    mi.StrType: "string",
    mi.DateTimeType: "string",
    mi.DateType: "string",
    mi.TimeType: "string",
    mi.TimeDeltaType: "string",
    mi.UUIDType: "string",
    mi.DecimalType: "string",
}

_SAFE = 2**53 - 1
"""The largest integer that a number of JavaScript's is sure to be."""

_RESERVED = ("Array", "Bytes", "ByNumber", "Map", "Record", "Uint8Array")
"""Names that the declarations themselves use."""

_WORD = re.compile(r"[A-Za-z_$][\w$]*")
_ITEM = re.compile(r"[\w$]+(\[\])*")

_HEAD = """\
// Written by `duologue typescript`. Dates, UUIDs and the like are texts. Integers are numbers, and BigInts beyond 2^53.

"""

_BYTES = "type Bytes = {};\n"
_BY_NUMBER = """\
/** A dict with integer keys: write a `Map`; what is read is an object. */
type ByNumber<Value> = Map<number | bigint, Value> | { [key: number]: Value };
"""


def typescript(namespaces: Namespace | Iterable[Namespace], *, wireformat: str = "cbor") -> str:
    """A module of declarations: an interface for each message and each class in one, and for each namespace a type for `Remote`.

    `wireformat` is the name of the one that the page speaks: JSON has bytes as texts. Raises `RegistrationError` for what can't go over
    the wire.
    """
    given = [namespaces] if isinstance(namespaces, Namespace) else list(namespaces)
    writer = _Writer(_RESERVED)
    tables = [writer.namespace(each) for each in given]
    text = "\n".join([*writer.declarations, *tables])
    helpers = ""
    if re.search(r"\bBytes\b", text):
        helpers += _BYTES.format("string" if wireformat == "json" else "Uint8Array")
    if "ByNumber<" in text:
        helpers += _BY_NUMBER
    return _HEAD + (f"{helpers}\n" if helpers else "") + text


class _Writer:
    """Declares each class once. Messages first: what is only in answers is written by this library, with all of its fields."""

    def __init__(self, taken: Iterable[str]) -> None:
        self.declarations: list[str] = []
        self._names: dict[Any, str] = {}
        self._taken = set(taken)
        self._in_answers = False

    def namespace(self, namespace: Namespace) -> str:
        """The type for `Remote`, after the declarations of all that is in it."""
        messages = list(namespace)
        nodes = _inspected([*messages, *map(answer_type, messages)])
        self._in_answers = False
        sent = [
            self._message(message, node)
            for message, node in zip(messages, nodes[: len(messages)], strict=True)
        ]
        self._in_answers = True
        answers = [self.type_of(node) for node in nodes[len(messages) :]]
        lines = [f"/** The namespace {_quoted(namespace.name)}. */"]
        lines.append(f"export type {self._free_name(_camel(namespace.name) + 'Messages')} = {{")
        for message, sends, gets in zip(messages, sent, answers, strict=True):
            name = namespace.name_of(namespace.sid(message)).removeprefix(f"{namespace.name}::")
            if service_id(namespace.name, name) != namespace.sid(message):
                lines.append(
                    f"  /** Its service id is given: `new Namespace({_quoted(namespace.name)}, "
                    f"{{ ids: {{ {_key(name)}: {namespace.sid(message):#018x}n }} }})`. */"
                )
            lines.append(f"  {_key(name)}: {{ message: {sends}; answer: {gets} }};")
        return "\n".join([*lines, "};", ""])

    def _message(self, message: type[Message[Any]], node: mi.Type) -> str:
        """What is sent for it: a message may have other shapes than a struct."""
        shape = shape_of(message)
        assert isinstance(node, mi.StructType)
        if shape is Shape.NOTHING:
            return "null"
        if shape is Shape.VALUE:
            return self.type_of(node.fields[0].type)
        return self.type_of(node)

    def type_of(self, node: mi.Type) -> str:
        """The expression for a type."""
        if simple := _SIMPLE.get(type(node)):
            return simple
        match node:
            case mi.Metadata():
                return f"{self.type_of(node.type)}{' | number[]' if is_byte_list(node) else ''}"
            case mi.IntType():
                return _integer(node)
            case mi.BytesType() | mi.ByteArrayType():
                return "Bytes"
            case mi.EnumType():
                return _literals(each.value for each in _members(node))
            case mi.LiteralType():
                return _literals(node.values)
            case mi.UnionType():
                return " | ".join(dict.fromkeys(map(self.type_of, node.types)))
            case mi.ListType() | mi.SetType() | mi.FrozenSetType() | mi.VarTupleType():
                return _array(self.type_of(node.item_type))
            case mi.TupleType():
                return f"[{', '.join(map(self.type_of, node.item_types))}]"
            case mi.NamedTupleType():
                return self._tuple(node.fields)
            case mi.DictType():
                return self._dict(node)
            case mi.StructType() | mi.DataclassType() | mi.TypedDictType():
                return self._named(node)
            case _:
                raise RegistrationError(f"{node!r} can't go over the wire, so there is no type for it")

    def _dict(self, node: mi.DictType) -> str:
        value = self.type_of(node.value_type)
        key = self.type_of(node.key_type)
        if key == "string":
            return f"Record<string, {value}>"
        if key.startswith('"'):
            return f"{{ [key in {key}]?: {value} }}"
        if key in ("unknown", "Bytes"):
            return f"Record<string, {value}>"  # other keys than texts the client refuses
        return f"ByNumber<{value}>"

    def _named(self, node: _Named) -> str:
        """The name of a class, which is declared if it is not yet."""
        known = self._names.get(node.cls)
        if known is not None:
            return known
        name = self._names[node.cls] = self._free_name(_camel(_class_name(node.cls)))
        body = self._body(node)
        is_plain = body.startswith("{\n")
        declared = f"export interface {name} {body}" if is_plain else f"export type {name} = {body};"
        self.declarations.append(f"{_comment(node.cls)}{declared}\n")
        return name

    def _body(self, node: _Named) -> str:
        case = case_class(node.cls)
        if case is not None:
            return self._case(case, node)
        if isinstance(node, mi.StructType) and node.array_like:
            return self._tuple(node.fields)
        lines = [f"  {field};" for field in self._fields(node)]
        return "\n".join(["{", *lines, "}"]) if lines else "Record<string, never>"

    def _case(self, case: type[Case], node: _Named) -> str:
        """A case of a tagged union, as Rust writes it: its name, or a map with one entry."""
        name = case_name(case)
        match case_shape(case):
            case Shape.NOTHING:
                return _quoted(name)
            case Shape.VALUE:
                data = self.type_of(node.fields[0].type)
            case Shape.TUPLE:
                data = self._tuple(node.fields)
            case Shape.MAP:
                data = f"{{ {'; '.join(self._fields(node))} }}"
        return f"{{ {_key(name)}: {data} }}"

    def _fields(self, node: _Named) -> list[str]:
        is_optional = not self._in_answers or _omits_defaults(node)
        return [
            f"{_key(field.encode_name)}{'' if field.required or not is_optional else '?'}: {self.type_of(field.type)}"
            for field in node.fields
        ]

    def _tuple(self, fields: Sequence[mi.Field]) -> str:
        parts = [
            f"{field.encode_name if _WORD.fullmatch(field.encode_name) else f'item{index}'}"
            f"{'' if field.required or self._in_answers else '?'}: {self.type_of(field.type)}"
            for index, field in enumerate(fields)
        ]
        return f"[{', '.join(parts)}]"

    def _free_name(self, wanted: str) -> str:
        name, count = wanted, 1
        while name in self._taken:
            count += 1
            name = f"{wanted}_{count}"
        self._taken.add(name)
        return name


def _inspected(types: Sequence[Any]) -> Sequence[mi.Type]:
    try:
        return mi.multi_type_info(types)
    except Exception as exc:
        raise RegistrationError(f"this can't go over the wire, so there are no types for it: {exc}") from exc


def _integer(node: mi.IntType) -> str:
    bounds = (node.ge, node.gt, node.le, node.lt)
    is_large = any(bound is not None and abs(bound) > _SAFE for bound in bounds)
    return "number | bigint" if is_large else "number"


def _members(node: mi.EnumType) -> Iterator[Enum]:
    yield from node.cls


def _literals(values: Iterable[Any]) -> str:
    return " | ".join(dict.fromkeys(json.dumps(each) for each in values))


def _array(item: str) -> str:
    return f"{item}[]" if _ITEM.fullmatch(item) else f"Array<{item}>"


def _omits_defaults(node: _Named) -> bool:
    # A typed dict has no defaults: what is not required may be missing.
    return isinstance(node, mi.TypedDictType) or (
        isinstance(node, mi.StructType) and bool(node.cls.__struct_config__.omit_defaults)
    )


def _class_name(cls: Any) -> str:
    """`Box[int]` is a class of its own here."""
    name = str(getattr(get_origin(cls) or cls, "__name__", cls))
    arguments = getattr(cls, "__args__", ())
    return "_".join([name, *(str(getattr(each, "__name__", each)) for each in arguments)])


def _camel(name: str) -> str:
    """A name that TypeScript takes: `my.calc` as `MyCalc`."""
    parts = re.findall(r"[A-Za-z0-9_$]+", name)
    joined = "".join(part[0].upper() + part[1:] for part in parts)
    return joined if _WORD.fullmatch(joined) else f"_{joined}"


def _key(name: str) -> str:
    return name if _WORD.fullmatch(name) else _quoted(name)


def _quoted(text: str) -> str:
    return json.dumps(text)


def _comment(cls: Any) -> str:
    """The first line of its docstring, unless Python has written that by itself."""
    kind: Any = get_origin(cls) or cls
    own: dict[str, Any] = kind.__dict__
    doc = str(own.get("__doc__") or "")
    line = next((each.strip() for each in doc.splitlines() if each.strip()), "").replace("*/", "* /")
    return f"/** {line} */\n" if line and not line.startswith(f"{kind.__name__}(") else ""
