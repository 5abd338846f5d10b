"""A class of actors is checked when it is made, and not when it is called."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.contrib.actors.common import Add, Hold, Note

from duologue import Context, Message, RegistrationError
from duologue_contrib.actors import Actor, actor_scope, handles


def no_message() -> None:
    class Wrong(Actor):
        @handles
        async def add(self, msg) -> int:  # type: ignore[no-untyped-def]
            return 1


def nothing_to_take() -> None:
    class Wrong(Actor):
        @handles
        async def add(self) -> int:
            return 1


def not_a_message() -> None:
    class Wrong(Actor):
        @handles
        async def add(self, msg: int) -> int:
            return 1


def unknown_name() -> None:
    class Wrong(Actor):
        @handles
        async def add(self, msg: Missing) -> int:  # type: ignore[name-defined]  # noqa: F821
            return 1


def wrong_answer() -> None:
    class Wrong(Actor):
        @handles
        async def add(self, msg: Add) -> str:
            return ""


def wrong_answer_of_a_given_message() -> None:
    class Wrong(Actor):
        @handles(Add)  # type: ignore[arg-type]
        async def add(self, msg: Add) -> str:
            return ""


def another_message_than_given() -> None:
    class Wrong(Actor):
        @handles(Add)  # type: ignore[arg-type]
        async def add(self, msg: Hold) -> int:
            return 1


def no_answer() -> None:
    class Wrong(Actor):
        @handles
        async def add(self, msg: Add):  # type: ignore[no-untyped-def]
            return 1


def not_async() -> None:
    class Wrong(Actor):
        @handles
        def add(self, msg: Add) -> int:
            return 1


def generator() -> None:
    class Wrong(Actor):
        @handles
        async def add(self, msg: Add) -> int:  # type: ignore[misc]
            yield 1


def wants_a_context() -> None:
    class Wrong(Actor):
        @handles
        async def add(self, msg: Add, ctx: Context) -> int:
            return 1


def two_for_one_message() -> None:
    class Wrong(Actor):
        @handles
        async def add(self, msg: Add) -> int:
            return 1

        @handles
        async def plus(self, msg: Add) -> int:
            return 1


def static() -> None:
    class Wrong(Actor):
        @handles
        @staticmethod
        async def add(msg: Add) -> int:
            return 1


def overridden_by_something_else() -> None:
    class Right(Actor):
        @handles
        async def add(self, msg: Add) -> int:
            return 1

    class Wrong(Right):
        add = 5  # type: ignore[assignment]


def overridden_with_another_answer() -> None:
    class Right(Actor):
        @handles
        async def add(self, msg: Add) -> int:
            return 1

    class Wrong(Right):
        async def add(self, msg: Add) -> str:  # type: ignore[override]
            return ""


REFUSED = [
    (no_message, "does not say which message"),
    (nothing_to_take, "does not say which message"),
    (not_a_message, "must be one message class"),
    (unknown_name, r"can't be looked up .*Missing"),
    (wrong_answer, "write `-> int`"),
    (wrong_answer_of_a_given_message, "write `-> int`"),
    (another_message_than_given, "takes Hold, and is to be registered for Add"),
    (no_answer, "does not say what it returns"),
    (not_async, "no `async def`"),
    (generator, "`yield`"),
    (wants_a_context, r"write \(self, msg\)"),
    (two_for_one_message, "two handlers for Add, add and plus"),
    (static, "is for the methods of an actor"),
    (overridden_by_something_else, "5 stands in the place"),
    (overridden_with_another_answer, "write `-> int`"),
]


@pytest.mark.parametrize(("make", "text"), REFUSED, ids=[make.__name__ for make, _ in REFUSED])
def test_a_class_that_can_not_work_is_refused(make: Callable[[], None], text: str) -> None:
    """The class statement raises, and says what to write instead."""
    with pytest.raises(RegistrationError, match=text):
        make()


def logged(method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """A decorator, as people write them."""

    @functools.wraps(method)
    async def wrapped(self: Any, msg: Any) -> Any:
        return await method(self, msg)

    return wrapped


class Base(Actor):
    @handles
    async def add(self, msg: Add) -> int:
        return msg.amount

    @handles(Note)
    async def note(self, msg: Message[None]) -> None:
        """Takes more than its message."""


class Derived(Base):
    async def add(self, msg: Add) -> int:
        return 2 * await super().add(msg)

    @logged
    @handles
    async def hold(self, msg: Hold) -> str:
        return msg.name


async def test_a_derived_class_has_the_handlers_of_its_base() -> None:
    """Its own methods take the places of those that they override, without a word; decorators may stand around them."""
    async with actor_scope() as actors:
        address = await actors.start(Derived)
        assert address.messages == {Add, Note, Hold}
        assert await address.call(Add(2)) == 4
        assert await address.call(Hold("x")) == "x"


async def test_messages_may_be_local_to_a_function() -> None:
    """As in a test: the names in annotations are found where the class stands."""

    class Ask(Message[str]):
        pass

    class Local(Actor):
        @handles
        async def ask(self, msg: Ask) -> str:
            return "local"

    async with actor_scope() as actors:
        assert await (await actors.start(Local)).call(Ask()) == "local"


def test_a_handler_is_a_method_still() -> None:
    """A unit test of an actor's class needs no mailbox."""
    coroutine = Base().add(Add(3))
    with pytest.raises(StopIteration) as caught:
        coroutine.send(None)
    assert caught.value.value == 3
