"""What the suite for wire formats has a format carry: types and values, of every shape that messages have."""

from __future__ import annotations

import datetime
import decimal
import enum
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, NewType, TypedDict

from duologue import ByteList, Case, Message

UserId = NewType("UserId", int)


class Colour(enum.Enum):
    """An enum of texts."""

    RED = "red"
    GREEN = "green"


class Level(enum.IntEnum):
    """An enum of numbers."""

    LOW = 1
    HIGH = 2**40


@dataclass
class Point:
    """A dataclass, as a field and as an answer."""

    x: float
    y: float = 0.5


class Span(NamedTuple):
    """A tuple with names, which travels as an array."""

    start: int
    end: int


class Options(TypedDict):
    """A dict with declared keys."""

    name: str
    flags: list[bool]


@dataclass
class Tree:
    """A type that is in itself."""

    label: str
    children: list[Tree] = field(default_factory=list["Tree"])


class Pair(Message[int]):
    """A message with fields: a map."""

    a: int
    b: int


class Defaults(Message[None]):
    """A message whose fields may be missing."""

    text: str = "nothing said"
    attempts: int | None = None


class Wrapped(Message[None], newtype=True):
    """A message that wraps one value: the value itself."""

    value: int


class WrappedText(Message[None], newtype=True):
    """The same with a value that may be missing."""

    value: str | None


class Ordered(Message[None], as_tuple=True):
    """A message without names: an array."""

    label: str
    number: int


class Nothing(Message[None]):
    """A message without fields: null."""


class Nested(Message[Point]):
    """A message with everything in it that takes a field of its own to say."""

    point: Point
    points: list[Point]
    by_name: dict[str, Point]
    colour: Colour
    user: UserId
    pair: Pair
    data: bytes


class Stopped(Case):
    """A case without data: its name."""


class Moved(Case):
    """A case with fields: a map with one entry, and in it a map."""

    by: Point
    blocked: bool = False


class Said(Case, newtype=True, name="said"):
    """A case that wraps one value, and has another name on the wire."""

    text: str | None


class Turned(Case, as_tuple=True):
    """A case without names: an array in the map."""

    degrees: int
    course: list[Turn]


Turn = Stopped | Moved | Said | Turned
"""A tagged union, which is in itself."""


class Steer(Message[Turn], newtype=True):
    """A message that is a tagged union, as is its answer."""

    turn: Turn


class Logbook(Message[None]):
    """A message with tagged unions and lists of bytes in it."""

    turns: list[Turn]
    by_name: dict[str, Turn]
    last: Turn | None
    image: ByteList
    pages: list[ByteList]


@dataclass(frozen=True)
class Sample:
    """A type, and values of it."""

    name: str
    type_: Any
    values: tuple[Any, ...]


def _trees() -> Iterator[Tree]:
    yield Tree("leaf")
    yield Tree("root", [Tree("left"), Tree("right", [Tree("leaf")])])


_TURNS: tuple[Turn, ...] = (
    *(Stopped(), Moved(Point(1.0)), Moved(Point(1.0, 2.0), blocked=True), Said("a"), Said(None)),
    *(Turned(90, []), Turned(-1, [Stopped(), Turned(2**63, [Said("ä")])])),
)
_NESTED = Nested(
    Point(1.5), [Point(0.0, -1.0)], {"a": Point(2.0)}, Colour.RED, UserId(7), Pair(1, 2), b"\x00\xff"
)

SAMPLES = (
    Sample("None", type(None), (None,)),
    Sample("bool", bool, (True, False)),
    Sample("int", int, (0, 1, 23, 24, 255, 256, 65535, 65536, 2**32, 2**53 + 1, 2**64 - 1, -1, -24, -25, -(2**63))),
    Sample("float", float, (0.0, 0.1, 1.5, -1e300, 5e-324)),
    Sample("str", str, ("", "a", "\x00\n\"\\", "ä€😀", "x" * 300)),
    Sample("bytes", bytes, (b"", b"a", bytes(range(256)))),
    Sample("list", list[int], ([], [1, -1], list(range(300)))),
    Sample("tuple", tuple[int, str], ((1, "a"),)),
    Sample("tuple of any length", tuple[float, ...], ((), (1.5, 2.5))),
    Sample("dict", dict[str, int], ({}, {"": 0, "a": 1, "ä": 2})),
    Sample("dict with integer keys", dict[int, str], ({0: "a", 2**64 - 1: "b", -1: "c"},)),
    Sample("set", set[int], (set[int](), {1, 2, 3})),
    Sample("frozenset", frozenset[str], (frozenset({"a", "b"}),)),
    Sample("optional", int | None, (None, 5)),
    Sample("union", int | str | list[int], (1, "a", [1])),
    Sample("enum", Colour, (Colour.RED,)),
    Sample("enum of numbers", Level, (Level.LOW, Level.HIGH)),
    Sample("literal", Literal["a", "b", 3], ("a", 3)),
    Sample("NewType", UserId, (UserId(5),)),
    Sample("dataclass", Point, (Point(1.0), Point(-0.0, 1e10))),
    Sample("named tuple", Span, (Span(1, 2),)),
    Sample("typed dict", Options, (Options(name="a", flags=[True]),)),
    Sample("recursive", Tree, tuple(_trees())),
    Sample("Any", Any, (None, True, 1, -1, 1.5, "a", [], {}, [1, [2.5, None]], {"a": {"b": [False]}})),
    Sample("datetime", datetime.datetime, (datetime.datetime(2024, 2, 29, 1, 2, 3, 4, datetime.UTC), datetime.datetime(1, 1, 1))),
    Sample("date, time, timedelta", tuple[datetime.date, datetime.time, datetime.timedelta], (
        (datetime.date(2024, 2, 29), datetime.time(23, 59), datetime.timedelta(days=-1, microseconds=1)),
    )),
    Sample("Decimal", decimal.Decimal, (decimal.Decimal("0.10"), decimal.Decimal("-1E+50"))),
    Sample("UUID", uuid.UUID, (uuid.UUID(int=2**100),)),
    Sample("message", Pair, (Pair(1, 2), Pair(a=-1, b=2**63))),
    Sample("message with defaults", Defaults, (Defaults(), Defaults("a", 1))),
    Sample("message of one value", Wrapped, (Wrapped(5), Wrapped(2**40))),
    Sample("message of one value or none", WrappedText, (WrappedText(None), WrappedText("a"))),
    Sample("message without names", Ordered, (Ordered("a", 1),)),
    Sample("message without fields", Nothing, (Nothing(),)),
    Sample("message with others in it", Nested, (_NESTED,)),
    Sample("byte list", ByteList, (b"", b"a", bytes(range(256)), bytes(60_000))),
    Sample("byte list or none", ByteList | None, (None, b"\x00\xff")),
    Sample("tagged union", Turn, _TURNS),
    Sample("tagged union or none", Turn | None, (None, *_TURNS)),
    Sample("tagged union in a message of one value", Steer, tuple(Steer(turn) for turn in _TURNS)),
    Sample("tagged union in others", Logbook, (
        Logbook(list(_TURNS), {"a": Stopped(), "ä": Said("a")}, None, b"\x00\xff", [b"", b"a"]),
        Logbook([], {}, Said(None), b"", []),
    )),
)  # fmt: skip
"""Every wire format carries these. A value comes back equal to what it was, and of the same type."""

SERVICE_ID = {"inner": {"id": 0x6440CFD17C374646}}
CALL_ID = {"inner": {"id": 2**64 - 2}}

ERROR_BODIES: tuple[dict[str, Any], ...] = (
    {"UnknownService": {"sid": SERVICE_ID, "cid": CALL_ID}},
    {"InternalServerError": {"sid": None, "cid": CALL_ID}},
    {"Deserialize": {"sid": None, "cid": None}},
    {"Timeout": {"sid": SERVICE_ID}},
    {"DeserializeWireFormat": {"context": "a frame of 7 bytes"}},
)
"""The bodies of error frames, in each of their shapes (docs/protocol.md, section 3)."""
