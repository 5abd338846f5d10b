"""The command `duologue typescript`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from duologue import find_wireformat
from duologue_contrib.browser import typescript as declared
from duologue_contrib.command_line.endings import Exit, told
from duologue_contrib.command_line.imports import imported_namespaces


def typescript(
    namespaces: Annotated[
        list[str],
        typer.Argument(
            metavar="MODULE:NAME...",
            help="Namespaces, or Services with all that are in them. Modules of this folder are found, too.",
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            show_default=False,
            help="Where to write them, such as page/calc.d.ts; else they are printed.",
        ),
    ] = None,
    wireformat: Annotated[
        str, typer.Option(help="The one that the page speaks: in json bytes are texts, in base64.")
    ] = "cbor",
) -> None:
    """Declare the messages of namespaces in TypeScript, for the editor of who writes a page."""
    with told("typescript"):
        # One that is named twice, as by its Services, too, is declared once.
        found = dict.fromkeys(each for spec in namespaces for each in imported_namespaces(spec))
        text = declared(found, wireformat=find_wireformat(wireformat).name)
        if output is None:
            typer.echo(text.encode(), nl=False)
            return
        try:
            output.write_text(text, encoding="utf-8")
        except OSError as exc:
            typer.echo(f"duologue typescript: can't write there: {exc}", err=True)
            raise typer.Exit(Exit.BROKEN) from None
