"""The entry point of the script `duologue`. What it can do stands in `commands`."""

from __future__ import annotations


def main() -> None:
    """Run the command line. The script is in every installation, what it is made of comes with an extra."""
    try:
        from duologue_contrib.commands import app
    except ModuleNotFoundError as exc:
        missing = (exc.name or "").partition(".")[0]
        if missing not in ("typer", "rich"):
            raise
        raise SystemExit(f"the command line needs {missing}: pip install 'duologue[cli]'") from None
    app()
