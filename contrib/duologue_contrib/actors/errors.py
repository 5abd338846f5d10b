"""What goes wrong with actors, in the errors that calls to a remote have too."""

from __future__ import annotations

from enum import StrEnum
from typing import TypeVar

from duologue import CallError, DuologueError, ErrorKind, Executed, RemoteError


class StopReason(StrEnum):
    """Why an actor is no more."""

    STOPPED = "stopped"
    """It was told to stop, or its scope was left."""
    KILLED = "killed"
    """It was killed, or its scope was cancelled."""
    FAILED = "failed"
    """A handler failed, or its making, and it was not to go on."""


class ActorStopped(RemoteError):
    """The actor is gone, or going. To the callers of an actor behind a connection this is an `InternalServerError`.

    Its cause, if there is one, is the failure that ended the actor.
    """

    def __init__(self, name: str, executed: Executed = Executed.NO, *, why: str = "it has stopped") -> None:
        super().__init__(ErrorKind.INTERNAL_SERVER_ERROR, executed)
        self.args = (f"the actor {name} is gone: {why}",)  # no remote has answered anything
        self.name = name
        """The name of the actor."""


class ActorDeadlock(CallError):
    """The call was refused: its answer could not come before the handler that makes it has ended. Nothing was done.

    `names` are those of the actors that would wait for each other, from the caller round to the caller.
    """

    def __init__(self, names: tuple[str, ...]) -> None:
        instead = (
            "send the message one way, or call the method itself"
            if len(names) == 2
            else "send one of the messages one way, or let somebody who is not among them make the calls"
        )
        super().__init__(
            f"{' -> '.join(names)}: each would wait for the next, the last for the handler that calls; {instead}",
            Executed.NO,
        )
        self.names = names


class ActorFailed(DuologueError):
    """An actor has failed for good, and its supervision says that the scope ends with it. The cause is its last failure.

    It comes out of the scope's `async with`, in an `ExceptionGroup`, like any failure of a task group.
    """

    def __init__(self, name: str, text: str) -> None:
        super().__init__(f"the actor {name} {text}")
        self.name = name
        """The name of the actor."""


E = TypeVar("E", bound=CallError)


def named(name: str, error: E, message: object) -> E:
    """The error, which says what was called."""
    error.service = f"{name}::{type(message).__name__}"
    return error


def handler_failed(name: str, message: object, failure: BaseException) -> RemoteError:
    """What the caller of a handler that raised gets: what a remote would get, and here the failure as its cause."""
    error = RemoteError(ErrorKind.INTERNAL_SERVER_ERROR, Executed.YES)
    error.args = ("its handler failed",)  # and no word of how: the text is what a remote might be told
    error.__cause__ = failure
    return named(name, error, message)
