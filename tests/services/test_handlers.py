"""Registration: what works as a handler, and what is refused, with a text that says what to write instead."""

from __future__ import annotations

import functools
import gc
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import pytest

from duologue import Context, Message, Namespace, RegistrationError, ServiceIdError, Services
from duologue.handlers import Handler, read_handler
from duologue.protocol.routes import Mode

if TYPE_CHECKING:
    from somewhere import Unknown  # type: ignore[import-not-found]

    from duologue import Context as Hidden


class Add(Message[int]):
    a: int
    b: int


class Log(Message[None]):
    line: str


class Split(Message[list[str]]):
    text: str


class Elsewhere(Message[int]):
    pass


calc = Namespace("calc", [Add, Log, Split])


def passing_on(function: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator that isn't async itself."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


def awaiting(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        return await function(*args, **kwargs)

    return wrapper


# -- good ones ---------------------------------------------------------------------------------


async def coroutine(msg: Add) -> int:
    return msg.a + msg.b


def function(msg: Add) -> int:
    return msg.a + msg.b


async def with_context(msg: Add, ctx: Context) -> int:
    return msg.a + msg.b


async def with_plain_context(msg: Add, ctx) -> int:  # type: ignore[no-untyped-def]
    return msg.a + msg.b


async def with_hidden_context(msg: Add, ctx: Hidden) -> int:
    return msg.a + msg.b


async def with_optional_context(msg: Add, ctx: Context | None = None) -> int:
    return msg.a + msg.b


async def with_defaults(msg: Add, scale: int = 1, *more: int, ctx: Any = None, **others: Any) -> int:
    return (msg.a + msg.b) * scale


async def positional_only(msg: Add, /) -> int:
    return msg.a + msg.b


def awaitable(msg: Add) -> Awaitable[int]:
    return coroutine(msg)


def coroutine_object(msg: Add) -> Coroutine[Any, Any, int]:
    return coroutine(msg)


def scaled(scale: int, msg: Add, *, offset: int) -> int:
    return scale * (msg.a + msg.b) + offset


@passing_on
async def passed_on(msg: Add) -> int:
    return msg.a + msg.b


@awaiting
@passing_on
async def decorated_twice(msg: Add) -> int:
    return msg.a + msg.b


async def a_subclass_of_the_answer(msg: Add) -> Any:
    return msg.a + msg.b


class Calculator:
    async def add(self, msg: Add) -> int:
        return msg.a + msg.b

    def add_with_context(self, msg: Add, ctx: Context) -> int:
        return msg.a + msg.b

    @staticmethod
    async def static(msg: Add) -> int:
        return msg.a + msg.b

    @classmethod
    async def of_class(cls, msg: Add) -> int:
        return msg.a + msg.b

    async def __call__(self, msg: Add) -> int:
        return msg.a + msg.b


calculator = Calculator()


@pytest.mark.parametrize(
    ("handler", "mode", "wants_context"),
    [
        (coroutine, Mode.TASK, False),
        (function, Mode.THREAD, False),
        (with_context, Mode.TASK, True),
        (with_plain_context, Mode.TASK, True),
        (with_hidden_context, Mode.TASK, True),
        (with_optional_context, Mode.TASK, True),
        (with_defaults, Mode.TASK, False),
        (positional_only, Mode.TASK, False),
        (awaitable, Mode.TASK, False),
        (coroutine_object, Mode.TASK, False),
        (functools.partial(scaled, 2, offset=1), Mode.THREAD, False),
        (passed_on, Mode.TASK, False),
        (decorated_twice, Mode.TASK, False),
        (a_subclass_of_the_answer, Mode.TASK, False),
        (calculator.add, Mode.TASK, False),
        (calculator.add_with_context, Mode.THREAD, True),
        (calculator.static, Mode.TASK, False),
        (calculator.of_class, Mode.TASK, False),
        (calculator, Mode.TASK, False),
        (functools.partial(calculator.add), Mode.TASK, False),
    ],
    ids=lambda value: repr(value).partition(" at ")[0],
)
def test_what_works_as_a_handler(handler: Any, mode: Mode, wants_context: bool) -> None:
    """By its annotations alone, and the same when the message is given."""
    for message in (None, Add):
        found = read_handler(handler, message, [Add], ordered=True, inline=False)
        assert (found.message, found.answer, found.function) == (Add, int, handler)
        assert (found.mode, found.wants_context, found.ordered) == (mode, wants_context, True)


def test_a_function_may_run_in_place() -> None:
    assert read_handler(function, None, [Add], ordered=False, inline=True).mode is Mode.INLINE


def test_its_text_says_where_it_is_defined_and_how_it_runs() -> None:
    found = read_handler(calculator.add, None, [Add], ordered=True, inline=False)
    assert str(found) == f"{__name__}.Calculator.add (task, ordered)"
    assert str(read_handler(calculator, None, [Add], ordered=False, inline=False)).endswith(
        "Calculator.__call__ (task)"
    )


# -- bad ones ----------------------------------------------------------------------------------


async def no_annotation(msg) -> int:  # type: ignore[no-untyped-def]
    return 1


async def no_answer(msg: Add):  # type: ignore[no-untyped-def]
    return 1


async def no_answer_to_log(msg: Log):  # type: ignore[no-untyped-def]
    return None


async def wrong_answer(msg: Add) -> str:
    return ""


async def none_for_int(msg: Add) -> None: ...


async def bool_for_int(msg: Add) -> bool:
    return True


async def optional_for_int(msg: Add) -> int | None:
    return None


async def wrong_item(msg: Split) -> list[int]:
    return []


async def an_awaitable_to_await(msg: Add) -> Awaitable[int]:
    return coroutine(msg)


async def no_parameter() -> int:
    return 1


async def only_keywords(*, msg: Add) -> int:
    return 1


async def only_optional_keywords(*, msg: Add | None = None) -> int:
    return 1


async def three_parameters(msg: Add, ctx: Context, more: int) -> int:
    return more


async def needs_a_keyword(msg: Add, *, scale: int) -> int:
    return scale


async def not_a_message(msg: int) -> int:
    return msg


async def two_messages(msg: Add | Log) -> int:
    return 1


async def any_message(msg: Message[int]) -> int:
    return 1


async def the_base(msg: Message) -> int:  # type: ignore[type-arg]
    return 1


async def wrong_context(msg: Add, ctx: int) -> int:
    return ctx


async def unknown_message(msg: Unknown) -> int:
    return 1


async def unknown_answer(msg: Add) -> Unknown:
    return 1


def takes_anything(*args):  # type: ignore[no-untyped-def]
    return 1


def generator(msg: Add) -> Iterator[int]:
    yield 1


async def async_generator(msg: Add) -> AsyncIterator[int]:
    yield 1


@pytest.mark.parametrize(
    ("handler", "text"),
    [
        (
            no_annotation,
            r"no_annotation does not say which message it handles: annotate its first parameter, \(msg: Add\)",
        ),
        (no_answer, r"does not say what it returns: write `-> int`, since Add is a Message\[int\]"),
        (no_answer_to_log, r"write `-> None`, since Log is a Message\[None\]"),
        (wrong_answer, r"is declared to return str: write `-> int`, since Add is a Message\[int\]"),
        (none_for_int, "is declared to return None"),
        (bool_for_int, "is declared to return bool"),
        (optional_for_int, r"is declared to return int \| None"),
        (wrong_item, r"is declared to return list\[int\]: write `-> list\[str\]`"),
        (an_awaitable_to_await, r"is declared to return (collections\.abc\.)?Awaitable\[int\]"),
        (no_parameter, r"has no parameter for the message: write \(msg\)"),
        (only_keywords, "needs the keyword 'msg', and nobody gives it"),
        (only_optional_keywords, "has no parameter for the message"),
        (three_parameters, "has 3 parameters"),
        (needs_a_keyword, "needs the keyword 'scale'.* functools.partial"),
        (not_a_message, "has 'msg' annotated with int: it must be one message class"),
        (two_messages, r"Add \| .*Log: it must be one message class"),
        (any_message, r"Message\[int\]: it must be one message class"),
        (the_base, "annotated with Message: it must be one message class"),
        (wrong_context, "has 'ctx' annotated with int: the second parameter is the Context"),
        (
            unknown_message,
            "annotation for its parameter 'msg' that can't be looked up .*'Unknown' is not defined",
        ),
        (unknown_answer, "annotation for its answer that can't be looked up"),
        (generator, "has a `yield`, and a call has one answer: return it"),
        (async_generator, "has a `yield`"),
        (Calculator.add, r"is not bound to an object: register the method of one"),
        (Calculator, "is a class: register a function, or a method of an object of it"),
        (len, "does not say which message it handles"),
        (print, "has no parameter for the message|does not say which message"),
        (3, "has no signature that can be read"),
        (dict.fromkeys, "signature that can be read|does not say which message"),
    ],
    ids=lambda value: getattr(value, "__qualname__", None),
)
def test_what_is_refused_and_what_the_text_says(handler: Any, text: str) -> None:
    services = Services(calc)
    with pytest.raises(RegistrationError, match=text):
        services.handler(handler)
    assert "no handler" in repr(services)


@pytest.mark.parametrize(
    ("message", "handler", "text"),
    [
        (Add, wrong_answer, "is declared to return str"),
        (Log, coroutine, "takes Add, and is to be registered for Log"),
        (Add, not_a_message, "takes int, and is to be registered for Add"),
        (Add, no_parameter, "has no parameter"),
        (int, coroutine, "<class 'int'> is not a message class"),
        ("Add", coroutine, "'Add' is not a message class"),
        ([], coroutine, r"\[\] is not a message class"),
        (Message, coroutine, "is not a message class"),
        (Elsewhere, lambda _: 1, "is for Elsewhere, which is in none of the namespaces calc: add it there"),
    ],
)
def test_with_the_message_given_it_must_not_be_contradicted(message: Any, handler: Any, text: str) -> None:
    with pytest.raises(RegistrationError, match=text):
        Services(calc).handler(message, handler)


@pytest.mark.parametrize(
    "handler",
    [
        no_annotation,
        no_answer,
        any_message,
        two_messages,
        unknown_message,
        unknown_answer,
        takes_anything,
        lambda msg: 1,
        Mock(),
    ],
)
def test_with_the_message_given_annotations_may_be_missing(handler: Any) -> None:
    """The type checkers have seen message and function side by side, and results are checked when they are there."""
    assert read_handler(handler, Add, [Add], ordered=False, inline=False).message is Add


def test_a_coroutine_can_not_run_in_place() -> None:
    with pytest.raises(RegistrationError, match="leave out inline=True"):
        Services(calc).handler(coroutine, inline=True)


def test_a_handler_for_a_message_of_no_namespace() -> None:
    async def elsewhere(msg: Elsewhere) -> int:
        return 1

    with pytest.raises(
        RegistrationError, match="elsewhere is for Elsewhere, which is in none of the namespaces calc"
    ):
        Services(calc).handler(elsewhere)


def test_weak_point_24_a_second_handler_is_refused() -> None:
    """The original replaces the first handler without a word; here the error names both, and the id."""
    services = Services(calc)
    services.handler(coroutine)
    with pytest.raises(
        ServiceIdError, match=r"calc::Add can't be handled by .*\.function: it is by .*\.coroutine"
    ) as info:
        services.handler(function)
    assert (info.value.sid, info.value.name) == (calc.sid(Add), "calc::Add")


def test_a_message_without_its_function() -> None:
    with pytest.raises(RegistrationError, match=r"services.handler\(Add\) lacks the function"):
        Services(calc).handler(Add)


def test_classes_and_handlers_that_are_local_to_a_function() -> None:
    """Their annotations are names that no module knows."""

    class Mine(Message[int]):
        text: str

    class Answered(Message[Point | None]):
        text: str

    services = Services(Namespace("mine", [Mine, Answered]))

    @services.handler
    async def mine(msg: Mine) -> int:
        return len(msg.text)

    def register() -> None:
        class Local:
            async def answered(self, msg: Answered) -> Point | None:
                return None

        services.handler(Local().answered)

    register()
    assert "no handler" not in repr(services)


class Point(Message[None]):
    x: float


def test_a_class_that_can_not_be_seen_any_more_is_known_by_the_namespace() -> None:
    """The function that made both is over; the only trace of the class's name is in the namespace."""

    def make() -> tuple[Any, Any]:
        class Gone(Message[int]):
            text: str

        async def gone(msg: Gone) -> int:
            return 1

        return Gone, gone

    gone_class, gone = make()
    assert read_handler(gone, None, [gone_class], ordered=False, inline=False).message is gone_class

    other_class, _ = make()
    with pytest.raises(RegistrationError, match="'Gone' is not defined"):
        read_handler(gone, None, [gone_class, other_class], ordered=False, inline=False)


def test_decorators_that_wrap_each_other_for_ever() -> None:
    def endless(msg: Add) -> int:
        return 1

    endless.__wrapped__ = endless  # type: ignore[attr-defined]
    with pytest.raises(RegistrationError, match="has no signature that can be read"):
        read_handler(endless, None, [Add], ordered=False, inline=False)


def test_the_record_is_read_only() -> None:
    found = read_handler(coroutine, None, [Add], ordered=False, inline=False)
    assert isinstance(found, Handler)
    with pytest.raises(AttributeError):
        found.ordered = True  # type: ignore[misc]


class Counter:
    """State of one connection."""

    def __init__(self, start: int) -> None:
        self.count = start

    async def add(self, msg: Add) -> int:
        self.count += msg.a
        return self.count


async def test_methods_are_read_once_and_stay_those_of_their_objects() -> None:
    """What is known of a method is the same for all objects; the object is not, and is not kept alive by it."""
    counters = [Counter(0), Counter(100)]
    handlers = [read_handler(each.add, None, [Add], ordered=False, inline=False) for each in counters]
    assert [await each.function(Add(a=1, b=0)) for each in handlers] == [1, 101]
    assert handlers[0].name == handlers[1].name
    ordered = read_handler(counters[0].add, Add, [Add], ordered=True, inline=False)
    assert (handlers[0].ordered, ordered.ordered) == (False, True)
    with pytest.raises(RegistrationError, match="leave out inline=True"):
        read_handler(counters[0].add, None, [], ordered=False, inline=True)
    gone = weakref.ref(counters[1])
    del counters, handlers, ordered
    gc.collect()
    assert gone() is None
