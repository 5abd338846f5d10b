"""The command `duologue demo`."""

from __future__ import annotations

import importlib.util
from typing import Annotated

import anyio
import typer

from duologue_contrib.demo.play import all_rows, play
from duologue_contrib.demo.screen import report_for


def demo(
    trio: Annotated[bool, typer.Option("--trio", help="Run both processes on trio, not on asyncio.")] = False,
    plain: Annotated[bool, typer.Option("--plain", help="Plain lines, on a terminal too.")] = False,
) -> None:
    """Show what the library does, row by row, with a server in a second process.

    Each row checks what it claims. The exit code is 0 if all came out as they should, 1 if one did not, 130 after Ctrl-C.
    What needs an extra that is missing is skipped, and says what to install. On a terminal that can do it, what plays
    is shown while it does, in colours unless NO_COLOR is set; anywhere else, plain lines.
    """
    if trio and importlib.util.find_spec("trio") is None:
        typer.echo("--trio needs trio: pip install 'duologue[trio]'", err=True)
        raise typer.Exit(2)
    backend = "trio" if trio else "asyncio"
    try:
        code = anyio.run(play, all_rows(), report_for(plain), backend, backend=backend)
    except KeyboardInterrupt:  # before there was a loop, or after
        code = 130
    raise typer.Exit(code)
