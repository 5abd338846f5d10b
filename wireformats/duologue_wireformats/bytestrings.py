"""Byte strings that were written as arrays of integers: what Rust's serde does with a `Vec<u8>`.

They are only looked for when a payload does not fit its type as it is, so nobody else pays for them.
"""

from __future__ import annotations

from typing import Any

import msgspec.inspect as mi

from duologue_wireformats.plain import is_dict, is_list

_ARRAYS = (
    mi.ListType,
    mi.SetType,
    mi.FrozenSetType,
    mi.VarTupleType,
    mi.TupleType,
    mi.NamedTupleType,
)


def with_byte_strings(value: Any, node: mi.Type) -> Any:
    """Plain data, with arrays of integers made into bytes where the type wants bytes. What does not fit stays as it is."""
    match node:
        case mi.Metadata():
            return with_byte_strings(value, node.type)
        case mi.UnionType():
            return _of_union(value, node)
        case mi.BytesType() | mi.ByteArrayType():
            return _bytes(value) if is_list(value) else value
        case mi.ListType() | mi.VarTupleType() | mi.SetType() | mi.FrozenSetType() if is_list(value):
            return [with_byte_strings(each, node.item_type) for each in value]
        case mi.TupleType() if is_list(value):
            return _in_order(value, node.item_types)
        case mi.NamedTupleType() if is_list(value):
            return _in_order(value, tuple(field.type for field in node.fields))
        case mi.StructType() if node.array_like and is_list(value):
            return _in_order(value, tuple(field.type for field in node.fields))
        case mi.StructType() | mi.DataclassType() | mi.TypedDictType() if is_dict(value):
            types = {field.encode_name: field.type for field in node.fields}
            return {
                key: with_byte_strings(each, types[key]) if key in types else each
                for key, each in value.items()
            }
        case mi.DictType() if is_dict(value):
            return {key: with_byte_strings(each, node.value_type) for key, each in value.items()}
        case _:
            return value


def _bytes(items: list[Any]) -> Any:
    """The bytes, or the list if it holds anything else."""
    # `True` is an integer to Python, and to nobody else.
    return bytes(items) if all(type(each) is int and 0 <= each < 256 for each in items) else items


def _in_order(items: list[Any], nodes: tuple[mi.Type, ...]) -> list[Any]:
    known = [with_byte_strings(each, node) for each, node in zip(items, nodes, strict=False)]
    return known + items[len(known) :]


def _of_union(value: Any, node: mi.UnionType) -> Any:
    if is_list(value) and any(_takes_array(each) for each in node.types):
        kinds = [each for each in node.types if _takes_array(each)]
    elif is_list(value):
        kinds = [each for each in node.types if isinstance(each, mi.BytesType | mi.ByteArrayType)]
    else:
        kinds = [each for each in node.types if not isinstance(each, mi.BytesType | mi.ByteArrayType)]
    # msgspec allows one array-like and one map-like type in a union, so one at most changes the value.
    for each in kinds:
        value = with_byte_strings(value, each)
    return value


def _takes_array(node: mi.Type) -> bool:
    return isinstance(node, _ARRAYS) or (isinstance(node, mi.StructType) and node.array_like)
