"""Distributions that are really installed, for the time of a test: metadata and modules in a folder on the path."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from textwrap import dedent

import pytest

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Installs a distribution: its name, its entry points by group, and the text of its modules."""
    before = set(sys.modules)

    def install_now(name: str, points: Mapping[str, Mapping[str, str]], **modules: str) -> None:
        folder = tmp_path / name
        info = folder / f"{name.replace('-', '_')}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", encoding="utf-8"
        )
        lines: list[str] = []
        for group, named in points.items():
            lines += [f"[{group}]", *(f"{key} = {value}" for key, value in named.items())]
        (info / "entry_points.txt").write_text("\n".join(lines), encoding="utf-8")
        for module, text in modules.items():
            (folder / f"{module}.py").write_text(dedent(text), encoding="utf-8")
        monkeypatch.syspath_prepend(folder)

    yield install_now
    for added in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[added], "__file__", "")):
            del sys.modules[added]
