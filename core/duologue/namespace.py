"""A set of message types under one name: what both ends of a connection must agree on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeGuard

from duologue.errors import RegistrationError, ServiceIdError
from duologue.messages import Message, answer_type
from duologue.service_ids import check_service_id, hex_id, human_name, service_id
from duologue.wireformat import Codec, WireFormat

MessageType = type[Message[Any]]

Codecs = tuple[Codec[Any], Codec[Any]]
"""Of a message, and of its answer."""

CallCodec = tuple[int, Callable[[Any], bytes], Callable[[bytes], Any]]
"""What a caller needs of a message: its service id, how to encode it, how to decode its answer."""

_FORMATS_KEPT = 8
"""So many wire formats have their codecs kept. A program uses one or two; one that makes new ones for ever must not leak."""


class Namespace:
    """Message types and their service ids: `calc = Namespace("calc", [Add, Log])`. It never changes.

    The id of a message is made from the namespace's name and its class's. `names` gives the name that the remote
    uses where it differs, `ids` an id that is not made from names.

    Raises `RegistrationError` for what is not a message, `ServiceIdError` for an id that is reserved or taken.
    """

    __slots__ = ("_name", "_names", "_sids", "_tables")

    def __init__(
        self,
        name: str,
        messages: Iterable[MessageType],
        *,
        names: Mapping[MessageType, str] | None = None,
        ids: Mapping[MessageType, int] | None = None,
    ) -> None:
        self._name = name
        self._sids: dict[MessageType, int] = {}
        self._names: dict[int, str] = {}
        self._tables: dict[int, _Tables] = {}
        names, ids = dict(names or {}), dict(ids or {})
        given: Any = messages  # by callers without a type checker, anything
        if isinstance(given, type):
            raise RegistrationError(
                f"the messages of the namespace {name!r} are {given.__name__}: give a list, [{given.__name__}]"
            )
        for message in messages:
            _check_message(name, message)
            own = names.pop(message, message.__name__)
            sid = service_id(name, own)
            if message in ids:
                sid = check_service_id(ids.pop(message), human_name(name, own))
            self._add(message, sid, human_name(name, own))
        if strangers := [*names, *ids]:
            raise RegistrationError(
                f"names or ids of the namespace {name!r} are given for {_list(strangers)}, which it does not hold: "
                "list the message too, or leave that out"
            )

    @property
    def name(self) -> str:
        """What it was given."""
        return self._name

    def sid(self, message: MessageType) -> int:
        """The service id of a message class. Raises `RegistrationError` if the namespace does not hold it."""
        try:
            return self._sids[message]
        except KeyError:
            raise self.refusal(message) from None

    def name_of(self, sid: int) -> str:
        """The name of a service for people, `calc::Add`; the id itself, in hex, if the namespace does not hold it."""
        return self._names.get(sid, hex_id(sid))

    def codecs(self, wireformat: WireFormat) -> Mapping[MessageType, Codecs]:
        """The codecs of each message and of its answer, in a wire format. Made once for each format.

        Raises `RegistrationError` if the format can't carry one of them.
        """
        return self._tables_of(wireformat).codecs

    def calls(self, wireformat: WireFormat) -> Mapping[type, CallCodec]:
        """How to call each message in a wire format, with everything bound: one look at a dict for each call.

        Raises `RegistrationError` if the format can't carry one of the messages or answers.
        """
        return self._tables_of(wireformat).calls

    def refusal(self, message: object) -> RegistrationError:
        """The error for what is not a message of the namespace; `message` is a class, or an object of it."""
        if message in self:
            return RegistrationError(f"{message!r} is a message class: give an object of it")
        kind = message if isinstance(message, type) else type(message)
        return RegistrationError(
            f"{kind.__name__} is not a message of the namespace {self._name!r}, which holds {_list(self._sids) or 'none'}: "
            "add it to the namespace, or use the one that it is in"
        )

    def __contains__(self, message: object) -> bool:
        return isinstance(message, type) and message in self._sids

    def __iter__(self) -> Iterator[MessageType]:
        return iter(self._sids)

    def __len__(self) -> int:
        return len(self._sids)

    def __repr__(self) -> str:
        services = ", ".join(f"{name} {hex_id(sid)}" for sid, name in self._names.items())
        return f"<Namespace {self._name!r}: {services or 'no messages'}>"

    def _tables_of(self, wireformat: WireFormat) -> _Tables:
        known = self._tables.get(id(wireformat))
        if known is None:
            while len(self._tables) >= _FORMATS_KEPT:
                del self._tables[next(iter(self._tables))]
            known = self._tables[id(wireformat)] = _Tables(wireformat, self._sids)
        return known

    def _add(self, message: MessageType, sid: int, name: str) -> None:
        if message in self._sids:
            raise ServiceIdError(
                f"{name} is listed twice in the namespace {self._name!r}: list it once", sid, name
            )
        if sid in self._names:
            raise ServiceIdError(
                f"{name} would have the service id {hex_id(sid)}, which {self._names[sid]} has: give one of them "
                "another name with names={...}, or another id with ids={...}, at both ends",
                sid,
                name,
            )
        self._sids[message] = sid
        self._names[sid] = name


class _Tables:
    """What is made of a namespace for one wire format."""

    __slots__ = ("calls", "codecs", "wireformat")

    def __init__(self, wireformat: WireFormat, sids: Mapping[MessageType, int]) -> None:
        self.wireformat = wireformat
        """Kept, so that no other object can get its id while the tables are found by it."""
        self.codecs: dict[MessageType, Codecs] = {
            message: (wireformat.codec(message), wireformat.codec(answer_type(message))) for message in sids
        }
        self.calls: dict[type, CallCodec] = {
            message: (sids[message], codec.encode, answer.decode)
            for message, (codec, answer) in self.codecs.items()
        }


def is_message_class(found: object) -> TypeGuard[MessageType]:
    """Whether it is a class of messages. `Message` itself is not: it has no answer."""
    return isinstance(found, type) and issubclass(found, Message) and found is not Message


def _check_message(namespace: str, message: object) -> None:
    if not is_message_class(message):
        hint = (
            "list its class, not an object of it"
            if isinstance(message, Message)
            else "write `class Name(Message[Answer])`"
        )
        raise RegistrationError(f"{message!r} in the namespace {namespace!r} is not a message class: {hint}")
    # Raises if the class does not say what its answer is.
    answer_type(message)


def _list(classes: Iterable[type]) -> str:
    return ", ".join(each.__name__ for each in classes)
