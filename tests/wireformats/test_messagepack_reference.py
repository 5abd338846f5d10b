"""MessagePack as another implementation reads and writes it, which has no line in common with ours."""

from __future__ import annotations

from typing import Any

import msgpack
from hypothesis import given
from tests.core.profiles import look
from tests.wireformats.formats import MSGPACK
from tests.wireformats.test_properties import plain

from duologue import Message


class Anything(Message[None], newtype=True):
    value: Any


ours = MSGPACK.codec(Anything)


@look(300, 5000)
@given(plain)
def test_what_we_write_is_read_the_same_by_others(value: object) -> None:
    """Plain data of every kind, and of every length that has a header of its own."""
    assert msgpack.unpackb(ours.encode(Anything(value)), strict_map_key=False) == value


@look(300, 5000)
@given(plain)
def test_what_others_write_is_read_the_same_by_us(value: object) -> None:
    """Their bytes need not be ours: there is more than one way to write a number."""
    assert ours.decode(msgpack.packb(value)).value == value
