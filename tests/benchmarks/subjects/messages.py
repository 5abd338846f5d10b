"""The messages of the cases, for those who speak them with the library's codecs."""

from __future__ import annotations

from duologue import Message, Namespace

CODECS = {"msgpack": ("msgpack",), "cbor": ("cbor2",)}
"""The packages that a wire format needs, and that are extras."""


class Add(Message[int]):
    a: int
    b: int


class Echo(Message[bytes]):
    data: bytes


class Log(Message[None]):
    line: str


class Handled(Message[int]):
    pass


bench = Namespace("bench", [Add, Echo, Log, Handled])
