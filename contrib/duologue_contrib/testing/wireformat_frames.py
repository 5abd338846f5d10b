"""The part of the suite for wire formats that is about frames."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from typing import ClassVar

from duologue import FrameTooLarge, ProtocolError, WireFormat
from duologue_contrib.testing.needed import pytest
from duologue_contrib.testing.wireformat_samples import CALL_ID, Pair

Frame = tuple[int, int, bytes]
"""Service id, connection id, payload: what a decoder of frames gives."""

_LARGE = 1 << 20


class FrameTests:
    """The same frames come out however the stream is cut; a broken stream is told, and never hurts."""

    wireformat: ClassVar[WireFormat]
    """The format under test."""

    def test_it_has_a_name(self) -> None:
        """The name to choose it by is a short text, of what goes into an entry point."""
        name = self.wireformat.name
        assert name, "the name is empty"
        assert name == name.strip(), f"the name {name!r} has space around it"

    def test_frames_come_whole(self) -> None:
        """All frames in one piece: all of them come out, in order, unchanged."""
        frames = self._frames()
        assert self._decoded([self._stream(frames)]) == frames, "not the frames that were written"

    @pytest.mark.parametrize("size", [1, 4, 7, 1000])
    def test_frames_come_in_pieces(self, size: int) -> None:
        """The stream cut into pieces of one size: the same frames."""
        frames = self._frames()
        stream = self._stream(frames)
        pieces = (stream[at : at + size] for at in range(0, len(stream), size))
        assert self._decoded(pieces) == frames, f"in pieces of {size} bytes the frames differ"

    @pytest.mark.parametrize("seed", range(25))
    def test_frames_come_in_random_pieces(self, seed: int) -> None:
        """The stream cut at random: the same frames."""
        frames = self._frames()
        pieces = _cut(self._stream(frames), random.Random(seed))
        assert self._decoded(pieces) == frames, f"cut at random (seed {seed}) the frames differ"

    def test_a_stream_that_ends_between_frames(self) -> None:
        """Nothing is held, and no frame has begun."""
        decoder = self.wireformat.framing.decoder(_LARGE)
        decoder.feed(self._stream(self._frames()))
        count = len(list(decoder.frames()))
        assert (count, decoder.is_inside_frame, decoder.buffered) == (len(self._frames()), False, 0)

    @pytest.mark.parametrize("missing", [1, 5, 20])
    def test_a_stream_that_ends_inside_a_frame(self, missing: int) -> None:
        """The frame is not given, and the decoder says that one has begun."""
        stream = self._stream([(5, 1, b"payload of some length")])
        decoder = self.wireformat.framing.decoder(_LARGE)
        decoder.feed(stream[:-missing])
        assert list(decoder.frames()) == [], "a frame was given that is not complete"
        assert decoder.is_inside_frame, "it does not tell that a frame was cut"
        assert decoder.buffered <= len(stream) - missing, "it holds more than what has come"

    def test_a_frame_at_the_limit(self) -> None:
        """A frame of exactly the largest size passes."""
        frame = (5, 1, bytes(1000))
        stream = self._stream([frame])
        assert self._decoded([stream], max_frame=len(stream)) == [frame]

    def test_a_frame_over_the_limit(self) -> None:
        """A frame of one byte more is refused before its payload comes, with its size, and nothing is given after it."""
        stream = self._stream([(5, 1, bytes(1000))])
        decoder = self.wireformat.framing.decoder(len(stream) - 1)
        decoder.feed(stream[: self.wireformat.framing.overhead])
        with pytest.raises(FrameTooLarge) as caught:
            list(decoder.frames())
        assert (caught.value.size, caught.value.limit) == (len(stream), len(stream) - 1)
        decoder.feed(self._stream(self._frames()))
        assert list(decoder.frames()) == [], "there is no way back into step after an error"

    @pytest.mark.parametrize("seed", range(25))
    def test_wrong_lengths(self, seed: int) -> None:
        """A header with any of its bytes changed: frames, or one error of the protocol, and then nothing more."""
        chance = random.Random(seed)
        for _ in range(50):
            stream = bytearray(self._stream(self._frames()))
            for _ in range(chance.randint(1, 4)):
                stream[chance.randrange(self.wireformat.framing.overhead)] = chance.randrange(256)
            self._check_broken_stream(bytes(stream), chance)

    @pytest.mark.parametrize("seed", range(25))
    def test_random_streams(self, seed: int) -> None:
        """Bytes that nobody wrote as frames: the same."""
        chance = random.Random(seed)
        for _ in range(50):
            self._check_broken_stream(chance.randbytes(chance.randint(0, 200)), chance)

    def _frames(self) -> list[Frame]:
        """Frames of every kind: a send, calls, an answer, an error; small, empty, large."""
        encode = self.wireformat.encode_plain
        payload = self.wireformat.codec(Pair).encode(Pair(1, 2))
        return [
            (0x6440CFD17C374646, 0, payload),
            (0x6440CFD17C374646, 1, payload),
            (2**64 - 1, 1, encode(3)),
            (5, 2**64 - 1, b""),
            (0, 2, encode({"Timeout": {"sid": CALL_ID}})),
            (6, 3, encode("x" * 5000)),
            (7, 4, bytes(range(256))),
        ]

    def _stream(self, frames: Iterable[Frame]) -> bytes:
        framing = self.wireformat.framing
        return b"".join(
            framing.header(framing.overhead + len(payload), sid, cid) + payload
            for sid, cid, payload in frames
        )

    def _decoded(self, pieces: Iterable[bytes], max_frame: int = _LARGE) -> list[Frame]:
        decoder = self.wireformat.framing.decoder(max_frame)
        frames: list[Frame] = []
        for piece in pieces:
            if decoder.feed(piece):
                frames += decoder.frames()
        return frames

    def _check_broken_stream(self, stream: bytes, chance: random.Random) -> None:
        decoder = self.wireformat.framing.decoder(_LARGE)
        broken = False
        for piece in _cut(stream, chance):
            try:
                if decoder.feed(piece):
                    given = list(decoder.frames())
                    assert not (broken and given), "frames after an error"
            except ProtocolError:
                assert not broken, "an error after an error"
                broken = True
        assert decoder.buffered <= len(stream), "it holds more than what has come"


def _cut(stream: bytes, chance: random.Random) -> Iterator[bytes]:
    at = 0
    while at < len(stream):
        size = chance.choice((1, 2, 3, 8, 24, 100, 3000))
        yield stream[at : at + size]
        at += size
