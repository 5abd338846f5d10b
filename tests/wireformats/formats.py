"""The wire formats under test, and how to look at what decoding costs."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

from duologue import DecodeError, EncodeError, WireFormat
from duologue_wireformats.cbor import Cbor
from duologue_wireformats.json_text import Json
from duologue_wireformats.messagepack import MessagePack

CBOR, MSGPACK, JSON = Cbor(), MessagePack(), Json()
FORMATS: tuple[WireFormat, ...] = (CBOR, MSGPACK, JSON)

MIB = 1 << 20

every_format = pytest.mark.parametrize("wireformat", FORMATS, ids=lambda each: each.name)
binary_formats = pytest.mark.parametrize("wireformat", FORMATS[:2], ids=lambda each: each.name)


def refusal(wireformat: WireFormat, type_: Any, payload: bytes) -> str:
    """The text of the error that decoding the payload to the type raises."""
    with pytest.raises(DecodeError) as caught:
        wireformat.codec(type_).decode(payload)
    return str(caught.value)


def encode_refusal(wireformat: WireFormat, type_: Any, value: Any) -> str:
    """The text of the error that encoding the value raises."""
    with pytest.raises(EncodeError) as caught:
        wireformat.codec(type_).encode(value)
    return str(caught.value)


def seconds(function: Callable[[], object], attempts: int = 3) -> float:
    """The processor time of a call: the best of some attempts, since other things go on in the machine."""
    best = float("inf")
    for _ in range(attempts):
        start = time.process_time()
        function()
        best = min(best, time.process_time() - start)
    return best


def takes_at_most(limit: float, function: Callable[[], object]) -> bool:
    """Whether a call takes so many seconds of processor time at most. It gets a second and a third chance."""
    return any(seconds(function, attempts=1) <= limit for _ in range(3))


def peak_bytes(function: Callable[[], object]) -> int:
    """How much more memory there was in use during a call than before it."""
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def swallow(wireformat: WireFormat, type_: Any, payload: bytes) -> Callable[[], object]:
    """A call that decodes, and does not mind a `DecodeError`."""
    codec = wireformat.codec(type_)

    def decode() -> object:
        try:
            return codec.decode(payload)
        except DecodeError:
            return None

    return decode
