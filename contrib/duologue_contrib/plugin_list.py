"""The command `duologue plugins`."""

from __future__ import annotations

import typer

from duologue import PluginInfo, installed_plugins

_TITLES = {
    "duologue.adapters": "Adapters, by the scheme of the URL",
    "duologue.wireformats": "Wire formats, by name",
}


def plugins() -> None:
    """List the adapters and wire formats that are there, where they come from, and what is missing to use them."""
    found = installed_plugins()
    for group, title in _TITLES.items():
        typer.echo(title)
        rows = [each for each in found if each.group == group]
        widths = [
            max((len(part) for part in column), default=0) for column in zip(*map(_row, rows), strict=True)
        ]
        for each in rows:
            line = "  ".join(part.ljust(width) for part, width in zip(_row(each), widths, strict=True))
            typer.echo(f"  {line}".rstrip())
            if each.problem:
                typer.echo(f"    {each.problem}")


def _row(info: PluginInfo) -> tuple[str, str, str, str]:
    origin = f"{info.distribution} {info.version}".strip() or "registered by hand"
    return info.name, "can't be used" if info.problem else "ready", origin, info.place
