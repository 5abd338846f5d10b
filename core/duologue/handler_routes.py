"""Routes to handlers: decode, call, check the answer, encode.

What can be decided when a handler is registered is decided there, by the choice of a class: a request pays for no
question whose answer is known.
"""

from __future__ import annotations

import datetime
import decimal
import uuid
from collections.abc import Callable
from typing import Any

import msgspec

from duologue.annotations import text_of
from duologue.errors import DecodeError, EncodeError, FailureKind
from duologue.handlers import Handler
from duologue.namespace import Codecs
from duologue.protocol.routes import Mode, RequestFault, Route

_NATIVE = (
    *(bytes, bytearray, uuid.UUID, decimal.Decimal),
    *(datetime.datetime, datetime.date, datetime.time, datetime.timedelta),
)
"""Types that an answer must have, if they are declared: msgspec would take a text for any of them."""


def handler_route(handler: Handler, name: str, codecs: Codecs) -> Route:
    """The route to a handler, with the codecs of a wire format for its message and answer."""
    kinds = (
        (FunctionRoute, FunctionWithContextRoute)
        if handler.mode is not Mode.TASK
        else (CoroutineRoute, CoroutineWithContextRoute)
    )
    return kinds[handler.wants_context](handler, name, codecs)


class NoHandlerRoute(Route):
    """A service that the namespace knows, and nobody serves now."""

    __slots__ = ("name",)

    has_handler = False

    def __init__(self, name: str) -> None:
        self.name = name

    async def run(self, payload: bytes, context: Any, answered: bool) -> bytes:
        """Fail: there is nothing to run."""
        return self.run_sync(payload, context, answered)

    def run_sync(self, payload: bytes, context: Any, answered: bool) -> bytes:
        """Fail: there is nothing to run."""
        raise RequestFault(FailureKind.NO_HANDLER)


class HandlerRoute(Route):
    """What the routes to a handler share. Each of the four below is one way to call it."""

    __slots__ = ("_decode", "_encode_answer", "_function", "mode", "name", "ordered")

    def __init__(self, handler: Handler, name: str, codecs: Codecs) -> None:
        self.name = name
        self.mode = handler.mode
        self.ordered = handler.ordered
        self._function = handler.function
        self._decode: Callable[[bytes], Any] = codecs[0].decode
        self._encode_answer = answer_encoder(handler, codecs[1].encode)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}, {self.mode.value}{', ordered' if self.ordered else ''}>"


class CoroutineRoute(HandlerRoute):
    """`async def handler(msg)`."""

    __slots__ = ()

    async def run(self, payload: bytes, context: Any, answered: bool) -> bytes:
        """Decode, await the handler, encode."""
        try:
            message = self._decode(payload)
        except DecodeError as exc:
            raise RequestFault(FailureKind.DESERIALIZE) from exc
        result = await self._function(message)
        return self._encode_answer(result) if answered else b""

    def run_sync(self, payload: bytes, context: Any, answered: bool) -> bytes:
        """Not for coroutines."""
        raise TypeError(f"{self.name} is handled by a coroutine: await run()")


class CoroutineWithContextRoute(CoroutineRoute):
    """`async def handler(msg, ctx)`."""

    __slots__ = ()

    wants_context = True

    async def run(self, payload: bytes, context: Any, answered: bool) -> bytes:
        """Decode, await the handler, encode."""
        try:
            message = self._decode(payload)
        except DecodeError as exc:
            raise RequestFault(FailureKind.DESERIALIZE) from exc
        result = await self._function(message, context)
        return self._encode_answer(result) if answered else b""


class FunctionRoute(HandlerRoute):
    """`def handler(msg)`, in place or in a thread."""

    __slots__ = ()

    async def run(self, payload: bytes, context: Any, answered: bool) -> bytes:
        """The same as `run_sync`, for who has to await something."""
        return self.run_sync(payload, context, answered)

    def run_sync(self, payload: bytes, context: Any, answered: bool) -> bytes:
        """Decode, call the handler, encode."""
        try:
            message = self._decode(payload)
        except DecodeError as exc:
            raise RequestFault(FailureKind.DESERIALIZE) from exc
        result = self._function(message)
        return self._encode_answer(result) if answered else b""


class FunctionWithContextRoute(FunctionRoute):
    """`def handler(msg, ctx)`, in place or in a thread."""

    __slots__ = ()

    wants_context = True

    def run_sync(self, payload: bytes, context: Any, answered: bool) -> bytes:
        """Decode, call the handler, encode."""
        try:
            message = self._decode(payload)
        except DecodeError as exc:
            raise RequestFault(FailureKind.DESERIALIZE) from exc
        result = self._function(message, context)
        return self._encode_answer(result) if answered else b""


def answer_encoder(handler: Handler, encode: Callable[[Any], bytes]) -> Callable[[Any], bytes]:
    """Encodes what the handler returns, if it is of the declared type, which the annotations can't promise.

    An object of just that class passes at a glance; its fields are the type checkers' business. For everything else
    msgspec looks, into containers too, and turns it into the declared type where nothing is lost.
    """
    answer = handler.answer

    def encode_answer(result: Any) -> bytes:
        try:
            if type(result) is not answer:
                result = converted(result)
            return encode(result)
        except EncodeError as exc:
            raise RequestFault(FailureKind.SERIALIZE) from exc

    def converted(result: Any) -> Any:
        try:
            return msgspec.convert(result, answer, builtin_types=_NATIVE, from_attributes=True)
        except Exception as exc:
            raise EncodeError(
                f"the handler {handler.name} returned a {type(result).__name__}, where {handler.message.__name__} "
                f"declares {text_of(answer)}: {exc}"
            ) from exc

    return encode_answer
