"""The suite that a wire format must pass. Yours too: subclass it in a test module, and pytest runs all of it.

    from duologue_contrib.testing import WireFormatSuite

    class TestMorse(WireFormatSuite):
        wireformat = Morse()

It asks three things. Frames: the same ones come out however the stream is cut, and a broken stream is told, and never
hurts. Values: what goes in comes out, for every type and shape that messages have. Hostile payloads: whatever bytes
come, there is a value or a `DecodeError`, soon, and within the limits.
"""

from __future__ import annotations

import random
from typing import Any, ClassVar

from duologue import Codec, DecodeError, EncodeError, Limits, WireFormat
from duologue_contrib.testing.needed import pytest
from duologue_contrib.testing.wireformat_frames import FrameTests
from duologue_contrib.testing.wireformat_samples import ERROR_BODIES, SAMPLES, Defaults, Pair, Sample

_NAMES = [sample.name for sample in SAMPLES]


class WireFormatSuite(FrameTests):
    """The tests. Set `wireformat` to the format with its limits as they are by default; change the rest only where you must."""

    unbounded: ClassVar[WireFormat | None] = None
    """The same format with its limits raised far over the default ones, to make payloads that are over them.

    A format refuses to write what it would refuse to read, so without this those tests have nothing to read.
    """

    without: ClassVar[frozenset[str]] = frozenset()
    """Names of samples (see `wireformat_samples.SAMPLES`) that your format can't carry, and says so: they are skipped."""

    limits: ClassVar[Limits] = Limits()
    """Where `nesting` and `items` come from."""

    @pytest.mark.parametrize("name", _NAMES)
    def test_values_come_back(self, name: str) -> None:
        """A value comes back as it was, of the type that it was."""
        sample, codec = self._sample(name)
        for value in sample.values:
            payload = codec.encode(value)
            assert type(payload) is bytes, (
                f"{value!r} was encoded to a {type(payload).__name__}, not to bytes"
            )
            back = codec.decode(payload)
            assert back == value, f"{value!r} came back as {back!r}"
            assert type(back) is type(value), f"{value!r} came back as a {type(back).__name__}"

    @pytest.mark.parametrize("body", ERROR_BODIES, ids=lambda body: next(iter(body)))
    def test_bodies_of_errors_come_back(self, body: dict[str, Any]) -> None:
        """The bodies of error frames are plain data, and come back as they were."""
        assert self.wireformat.decode_plain(self.wireformat.encode_plain(body)) == body

    def test_unknown_fields_are_ignored(self) -> None:
        """A field that is not declared, whatever is in it, makes no difference."""
        payload = self.wireformat.encode_plain({"a": 1, "extra": [{"deep": [1]}], "b": 2})
        assert self.wireformat.codec(Pair).decode(payload) == Pair(1, 2)

    @pytest.mark.parametrize(
        "plain", [{"a": 1}, {"a": 1, "b": "2"}, {"a": 1, "b": None}, [1, 2], 1, "a", None, {}]
    )
    def test_what_does_not_fit_the_type(self, plain: object) -> None:
        """A missing field, or one of another type, is a `DecodeError`."""
        payload = self.wireformat.encode_plain(plain)
        with pytest.raises(DecodeError):
            self.wireformat.codec(Pair).decode(payload)

    def test_errors_name_the_field_and_quote_nothing(self) -> None:
        """The text says which field is wrong, and holds nothing of what was received."""
        payload = self.wireformat.encode_plain({"attempts": "a secret of the sender's"})
        with pytest.raises(DecodeError) as caught:
            self.wireformat.codec(Defaults).decode(payload)
        assert "attempts" in str(caught.value), f"does not name the field: {caught.value}"
        assert "secret" not in str(caught.value), f"quotes the payload: {caught.value}"

    @pytest.mark.parametrize("value", [2**64, -(2**64) - 1, 10**40], ids=["2^64", "-2^64-1", "10^40"])
    def test_integers_out_of_range_are_not_written(self, value: int) -> None:
        """What no other end could read is an `EncodeError` here."""
        with pytest.raises(EncodeError):
            self.wireformat.codec(Pair).encode(Pair(1, value))
        with pytest.raises(EncodeError):
            self.wireformat.codec(int).encode(value)
        with pytest.raises(EncodeError):
            self.wireformat.encode_plain({"a": [value]})

    @pytest.mark.parametrize(
        "value",
        ["\ud800", object(), 1j, {(1, 2): 3}, {1.5: 2}, {None: 1}],
        ids=["lone surrogate", "object", "complex", "tuple as key", "float as key", "None as key"],
    )
    def test_what_can_not_be_written(self, value: object) -> None:
        """What is no text, no plain data or no key is an `EncodeError`."""
        with pytest.raises(EncodeError):
            self.wireformat.encode_plain({"a": [value]})

    def test_values_in_themselves_are_not_written(self) -> None:
        """A list that is in itself, or nested a thousand deep, is an `EncodeError`, and no crash."""
        circle: list[Any] = []
        circle.append(circle)
        deep: list[Any] = []
        for _ in range(1000):
            deep = [deep]
        for value in (circle, {"a": circle}, deep):
            with pytest.raises(EncodeError):
                self.wireformat.encode_plain(value)

    def test_bytes_after_the_value(self) -> None:
        """A payload is exactly one value: a byte more is a `DecodeError`."""
        for sample, codec in self._all():
            payload = codec.encode(sample.values[-1])
            for more in (b"\x00", b"\x01", b"]", b"\xff"):
                with pytest.raises(DecodeError):
                    codec.decode(payload + more)

    def test_payloads_that_end_early(self) -> None:
        """A payload that lacks its last bytes is a `DecodeError`, or a value where the rest is one too."""
        for sample, codec in self._all():
            for value in sample.values:
                payload = codec.encode(value)
                for end in range(max(0, len(payload) - 40), len(payload)):
                    _decode_anything(codec, payload[:end])
        with pytest.raises(DecodeError):
            self.wireformat.decode_plain(b"")

    @pytest.mark.parametrize("seed", range(10))
    def test_random_payloads(self, seed: int) -> None:
        """Random bytes, into every type: a value or a `DecodeError`, nothing else."""
        chance = random.Random(seed)
        codecs = [codec for _, codec in self._all()]
        for _ in range(100):
            payload = chance.randbytes(chance.randint(0, 40))
            for codec in codecs:
                _decode_anything(codec, payload)

    @pytest.mark.parametrize("seed", range(10))
    def test_payloads_with_some_bytes_changed(self, seed: int) -> None:
        """Nearly right payloads, which get further than random ones: the same."""
        chance = random.Random(seed)
        for sample, codec in self._all():
            for value in sample.values:
                payload = codec.encode(value)
                for _ in range(10):
                    _decode_anything(codec, _changed(payload, chance))

    @pytest.mark.parametrize("container", ["list", "dict"])
    def test_depth(self, container: str) -> None:
        """Values in as many lists or dicts as the limit says are read; in one more they are refused."""
        at_limit, over = (_nested(self.limits.nesting + more, container) for more in (0, 1))
        payload = self.wireformat.encode_plain(at_limit)
        assert self.wireformat.decode_plain(payload) == at_limit
        self._check_refused(over)

    @pytest.mark.parametrize("value", [[], {}, 0, "", {"a": 0}, [[]]], ids=repr)
    def test_bombs(self, value: object) -> None:
        """More values than the limit says are refused, whatever they are: a list of nothing is small to send and large to hold."""
        self._check_refused([value] * (self.limits.items + 1))

    def _sample(self, name: str) -> tuple[Sample, Codec[Any]]:
        if name in self.without:
            pytest.skip("said to be something that the format can't carry")
        sample = next(each for each in SAMPLES if each.name == name)
        return sample, self.wireformat.codec(sample.type_)

    def _all(self) -> list[tuple[Sample, Codec[Any]]]:
        return [self._sample(name) for name in _NAMES if name not in self.without]

    def _check_refused(self, value: object) -> None:
        """A value over the limits is not read; and if it is written, then only by the unbounded format."""
        maker = self.wireformat if self.unbounded is None else self.unbounded
        try:
            payload = maker.encode_plain(value)
        except EncodeError:
            assert self.unbounded is None, "the format that is said to be unbounded refuses to write it"
            return
        with pytest.raises(DecodeError):
            self.wireformat.decode_plain(payload)


def _changed(payload: bytes, chance: random.Random) -> bytes:
    changed = bytearray(payload)
    for _ in range(chance.randint(1, 3)):
        at = chance.randint(0, len(changed))
        match chance.randrange(3):
            case 0:
                changed[at : at + 1] = chance.randbytes(1)
            case 1:
                changed[at:at] = chance.randbytes(1)
            case _:
                del changed[at : at + chance.randint(1, 3)]
    return bytes(changed)


def _decode_anything(codec: Codec[Any], payload: bytes) -> None:
    try:
        codec.decode(payload)
    except DecodeError:
        pass
    except Exception as exc:
        pytest.fail(f"{payload!r} raised {type(exc).__name__}, and not DecodeError: {exc}")


def _nested(depth: int, container: str) -> object:
    value: object = 1
    for _ in range(depth):
        value = [value] if container == "list" else {"a": value}
    return value
