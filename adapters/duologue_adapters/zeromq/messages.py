"""The messages of the link protocol (docs/adapters.md, "The link protocol of zmq"): what they are, to and from bytes."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum

VERSION = 1
PIECE = 64 * 1024
"""The most bytes of the stream in one message. A receiver then needs no more than that for one, whatever its frames are."""
WINDOW = 1024 * 1024
"""Bytes that may be on their way in one direction of one connection: what a reader that pauses makes its end hold."""
LEAST_COST = 4096
"""What a data message takes of the window at least, so that many small ones can't cost far more than their bytes."""
REASON_SIZE = 200
"""Bytes of the text that goes with an abort."""

_HEADER = struct.Struct("<B8s")
_OPEN = struct.Struct("<BI")
_NUMBER = struct.Struct("<I")

HEADER_SIZE = _HEADER.size
MAX_SIZE = HEADER_SIZE + PIECE
"""The largest message that there can be."""


class Kind(IntEnum):
    """The first byte of a message."""

    OPEN = 1
    """The client's first: the version, and the window for what the server sends."""
    OPENED = 2
    """The server's answer: the window for what the client sends."""
    DATA = 3
    """A piece of the stream."""
    CREDIT = 4
    """So many bytes more may come."""
    END = 5
    """Nothing more comes from here: the end of the stream."""
    ABORT = 6
    """The connection is over, with a text for people."""
    PING = 7
    """Are you there?"""
    PONG = 8
    """Yes."""


class LinkError(Exception):
    """The other end broke the link protocol, or is gone; the text says which."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message, taken apart as far as all kinds are alike."""

    kind: Kind
    incarnation: bytes
    """The client's random number of the connection: what belongs to another one never matches."""
    body: bytes

    def number(self) -> int:
        """The window of an OPENED, or the bytes of a CREDIT."""
        return int(_NUMBER.unpack(self.body)[0])

    def opening(self) -> tuple[int, int]:
        """The version and the window of an OPEN."""
        version, window = _OPEN.unpack(self.body)
        return version, window


_SIZES = {
    Kind.OPEN: (_OPEN.size, _OPEN.size),
    Kind.OPENED: (_NUMBER.size, _NUMBER.size),
    Kind.DATA: (1, PIECE),
    Kind.CREDIT: (_NUMBER.size, _NUMBER.size),
    Kind.END: (0, 0),
    Kind.ABORT: (0, REASON_SIZE),
    Kind.PING: (0, 0),
    Kind.PONG: (0, 0),
}
"""The fewest and the most bytes of each kind's body."""


def parse(data: bytes) -> Message:
    """Take a message apart. Raises `LinkError` if it is none."""
    if len(data) < HEADER_SIZE:
        raise LinkError(f"a message of {len(data)} bytes: each begins with a kind and an incarnation")
    number, incarnation = _HEADER.unpack_from(data)
    try:
        kind = Kind(number)
    except ValueError:
        raise LinkError(f"a message of the unknown kind {number}") from None
    fewest, most = _SIZES[kind]
    if not fewest <= len(data) - HEADER_SIZE <= most:
        raise LinkError(f"{kind.name} with {len(data) - HEADER_SIZE} bytes: from {fewest} to {most} it has")
    return Message(kind, incarnation, data[HEADER_SIZE:])


def header(kind: Kind, incarnation: bytes) -> bytes:
    """The beginning of every message."""
    return _HEADER.pack(kind, incarnation)


def opening(incarnation: bytes) -> bytes:
    """An OPEN."""
    return header(Kind.OPEN, incarnation) + _OPEN.pack(VERSION, WINDOW)


def numbered(kind: Kind, incarnation: bytes, number: int) -> bytes:
    """An OPENED or a CREDIT."""
    return header(kind, incarnation) + _NUMBER.pack(number)


def aborting(incarnation: bytes, reason: str) -> bytes:
    """An ABORT."""
    return header(Kind.ABORT, incarnation) + reason.encode()[:REASON_SIZE]


def cost(size: int) -> int:
    """What a data message takes of the window."""
    return max(size, LEAST_COST)
