"""Walks over plain data, along a declared type, to the few places where it has another form than msgspec gives it.

Such a walk is made once per type, of small functions for the parts that lead to such a place; everything else it leaves
alone. `forms_write` and `forms_read` say what is done there.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec.inspect as mi

from duologue.cases import Case, case_class, case_name, is_byte_list
from duologue_wireformats.plain import is_dict, is_sequence

Step = Callable[[Any], Any]
"""Gives a value in its other form. It may change what it is given, which nobody else has."""

_ARRAYS = (*(mi.ListType, mi.VarTupleType, mi.SetType, mi.FrozenSetType), *(mi.TupleType, mi.NamedTupleType))
"""The types that are arrays in plain data, besides structs that say so."""


class Misfit(Exception):
    """What is wrong, and on its way up to the surface where: the path is gathered from its end."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text
        self.steps: list[str] = []

    def __str__(self) -> str:
        path = "".join(reversed(self.steps))
        return f"{self.text} - at `${path}`" if path else self.text


class Walk(ABC):
    """Makes the functions for one type, in one direction."""

    def __init__(self) -> None:
        self._made: dict[int, Step] = {}
        """By the identity of a class's node. One that is in itself is found here while it is being made."""

    def step(self, node: mi.Type) -> Step | None:
        """The function for a part of the type; None if there is nothing to do in it."""
        if not self._reaches(node, set()):
            return None
        match node:
            case mi.Metadata():
                return self.single(node) if is_list_of_bytes(node) else self.step(node.type)
            case mi.UnionType():
                return self.union(node.types)
            case mi.ListType() | mi.VarTupleType() | mi.SetType() | mi.FrozenSetType():
                return _of_items(self._sure_step(node.item_type))
            case mi.DictType():
                return _of_values(self._sure_step(node.value_type))
            case mi.TupleType():
                return _in_order([self.step(each) for each in node.item_types])
            case mi.StructType() if case_of(node) is not None:
                return self.union((node,))
            case mi.StructType() | mi.DataclassType() | mi.TypedDictType() | mi.NamedTupleType():
                return self.once(node, lambda: self._in_order(node) if is_array(node) else self.members(node))
            case _:
                return self.single(node)

    @abstractmethod
    def is_place(self, node: mi.Type) -> bool:
        """Whether there is something to do for this part itself. Of a struct, whether it is a case."""

    @abstractmethod
    def single(self, node: mi.Type) -> Step:
        """The function for a place that is neither a union nor a case."""

    @abstractmethod
    def union(self, nodes: Sequence[mi.Type]) -> Step:
        """The function for a value that may be any of these. A case alone is a union, too."""

    def members(self, node: mi.Type) -> Step:
        """The function for the fields of a class, of which it gets a dict."""
        steps = [(field.encode_name, self.step(field.type)) for field in _fields(node)]
        return _of_members({name: step for name, step in steps if step is not None})

    def once(self, node: mi.Type, make: Callable[[], Step]) -> Step:
        """The function for a class, which may be in itself: it is made once."""
        key, made = id(node), self._made
        if key not in made:
            made[key] = lambda plain: made[key](plain)
            made[key] = make()
        return made[key]

    def first_step(self, nodes: Iterable[mi.Type]) -> Step | None:
        """The function for the first of these that has one."""
        return next((step for node in nodes if (step := self.step(node)) is not None), None)

    def _in_order(self, node: mi.Type) -> Step:
        return _in_order([self.step(field.type) for field in _fields(node)])

    def _sure_step(self, node: mi.Type) -> Step:
        step = self.step(node)
        assert step is not None, "what is in a container that leads somewhere leads there"
        return step

    def _reaches(self, node: mi.Type, seen: set[int]) -> bool:
        if self.is_place(node):
            return True
        if id(node) in seen:
            return False
        seen.add(id(node))
        return any(self._reaches(each, seen) for each in _parts(node))


def without_metadata(node: mi.Type) -> mi.Type:
    """The type itself."""
    while isinstance(node, mi.Metadata):
        node = node.type
    return node


def is_array(node: mi.Type) -> bool:
    """Whether its values are arrays in plain data."""
    node = without_metadata(node)
    return isinstance(node, _ARRAYS) or (isinstance(node, mi.StructType) and node.array_like)


def is_map(node: mi.Type) -> bool:
    """Whether its values are dicts in plain data. Those of cases are too, while they are msgspec's."""
    node = without_metadata(node)
    kinds = (mi.StructType, mi.DataclassType, mi.TypedDictType, mi.DictType)
    return isinstance(node, kinds) and not is_array(node)


def is_list_of_bytes(node: mi.Type) -> bool:
    """Whether it is a `ByteList`."""
    return isinstance(node, mi.Metadata) and is_byte_list(node)


def case_of(node: mi.Type) -> type[Case] | None:
    """The class, if it is a case."""
    return case_class(node.cls) if isinstance(node, mi.StructType) else None


def names_of(cases: Iterable[type[Case]]) -> str:
    """The names of the cases, for texts of errors."""
    return ", ".join(case_name(case) for case in cases)


def _parts(node: mi.Type) -> Iterable[mi.Type]:
    """What is in a type, but for the keys of dicts, which have one form only."""
    match node:
        case mi.Metadata():
            return (node.type,)
        case mi.UnionType():
            return node.types
        case mi.ListType() | mi.VarTupleType() | mi.SetType() | mi.FrozenSetType():
            return (node.item_type,)
        case mi.DictType():
            return (node.value_type,)
        case mi.TupleType():
            return node.item_types
        case _:
            return (field.type for field in _fields(node))


def _fields(node: mi.Type) -> Sequence[mi.Field]:
    match node:
        case mi.StructType() | mi.DataclassType() | mi.TypedDictType() | mi.NamedTupleType():
            return node.fields
        case _:
            return ()


def _of_items(step: Step) -> Step:
    def items(plain: Any) -> Any:
        if not is_sequence(plain):
            return plain
        made = list(plain)
        index = 0
        try:
            for index, each in enumerate(plain):
                made[index] = step(each)
        except Misfit as misfit:
            misfit.steps.append(f"[{index}]")
            raise
        return made

    return items


def _of_values(step: Step) -> Step:
    def values(plain: Any) -> Any:
        if is_dict(plain):
            try:
                for key, each in plain.items():
                    plain[key] = step(each)
            except Misfit as misfit:
                misfit.steps.append("[...]")  # keys are contents, so they are not shown
                raise
        return plain

    return values


def _in_order(steps: Sequence[Step | None]) -> Step:
    wanted = [(index, step) for index, step in enumerate(steps) if step is not None]

    def in_order(plain: Any) -> Any:
        if not is_sequence(plain):
            return plain
        made = list(plain)
        for index, step in wanted:
            if index < len(made):
                try:
                    made[index] = step(made[index])
                except Misfit as misfit:
                    misfit.steps.append(f"[{index}]")
                    raise
        return made

    return in_order


def _of_members(steps: Mapping[str, Step]) -> Step:
    wanted = list(steps.items())

    def members(plain: Any) -> Any:
        if is_dict(plain):
            for name, step in wanted:
                if name in plain:
                    try:
                        plain[name] = step(plain[name])
                    except Misfit as misfit:
                        misfit.steps.append(f".{name}")
                        raise
        return plain

    return members
