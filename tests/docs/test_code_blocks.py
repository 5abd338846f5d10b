"""The Python examples of README and docs run as they stand there, on asyncio and on trio.

The blocks of a page are one module, run in order; they may await outside of functions, as in the shell of asyncio. A block
that is marked `python norun` is only compiled: it is a piece of something that is not there.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import anyio
import pytest

from duologue import plugins

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SECONDS = 30
"""For one block, at most."""

_BLOCK = re.compile(r"^```python(?P<words>[^\n]*)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
_NO_RUN = "norun"


@dataclass(frozen=True)
class Block:
    """An example on a page."""

    page: Path
    line: int
    code: str
    runs: bool

    def compiled(self) -> Any:
        """Its code object. Errors in it name the page, and the line there."""
        return compile(
            "\n" * self.line + self.code,
            str(self.page),
            "exec",
            flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT,
            dont_inherit=True,
        )


def blocks_of(page: Path) -> Iterator[Block]:
    """The Python examples of a page, in order."""
    text = page.read_text(encoding="utf-8")
    for found in _BLOCK.finditer(text):
        words = found["words"].split()
        assert words in ([], [_NO_RUN]), f"{page.name}: nobody knows what {words} means"
        yield Block(page, text.count("\n", 0, found.start("code")), found["code"], runs=not words)


PAGES_WITH_BLOCKS = [page for page in PAGES if list(blocks_of(page))]


def run(block: Block, module: ModuleType, backend: str) -> None:
    """Run an example, in an event loop if it awaits anything."""
    code = block.compiled()
    if not code.co_flags & inspect.CO_COROUTINE:
        exec(code, vars(module))
        return

    async def main() -> None:
        with anyio.fail_after(SECONDS):
            await eval(code, vars(module))

    anyio.run(main, backend=backend)


def on_backend(block: Block, backend: str) -> Block:
    """A complete program starts its own event loop: the one of the test."""
    code = block.code
    if backend == "trio":
        code = code.replace("import asyncio\n", "import trio\n").replace(
            "asyncio.run(main())", "trio.run(main)"
        )
    return Block(block.page, block.line, code, block.runs)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("page", PAGES_WITH_BLOCKS, ids=lambda page: page.name)
def test_the_examples_run(page: Path, backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """All examples of a page, one after another, do what the page says."""
    module = ModuleType(f"examples_of_{page.stem}")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    # What the examples register must be gone when the page is run again.
    for name, registry in (
        ("_adapters", plugins.adapter_registry()),
        ("_wireformats", plugins.wireformat_registry()),
    ):
        monkeypatch.setattr(plugins, name, registry)
    for block in blocks_of(page):
        if block.runs:
            run(on_backend(block, backend), module, backend)
        else:
            block.compiled()


def test_the_readme_prints_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    """The first thing that anybody tries."""
    (block,) = blocks_of(ROOT / "README.md")
    run(block, ModuleType("__main__"), "asyncio")
    assert capsys.readouterr().out == "3\n"


def test_errors_are_found_on_the_page(tmp_path: Path) -> None:
    """A failing example is told by the page and the line in it."""
    page = tmp_path / "page.md"
    page.write_text("One\n\n```python\nx = 1\nraise ValueError(x)\n```\n", encoding="utf-8")
    (block,) = blocks_of(page)
    with pytest.raises(ValueError, match="1") as caught:
        run(block, ModuleType("examples"), "asyncio")
    last = caught.traceback[-1]
    assert (str(last.path), last.lineno + 1) == (str(page), 5)
