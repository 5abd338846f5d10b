"""Target `frames`: the frame decoder gets any bytes in any pieces, and sees the frames that are in them.

Input: the frame limit, the pieces, the pauses; the rest is the stream.
"""

from __future__ import annotations

from collections.abc import Sequence

from tests.fuzz.choices import Choices, cut, pieces

from duologue.protocol.errors import FrameTooLarge, ProtocolError
from duologue.protocol.frames import HEADER_SIZE, LENGTH_PREFIXED, Frame, FrameDecoder

MAX_FRAMES = (152, 200, 1000, 1 << 20, 1 << 62)
PAUSES = (0, 0, 1, 2)
"""After how many frames the iteration is left; 0 for never."""


def run(data: bytes) -> None:
    choices = Choices(data)
    limit = choices.choice(MAX_FRAMES)
    views = choices.byte() % 2 == 1
    pauses = [choices.choice(PAUSES) for _ in range(2)]
    sizes = pieces(choices)
    stream = choices.rest()
    expected = parse(stream, limit)
    for cutting in (cut(stream, sizes), [stream], cut(stream, [1])):
        seen = decode(LENGTH_PREFIXED.decoder(limit), cutting, pauses, views)
        assert seen == expected, f"{seen} is not {expected}"


def parse(data: bytes, limit: int) -> tuple[list[Frame], str, int]:
    """What a stream is, said as plainly as possible: its frames, what is wrong behind them, and the bytes of a frame that has begun."""
    found: list[Frame] = []
    while len(data) >= 8:
        length = int.from_bytes(data[:8], "little")
        if length < HEADER_SIZE:
            return found, "short", 0
        if length > limit:
            return found, f"{length} over {limit}", 0
        if len(data) < length:
            break
        sid, cid = (int.from_bytes(data[at : at + 8], "little") for at in (8, 16))
        found.append((sid, cid, data[HEADER_SIZE:length]))
        data = data[length:]
    return found, "", len(data)


def decode(
    decoder: FrameDecoder, cutting: Sequence[bytes], pauses: Sequence[int], views: bool
) -> tuple[list[Frame], str, int]:
    found: list[Frame] = []
    ended, came, consumed = "", 0, 0
    for turn, piece in enumerate(cutting):
        memory = bytearray(piece)
        came += len(piece)
        may_have = decoder.feed(memoryview(memory) if views else piece)
        memory[:] = b"\xee" * len(memory)  # the buffer is used again
        if may_have and not ended:
            before = len(found)
            ended = take(decoder, pauses[turn % len(pauses)], found)
            consumed += sum(HEADER_SIZE + len(payload) for _, _, payload in found[before:])
        assert 0 <= decoder.buffered <= came - consumed, "more is held than what came"
    while not ended:
        before = len(found)
        ended = take(decoder, 0, found)
        if len(found) == before:
            break
    if ended:
        assert decoder.buffered == 0
        assert not decoder.feed(b"more")
        assert list(decoder.frames()) == [], "it goes on after an error"
        assert not decoder.is_inside_frame
        return found, ended, 0
    have, announced = decoder.position()
    assert decoder.is_inside_frame == (have > 0)
    assert announced == 0 or announced >= have
    return found, ended, have


def take(decoder: FrameDecoder, most: int, found: list[Frame]) -> str:
    """Take up to so many frames, and leave the iteration then, as a pause does. Gives what is wrong."""
    try:
        for one in decoder.frames():
            found.append(one)
            if most and (most := most - 1) == 0:
                break
    except FrameTooLarge as error:
        return f"{error.size} over {error.limit}"
    except ProtocolError:
        return "short"
    return ""
