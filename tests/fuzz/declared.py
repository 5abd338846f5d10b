"""The types that payloads are decoded to: closed and open ones, of every shape, in themselves, and with every kind of value."""

from __future__ import annotations

import datetime
import decimal
import uuid
from typing import Annotated, Any, Literal

import msgspec
from tests.wireformats.declared import Everything, Keyword, Nothing, Strict, WrappedAny, WrappedBytes
from tests.wireformats.declared_cases import Draw, Drawing

from duologue import ByteList, Case, Message


class Row(msgspec.Struct, array_like=True):
    number: int
    texts: tuple[str, ...] = ()


class Order(Message[None]):
    """Closed, so msgspec reads MessagePack and JSON directly."""

    number: int
    texts: list[str]
    rows: dict[str, Row]
    counts: dict[int, bool]
    ratio: float | None = None


class Log(Message[None], as_tuple=True):
    when: datetime.datetime
    key: uuid.UUID
    amount: decimal.Decimal
    level: Literal["low", "high", 3]


class Tree(Message[None]):
    """In itself, so open."""

    name: str
    children: list[Tree] = msgspec.field(default_factory=list)
    data: bytes = b""


class Leaf(Case, newtype=True):
    data: ByteList


class Fork(Case):
    left: Branch
    right: Branch | None = None


Branch = Leaf | Fork


class Plant(Message[None], newtype=True):
    branch: Branch


TYPES: tuple[Any, ...] = (
    Any,
    Order,
    Log,
    Tree,
    Plant,
    Everything,
    Draw,
    Drawing,
    Nothing,
    Strict,
    Keyword,
    WrappedBytes,
    WrappedAny,
    int,
    str,
    bytes,
    float,
    list[Any],
    dict[int, Any],
    dict[bytes, int],
    set[int],
    list[ByteList],
    Annotated[list[int], msgspec.Meta(max_length=5)],
    type(None),
)
"""Only to be added to: inputs of the corpus name them by their numbers."""
