"""Which method of an actor is for which message: marked by `@handles`, and checked when the class is made."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import FunctionType, MethodType
from typing import Any, TypeGuard, TypeVar, get_type_hints, overload

from duologue import Message, MessageClass, Namespace, RegistrationError, Services

F = TypeVar("F", bound=Callable[..., Any])
M = TypeVar("M")
R = TypeVar("R")

_MARK = "__duologue_handles__"
_CHECKS = "actors"
"""The namespace that a method is checked against. Nothing is ever called by it."""


@dataclass(frozen=True, slots=True)
class Handles:
    """What `@handles` says about a method."""

    message: type[Message[Any]]
    is_annotated: bool
    """The message was read from the annotations, so they must be complete."""
    cancellable: bool


@overload
def handles(
    message: MessageClass[M, R], /, *, cancellable: bool = False
) -> Callable[[Callable[[Any, M], Awaitable[R]]], Callable[[Any, M], Awaitable[R]]]: ...


@overload
def handles(method: F, /) -> F: ...


@overload
def handles(*, cancellable: bool = False) -> Callable[[F], F]: ...


def handles(first: Any = None, /, *, cancellable: bool = False) -> Any:
    """Mark a method of an actor as the handler of a message: `@handles`, or `@handles(Add)`.

    Without the message the annotations decide, `async def add(self, msg: Add) -> int`. With it type checkers see,
    too, whether the method can handle it.

    `cancellable=True`: when the one who called gives up while it runs, by a timeout, a cancel, or a connection that
    has ended, it is cancelled at its next `await`, and that is no failure. By default it runs on to its end, so that
    no caller can leave the actor's state half changed.

    Raises `RegistrationError` if the message can't be found. Everything else is checked when the class is made.
    """
    given = first if _is_message_class(first) else None

    def decorate(method: Any) -> Any:
        return _marked(method, Handles(given or _message_of(method), given is None, cancellable))

    return decorate if first is None or given is not None else decorate(first)


def handlers_of(kind: type) -> Mapping[type[Message[Any]], tuple[str, Handles]]:
    """The methods of a class that are marked, by their messages. A method that overrides one needs no mark of its own.

    Raises `RegistrationError` if one of them can't handle its message, or if two are for the same.
    """
    marks: dict[str, Handles] = {}
    for base in reversed(kind.__mro__):
        for name, value in vars(base).items():
            mark = getattr(value, _MARK, None)
            if isinstance(mark, Handles):
                marks[name] = mark
    found: dict[type[Message[Any]], tuple[str, Handles]] = {}
    for name, mark in marks.items():
        if mark.message in found:
            raise RegistrationError(
                f"{kind.__name__} has two handlers for {mark.message.__name__}, {found[mark.message][0]} and {name}: "
                "an actor has one for each message"
            )
        _check(inspect.getattr_static(kind, name), mark)
        found[mark.message] = name, mark
    return found


def _marked(method: Any, mark: Handles) -> Any:
    if not isinstance(method, FunctionType):
        raise RegistrationError(f"@handles is for the methods of an actor, and {method!r} is none")
    setattr(method, _MARK, mark)
    return method


def _check(method: Any, mark: Handles) -> None:
    """Hold it to what holds for any handler, as a method that is bound to something."""
    if not isinstance(method, FunctionType):
        raise RegistrationError(
            f"{method!r} stands in the place of a handler of {mark.message.__name__}, and is no method"
        )
    bound = MethodType(method, object())
    services = Services(Namespace(_CHECKS, [mark.message]))
    if mark.is_annotated and getattr(method, _MARK, None) is mark:
        services.handler(bound)
    else:
        services.handler(mark.message, bound)
    name = f"{method.__module__}.{method.__qualname__}"
    required = [
        each
        for each in inspect.signature(bound).parameters.values()
        if each.default is each.empty and each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)
    ]
    if len(required) != 1:
        raise RegistrationError(
            f"the handler {name} has {len(required)} parameters: write (self, msg); whoever has called an actor, "
            "and from where, it is not told"
        )
    if not inspect.iscoroutinefunction(inspect.unwrap(method)):
        raise RegistrationError(
            f"the handler {name} is no `async def`: make it one, and let it await "
            "anyio.to_thread.run_sync(...) for what blocks"
        )


def _message_of(method: Any) -> type[Message[Any]]:
    """The class of message that the method's parameter is annotated with."""
    name = getattr(method, "__qualname__", repr(method))
    if not isinstance(method, FunctionType):
        raise RegistrationError(f"@handles is for the methods of an actor, and {name} is none")
    parameters = [*inspect.signature(method).parameters.values()][1:]
    if not parameters or parameters[0].annotation is inspect.Parameter.empty:
        raise RegistrationError(
            f"the handler {name} does not say which message it handles: write (self, msg: Add), or @handles(Add)"
        )
    holder = _Annotated(parameters[0].annotation)
    try:
        found: Any = get_type_hints(holder, globalns=_names_around(method))["it"]
    except Exception as exc:
        raise RegistrationError(
            f"the handler {name} has an annotation that can't be looked up ({exc}): define or import the message before "
            "the class, not only for type checkers, or write @handles(Add)"
        ) from exc
    if not _is_message_class(found):
        raise RegistrationError(
            f"the handler {name} has {parameters[0].name!r} annotated with {found!r}: it must be one message class"
        )
    return found


def _is_message_class(found: object) -> TypeGuard[type[Message[Any]]]:
    return isinstance(found, type) and issubclass(found, Message)


class _Annotated:
    """Something with an annotation, for `typing.get_type_hints` to look at."""

    def __init__(self, annotation: object) -> None:
        self.__annotations__ = {"it": annotation}


def _names_around(method: FunctionType) -> dict[str, Any]:
    """The names that its annotations may use: those of its module, and of the functions and classes that it stands in."""
    scopes: list[dict[str, Any]] = []
    frame = inspect.currentframe()
    while frame is not None:
        code = frame.f_code
        within = f"{code.co_qualname}.<locals>.", f"{code.co_qualname}."
        if frame.f_globals is method.__globals__ and method.__qualname__.startswith(within):
            scopes.append(frame.f_locals)
        frame = frame.f_back
    names = dict(method.__globals__)
    for scope in reversed(scopes):
        names.update(scope)
    return names
