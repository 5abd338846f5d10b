"""Messages of every kind, for their declarations in TypeScript."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypedDict, TypeVar
from uuid import UUID

import msgspec

from duologue import ByteList, Case, Message, Namespace

T = TypeVar("T")


class Color(Enum):
    RED = "red"
    BLUE = "blue"


class Spot(NamedTuple):
    x: float
    y: float = 0.0


@dataclass
class Point:
    """A place, and */ what is there."""

    x: float
    y: float
    label: str | None = None
    inner: list[Point] = field(default_factory=list)


class Person(TypedDict, total=False):
    name: str


class Found(msgspec.Struct):
    count: int
    rest: int = 5


class Sparse(msgspec.Struct, omit_defaults=True):
    rest: int = 5


class Box(msgspec.Struct, Generic[T]):
    it: T


class Row(msgspec.Struct, array_like=True):
    a: int
    b: str = ""


class Add(Message[int]):
    """Adds two numbers."""

    a: int
    b: int = 0


class Now(Message[datetime]):
    pass


class Ident(Message[UUID], newtype=True):
    value: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class Resize(Message[None], as_tuple=True):
    width: int
    height: int = 3


class Everything(Message[dict[int, Found]]):
    color: Color
    spot: Spot
    points: list[Point | None]
    person: Person
    data: bytes
    word: Literal["a", "b", 1, None]
    pair: tuple[int, str]
    many: tuple[int, ...]
    by_name: dict[str, list[bytes]]
    by_word: dict[Literal["x", "y"], int]
    whole: Box[int]
    text: Box[str]
    row: Row
    anything: Any
    words: set[str]
    renamed: bool = msgspec.field(name="other-name")


class Map(Message[list[Sparse]]):
    """Its name is one that the declarations use."""


calc = Namespace(
    "my.calc",
    [Add, Now, Ident, Resize, Everything, Map],
    names={Now: "sub::Now"},
    ids={Map: 0x1234},
)


class Circle(Case):
    radius: float
    center: Spot | None = None


class Line(Case, as_tuple=True):
    start: Spot
    end: Spot


class Named(Case, newtype=True, name="Label"):
    value: str


class Nowhere(Case):
    pass


class Draw(Message[list[Circle | Nowhere]]):
    shape: Circle | Line | Named | Nowhere
    raw: ByteList = b""


drawing = Namespace("drawing", [Draw])


class Said(Message[None]):
    who: str
    text: str


class Ask(Message[bool]):
    question: str


chat = Namespace("chat", [Said, Ask])
