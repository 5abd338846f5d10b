"""One message that is published, on its way to all (docs/pubsub.md)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from duologue.messages import Message
from duologue.namespace import MessageType, Namespace
from duologue.wireformat import WireFormat


class Publication:
    """One message on its way to all, encoded at most once for each wire format, and decoded at most once."""

    __slots__ = ("_failures", "_message", "_type", "payloads", "sid", "source")

    def __init__(
        self, sid: int, type_: tuple[Namespace, MessageType] | None, message: Message[Any] | None
    ) -> None:
        self.sid = sid
        self._type = type_
        self._message = message
        self.source: WireFormat | None = None
        """The one that it came in; None if it was made here."""
        self.payloads: dict[str, bytes] = {}
        self._failures: dict[str | None, Exception] = {}
        """Why it has no bytes in a wire format, or can't be decoded at all (None). Found out once, and not for each subscriber."""

    def payload(self, wireformat: WireFormat) -> bytes:
        """Its bytes. Raises `DecodeError` if they have to be made of what can't be decoded, `EncodeError`."""
        payload = self.payloads.get(wireformat.name)
        if payload is None:
            message = self.message()
            namespace, message_type = self._known_type()
            codec, _ = namespace.codecs(wireformat)[message_type]
            payload = self._once(wireformat.name, partial(codec.encode, message))
            self.payloads[wireformat.name] = payload
        return payload

    def message(self) -> Message[Any]:
        """Itself. Raises `DecodeError`."""
        if self._message is None:
            namespace, message_type = self._known_type()
            assert self.source is not None
            codec, _ = namespace.codecs(self.source)[message_type]
            self._message = self._once(None, partial(codec.decode, self.payloads[self.source.name]))
        return self._message

    def _once(self, what: str | None, make: Callable[[], Any]) -> Any:
        """Make it, unless that has failed before."""
        failure = self._failures.get(what)
        if failure is None:
            try:
                return make()
            except Exception as exc:
                failure = self._failures[what] = exc
        raise failure.with_traceback(None)  # or it would grow with each

    def _known_type(self) -> tuple[Namespace, MessageType]:
        assert self._type is not None, "what is known by its id alone is never decoded"
        return self._type
