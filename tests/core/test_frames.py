"""Frames: any cutting of the stream gives the same ones, and nothing that comes can hurt (docs/protocol.md, section 1)."""

from __future__ import annotations

import struct
import time
import tracemalloc
from collections.abc import Iterator

import pytest
from tests.core.harness import call_frame, frame

from duologue.protocol.errors import FrameTooLarge, ProtocolError
from duologue.protocol.frames import HEADER_SIZE, LENGTH_PREFIXED, Frame, FrameDecoder

MAX = 1000

FRAMES: list[Frame] = [
    (5, 1, b"a" * 10),
    (6, 0, b""),
    (7, 2**64 - 1, b"b" * 50),
    (2**64 - 1, 3, b"c" * (MAX - HEADER_SIZE)),
]
STREAM = b"".join(frame(*each) for each in FRAMES)


def decoder(max_frame: int = MAX) -> FrameDecoder:
    return LENGTH_PREFIXED.decoder(max_frame)


def fed(pieces: Iterator[bytes], taker: FrameDecoder) -> list[Frame]:
    frames: list[Frame] = []
    for piece in pieces:
        if taker.feed(piece):
            frames += taker.frames()
    return frames


def cut(data: bytes, size: int) -> Iterator[bytes]:
    return (data[start : start + size] for start in range(0, len(data), size))


def length_only(length: int) -> bytes:
    return struct.pack("<Q", length)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 9, 23, 24, 25, 26, 100, 10_000])
@pytest.mark.fault(5)
def test_pieces_of_one_size(size: int) -> None:
    """The stream cut into pieces of any size, down to single bytes: the same frames."""
    taker = decoder()
    assert fed(cut(STREAM, size), taker) == FRAMES
    assert (taker.is_inside_frame, taker.buffered) == (False, 0)


@pytest.mark.parametrize("first", range(135))
def test_two_pieces(first: int) -> None:
    """One cut at any place in the first frames: the same frames."""
    assert fed(iter((STREAM[:first], STREAM[first:])), decoder()) == FRAMES


@pytest.mark.parametrize("size", [1, 5, 24, 30, 90, 10_000])
def test_pieces_that_came_before_anybody_looked(size: int) -> None:
    """While reading is paused the pieces of a frame lie in many chunks: they are put together all the same."""
    taker = decoder()
    for piece in cut(STREAM, size):
        taker.feed(piece)
    assert taker.buffered == len(STREAM)
    assert list(taker.frames()) == FRAMES
    assert (taker.is_inside_frame, taker.buffered) == (False, 0)


@pytest.mark.parametrize("size", [1, 5, 24, 30, 90, 10_000])
def test_the_iteration_may_be_left_after_each_frame(size: int) -> None:
    """Reading pauses between two frames and goes on later, with more bytes that came meanwhile: nothing is lost or doubled."""
    taker = decoder()
    frames: list[Frame] = []
    for piece in cut(STREAM, size):
        taker.feed(piece)
        for each in taker.frames():
            frames.append(each)
            break
    while (following := next(taker.frames(), None)) is not None:
        frames.append(following)
    assert frames == FRAMES
    assert taker.buffered == 0


def test_a_frame_that_is_complete_waits_for_what_comes_behind_it() -> None:
    """A payload got its last byte while nobody looked, and more came: first it, then the rest."""
    taker = decoder()
    first, second = call_frame(1, b"x" * 20), call_frame(2, b"y" * 20)
    assert taker.feed(first[:30])
    assert list(taker.frames()) == []
    assert taker.feed(first[30:])
    assert taker.feed(b"")
    assert taker.feed(second)
    assert [cid for _, cid, _ in taker.frames()] == [1, 2]


def test_one_piece_may_end_a_frame_and_begin_the_next() -> None:
    """The end of a payload, a whole frame, and the start of a third one, all in one piece of memory that is used again."""
    taker = decoder()
    stream = call_frame(1, b"x" * 20) + call_frame(2, b"y") + call_frame(3, b"z" * 9)
    taker.feed(stream[:30])
    assert list(taker.frames()) == []
    memory = bytearray(stream[30:75])
    taker.feed(memoryview(memory))
    memory[:] = bytes(len(memory))
    assert list(taker.frames()) == [(0x1111, 1, b"x" * 20), (0x1111, 2, b"y")]
    taker.feed(memoryview(stream)[75:])
    assert [payload for _, _, payload in taker.frames()] == [b"z" * 9]


def test_payloads_are_bytes_of_their_own() -> None:
    """No payload holds on to the chunk that it came in, or can change."""
    taker = decoder()
    taker.feed(bytearray(STREAM))  # type: ignore[arg-type]
    assert all(type(payload) is bytes for _, _, payload in taker.frames())


@pytest.mark.parametrize("length", [0, 7, 8, 23])
@pytest.mark.parametrize("size", [1, 8, 24])
@pytest.mark.fault(1)
def test_a_length_that_is_too_short(length: int, size: int) -> None:
    """A length under 24, the header's own size: `ProtocolError` as soon as the 8 bytes of the length are here."""
    taker = decoder()
    data = length_only(length) + bytes(16)
    with pytest.raises(ProtocolError, match=f"a frame of {length} bytes"):
        fed(cut(data, size), taker)
    assert taker.buffered == 0


@pytest.mark.parametrize("length", [2**63, 2**64 - 1, MAX + 1, 2**32])
@pytest.mark.parametrize("size", [1, 8, 24, 100])
@pytest.mark.parametrize("more", [0, 16, 40], ids=["the length alone", "the header", "a beginning"])
@pytest.mark.fault(2)
def test_a_length_that_is_too_large(length: int, size: int, more: int) -> None:
    """A length over the limit, however large: `FrameTooLarge` with both numbers, from the 8 bytes of the length on."""
    taker = decoder()
    with pytest.raises(FrameTooLarge) as caught:
        fed(cut(length_only(length) + bytes(more), size), taker)
    assert (caught.value.size, caught.value.limit) == (length, MAX)
    assert "the other end speaks something else" in str(caught.value)


@pytest.mark.parametrize("size", [1, 8, 20, 24, 30, 1000])
@pytest.mark.parametrize("payload", [b"", b"x" * 50])
@pytest.mark.parametrize("more", [0, 16], ids=["the length alone", "the header"])
def test_only_a_first_frame_may_be_of_another_protocol(size: int, payload: bytes, more: int) -> None:
    """When others came before, in one piece with it or in several, a frame that is too large is just that."""
    taker = decoder()
    with pytest.raises(FrameTooLarge) as caught:
        fed(cut(frame(5, 1, payload) + length_only(MAX + 1) + bytes(more), size), taker)
    assert "speaks something else" not in str(caught.value)


@pytest.mark.parametrize("payload", [b"", b"x" * (MAX - HEADER_SIZE)], ids=["24 bytes", "the limit"])
@pytest.mark.parametrize("size", [1, 24, 10_000])
@pytest.mark.fault(3)
def test_the_lengths_that_just_fit(payload: bytes, size: int) -> None:
    """The smallest frame, 24 bytes, and one of exactly the limit: both pass, and what comes behind is the next one."""
    data = frame(5, 1, payload) + frame(6, 2, b"next")
    assert fed(cut(data, size), decoder()) == [(5, 1, payload), (6, 2, b"next")]


@pytest.mark.parametrize("good", [1, 3])
@pytest.mark.fault(9)
def test_an_error_is_final(good: int) -> None:
    """Garbage behind good frames: the good ones come out, then one error, and after it nothing, whatever is fed."""
    taker = decoder()
    taker.feed(call_frame(1, b"x") * good + length_only(3) + call_frame(9))
    frames = taker.frames()
    assert [next(frames)[1] for _ in range(good)] == [1] * good
    with pytest.raises(ProtocolError):
        next(frames)
    assert not taker.feed(call_frame(2))
    assert list(taker.frames()) == []
    assert (taker.buffered, taker.is_inside_frame, taker.position()) == (0, False, (0, 0))


@pytest.mark.parametrize("size", [30, 10_000])
def test_poison_stops_an_iteration(size: int) -> None:
    """The connection ends while frames are dispatched: the ones behind are dropped, in pieces or not."""
    taker = decoder()
    for piece in cut(call_frame(1, b"x" * 9) + call_frame(2, b"y" * 9), size):
        taker.feed(piece)
    frames = taker.frames()
    assert next(frames)[1] == 1
    taker.poison()
    assert list(frames) == []


@pytest.mark.parametrize(
    ("data", "position"),
    [
        (b"", (0, 0)),
        (call_frame(1, b"xyz")[:5], (5, 0)),
        (call_frame(1, b"xyz")[:8], (8, 27)),
        (call_frame(1, b"xyz")[:23], (23, 27)),
        (call_frame(1, b"xyz")[:24], (24, 27)),
        (call_frame(1, b"xyz")[:26], (26, 27)),
        (call_frame(1, b"xyz"), (0, 0)),
    ],
)
@pytest.mark.parametrize("size", [1, 100])
def test_where_in_a_frame_the_stream_is(data: bytes, position: tuple[int, int], size: int) -> None:
    """How much of a frame is here, and how much it announced: what is said of a stream that ends there."""
    taker = decoder()
    fed(cut(data, size), taker)
    assert taker.position() == position
    assert taker.is_inside_frame is (position != (0, 0))
    assert taker.buffered <= len(data)


@pytest.mark.fault(4)
def test_memory_grows_with_what_came_not_with_what_was_promised() -> None:
    """A header that announces 1 MiB, then little: the buffer holds only what has arrived."""
    taker = decoder(2**20)
    header = frame(5, 1, bytes(2**20 - HEADER_SIZE))[:HEADER_SIZE]
    tracemalloc.start()
    try:
        taker.feed(header)
        list(taker.frames())
        for piece in cut(bytes(2000), 10):
            taker.feed(piece)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taker.buffered == 2000
    assert peak < 16 * 1024


@pytest.mark.fault(6)
def test_the_work_for_a_dribbled_frame_is_linear() -> None:
    """1 MiB that comes byte by byte: twice the bytes cost twice the time, not four times, and seconds are far away."""

    def seconds(size: int) -> float:
        taker = decoder(2**20)
        data = frame(5, 1, bytes(size - HEADER_SIZE))
        began = time.process_time()
        (result,) = fed(cut(data, 1), taker)
        assert len(result[2]) == size - HEADER_SIZE
        return time.process_time() - began

    half = min(seconds(2**18) for _ in range(3))
    whole = seconds(2**20)
    assert whole < 10 * half, "a quadratic copy would make it 16 times"


def test_the_header_is_24_bytes_little_endian() -> None:
    """Length of the whole frame, service id, connection id, then the payload."""
    assert LENGTH_PREFIXED.header(27, 0x0102030405060708, 9) == bytes.fromhex(
        "1b00000000000000 0807060504030201 0900000000000000"
    )
    assert LENGTH_PREFIXED.overhead == HEADER_SIZE == 24
