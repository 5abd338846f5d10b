"""The public suite has teeth: a wire format with a fault does not pass it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from _pytest.outcomes import Failed

from duologue import Codec, DecodeError, WireFormat
from duologue.protocol.frames import LengthPrefixed
from duologue_contrib.testing import WireFormatSuite
from duologue_contrib.testing.wireformat_samples import SAMPLES
from duologue_wireformats.cbor import Cbor
from duologue_wireformats.json_text import Json


class Altered(Codec[Any]):
    """A codec with something done to what it reads or writes."""

    def __init__(
        self, codec: Codec[Any], encode: Callable[[bytes], bytes], decode: Callable[[Codec[Any], bytes], Any]
    ) -> None:
        self._codec = codec
        self._encode = encode
        self._decode = decode

    def encode(self, value: Any) -> bytes:
        return self._encode(self._codec.encode(value))

    def decode(self, payload: bytes) -> Any:
        return self._decode(self._codec, payload)


class Faulty(WireFormat):
    """CBOR with a fault."""

    name = "faulty"

    def __init__(
        self,
        encode: Callable[[bytes], bytes] = lambda payload: payload,
        decode: Callable[[Codec[Any], bytes], Any] = lambda codec, payload: codec.decode(payload),
        inside: WireFormat | None = None,
    ) -> None:
        self._inside = inside or Cbor()
        self._encode = encode
        self._decode = decode

    def codec(self, type_: Any) -> Codec[Any]:
        return Altered(self._inside.codec(type_), self._encode, self._decode)

    def encode_plain(self, value: Any) -> bytes:
        return self.codec(Any).encode(value)

    def decode_plain(self, payload: bytes) -> Any:
        return self.codec(Any).decode(payload)


def leaking(codec: Codec[Any], payload: bytes) -> Any:
    """Lets another exception out."""
    try:
        return codec.decode(payload)
    except DecodeError:
        raise ValueError("not ours") from None


def careless(codec: Codec[Any], payload: bytes) -> Any:
    """Does not mind what comes after the value."""
    for end in range(len(payload), 0, -1):
        try:
            return codec.decode(payload[:end])
        except DecodeError:
            continue
    raise DecodeError("nothing at all")


def quoting(codec: Codec[Any], payload: bytes) -> Any:
    """Says what it has received."""
    try:
        return codec.decode(payload)
    except DecodeError as exc:
        raise DecodeError(f"{exc}: {payload!r}") from None


def forgetful(codec: Codec[Any], payload: bytes) -> Any:
    """Takes everything for a float."""
    value = codec.decode(payload)
    return float(value) if type(value) is int else value


def bounded(nesting: int = 32, items: int = 50_000) -> WireFormat:
    return Faulty(inside=Cbor(nesting=nesting, items=items))


def mutable(payload: bytes) -> Any:
    """Gives what somebody may change afterwards."""
    return bytearray(payload)


def outcomes(
    wireformat: WireFormat, unbounded: WireFormat | None, *names: str, **changes: Any
) -> Iterator[tuple[str, BaseException | None]]:
    """What becomes of tests of the suite (all, if none is named), with the first of its parameters that fails."""
    kind = type("TestIt", (WireFormatSuite,), {"wireformat": wireformat, "unbounded": unbounded, **changes})
    for name in dir(kind):
        if name not in names and (names or not name.startswith("test_")):
            continue
        marks = getattr(getattr(kind, name), "pytestmark", [])
        rows = [{}] if not marks else [{marks[0].args[0]: row} for row in marks[0].args[1]]
        for row in rows[:4]:
            try:
                getattr(kind(), name)(**row)
            except (Exception, Failed, pytest.skip.Exception) as exc:
                yield name, exc
                break
        else:
            yield name, None


@pytest.mark.parametrize(
    ("wireformat", "caught_by"),
    [
        (Faulty(decode=leaking), "test_random_payloads"),
        (Faulty(decode=careless), "test_bytes_after_the_value"),
        (Faulty(decode=quoting), "test_errors_name_the_field_and_quote_nothing"),
        (Faulty(decode=forgetful), "test_values_come_back"),
        (Faulty(encode=mutable), "test_values_come_back"),
        (bounded(nesting=33), "test_depth"),
        (bounded(nesting=31), "test_depth"),
        (bounded(items=60_000), "test_bombs"),
    ],
    ids=[
        "leaking",
        "careless",
        "quoting",
        "forgetful",
        "no bytes",
        "too deep",
        "not deep enough",
        "too many",
    ],
)
def test_a_fault_is_found(wireformat: WireFormat, caught_by: str) -> None:
    """Each fault makes the test fail that is there for it."""
    (found,) = outcomes(wireformat, Cbor(nesting=200, items=10**7), caught_by)
    assert found[1] is not None


def test_a_sound_format_passes() -> None:
    """And without a fault the same goes through, also where there is nothing that writes what is over the limits."""
    assert {name for name, exc in outcomes(Faulty(), None) if exc is not None} == set()
    assert {name for name, exc in outcomes(Json(), None) if exc is not None} == set()


def test_samples_that_a_format_can_not_carry_are_skipped() -> None:
    """A format may say that it has no way to carry something; then it is skipped, not passed."""
    found = dict(outcomes(Cbor(), None, without=frozenset(sample.name for sample in SAMPLES[:3])))
    assert isinstance(found["test_values_come_back"], pytest.skip.Exception)
    assert [name for name, exc in found.items() if exc is not None] == ["test_values_come_back"]


def test_a_framing_with_a_fault_is_found() -> None:
    """A header that is one byte short of the truth, and one that has space around its name."""

    class Short(LengthPrefixed):
        def header(self, size: int, sid: int, cid: int, /) -> bytes:
            return super().header(size - 1, sid, cid)

    class Framed(Cbor):
        name = " cbor"
        framing = Short()

    found = dict(outcomes(Framed(), None))
    for name in (
        "test_it_has_a_name",
        "test_frames_come_whole",
        "test_frames_come_in_pieces",
        "test_a_frame_at_the_limit",
    ):
        assert found[name] is not None
