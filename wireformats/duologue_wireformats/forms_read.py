"""From plain data as Rust writes it to what msgspec makes objects of.

Bytes may have come as arrays of integers wherever bytes are declared: that is what Rust's serde does with a `Vec<u8>`.
Of what is received nothing gets into the text of an error.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec.inspect as mi

from duologue.cases import CASE_FIELD, Case, case_name, case_shape, case_tag
from duologue.errors import DecodeError
from duologue.messages import Shape
from duologue_wireformats.forms import (
    Misfit,
    Step,
    Walk,
    case_of,
    is_array,
    is_list_of_bytes,
    is_map,
    names_of,
)
from duologue_wireformats.plain import is_dict, is_list

_BYTES = (mi.BytesType, mi.ByteArrayType)


def form_reader(tree: mi.Type) -> Step | None:
    """Gives plain data of the type as msgspec wants it; None if that is how it comes. Raises `DecodeError`."""
    step = _Reader().step(tree)
    if step is None:
        return None

    def read(plain: Any) -> Any:
        try:
            return step(plain)
        except Misfit as misfit:
            raise DecodeError(str(misfit)) from None

    return read


class _Reader(Walk):
    def is_place(self, node: mi.Type) -> bool:
        return isinstance(node, _BYTES) or is_list_of_bytes(node) or case_of(node) is not None

    def single(self, node: mi.Type) -> Step:
        return _bytes

    def union(self, nodes: Sequence[mi.Type]) -> Step:
        if any(case_of(node) for node in nodes):
            return self._with_cases(nodes)
        # msgspec allows one type of arrays in a union, and one of maps.
        has_array = any(is_array(node) for node in nodes)
        of_list = self.first_step(node for node in nodes if is_array(node) or not (has_array or is_map(node)))
        of_dict = self.first_step(node for node in nodes if is_map(node))

        def read(plain: Any) -> Any:
            if is_list(plain):
                return of_list(plain) if of_list else plain
            return of_dict(plain) if of_dict and is_dict(plain) else plain

        return read

    def _with_cases(self, nodes: Sequence[mi.Type]) -> Step:
        known = [(node, case) for node in nodes if (case := case_of(node))]
        cases = {case_name(case): self._case(node, case) for node, case in known}
        bare = {case_name(case): _marked(case) for _, case in known if case_shape(case) is Shape.NOTHING}
        names = names_of(case for _, case in known)
        is_alone = len(known) == len(nodes)
        of_list = self.first_step(node for node in nodes if is_array(node))

        def read(plain: Any) -> Any:
            if is_dict(plain):
                if len(plain) != 1:
                    raise Misfit(f"Expected a map with one entry, whose key is one of the cases {names}")
                ((name, data),) = plain.items()
                if (case := cases.get(name)) is not None:
                    return case(data)
            elif isinstance(plain, str):
                if (mark := bare.get(plain)) is not None:
                    return mark({})
                if plain in cases:
                    raise Misfit(f"Expected the data of the case {plain}, too")
            elif not is_alone:
                return of_list(plain) if of_list and is_list(plain) else plain
            raise Misfit(f"Expected one of the cases {names}")

        return read

    def _case(self, node: mi.Type, case: type[Case]) -> Step:
        def make() -> Step:
            data, members, mark = _data(case), self.members(node), _marked(case)
            return lambda plain: mark(members(data(plain)))

        return self.once(node, make)


def _marked(case: type[Case]) -> Callable[[dict[Any, Any]], dict[Any, Any]]:
    tag = case_tag(case)

    def mark(members: dict[Any, Any]) -> dict[Any, Any]:
        members[CASE_FIELD] = tag  # whatever somebody has sent under this name
        return members

    return mark


def _data(case: type[Case]) -> Callable[[Any], dict[Any, Any]]:
    """What gives the fields of a case, of its data."""
    name, fields = case_name(case), case.__struct_encode_fields__

    def nothing(data: Any) -> dict[Any, Any]:
        if data is not None:
            raise Misfit(f"Expected null, since the case {name} has no data")
        return {}

    def array(data: Any) -> dict[Any, Any]:
        if not is_list(data):
            raise Misfit(f"Expected the data of the case {name} to be an array")
        return dict(
            zip(fields, data, strict=False)
        )  # further items are ignored, as further fields of a map are

    def members(data: Any) -> dict[Any, Any]:
        if not is_dict(data):
            raise Misfit(f"Expected the data of the case {name} to be a map")
        return data

    match case_shape(case):
        case Shape.NOTHING:
            return nothing
        case Shape.VALUE:
            return lambda data: {fields[0]: data}
        case Shape.TUPLE:
            return array
        case Shape.MAP:
            return members


def _bytes(plain: Any) -> Any:
    if not is_list(plain):
        return plain
    try:
        made = bytes(plain)
    except (TypeError, ValueError, OverflowError):
        made = None
    # `True` is an integer to Python, and to nobody else.
    if made is None or bool in map(type, plain):
        raise Misfit("Expected bytes, or an array of integers from 0 to 255")
    return made
