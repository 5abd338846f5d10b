"""Routes to handlers: decode, call, check the answer, encode.

What can be decided when a handler is registered is decided there, by the choice of a class: a request pays for no
question whose answer is known.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from duologue.annotations import text_of
from duologue.answers import checks_of
from duologue.errors import DecodeError, EncodeError, FailureKind
from duologue.handlers import Handler
from duologue.namespace import Codecs
from duologue.protocol.routes import Mode, RequestFault, Route


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

    def run(self, payload: bytes, context: Any, answered: bool) -> Awaitable[Any]:
        """Decode, and give the handler's coroutine, or one that encodes its answer as well."""
        try:
            message = self._decode(payload)
        except DecodeError as exc:
            raise RequestFault(FailureKind.DESERIALIZE) from exc
        return self._answer(message) if answered else self._function(message)

    async def _answer(self, message: Any) -> bytes:
        return self._encode_answer(await self._function(message))

    def run_sync(self, payload: bytes, context: Any, answered: bool) -> bytes:
        """Not for coroutines."""
        raise TypeError(f"{self.name} is handled by a coroutine: await run()")


class CoroutineWithContextRoute(CoroutineRoute):
    """`async def handler(msg, ctx)`."""

    __slots__ = ()

    wants_context = True

    def run(self, payload: bytes, context: Any, answered: bool) -> Awaitable[Any]:
        """Decode, and give the handler's coroutine, or one that encodes its answer as well."""
        try:
            message = self._decode(payload)
        except DecodeError as exc:
            raise RequestFault(FailureKind.DESERIALIZE) from exc
        return self._answer_with(message, context) if answered else self._function(message, context)

    async def _answer_with(self, message: Any, context: Any) -> bytes:
        return self._encode_answer(await self._function(message, context))


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
    """Encodes what the handler returns, if it is of the declared type. Raises `RequestFault`."""
    classes, convert = checks_of(handler.answer)

    def encode_answer(result: Any) -> bytes:
        if type(result) not in classes:
            result = checked(result)
        try:
            return encode(result)
        except EncodeError as exc:
            raise RequestFault(FailureKind.SERIALIZE) from exc

    def checked(result: Any) -> Any:
        try:
            return convert(result)
        except Exception as exc:
            error = EncodeError(
                f"the handler {handler.name} returned a {type(result).__name__}, where {handler.message.__name__} "
                f"declares {text_of(handler.answer)}: {exc}"
            )
            # An `EncodeError` is all said above; anything else came out of the object, and is worth its traceback.
            error.__cause__ = None if isinstance(exc, EncodeError) else exc
            raise RequestFault(FailureKind.SERIALIZE) from error

    return encode_answer
