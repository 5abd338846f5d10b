"""Where fuzzing begins: for each target some inputs made of the golden frames, and of what peers really send.

`python tests/fuzz --merge` plays them too, so that the corpus holds them, or what reaches the same with fewer bytes.
"""

from __future__ import annotations

import datetime
import decimal
import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.adapters.websocket_ends import PLAIN as PLAIN_REQUEST
from tests.adapters.websocket_ends import REQUEST, message
from tests.core.story_tables import ERROR_BODIES, LIMITS
from tests.fuzz.declared import TYPES, Fork, Leaf, Log, Order, Plant, Row, Tree
from tests.fuzz.targets.websocket import ANSWER
from tests.wireformats.declared import Keyword, WrappedBytes
from tests.wireformats.declared_cases import Circle, Draw, Drawing, Line, Red, Text
from websockets.frames import Opcode

from duologue import WireFormat
from duologue.protocol.errors import ErrorKind
from duologue.protocol.failures import connection_error_body, error_body
from duologue_adapters.zeromq.messages import Kind, aborting, header, numbered, opening
from duologue_wireformats.cbor import Cbor
from duologue_wireformats.json_text import Json
from duologue_wireformats.messagepack import MessagePack

FORMATS: dict[str, WireFormat] = {"cbor": Cbor(), "messagepack": MessagePack(), "json": Json()}
VECTORS = Path(__file__).resolve().parents[1] / "vectors" / "base_frames.json"
GOLDEN = json.loads(VECTORS.read_text(encoding="utf-8"))["frames"]

VALUES: tuple[tuple[Any, Any], ...] = (
    (Any, {"a": [1, 2.5, "text", None, True, [], {}], "b": {"c": -1}}),
    (Any, [[0] * 10] * 3),  # over the tight limit of values
    (Any, [[[[[[1]]]]]]),  # and over that of depth
    (Order, Order(7, ["a", "b"], {"x": Row(1, ("y",))}, {1: True, 2**40: False}, 0.5)),
    (
        Log,
        Log(
            datetime.datetime(2020, 1, 2, tzinfo=datetime.UTC),
            uuid.UUID(int=5),
            decimal.Decimal("1.5"),
            "low",
        ),
    ),
    (Tree, Tree("root", [Tree("leaf", [], b"data")])),
    (Plant, Plant(Fork(Leaf(b"\x01\xff"), Fork(Leaf(b""))))),
    (Draw, Draw(Circle(1.5, "round"))),
    (Drawing, Drawing(Red(), [Line(1, 2), Text("x")], {"a": None})),
    (Keyword, Keyword(number=5)),
    (WrappedBytes, WrappedBytes(b"bytes")),
    (int, -(2**63)),
    (dict[int, Any], {1: [2], 2**64 - 1: {}}),
    (set[int], {1, 2, 3}),
    (bytes, bytes(range(40))),
    (type(None), None),
)


def seeds(name: str) -> Iterator[bytes]:
    """Inputs of a target, in the form that it reads."""
    match name:
        case "frames":
            yield from _frames()
        case "connection":
            yield from _connections()
        case "story":
            yield from (bytes(range(start, start + 60)) for start in range(0, 190, 12))
        case "websocket":
            yield from _websockets()
        case "zeromq":
            yield from _sessions()
        case _:
            yield from _payloads(name)


def _frames() -> Iterator[bytes]:
    frames = [bytes.fromhex(each["frame"]) for each in GOLDEN]
    for limit in range(5):
        for sizes in (b"\x00\x01", b"\x02\x18\x03\x50", b"\x00\xff"):
            yield bytes([limit, limit % 2, 0, 2]) + sizes + b"".join(frames)
    for length in (0, 23, 24, 152, 153, 2**62, 2**64 - 1):
        yield bytes([0, 0, 0, 0, 0, 7]) + frames[0] + length.to_bytes(8, "little") + bytes(16)
    yield bytes(6) + b"GET / HTTP/1.1\r\n\r\n"


def _connections() -> Iterator[bytes]:
    steps = bytes([0, 49])  # `raw`, so many bytes
    head = bytes(len(LIMITS) + 4)
    for each in GOLDEN:
        data = bytes.fromhex(each["frame"])
        for call in (b"", b"\x06\x00\x05\x00\x00\x13\x02"):
            yield (
                head + call + steps[:1] + bytes([len(data)]) + data + b"\x04\x00\x00\x11\x0b\x00\x01\x13\x02"
            )
    for number in range(24):
        yield bytes([number * 7 % 256] * (len(LIMITS) + 4)) + bytes(
            (number * step + step) % 256 for step in range(90)
        )


def _payloads(name: str) -> Iterator[bytes]:
    wireformat = FORMATS[name]
    as_error = len(TYPES)
    for type_, value in VALUES:
        payload = wireformat.codec(type_).encode(value)
        yield bytes([TYPES.index(type_)]) + payload
        yield bytes([0]) + payload
    for kind in ErrorKind:
        yield bytes([as_error]) + wireformat.encode_plain(error_body(kind, 1, 2))
    yield bytes([as_error]) + wireformat.encode_plain(connection_error_body("out of step"))
    if name == "cbor":
        yield from (
            bytes([which]) + bytes.fromhex(each["payload"]) for each in GOLDEN for which in (0, as_error)
        )
    if name == "json":
        yield from (bytes([as_error]) + body for body in ERROR_BODIES)


def _websockets() -> Iterator[bytes]:
    for masked in (True, False):
        first = [b"\x01\x00", b"\x00\x00"][not masked]
        ready = [b"\x01\x01", b"\x00\x01"][not masked]
        for frames in (
            [
                message(Opcode.BINARY, b"abc", masked=masked),
                message(Opcode.BINARY, bytes(200), masked=masked),
            ],
            [
                message(Opcode.BINARY, b"a", fin=False, masked=masked),
                message(Opcode.PING, b"?", masked=masked),
            ],
            [message(Opcode.CONT, b"b", masked=masked), message(Opcode.TEXT, b"text", masked=masked)],
            [message(Opcode.BINARY, masked=masked)] * 5 + [message(Opcode.CLOSE, b"\x03\xe8", masked=masked)],
            [message(Opcode.CLOSE, b"\x03\xeabad\x1b[31m", masked=masked)],
            [message(Opcode.BINARY, bytes(1700), masked=masked)],
        ):
            data = b"".join(frames)
            yield ready + b"\x01\x02\x01\x07\x00" + data
            yield first + b"\x01\x00\x10" + (REQUEST % b"" if masked else ANSWER) + data
    for request in (
        PLAIN_REQUEST % (b"GET", b"/", b""),
        PLAIN_REQUEST % (b"POST", b"/", b"Content-Length: 0\r\n"),
        REQUEST % b"Origin: https://example.org\r\n",
        REQUEST % b"Origin: https://elsewhere.example\r\n",
        b"\x16\x03\x01\x02\x00",
        b"GET / HTTP/1.1\r\n" + 50 * b"X: y\r\n",
    ):
        yield b"\x02\x00\x00\x00\x08" + request
    for status in (b"200 OK", b"404 Not Found", b"503 Service Unavailable", b"301 Moved"):
        yield b"\x00\x00\x00\x00\x08HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n"


def _sessions() -> Iterator[bytes]:
    me = b"abcdefgh"
    messages = [
        opening(me),
        numbered(Kind.OPENED, me, 2**20),
        header(Kind.DATA, me) + b"data",
        numbered(Kind.CREDIT, me, 4096),
        header(Kind.END, me),
        header(Kind.PING, me),
        aborting(me, "tired\n\x1b[31m"),
    ]
    told = [bytes([0, len(each)]) + each for each in messages]
    ours = b"\x06\x02\x04\x03\x02\x06\x01\x05\x05\x05\x07\x08\x14\x08\x14"
    yield b"\x00\x02\x01\x03" + 4 * b"\x06\x01\x06\x06"  # more than a small window
    for is_server in (0, 1):
        opened = bytes([is_server]) + (told[0] + b"\x09" if is_server else told[1])
        yield from (opened + each + ours for each in told)
        yield opened + b"".join(told[2:])
        yield opened + b"\x04\x06" * 17 + b"\x05" + ours
        yield bytes([is_server]) + b"".join(told)
