"""How `duologue call` and `duologue serve` end: an exit code, and one line that says why."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, contextmanager
from enum import IntEnum
from typing import TypeVar

import typer

from duologue import (
    AnswerUnreadable,
    CallError,
    CallTimeout,
    ConnectFailed,
    ConnectionClosed,
    ConnectionLost,
    DuologueError,
    EncodeError,
    ErrorKind,
    Executed,
    FrameTooLarge,
    PluginError,
    RegistrationError,
    RemoteError,
    SendTimeout,
)

T = TypeVar("T")


class Exit(IntEnum):
    """The exit codes."""

    DONE = 0
    BROKEN = 1
    MISTAKE = 2
    NOT_CONNECTED = 3
    REFUSED = 4
    FAILED = 5
    TIMED_OUT = 6
    LOST = 7
    UNREADABLE = 8
    INTERRUPTED = 130


OF_CALL = {
    Exit.DONE: "answered, or, with --send, sent",
    Exit.BROKEN: "nobody reads the output, or the module of --types fails while it is imported",
    Exit.MISTAKE: "the command line is wrong, and nothing was sent",
    Exit.NOT_CONNECTED: "could not connect, and nothing was sent",
    Exit.REFUSED: "the remote refused, and no handler ran",
    Exit.FAILED: "the remote failed, and its handler may have run",
    Exit.TIMED_OUT: "no answer in time",
    Exit.LOST: "the connection was lost",
    Exit.UNREADABLE: "answered, with something that can't be read",
    Exit.INTERRUPTED: "interrupted",
}
"""What they mean, for people."""

OF_SERVE = {
    Exit.DONE: "ended by the first SIGINT or SIGTERM",
    Exit.BROKEN: "nobody reads the output, or the module fails while it is imported",
    Exit.MISTAKE: "the command line is wrong",
    Exit.NOT_CONNECTED: "could not listen",
}
"""The same for a server."""

OF_TYPESCRIPT = {
    Exit.DONE: "written",
    Exit.BROKEN: "the file can't be written, nobody reads the output, or the module fails while it is imported",
    Exit.MISTAKE: "the command line is wrong, or a message can't go over the wire",
}
"""The same for declarations."""

_HINTS = {
    ErrorKind.UNKNOWN_SERVICE: "is it the same --wireformat?",
    ErrorKind.DESERIALIZE: "is it the same --wireformat?",
}
"""What else it may be, beside what the error says by itself."""


class Mistake(Exception):
    """Something on the command line is wrong; the text says what to write instead."""


@contextmanager
def told(command: str) -> Generator[None]:
    """A block whose errors end the process, each with its code and one line on the error output."""
    try:
        yield
    except (Mistake, DuologueError) as exc:
        code, text = ending_of(exc)
    except KeyboardInterrupt:
        code, text = Exit.INTERRUPTED, "interrupted"
    else:
        return
    typer.echo(f"duologue {command}: {one_line(text)}", err=True)
    raise typer.Exit(code)


def epilog(meanings: Mapping[Exit, str]) -> str:
    """The end of a command's help: a code in each line."""
    return "\n\n".join(["Exit codes:", *(f"{code.value}: {meaning}" for code, meaning in meanings.items())])


def ending_of(exc: Mistake | DuologueError) -> tuple[Exit, str]:
    """The exit code for an error, and what to say."""
    text = str(exc)
    match exc:
        case Mistake() | EncodeError() | FrameTooLarge() | RegistrationError() | PluginError():
            return Exit.MISTAKE, text
        case ConnectFailed():
            return (Exit.MISTAKE if _is_about_the_url(exc) else Exit.NOT_CONNECTED), text
        case CallTimeout():
            return Exit.TIMED_OUT, text
        case SendTimeout():
            return Exit.TIMED_OUT, f"{text} (executed: {exc.executed.value})"
        case ConnectionClosed() | ConnectionLost():
            return Exit.LOST, text
        case AnswerUnreadable():
            return Exit.UNREADABLE, text
        case CallError():
            hint = _HINTS.get(exc.kind, "") if isinstance(exc, RemoteError) else ""
            code = Exit.REFUSED if exc.executed is Executed.NO else Exit.FAILED
            return code, f"{text}; {hint}" if hint else text
        case _:
            return Exit.FAILED, text


def _is_about_the_url(exc: ConnectFailed) -> bool:
    """Whether nobody has even tried: then there is nothing that the system, or the other end, would have said."""
    cause = exc.__cause__
    # A certificate that is refused is both.
    is_value = isinstance(cause, ValueError) and not isinstance(cause, OSError)
    return (cause is None and type(exc) is ConnectFailed) or is_value


def one_line(text: str) -> str:
    """What may be shown on a terminal, whoever has written it: a remote may, in extended mode."""
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())


async def entered(stack: AsyncExitStack, make: Callable[[], AbstractAsyncContextManager[T]]) -> T:
    """Enter what `connect` or `serve` makes. The options are the adapter's to check: what it refuses is a `Mistake`."""
    try:
        return await stack.enter_async_context(make())
    except (TypeError, ValueError) as exc:
        raise Mistake(str(exc)) from exc
