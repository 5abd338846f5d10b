"""Types with cases of tagged unions that the tests declare."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypedDict, TypeVar

import msgspec

from duologue import ByteList, Case, Message

T = TypeVar("T")


class Red(Case):
    pass


class Circle(Case):
    radius: float
    label: str | None = None


class Text(Case, newtype=True):
    value: str


class Line(Case, as_tuple=True):
    start: int
    end: int = 7


class Grey(Case, name="grey", rename="camel", newtype=True):
    how_dark: int


class Ok(Case, Generic[T], newtype=True):
    value: T


class Err(Case, newtype=True):
    reason: str


Shape = Red | Circle | Text | Line | Grey


class Draw(Message[None], newtype=True):
    """A message that is a Rust enum."""

    shape: Shape


class Drawing(Message[Shape | None]):
    main: Shape
    others: list[Shape]
    by_name: dict[str, Shape | None]
    background: Shape | None = None


class Leaf(Case):
    pass


class Node(Case):
    left: Tree
    right: Tree
    data: ByteList = b""


Tree = Leaf | Node


@dataclass
class Held:
    shape: Shape


class Pair(NamedTuple):
    one: Shape
    other: Shape


class Keyed(TypedDict):
    shape: Shape


class Row(msgspec.Struct, array_like=True):
    number: int
    shape: Shape


class Box(msgspec.Struct, Generic[T]):
    content: T


class Deep(Case):
    row: Row
    pairs: tuple[Pair, ...]


class Number(msgspec.Struct):
    id: int


class Id(msgspec.Struct):
    inner: Number


class UnknownService(Case):
    sid: Id | None
    cid: Id | None


class Timeout(Case):
    sid: Id


class End(Case):
    pass


class More(Case, newtype=True):
    rest: End | More


Chain: Any = End | More


class Same(Case, name="Red"):
    pass


class Untagged(msgspec.Struct):
    number: int
