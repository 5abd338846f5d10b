"""The examples of docs/command-line.md run as they stand there, in a folder with the file that the page shows.

Where the page has the port 7000, the test has one that is free.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "command-line.md"
THEIRS = "tcp://127.0.0.1:7000"
ANY_PORT = "tcp://127.0.0.1:0"
LONG_ENOUGH = 60.0

_FILE = re.compile(r"^```python\n# (?P<name>\w+\.py)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_STEP = re.compile(r"^\$ (?P<command>.*)\n(?P<shown>(?:(?!\$ ).*\n)*)", re.MULTILINE)


def steps() -> list[tuple[str, str]]:
    """Each command of the page, and what it shows."""
    found = [
        step for block in _BLOCK.findall(PAGE.read_text(encoding="utf-8")) for step in _STEP.finditer(block)
    ]
    return [(step["command"], step["shown"]) for step in found]  # fmt: skip


@pytest.fixture
def shell(tmp_path: Path) -> dict[str, object]:
    """Where commands run: a folder with the files of the page, and our own `duologue`."""
    for file in _FILE.finditer(PAGE.read_text(encoding="utf-8")):
        (tmp_path / file["name"]).write_text(file["text"], encoding="utf-8")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {"cwd": tmp_path, "env": {**os.environ, "PATH": path}, "text": True}


@pytest.fixture
def url(shell: dict[str, object]) -> Iterator[str]:
    """Where the page's server listens, which is its first command."""
    command, shown = steps()[0]
    assert command.endswith(" &")
    assert shown == f"{THEIRS}\n"
    words = ["exec", command.removesuffix(" &").replace(THEIRS, ANY_PORT)]
    with subprocess.Popen(["sh", "-c", " ".join(words)], stdout=subprocess.PIPE, **shell) as server:  # type: ignore[call-overload]
        try:
            yield server.stdout.readline().rstrip("\n")
        finally:
            server.kill()


def test_the_commands_show_what_the_page_says(url: str, shell: dict[str, object]) -> None:
    """Output and error output, in their order, as on a terminal."""
    assert url.startswith("tcp://127.0.0.1:")
    rest = steps()[1:]
    assert len(rest) > 5, "there is something to see"
    for command, shown in rest:
        done = subprocess.run(
            ["sh", "-c", command.replace(THEIRS, url)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            timeout=LONG_ENOUGH,
            **shell,  # type: ignore[call-overload]
        )
        assert done.stdout.replace(url, THEIRS) == shown, command
