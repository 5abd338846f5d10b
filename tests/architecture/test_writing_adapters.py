"""Adapters of anybody are made of the same public names as the ones that come with the library, and are short."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest
from tests.architecture.test_imports import ROOT, imports_of, public_names

ADAPTERS = ROOT / "adapters" / "duologue_adapters"
PUBLIC = {
    "duologue": public_names(ROOT / "core" / "duologue"),
    "duologue_adapters": public_names(ADAPTERS),
}

FRAME = {
    *("context", "dispatch", "driver", "handshakes", "observers", "peer", "relaying", "waiting", "workers"),
    *("engines", "layered", "link_adapter", "opening", "over_stream", "ports", "server", "urls"),
}
"""What runs a link, whatever carries it. All other modules are transports and layers."""

LONGEST = 150
"""Lines that an adapter may need, its transport included."""

PLUGIN = ROOT / "tests" / "plugins" / "duologue-pipes" / "duologue_pipes"
PLUGIN_MODULES = ("adapter.py", "pipes.py")


def frame_imports(path: Path) -> set[str]:
    """What a module imports of the frame, by the names of its modules or by those of the package, in full."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = {each.name for each in imports_of("", tree, False) if each.name.startswith("duologue_adapters.")}
    return {name for name in names if name.split(".")[1] in FRAME}


TRANSPORTS = [
    path
    for path in sorted(ADAPTERS.rglob("*.py"))
    if path != ADAPTERS / "__init__.py" and path.relative_to(ADAPTERS).with_suffix("").parts[0] not in FRAME
]


@pytest.mark.parametrize("path", TRANSPORTS, ids=lambda path: str(path.relative_to(ADAPTERS)))
def test_built_in_adapters_use_what_all_may_use(path: Path) -> None:
    """No transport of ours knows more of the frame than what is public: the same objects, under the same names."""
    package = importlib.import_module("duologue_adapters")
    for name in frame_imports(path):
        module, _, last = name.rpartition(".")
        assert last in PUBLIC["duologue_adapters"], f"{name} is not in __all__ of duologue_adapters"
        assert getattr(importlib.import_module(module), last) is getattr(package, last)


@pytest.mark.parametrize("name", PLUGIN_MODULES)
def test_the_example_uses_public_names_only(name: str) -> None:
    """The plug-in of somebody else's imports, of ours, only what is in `__all__`."""
    tree = ast.parse((PLUGIN / name).read_text(encoding="utf-8"))
    ours = [
        each
        for each in imports_of("", tree, False)
        if each.name.startswith("duologue") and "_pipes" not in each.name
    ]
    assert all(each.name.removeprefix(f"{each.module}.") in PUBLIC[each.module] for each in ours)


def test_the_example_is_short() -> None:
    """Named pipes, served and connected to, and how two processes find each other there."""
    lines = sum(len((PLUGIN / name).read_text(encoding="utf-8").splitlines()) for name in PLUGIN_MODULES)
    assert lines < LONGEST


def test_the_frame_exists() -> None:
    """A module that was renamed must not drop out of the rule."""
    for name in FRAME:
        assert (ADAPTERS / name).is_dir() or (ADAPTERS / f"{name}.py").is_file(), name
