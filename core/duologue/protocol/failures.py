"""The bodies of error frames (docs/protocol.md, sections 3 and 4): what an error says to the remote, and what ours means.

The shapes are those of the original: `{"UnknownService": {"sid": {"inner": {"id": 1}}, "cid": null}}`. They carry
kinds and ids, never the text of an exception.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

from duologue.protocol.errors import (
    MAX_ERROR_TEXT,
    CallError,
    CallTimeout,
    DecodeError,
    ErrorKind,
    Executed,
    FailureKind,
    RemoteError,
)
from duologue.protocol.ids import RESPONSE_SID


@dataclass(frozen=True, slots=True)
class ErrorBodies:
    """How plain data becomes bytes and back, for the bodies of error frames: the wire format's part in the core."""

    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], Any]


WIRE_KINDS: dict[FailureKind, ErrorKind] = {
    FailureKind.UNKNOWN_SERVICE: ErrorKind.UNKNOWN_SERVICE,
    FailureKind.DESERIALIZE: ErrorKind.DESERIALIZE,
    FailureKind.PUBSUB_NO_CALL: ErrorKind.PUBSUB_NO_CALL,
    FailureKind.NO_HANDLER: ErrorKind.INTERNAL_SERVER_ERROR,
    FailureKind.HANDLER_FAILED: ErrorKind.INTERNAL_SERVER_ERROR,
    FailureKind.SERIALIZE: ErrorKind.INTERNAL_SERVER_ERROR,
    FailureKind.FRAME_TOO_LARGE: ErrorKind.INTERNAL_SERVER_ERROR,
    FailureKind.OVERLOADED: ErrorKind.INTERNAL_SERVER_ERROR,
    FailureKind.UNAVAILABLE: ErrorKind.INTERNAL_SERVER_ERROR,
    FailureKind.CANCELLED: ErrorKind.INTERNAL_SERVER_ERROR,
    FailureKind.RELAY_GONE: ErrorKind.INTERNAL_SERVER_ERROR,
    FailureKind.RELAY_REFUSED: ErrorKind.INTERNAL_SERVER_ERROR,
    FailureKind.RELAY_FAILED: ErrorKind.INTERNAL_SERVER_ERROR,
    FailureKind.TIMEOUT: ErrorKind.TIMEOUT,
    FailureKind.DROPPED: ErrorKind.INTERNAL_SERVER_ERROR,
}
"""What the remote learns of a failure here."""

_NEVER_STARTED = frozenset({ErrorKind.UNKNOWN_SERVICE, ErrorKind.DESERIALIZE, ErrorKind.PUBSUB_NO_CALL})
_ON_THE_WIRE = {kind.value: kind for kind in ErrorKind if kind is not ErrorKind.UNREADABLE}


def error_body(kind: ErrorKind, sid: int, cid: int) -> dict[str, Any]:
    """The body, as plain data, of an error about one call."""
    if kind is ErrorKind.TIMEOUT:
        return {kind.value: {"sid": _id(sid)}}
    return {kind.value: {"sid": _id(sid), "cid": _id(cid)}}


def connection_error_body(text: str) -> dict[str, Any]:
    """The body of an error about the whole connection."""
    return {ErrorKind.DESERIALIZE_WIREFORMAT.value: {"context": text}}


def read_error(payload: bytes, decode: Callable[[bytes], Any]) -> tuple[ErrorKind, str]:
    """The kind and the text of an error body. Whatever can't be understood is `UNREADABLE`: it never fails."""
    name, content = _name_and_content(payload, decode)
    kind = _ON_THE_WIRE.get(name)
    if kind is None:
        return ErrorKind.UNREADABLE, name[:MAX_ERROR_TEXT]
    text = content.get("context")
    return kind, text[:MAX_ERROR_TEXT] if isinstance(text, str) else ""


def read_error_sid(payload: bytes, decode: Callable[[bytes], Any]) -> int:
    """The service that an error body is about; 0 if it names none, or can't be understood."""
    _, content = _name_and_content(payload, decode)
    sid = _fields(_fields(content.get("sid")).get("inner")).get("id")
    return sid if isinstance(sid, int) and 0 < sid < RESPONSE_SID else 0


def _name_and_content(payload: bytes, decode: Callable[[bytes], Any]) -> tuple[str, Mapping[Any, Any]]:
    """The one entry that an error body has; an empty name if that is not what it is."""
    try:
        body = _fields(decode(payload))
    except DecodeError:
        return "", {}
    if len(body) != 1:
        return "", {}
    (name, content), *_ = body.items()
    return (name, _fields(content)) if isinstance(name, str) else ("", {})


def _fields(body: Any) -> Mapping[Any, Any]:
    return body if _is_mapping(body) else {}


def _is_mapping(body: object) -> TypeGuard[Mapping[Any, Any]]:
    return isinstance(body, Mapping)


def call_error(kind: ErrorKind, text: str) -> CallError:
    """What a caller gets to see of an error frame, with what is known about `executed`."""
    if kind is ErrorKind.TIMEOUT:
        return CallTimeout(Executed.UNKNOWN, "a relay on the way got no answer in time")
    executed = Executed.NO if kind in _NEVER_STARTED else Executed.UNKNOWN
    if kind is ErrorKind.UNREADABLE and not text:
        text = "something that is no error here; do both ends use the same wire format?"
    return RemoteError(kind, executed, text)


def _id(number: int) -> dict[str, dict[str, int]]:
    return {"inner": {"id": number}}
