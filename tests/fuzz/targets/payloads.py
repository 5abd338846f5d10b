"""Targets `cbor`, `messagepack` and `json`: a payload becomes a value of the declared type, or the documented error.

Input: the type; the rest is the payload.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.fuzz.choices import Choices
from tests.fuzz.declared import TYPES

from duologue import Codec, DecodeError
from duologue.protocol.errors import MAX_ERROR_TEXT, CallError, ErrorKind
from duologue.protocol.failures import call_error, read_error, read_error_sid
from duologue.protocol.ids import RESPONSE_SID
from duologue_wireformats.typed import TypedWireFormat

TIGHT = {"nesting": 4, "items": 20}
"""Limits that a payload of a few bytes can go over."""

LONGEST_TEXT = 400
"""What an error may say at most: words and the names of fields, and no content."""


def target(make: Callable[..., TypedWireFormat]) -> Callable[[bytes], None]:
    """The target of a wire format."""
    wireformat, tight = make(), make(**TIGHT)
    codecs = [(type_, wireformat.codec(type_), tight.codec(type_)) for type_ in TYPES]

    def run(data: bytes) -> None:
        choices = Choices(data)
        which = choices.byte() % (len(codecs) + 1)
        payload = choices.rest()
        if which == len(codecs):
            read_as_error(wireformat, payload)
            return
        type_, codec, tight_codec = codecs[which]
        accepted, value = decode(codec, payload)
        accepted_tight, tight_value = decode(tight_codec, payload)
        if accepted:
            comes_back(codec, value)
        if accepted_tight:
            assert accepted, "a format with lower limits took what this one refuses"
            assert same(value, tight_value)
            if type_ is Any:
                depth, items = measure(value)
                assert depth <= TIGHT["nesting"], f"a value {depth} deep was taken"
                assert items <= TIGHT["items"], f"{items} values were taken"

    return run


def decode(codec: Codec[Any], payload: bytes) -> tuple[bool, Any]:
    try:
        return True, codec.decode(payload)
    except DecodeError as error:
        text = str(error)
        assert text, "an error without a word"
        assert len(text) <= LONGEST_TEXT, f"an error of {len(text)} characters: does it quote what came?"
        return False, None


def comes_back(codec: Codec[Any], value: Any) -> None:
    """What was taken can be written, and read again."""
    again = codec.encode(value)
    assert same(codec.decode(again), value), f"{value!r} comes back as another"


def same(one: Any, other: Any) -> bool:
    return bool(one == other) or repr(one) == repr(other)  # NaN is not equal to itself, and looks like it


def measure(value: Any) -> tuple[int, int]:
    """How deep plain data is, and how many values it holds. What is empty has no depth; a key and its value are one."""
    parts = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    if not parts:
        return 0, 1
    depths, counts = zip(*map(measure, parts), strict=True)
    return 1 + max(depths), 1 + sum(counts)


def read_as_error(wireformat: TypedWireFormat, payload: bytes) -> None:
    """The body of an error frame: never a failure, whatever it is."""
    kind, text = read_error(payload, wireformat.decode_plain)
    assert isinstance(kind, ErrorKind)
    assert len(text) <= MAX_ERROR_TEXT
    assert 0 <= read_error_sid(payload, wireformat.decode_plain) < RESPONSE_SID
    assert isinstance(call_error(kind, text), CallError)
