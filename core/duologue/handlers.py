"""Reading handlers: what a function says about itself, checked when it is registered and not when it is called."""

from __future__ import annotations

import functools
import inspect
import weakref
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Coroutine
from dataclasses import dataclass, replace
from types import FunctionType, MethodType
from typing import Any, cast, get_args, get_origin

from duologue.annotations import (
    MISSING,
    accepts_answer,
    accepts_message,
    parts_of,
    resolve,
    text_of,
    visible_names,
)
from duologue.context import Context
from duologue.errors import RegistrationError
from duologue.messages import answer_type
from duologue.namespace import MessageType, is_message_class
from duologue.protocol.routes import Mode

Function = Callable[..., Any]

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)

_methods: weakref.WeakKeyDictionary[FunctionType, dict[object, Handler]] = weakref.WeakKeyDictionary()
"""What was read of methods. State per connection means an object per connection, all with the same methods."""


@dataclass(frozen=True, slots=True)
class Handler:
    """A function that handles one type of message, and how it is to be run."""

    function: Function
    """What is called, with the message, or with the message and the context."""
    message: MessageType
    """The class of message that it handles."""
    answer: Any
    """The type of the message's answer."""
    mode: Mode
    """Where it runs."""
    ordered: bool
    """One at a time with the other ordered handlers of the connection."""
    wants_context: bool
    """Whether it has a second parameter."""
    name: str
    """For people: where it is defined."""

    def __str__(self) -> str:
        return f"{self.name} ({self.mode.value}{', ordered' if self.ordered else ''})"


def read_handler(
    function: Function,
    message: MessageType | None,
    known: Collection[MessageType],
    *,
    ordered: bool,
    inline: bool,
) -> Handler:
    """Check a function, and say how to run it. Raises `RegistrationError`, which says what to write instead.

    Without `message` its annotations decide, so it must have them. With it the type checkers have seen both
    already: annotations may be missing, as with a lambda, but must not say something else.
    """
    if not isinstance(function, MethodType) or not isinstance(function.__func__, FunctionType):
        return _read(function, message, known, ordered=ordered, inline=inline)
    read = _methods.setdefault(function.__func__, {})
    key = (message, tuple(known), ordered, inline)
    if key not in read:
        # Unbound, since what is kept must not keep the object.
        read[key] = replace(
            _read(function, message, known, ordered=ordered, inline=inline), function=function.__func__
        )
    return replace(read[key], function=function)


def _read(
    function: Function,
    message: MessageType | None,
    known: Collection[MessageType],
    *,
    ordered: bool,
    inline: bool,
) -> Handler:
    if message is not None and not is_message_class(message):
        raise RegistrationError(f"{message!r} is not a message class: write services.handler(Add, function)")
    reader = _Reader(function, known)
    first, wants_context = reader.parameters()
    annotated = message is None
    if message is None:
        message = reader.message(first)
    else:
        reader.check_parameter(first, message)
    is_async = reader.check_answer(message, required=annotated)
    if is_async and inline:
        raise reader.refusal("is an `async def`, which runs in the event loop anyway: leave out inline=True")
    mode = Mode.TASK if is_async else Mode.INLINE if inline else Mode.THREAD
    return Handler(function, message, answer_type(message), mode, ordered, wants_context, reader.name)


class _Reader:
    """A function, taken apart."""

    def __init__(self, function: Function, known: Collection[MessageType]) -> None:
        self._layers = _layers(function)
        self._function = next((each for each in self._layers if isinstance(each, FunctionType)), None)
        """The first that is a plain function: what runs when the handler is called."""
        self.name = _name(self._layers[-1])
        if isinstance(function, type):
            raise self.refusal("is a class: register a function, or a method of an object of it")
        if inspect.isgeneratorfunction(self._function) or inspect.isasyncgenfunction(self._function):
            raise self.refusal("has a `yield`, and a call has one answer: return it")
        try:
            self._signature = inspect.signature(function)
        except (ValueError, TypeError, NameError) as exc:
            raise self.refusal(f"has no signature that can be read ({exc}): wrap it in a function") from exc
        counts = Counter(each.__name__ for each in known)
        fallback = {each.__name__: each for each in known if counts[each.__name__] == 1}
        self._names = visible_names(self._layers[-1], {"Context": Context, **fallback})

    def refusal(self, text: str) -> RegistrationError:
        """An error about this handler."""
        return RegistrationError(f"the handler {self.name} {text}")

    def parameters(self) -> tuple[inspect.Parameter, bool]:
        """The parameter for the message, and whether there is one for the context."""
        every = self._signature.parameters.values()
        for each in every:
            if each.kind is each.KEYWORD_ONLY and each.default is each.empty:
                raise self.refusal(
                    f"needs the keyword {each.name!r}, and nobody gives it: give it a default, or functools.partial"
                )
        taken = [each for each in every if each.kind in _POSITIONAL]
        if taken and taken[0].name == "self" and taken[0].annotation is MISSING:
            raise self.refusal(
                "is not bound to an object: register the method of one, services.handler(thing.method)"
            )
        required = [each for each in taken if each.default is each.empty]
        if len(required) > 2:
            raise self.refusal(
                f"has {len(required)} parameters: write (msg), or (msg, ctx) where it needs the context"
            )
        if len(taken) > 1:
            return taken[0], self._is_context(taken[1])
        first = next((each for each in every if each.kind in (*_POSITIONAL, each.VAR_POSITIONAL)), None)
        if first is None:
            raise self.refusal(
                "has no parameter for the message: write (msg), or (msg, ctx) where it needs the context"
            )
        return first, False

    def message(self, parameter: inspect.Parameter) -> MessageType:
        """The class of message that the parameter is annotated with."""
        if parameter.annotation is MISSING:
            raise self.refusal(
                f"does not say which message it handles: annotate its first parameter, ({parameter.name}: Add)"
            )
        found = self._resolve(parameter.annotation, f"its parameter {parameter.name!r}")
        if not is_message_class(found):
            raise self.refusal(
                f"has {parameter.name!r} annotated with {text_of(found)}: it must be one message class"
            )
        return found

    def check_parameter(self, parameter: inspect.Parameter, message: MessageType) -> None:
        """What it is annotated with must take the message."""
        try:
            found = resolve(parameter.annotation, self._names)
        except Exception:
            return  # the type checkers, who were shown the message, know better
        if found is not MISSING and not accepts_message(found, message):
            raise self.refusal(f"takes {text_of(found)}, and is to be registered for {message.__name__}")

    def check_answer(self, message: MessageType, *, required: bool) -> bool:
        """What it is declared to return must be the message's answer. Says whether it is to be awaited."""
        answer = answer_type(message)
        wanted = f"`-> {text_of(answer)}`, since {message.__name__} is a Message[{text_of(answer)}]"
        is_async = self._is_async()
        if self._signature.return_annotation is MISSING:
            if required:
                raise self.refusal(f"does not say what it returns: write {wanted}")
            return is_async
        try:
            returned = self._resolve(self._signature.return_annotation, "its answer")
        except RegistrationError:
            if required:
                raise
            return is_async
        if get_origin(returned) in (Awaitable, Coroutine) and not inspect.iscoroutinefunction(self._function):
            is_async = True
            returned = get_args(returned)[-1]
        if not accepts_answer(answer, returned):
            raise self.refusal(f"is declared to return {text_of(returned)}: write {wanted}")
        return is_async

    def _is_async(self) -> bool:
        # A decorator may wrap an `async def` in a `def` that hands its coroutine on, so every layer is looked at.
        return any(inspect.iscoroutinefunction(each) for each in self._layers)

    def _is_context(self, parameter: inspect.Parameter) -> bool:
        """Whether the second parameter is for the context: one with a default may be for something else."""
        try:
            found = resolve(parameter.annotation, self._names)
        except Exception:
            found = MISSING  # imported for type checkers only
        is_context = any(isinstance(part, type) and issubclass(part, Context) for part in parts_of(found))
        if parameter.default is not parameter.empty:
            return is_context
        if isinstance(found, type) and found not in (MISSING, Any, object) and not is_context:
            raise self.refusal(
                f"has {parameter.name!r} annotated with {text_of(found)}: the second parameter is the Context"
            )
        return True

    def _resolve(self, annotation: object, where: str) -> Any:
        try:
            return resolve(annotation, self._names)
        except Exception as exc:
            raise self.refusal(
                f"has an annotation for {where} that can't be looked up ({exc}): define or import what it names where the "
                "function is, not only for type checkers, or register with services.handler(Message, function)"
            ) from exc


def _layers(function: Any) -> list[Any]:
    """The function, and what is inside of it: of partials, methods, objects that can be called, decorators."""
    layers = [function]
    while len(layers) < 100:  # a cycle of decorators is possible
        outer = layers[-1]
        if isinstance(outer, functools.partial):
            layers.append(outer.func)
        elif isinstance(outer, MethodType):
            layers.append(outer.__func__)
        elif hasattr(outer, "__wrapped__"):
            layers.append(outer.__wrapped__)
        elif isinstance(outer, FunctionType | type):
            break
        else:
            # An object with `__call__`; one that is written in C has no function behind it.
            call: Any = type(outer).__call__ if callable(outer) else None
            if not isinstance(call, FunctionType):
                break
            layers.append(call)
    return layers


def _name(function: Any) -> str:
    named: Any = function if hasattr(function, "__qualname__") else cast("type[object]", type(function))
    return f"{named.__module__}.{named.__qualname__}"
