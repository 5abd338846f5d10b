"""The command `duologue demo`."""

from __future__ import annotations

import importlib.util
from typing import Annotated

import anyio
import typer

from duologue_contrib.demo.play import all_rows, play
from duologue_contrib.demo.report import report_for


def demo(
    trio: Annotated[bool, typer.Option("--trio", help="Run both processes on trio, not on asyncio.")] = False,
    plain: Annotated[bool, typer.Option("--plain", help="Plain lines, on a terminal too.")] = False,
) -> None:
    """Show what the library does, row by row, with a server in a second process.

    Each row checks what it claims. The exit code is 0 only if all came out as they should.
    """
    if trio and importlib.util.find_spec("trio") is None:
        typer.echo("--trio needs trio: pip install trio", err=True)
        raise typer.Exit(2)
    backend = "trio" if trio else "asyncio"
    all_well = anyio.run(play, all_rows(), report_for(plain), backend, backend=backend)
    raise typer.Exit(0 if all_well else 1)
