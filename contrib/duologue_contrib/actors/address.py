"""What is known of an actor: that it can be called, and sent to. Where it lives is not a part of that."""

from __future__ import annotations

from typing import Any, Protocol, TypeVar, runtime_checkable

from duologue import DEFAULT, Message, Timeout

R = TypeVar("R")


@runtime_checkable
class Address(Protocol):
    """Whoever takes messages: an actor of this process, one of many by its key, or what `peer.remote(namespace)` gives.

    Code that is written for an `Address` does not know which it has. Both say by `CallError.executed` whether a handler
    may have run; an actor of this process knows more often than a connection does.
    """

    async def call(self, message: Message[R], *, timeout: Timeout = DEFAULT) -> R:
        """Send a message, and wait for its answer, at most `timeout` seconds, the wait for room included.

        None waits for ever, 0 not at all. Raises `CallError`: `CallTimeout`, `RemoteError` (the handler failed, or its
        actor is gone), `Overloaded`, and for a remote `ConnectionClosed`, `ConnectionLost`, `AnswerUnreadable`. Raises
        `RegistrationError` for a message that is not handled there.
        """
        ...

    async def send(self, message: Message[Any], *, timeout: Timeout = DEFAULT) -> None:
        """Send a message, one way. Waits at most `timeout` seconds for room; nothing tells what became of it.

        Raises `SendTimeout`, `Overloaded`, and what `call` raises for an actor or a connection that is gone.
        """
        ...
