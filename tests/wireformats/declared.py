"""Types that the tests declare: of every kind that can be carried, and some that can not."""

from __future__ import annotations

import datetime
import enum
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, NewType, Required, TypedDict, TypeVar

import attrs
import msgspec

from duologue import Message

T = TypeVar("T")


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    LOW = 1


class Rights(enum.Flag):
    READ = 1
    WRITE = 2


Key = NewType("Key", int)


@dataclass(frozen=True)
class Point:
    x: int
    y: int = 0


@attrs.define
class Size:
    width: int
    height: int = 1


class Pair(NamedTuple):
    a: int
    b: str = "b"


class Record(TypedDict, total=False):
    name: Required[str]
    data: bytes


class Row(msgspec.Struct, array_like=True):
    number: int
    data: bytes = b""


class Empty(msgspec.Struct):
    pass


class Renamed(msgspec.Struct, rename="camel", omit_defaults=True):
    first_name: str
    last_name: str = ""


class Box(msgspec.Struct, Generic[T]):
    content: T


class Sparse(msgspec.Struct):
    present: int | msgspec.UnsetType = msgspec.UNSET


class Everything(Message[None]):
    point: Point
    size: Size
    pair: Pair
    record: Record
    row: Row
    colours: dict[Colour, Level]
    keys: dict[Key, bytes]
    either: Point | list[int] | str | None
    when: datetime.datetime | None = None


class Tuple(Message[None], as_tuple=True):
    a: int
    b: str = "b"


class Get(Message[T], Generic[T]):
    key: T


class GetInt(Get[int]):
    pass


class Keyword(Message[None], newtype=True, kw_only=True):
    number: int


class WrappedBytes(Message[None], newtype=True):
    data: bytes


class WrappedAny(Message[None], newtype=True):
    anything: Any


class Strict(Message[None], forbid_unknown_fields=True):
    number: int = 0


class Tagged(msgspec.Struct, tag=True):
    number: int


class OtherTagged(msgspec.Struct, tag="other"):
    number: int


class Plainly(msgspec.Struct):
    number: int


class AlsoPlainly(msgspec.Struct):
    text: str


class Lonely:
    pass


class Holding(Message[None]):
    lonely: Lonely


class HoldingNewtype(Message[None]):
    keyword: list[Keyword]


class HoldingNothing(Message[None]):
    nothing: Nothing


class Nothing(Message[None]):
    pass


class Unresolved(Message[None]):
    number: NotThere  # type: ignore[name-defined]  # noqa: F821


class UnresolvedNewtype(Message[None], newtype=True):
    number: NotThere  # type: ignore[name-defined]  # noqa: F821


class Mutable(msgspec.Struct):
    number: int
    text: str = ""
