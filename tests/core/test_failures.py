"""Bodies of error frames: what is told, what is understood, and what it means for the caller."""

from __future__ import annotations

from typing import Any

import pytest
from tests.core.harness import decode_body, encode_body

from duologue.protocol.errors import CallTimeout, ErrorKind, Executed, FailureKind, RemoteError
from duologue.protocol.failures import (
    WIRE_KINDS,
    call_error,
    connection_error_body,
    error_body,
    read_error,
    read_error_sid,
)


def id_of(number: int) -> dict[str, Any]:
    return {"inner": {"id": number}}


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (ErrorKind.UNKNOWN_SERVICE, {"UnknownService": {"sid": id_of(1), "cid": id_of(2)}}),
        (ErrorKind.DESERIALIZE, {"Deserialize": {"sid": id_of(1), "cid": id_of(2)}}),
        (ErrorKind.INTERNAL_SERVER_ERROR, {"InternalServerError": {"sid": id_of(1), "cid": id_of(2)}}),
        (ErrorKind.PUBSUB_NO_CALL, {"PubSubNoCall": {"sid": id_of(1), "cid": id_of(2)}}),
        (ErrorKind.TIMEOUT, {"Timeout": {"sid": id_of(1)}}),
    ],
)
def test_the_shapes_on_the_wire(kind: ErrorKind, body: dict[str, Any]) -> None:
    """The shapes are those of the original, and are understood again."""
    assert error_body(kind, 1, 2) == body
    assert read_error(encode_body(body), decode_body) == (kind, "")


def test_an_error_about_the_connection_has_a_text() -> None:
    """`DeserializeWireFormat` is the only kind that carries words."""
    body = connection_error_body("out of step")
    assert body == {"DeserializeWireFormat": {"context": "out of step"}}
    assert read_error(encode_body(body), decode_body) == (ErrorKind.DESERIALIZE_WIREFORMAT, "out of step")


@pytest.mark.parametrize("kind", list(FailureKind))
def test_every_failure_has_a_kind_on_the_wire(kind: FailureKind) -> None:
    """Whatever fails here, there is something to tell the remote, and it is one of the kinds that it knows."""
    assert WIRE_KINDS[kind] is not ErrorKind.UNREADABLE


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        (b"", ""),
        (b"\xff\xfe not text", ""),
        (b"5", ""),
        (b"[]", ""),
        (b"{}", ""),
        (b'{"Timeout":{},"Deserialize":{}}', ""),
        (b'{"Strange":{}}', "Strange"),
        (b'{"Unreadable":{}}', "Unreadable"),
        (encode_body({"x" * 2**20: 1}), "x" * 1024),
    ],
    ids=[
        "empty",
        "no JSON",
        "number",
        "list",
        "no kind",
        "two kinds",
        "unknown kind",
        "never on the wire",
        "1 MiB",
    ],
)
@pytest.mark.fault(36)
def test_bodies_that_can_not_be_understood(payload: bytes, text: str) -> None:
    """An error frame with a wrong shape, an unknown kind or too much text: kind `Unreadable`, with at most 1,024 characters."""
    assert read_error(payload, decode_body) == (ErrorKind.UNREADABLE, text)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"DeserializeWireFormat": {"context": "y" * 5000}}, "y" * 1024),
        ({"DeserializeWireFormat": {"context": 5}}, ""),
        ({"DeserializeWireFormat": {}}, ""),
        ({"DeserializeWireFormat": None}, ""),
        ({"DeserializeWireFormat": ["context"]}, ""),
    ],
    ids=["long", "number", "missing", "null", "list"],
)
def test_the_text_of_an_error(body: dict[str, Any], text: str) -> None:
    """A known kind counts whatever its content looks like; its text is cut."""
    assert read_error(encode_body(body), decode_body) == (ErrorKind.DESERIALIZE_WIREFORMAT, text)


@pytest.mark.parametrize(
    ("body", "sid"),
    [
        (error_body(ErrorKind.UNKNOWN_SERVICE, 0x2A, 7), 0x2A),
        (error_body(ErrorKind.TIMEOUT, 0x2A, 7), 0x2A),
        ({"Deserialize": {"sid": None, "cid": None}}, 0),
        (error_body(ErrorKind.TIMEOUT, 1, 7), 1),
        ({"Deserialize": {"sid": {"inner": {"id": "secret"}}}}, 0),
        ({"Deserialize": {"sid": {"inner": {"id": 2**64 - 1}}}}, 0),
        ({"Deserialize": {"sid": {"inner": {"id": -5}}}}, 0),
        ({"Deserialize": {"sid": {"inner": 5}}}, 0),
        ({"Deserialize": {"sid": 5}}, 0),
        (["Deserialize"], 0),
    ],
)
def test_the_service_of_an_error(body: Any, sid: int) -> None:
    """If it names one that can be; nothing else that stands there comes through."""
    assert read_error_sid(encode_body(body), decode_body) == sid


def test_a_kind_that_is_no_text_is_unreadable() -> None:
    """Wire formats that have other keys than text do not confuse it."""
    assert read_error(b"", lambda payload: {5: {}}) == (ErrorKind.UNREADABLE, "")


@pytest.mark.parametrize(
    ("kind", "executed"),
    [
        (ErrorKind.UNKNOWN_SERVICE, Executed.NO),
        (ErrorKind.DESERIALIZE, Executed.NO),
        (ErrorKind.PUBSUB_NO_CALL, Executed.NO),
        (ErrorKind.INTERNAL_SERVER_ERROR, Executed.UNKNOWN),
        (ErrorKind.DESERIALIZE_WIREFORMAT, Executed.UNKNOWN),
        (ErrorKind.UNREADABLE, Executed.UNKNOWN),
    ],
)
def test_what_the_caller_gets(kind: ErrorKind, executed: Executed) -> None:
    """Each kind becomes a `RemoteError` that says whether the handler may have run."""
    error = call_error(kind, "words")
    assert isinstance(error, RemoteError)
    assert (error.kind, error.message, error.executed) == (kind, "words", executed)


def test_a_time_out_on_the_way_is_a_call_timeout() -> None:
    """A relay that got no answer in time is a time-out to the caller, like its own."""
    error = call_error(ErrorKind.TIMEOUT, "")
    assert isinstance(error, CallTimeout)
    assert error.executed is Executed.UNKNOWN
    assert "a relay on the way" in str(error)


@pytest.mark.parametrize(
    ("kind", "text", "shown"),
    [
        (ErrorKind.UNREADABLE, "", "something that is no error here; do both ends use the same wire format?"),
        (ErrorKind.UNREADABLE, "words", "words"),
        (ErrorKind.UNKNOWN_SERVICE, "", ""),
    ],
)
def test_only_what_can_not_be_read_gets_words_of_ours(kind: ErrorKind, text: str, shown: str) -> None:
    """They say what to look at. What the remote said is not replaced, and where it said nothing nothing is made up."""
    error = call_error(kind, text)
    assert isinstance(error, RemoteError)
    assert error.message == shown
