"""The command `duologue`. Each of its subcommands is a module of its own, listed here."""

from __future__ import annotations

from typing import Annotated

import typer

import duologue
from duologue_contrib.command_line.call import call
from duologue_contrib.command_line.endings import OF_CALL, OF_SERVE, OF_TYPESCRIPT, epilog
from duologue_contrib.command_line.serve import serve
from duologue_contrib.command_line.typescript import typescript
from duologue_contrib.demo.command import demo
from duologue_contrib.plugin_list import plugins

app = typer.Typer(name="duologue", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"duologue {duologue.__version__}")
        raise typer.Exit


# With a callback a single subcommand keeps its name, too.
@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version, and end."),
    ] = False,
) -> None:
    """Typed messages between two processes, in both directions, over any transport and in any wire format."""


app.command(epilog=epilog(OF_CALL))(call)
app.command(epilog=epilog(OF_SERVE))(serve)
app.command()(demo)
app.command()(plugins)
app.command(epilog=epilog(OF_TYPESCRIPT))(typescript)
