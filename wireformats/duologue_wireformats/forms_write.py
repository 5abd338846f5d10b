"""From what msgspec makes of objects to plain data as Rust writes it: cases by their names, lists of bytes as arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec.inspect as mi

from duologue.cases import CASE_FIELD, Case, case_by_tag, case_name, case_shape, case_tag
from duologue.errors import EncodeError
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
from duologue_wireformats.plain import is_dict, is_sequence


def form_writer(tree: mi.Type) -> Step:
    """Gives plain data of the type in the form to be written. Raises `EncodeError`."""
    step = _Writer().step(tree)

    def write(plain: Any) -> Any:
        try:
            return plain if step is None else step(plain)
        except Misfit as misfit:
            raise EncodeError(str(misfit)) from None

    return write


def any_form(plain: Any) -> Any:
    """The same for plain data whose type is not declared: whatever msgspec has marked as a case is one."""
    if is_dict(plain):
        members = {key: any_form(each) for key, each in plain.items()}
        case = case_by_tag(members.get(CASE_FIELD))
        if case is None:
            return members
        del members[CASE_FIELD]
        return _written(case)(members)
    if is_sequence(plain):
        return [any_form(each) for each in plain]
    return plain


class _Writer(Walk):
    def is_place(self, node: mi.Type) -> bool:
        # Anything may be in an `Any`, so cases may.
        return isinstance(node, mi.AnyType) or is_list_of_bytes(node) or case_of(node) is not None

    def single(self, node: mi.Type) -> Step:
        return _list_of_bytes if is_list_of_bytes(node) else any_form

    def union(self, nodes: Sequence[mi.Type]) -> Step:
        if any(isinstance(node, mi.AnyType) for node in nodes):
            return any_form
        cases = {case_tag(case): self._case(node, case) for node in nodes if (case := case_of(node))}
        names = names_of(case for node in nodes if (case := case_of(node)))
        # msgspec allows one type of arrays in a union, and one of maps.
        of_list = self.first_step(node for node in nodes if is_array(node))
        of_dict = None if cases else self.first_step(node for node in nodes if is_map(node))
        of_bytes = self.first_step(node for node in nodes if is_list_of_bytes(node))

        def write(plain: Any) -> Any:
            if is_dict(plain):
                tag = plain.pop(CASE_FIELD, None) if cases else None
                if tag is None:
                    return of_dict(plain) if of_dict else plain
                if (case := cases.get(tag)) is None:
                    raise Misfit(f"Expected one of the cases {names}")
                return case(plain)
            if is_sequence(plain):
                return of_list(plain) if of_list else plain
            return of_bytes(plain) if of_bytes else plain

        return write

    def _case(self, node: mi.Type, case: type[Case]) -> Step:
        def make() -> Step:
            members, written = self.members(node), _written(case)
            return lambda plain: written(members(plain))

        return self.once(node, make)


def _written(case: type[Case]) -> Callable[[dict[Any, Any]], Any]:
    """What is written for a case, of its fields."""
    name, count = case_name(case), len(case.__struct_fields__)

    def whole(members: dict[Any, Any]) -> list[Any]:
        if len(members) != count:
            raise Misfit(f"The case {name} has fields that are not set, and no place to leave out")
        return list(members.values())

    match case_shape(case):
        case Shape.NOTHING:
            return lambda _: name
        case Shape.VALUE:
            return lambda members: {name: whole(members)[0]}
        case Shape.TUPLE:
            return lambda members: {name: whole(members)}
        case Shape.MAP:
            return lambda members: {name: members}


def _list_of_bytes(plain: Any) -> Any:
    return list(plain) if isinstance(plain, bytes | bytearray) else plain
