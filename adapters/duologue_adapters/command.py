"""Another program, over its standard input and output: `exec:command arguments`."""

from __future__ import annotations

import errno
import os
import shlex
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from duologue import Adapter, ConnectFailed, Peer, PeerSettings, Server, ServerSettings, hookimpl
from duologue_adapters.child import Child
from duologue_adapters.child_link import ChildLink
from duologue_adapters.engines import engine_here
from duologue_adapters.server import running_peer
from duologue_adapters.urls import check_options, not_served


class ExecAdapter(Adapter):
    """Starts a command, without a shell. Its error output is ours.

    Options: `argv=`, the command as a list, after `exec:` alone; `env=` and `cwd=` as with `subprocess`.
    `peer.info.extra` has its `pid`, and its `exit_status` as soon as that is known: after the block for sure.
    """

    schemes = ("exec",)

    @asynccontextmanager
    async def connect(self, url: str, settings: PeerSettings) -> AsyncGenerator[Peer, None]:
        options, limits = settings.options, settings.limits
        check_options("exec", options, ("argv", "cwd", "env"))
        env, cwd = _environment(options.get("env")), _folder(options.get("cwd"))
        argv = _argv(url, options.get("argv"))
        async with engine_here() as engine:
            try:
                child = Child(argv, env, cwd)
            except (OSError, ValueError) as exc:  # the latter for a zero byte
                # The system may be short of processes or memory for a while. All else is about the command.
                scarce = isinstance(exc, OSError) and exc.errno in (errno.EAGAIN, errno.ENOMEM, errno.EMFILE)
                raise ConnectFailed(url, _trouble(argv[0], cwd, exc), is_permanent=not scarce) from exc
            patience = 0.0
            try:
                pipes = engine.pipe_link(child.output, child.input)
                link = ChildLink(engine, pipes, child.input, f"exec:{shlex.join(argv)}", child.extra)
                async with running_peer(engine, link, settings) as peer:
                    link.extra = child.extra = peer.info.extra
                    engine.start(child.watch(link))
                    yield peer
                patience = limits.close_timeout
            finally:
                await engine.finish(lambda: child.end(patience))

    @asynccontextmanager
    async def serve(self, url: str, settings: ServerSettings) -> AsyncGenerator[Server, None]:
        raise not_served(url)
        yield  # type: ignore[unreachable]  # it makes this the generator that it has to be


def _argv(url: str, argv: Any) -> Sequence[str]:
    command = url.partition(":")[2]
    if argv is None:
        try:
            argv = shlex.split(command)
        except ValueError as exc:
            raise ConnectFailed(
                url, f"{exc}: quote as in a shell, or give the list argv=[...]", is_permanent=True
            ) from exc
    elif command:
        raise TypeError("the command is given twice: either in the URL, or by argv= after 'exec:' alone")
    if isinstance(argv, str | bytes):
        raise TypeError(f"argv={argv!r}: give a list, such as argv=['python', 'child.py']")
    if not argv:
        raise ConnectFailed(
            url, "there is no command: write exec:command arguments, or give argv=[...]", is_permanent=True
        )
    try:
        words: list[Any] = list(argv)
        for word in words:
            os.fspath(word)
    except TypeError as exc:
        raise TypeError(f"argv={argv!r}: give a list of texts, such as argv=['python', 'child.py']") from exc
    return words


def _environment(env: Any) -> dict[str, str] | None:
    if env is None:
        return None
    try:
        return {os.fsdecode(name): os.fsdecode(value) for name, value in env.items()}
    except (TypeError, AttributeError) as exc:
        # Not its values: passwords are handed on in this way.
        raise TypeError("env= is no dict of texts: give one, such as {**os.environ, 'X': 'y'}") from exc


def _folder(cwd: Any) -> str | None:
    try:
        return None if cwd is None else os.fsdecode(cwd)
    except TypeError as exc:
        raise TypeError(f"cwd={cwd!r}: give the path of a folder") from exc


def _trouble(command: object, cwd: str | None, exc: Exception) -> str:
    """Why it can't be started. The system names the folder or the command, and not which of them that is."""
    if cwd is not None and isinstance(exc, OSError) and not os.path.isdir(cwd):
        return f"cwd={cwd!r} is no folder ({exc})"
    return f"{command!r} can't be started: {exc}"


@hookimpl
def duologue_adapter() -> Adapter:
    """The plug-in."""
    return ExecAdapter()
