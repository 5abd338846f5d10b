"""How bytes change on their way."""

from __future__ import annotations

from random import Random

from duologue_contrib.testing.simulation.frames import HEADER, Frame

LENGTHS = (0, 7, 23, 25, 1 << 20, (1 << 20) + 1, 1 << 31, (1 << 64) - 1)
"""Lengths that are too short, just possible, just over the default limit, and far over any."""


def corrupt(data: bytes, frames: list[Frame], random: Random) -> tuple[bytes, str]:
    """Other bytes, as many, and what was done. `frames` are those that begin in them."""
    changed = bytearray(data)
    kind = random.choice(("bits", "length", "length", "ids", "payload")) if frames else "bits"
    if kind == "bits":
        for _ in range(random.choice((1, 1, 3, 20))):
            changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
        return bytes(changed), "some bits"
    frame = random.choice(frames)
    at = frame.start
    if kind == "length":
        length = random.choice(LENGTHS)
        changed[at : at + 8] = HEADER.pack(length, 0, 0)[:8]
        what = f"a length to {length}"
    elif kind == "ids":
        sid = random.choice((0, frame.sid, random.getrandbits(64)))
        cid = random.choice((0, frame.cid, frame.cid + 1, random.getrandbits(64)))
        changed[at : at + HEADER.size] = HEADER.pack(frame.length, sid, cid)
        what = f"the ids of a frame, to 0x{sid:x} and {cid}"
    else:
        for place in range(at + HEADER.size, min(at + frame.length, len(changed))):
            changed[place] = random.randrange(256)
        what = f"the payload of {frame.kind} #{frame.cid}"
    return bytes(changed), what
