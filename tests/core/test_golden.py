"""Golden frames: the bytes that the Rust original writes, in both directions, through a whole connection."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cbor2
import pytest
from tests.core.harness import Solo, TestRoute

from duologue.protocol.errors import DecodeError, ErrorKind, FailureKind, RemoteError
from duologue.protocol.events import (
    CallFailed,
    CallReceived,
    ErrorReported,
    Event,
    ResponseReceived,
    SendReceived,
)
from duologue.protocol.failures import ErrorBodies, connection_error_body, read_error
from duologue.protocol.frames import LENGTH_PREFIXED, Frame
from duologue.protocol.ids import ERROR_SID, RESPONSE_SID

VECTORS = json.loads(Path(__file__).parents[1].joinpath("vectors", "base_frames.json").read_text())
ADD = 0x6440CFD17C374646
SHOW = 0xCDD3781867767588


class Vector:
    """One golden frame."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.what: str = values["what"]
        self.kind: str = values["kind"]
        self.sid = int(values["sid"], 16)
        self.cid: int = values["cid"]
        self.payload = bytes.fromhex(values["payload"])
        self.frame = bytes.fromhex(values["frame"])


FRAMES = [Vector(values) for values in VECTORS["frames"]]
every_frame = pytest.mark.parametrize("vector", FRAMES, ids=lambda vector: vector.what)


def by_what(start: str) -> Vector:
    (found,) = [vector for vector in FRAMES if vector.what.startswith(start)]
    return found


def decode(payload: bytes) -> Any:
    try:
        return cbor2.loads(payload)
    except cbor2.CBORDecodeError as exc:
        raise DecodeError(str(exc)) from exc


CBOR = ErrorBodies(cbor2.dumps, decode)


def solo() -> Solo:
    """A connection that speaks CBOR and serves `Add` and `Show`."""
    return Solo(bodies=CBOR, routes={ADD: TestRoute("remotes::Add"), SHOW: TestRoute("remotes::Show")})


@every_frame
def test_headers_are_written_as_the_original_does(vector: Vector) -> None:
    """Header and payload together are the golden bytes."""
    assert LENGTH_PREFIXED.header(len(vector.frame), vector.sid, vector.cid) + vector.payload == vector.frame


@every_frame
@pytest.mark.parametrize("piece", [1, 4, 10_000])
def test_frames_are_read_as_the_original_means_them(vector: Vector, piece: int) -> None:
    """Service id, connection id and payload come out, whole or in pieces."""
    decoder = LENGTH_PREFIXED.decoder(1000)
    frames: list[Frame] = []
    for start in range(0, len(vector.frame), piece):
        decoder.feed(vector.frame[start : start + piece])
        frames += decoder.frames()
    assert frames == [(vector.sid, vector.cid, vector.payload)]


@every_frame
def test_the_kind_of_each_frame(vector: Vector) -> None:
    """The connection takes each for what it is: request, answer, error about a call or about the connection."""
    connection = solo()
    for _ in range(2):
        connection.call(sid=ADD)
    connection.sent()
    (event,) = connection.feed(vector.frame)
    kinds: dict[str, type[Event]] = {
        "send": SendReceived,
        "call": CallReceived,
        "response": ResponseReceived,
        "error": CallFailed if vector.cid else ErrorReported,
    }
    assert type(event) is kinds[vector.kind]
    if isinstance(event, CallReceived | SendReceived | ResponseReceived):
        assert event.payload == vector.payload


def raw(connection: Solo) -> bytes:
    """What the connection writes, byte for byte."""
    return b"".join(connection.connection.data_to_send())


def test_requests_are_written_byte_for_byte() -> None:
    """A send, and two calls with the first ids."""
    connection = solo()
    connection.send(b"\x05", sid=ADD)
    connection.call(b"\x05", sid=ADD)
    connection.call(b"\xf6", sid=SHOW)
    expected = [by_what("send Add"), by_what("call Add"), by_what("call Show")]
    assert raw(connection) == b"".join(vector.frame for vector in expected)


def test_responses_are_written_byte_for_byte() -> None:
    """The answers to the golden calls."""
    connection = solo()
    first = connection.deliver(by_what("call Add").frame)
    second = connection.deliver(by_what("call Show").frame)
    connection.connection.respond(first, b"\xf6", connection.now)
    connection.connection.respond(second, b"\x0a", connection.now)
    assert raw(connection) == by_what("response ()").frame + by_what("response 10").frame


def test_an_unknown_service_is_answered_byte_for_byte() -> None:
    """Service 1, call 2: the golden error frame, the same in header and body."""
    connection = solo()
    connection.feed(LENGTH_PREFIXED.header(24, 1, 2))
    assert raw(connection) == by_what("error UnknownService").frame


def test_an_internal_error_is_read_without_a_service_id() -> None:
    """The original leaves the service id out where it does not know it; the call it names fails."""
    connection = solo()
    connection.call(sid=ADD)
    connection.sent()
    (event,) = connection.feed(by_what("error InternalServerError").frame)
    assert isinstance(event, CallFailed)
    assert isinstance(event.error, RemoteError)
    assert event.error.kind is ErrorKind.INTERNAL_SERVER_ERROR


def test_an_internal_error_names_the_call() -> None:
    """Ours says the service id as well; it has the shape of the golden one."""
    connection = solo()
    connection.connection.fail(
        connection.deliver(by_what("call Add").frame), FailureKind.HANDLER_FAILED, connection.now
    )
    ((sid, cid, payload),) = connection.sent()
    assert (sid, cid) == (ERROR_SID, 1)
    golden = cbor2.loads(by_what("error InternalServerError").payload)
    golden["InternalServerError"]["sid"] = {"inner": {"id": ADD}}
    assert cbor2.loads(payload) == golden


def test_an_error_about_the_connection_byte_for_byte() -> None:
    """Its body is the golden one, and is understood."""
    golden = by_what("error DeserializeWireFormat")
    assert cbor2.dumps(connection_error_body("x")) == golden.payload
    assert read_error(golden.payload, decode) == (ErrorKind.DESERIALIZE_WIREFORMAT, "x")


def test_a_protocol_error_is_told_in_the_golden_shape() -> None:
    """Header with two zeros, body with the kind and a text."""
    connection = solo()
    connection.feed(bytes(24))
    ((sid, cid, payload),) = connection.sent()
    assert (sid, cid) == (ERROR_SID, 0)
    assert read_error(payload, decode)[0] is ErrorKind.DESERIALIZE_WIREFORMAT


def test_the_reserved_ids_are_the_golden_ones() -> None:
    """0 marks errors, 2^64-1 responses."""
    assert {vector.sid for vector in FRAMES if vector.kind == "error"} == {ERROR_SID}
    assert {vector.sid for vector in FRAMES if vector.kind == "response"} == {RESPONSE_SID}
