"""What `duologue call` says: from the name of a service and a JSON text to its id and a payload, and back from an answer.

With the types of the message it is checked before anything is sent, and written as its class says. Without them it is
plain data.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from duologue import (
    Codec,
    DecodeError,
    EncodeError,
    Message,
    Namespace,
    RegistrationError,
    WireFormat,
    find_wireformat,
    service_id,
)
from duologue.protocol import is_reserved
from duologue_contrib.command_line.endings import Mistake
from duologue_contrib.command_line.json_text import read_plain, text_of_plain
from duologue_contrib.command_line.unknown_fields import ignored_part

_ID = re.compile(r"0[xX][0-9a-fA-F]{1,16}")
_ANYTHING: Any = dict[int | str, Any] | list[Any] | int | float | bool | str | None
"""A declaration that says nothing but that keys may be integers, anywhere in it."""


@dataclass(frozen=True)
class Question:
    """What is to be sent, and how to show what comes back."""

    name: str
    """The service, for people."""
    sid: int
    payload: bytes
    answer: Callable[[bytes], str]
    """The JSON text of an answer's payload. Raises `DecodeError`."""


def untyped_question(service: str, text: bytes | None, wireformat: WireFormat) -> Question:
    """Plain data, as it is. Raises `Mistake`."""
    name, sid = _parsed(service)
    plain = None if text is None else read_plain(text)
    try:
        payload = wireformat.encode_plain(plain)
    except EncodeError as exc:
        raise Mistake(f"{wireformat.name} can't carry it: {exc}") from exc
    return Question(name, sid, payload, lambda answer: text_of_plain(_read_plainly(answer, wireformat)))


def _read_plainly(answer: bytes, wireformat: WireFormat) -> Any:
    try:
        return wireformat.decode_plain(answer)
    except DecodeError as exc:
        # Plain data has no integer keys, since they cost a check. Ask for them only where that may have been the matter.
        try:
            return wireformat.codec(_ANYTHING).decode(answer)
        except (DecodeError, RegistrationError):
            raise exc from None


def _parsed(service: str) -> tuple[str, int]:
    """The name and the id of a service that nobody has declared here."""
    if _ID.fullmatch(service):
        sid = int(service, 16)
        if is_reserved(sid):
            raise Mistake(f"{service} is an id that the protocol keeps for itself")
        return f"0x{sid:016x}", sid
    if " :: " in service:
        namespace, _, name = service.partition(" :: ")
    elif "." in service:
        namespace, _, name = service.rpartition(".")
    else:
        namespace, _, name = service.partition("::")
    if not namespace or not name:
        raise Mistake(
            f"{service!r} is no service: write namespace.Name, as in calc.Add, or an id, as in 0x6440cfd17c374646"
        )
    return f"{namespace}::{name}", service_id(namespace, name)


def typed_question(
    service: str, text: bytes | None, wireformat: WireFormat, namespaces: Sequence[Namespace]
) -> Question:
    """A message of one of the namespaces. Raises `Mistake`."""
    namespace, message = _found(service, namespaces)
    sid, name = namespace.sid(message), namespace.name_of(namespace.sid(message))
    json = find_wireformat("json")
    write, read = namespace.codecs(wireformat)[message]
    in_json, out_json = namespace.codecs(json)[message]
    said = _checked(name, message, text, in_json)
    try:
        payload = write.encode(said)
    except EncodeError as exc:
        raise Mistake(f"{name} can't be written in {wireformat.name}: {exc}") from exc

    def answer(payload: bytes) -> str:
        found = read.decode(payload)
        try:
            return out_json.encode(found).decode()
        except EncodeError:  # NaN: JSON has no word for it
            return text_of_plain(_read_plainly(payload, wireformat))

    return Question(name, sid, payload, answer)


def _checked(
    name: str, message: type[Message[Any]], text: bytes | None, codec: Codec[Message[Any]]
) -> Message[Any]:
    """The message that a JSON text says."""
    given = text if text is not None else b"{}" if message.__struct_fields__ else b"null"
    try:
        said = codec.decode(given)
    except DecodeError as exc:
        raise Mistake(f"{name}{'' if text is not None else ' needs a JSON'}: {exc}") from exc
    json = find_wireformat("json")

    def understood(plain: Any) -> Any:
        return json.decode_plain(codec.encode(codec.decode(json.encode_plain(plain))))

    try:
        path = ignored_part(json.decode_plain(given), understood)
    except (DecodeError, EncodeError) as exc:
        raise Mistake(f"{name}: {exc}") from exc
    if path:
        raise Mistake(f"{name}: it has no such field - at `{path}`")
    return said


def _found(service: str, namespaces: Sequence[Namespace]) -> tuple[Namespace, type[Message[Any]]]:
    sid = int(service, 16) if _ID.fullmatch(service) else None
    for namespace in namespaces:
        for message in namespace:
            if service in _spellings(namespace, message) or namespace.sid(message) == sid:
                return namespace, message
    held = [next(_spellings(each, message)) for each in namespaces for message in each]
    raise Mistake(f"{service} is not there: --types has {', '.join(held) or 'nothing'}")


def _spellings(namespace: Namespace, message: type[Message[Any]]) -> Iterator[str]:
    whole = namespace.name_of(namespace.sid(message))
    name = whole.removeprefix(f"{namespace.name}::")
    yield from (f"{namespace.name}.{name}", whole, f"{namespace.name} :: {name}")
