"""The base class of actors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from duologue import Message, RegistrationError
from duologue_contrib.actors.handlers import Handles, handlers_of

if TYPE_CHECKING:
    from duologue_contrib.actors.local import LocalAddress


class Actor:
    """State of its own, and handlers that run one at a time, so that nothing else is needed to guard it.

        class Counter(Actor):
            def __init__(self) -> None:
                self.count = 0

            @handles
            async def add(self, msg: Add) -> int:
                self.count += msg.amount
                return self.count

    The handlers of base classes are its own, too. A class whose handlers can't be used raises `RegistrationError`. Go on
    with `address = await actors.start(Counter)`.
    """

    __handlers__: ClassVar[Mapping[type[Message[Any]], tuple[str, Handles]]] = {}

    address: LocalAddress
    """Its own address, for others to have. Set between `__init__` and `started`."""

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        cls.__handlers__ = handlers_of(cls)

    async def started(self) -> None:
        """Called before the first message, in the actor's task. What it raises comes out of `actors.start(...)`."""

    async def stopped(self) -> None:
        """Called after the last message, in the actor's task: before an object is replaced by another, too.

        If the actor was killed, each `await` in it is cancelled, as in any `finally`: shield what must be done. It is
        not called if `started` failed.
        """


def refusal(kind: type[Actor], message: object) -> RegistrationError:
    """The error for a message that actors of the class have no handler for."""
    known = ", ".join(each.__name__ for each in kind.__handlers__) or "none"
    return RegistrationError(
        f"{type(message).__name__} is not a message that {kind.__name__} handles; those are {known}"
    )
