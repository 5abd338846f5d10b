"""Who may import what. The hexagon stands or falls with it, so it is read from the source of every module.

An import counts wherever it stands: at the top, in a function, under `TYPE_CHECKING`, or as `import_module("name")`.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

SOURCES = {
    "duologue": "core",
    "duologue_adapters": "adapters",
    "duologue_wireformats": "wireformats",
    "duologue_contrib": "contrib",
}
"""Each package of ours, and the folder at the root that holds it."""

NO_IO_AND_NO_CLOCK = (
    *("asyncio", "concurrent", "multiprocessing", "sched", "signal", "threading", "_thread"),
    *("select", "selectors", "socket", "socketserver", "ssl", "subprocess", "urllib.request", "http"),
    *("logging", "random", "secrets", "time"),
)
"""What would give core a scheduler, input, output, a clock, chance, or a say in where logs go. All that comes from outside."""


@dataclass(frozen=True)
class Layer:
    """Modules under one rule: everything is forbidden but the standard library and what is named here.

    Where several names match an import, the longest decides.
    """

    modules: str
    """The module, or the package with all in it, that the rule is for. The longest that matches a module is the one."""
    allowed: tuple[str, ...] = ()
    forbidden: tuple[str, ...] = ()
    public_names_of: tuple[str, ...] = ()
    """Packages of ours of which only the names in `__all__` may be imported."""
    why: str = field(kw_only=True)


LAYERS = (
    Layer(
        "duologue.protocol",
        allowed=("duologue.protocol",),
        forbidden=(*NO_IO_AND_NO_CLOCK, "datetime", "importlib"),
        why="the state machine is pure: time and bytes come in as arguments",
    ),
    Layer(
        "duologue",
        allowed=("duologue", "msgspec", "pluggy", "xxhash", "importlib.metadata"),
        forbidden=(*NO_IO_AND_NO_CLOCK, "importlib"),
        why="core decides and never does; it finds plug-ins by their entry points, and imports none",
    ),
    Layer(
        "duologue_wireformats",
        allowed=("duologue", "duologue_wireformats", "msgspec"),
        why="a wire format knows core and its own codec",
    ),
    Layer(
        "duologue_adapters",
        allowed=("duologue", "duologue_adapters", "anyio"),
        why="an adapter knows core, the engines and its own transport",
    ),
    Layer(
        "duologue_adapters.driver",
        allowed=("duologue", "duologue_adapters"),
        forbidden=("asyncio",),
        why="the driver is written once for all engines, and knows none of them",
    ),
    Layer(
        "duologue_adapters.peer",
        allowed=("duologue", "duologue_adapters"),
        forbidden=("asyncio",),
        why="what users call is the driver's, and knows no engine either",
    ),
    Layer(
        "duologue_adapters.dispatch",
        allowed=("duologue", "duologue_adapters"),
        forbidden=("asyncio",),
        why="the driver is written once for all engines, and knows none of them",
    ),
    Layer(
        "duologue_contrib",
        allowed=("anyio", "duologue_contrib", "hypothesis", "msgspec", "pytest", "rich", "typer"),
        public_names_of=("duologue", "duologue.protocol", "duologue_adapters", "duologue_wireformats"),
        why="contrib shows what the public interface is good for, so it has no other",
    ),
)

OPTIONAL = {
    "cbor2": ("duologue_wireformats.cbor",),
    "msgpack": (),
    "uvloop": (),
    "websockets": ("duologue_adapters.websocket", "duologue_adapters.layers.websocket"),
    "zmq": ("duologue_adapters.zeromq",),
}
"""The library of each extra, and what the tests compare with; and the only modules that import it: all others must work where it is missing."""


@dataclass(frozen=True)
class Import:
    name: str
    """The dotted name in full: `from a.b import c` is `a.b.c`, whether `c` is a module or not."""
    module: str
    """What stands after `from`; for `import a.b` the same as `name`."""
    line: int


def imports_of(module: str, tree: ast.Module, is_package: bool) -> Iterator[Import]:
    """Every import in a module, wherever it stands, relative ones made absolute."""
    package = module if is_package else module.rpartition(".")[0]
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (Import(alias.name, alias.name, node.lineno) for alias in names)
            case ast.ImportFrom(module=origin, names=names, level=level):
                parents = package.split(".")[: len(package.split(".")) - (level - 1)] if level else []
                base = ".".join([*parents, *([origin] if origin else [])])
                yield from (Import(f"{base}.{alias.name}", base, node.lineno) for alias in names)
            case ast.Call(
                func=ast.Name(id="__import__" | "import_module") | ast.Attribute(attr="import_module"),
                args=[ast.Constant(value=str(name)), *_],
            ):
                yield Import(name, name, node.lineno)
            case _:
                pass


def is_within(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(prefix + ".")


def public_names(package: Path) -> frozenset[str]:
    """The names in `__all__` of a package, read without importing it."""
    tree = ast.parse((package / "__init__.py").read_text(encoding="utf-8"))
    for node in tree.body:
        match node:
            case (
                ast.Assign(targets=[ast.Name(id="__all__")], value=value)
                | ast.AnnAssign(target=ast.Name(id="__all__"), value=ast.expr() as value)
            ):
                return frozenset(ast.literal_eval(value))
            case _:
                pass
    return frozenset()


def refusal(item: Import, layer: Layer, module: str, public: Mapping[str, frozenset[str]]) -> str | None:
    """Why this module must not import this, or None if it may."""
    top = item.name.partition(".")[0]
    if top in OPTIONAL:
        homes = OPTIONAL[top]
        if any(is_within(module, home) for home in homes):
            return None
        return f"only {' and '.join(homes) or 'no module'} may: the others must work without the extra"
    if item.module in layer.public_names_of:
        name = item.name.removeprefix(item.module).removeprefix(".")
        if not name or name in public[item.module]:
            return None
        return f"{name} is not in __all__ of {item.module}; {layer.why}"
    verdicts = dict.fromkeys(layer.allowed, True) | dict.fromkeys(layer.forbidden, False)
    matching = [prefix for prefix in verdicts if is_within(item.name, prefix)]
    allowed = verdicts[max(matching, key=len)] if matching else top in sys.stdlib_module_names
    return None if allowed else layer.why


def violations(root: Path) -> list[str]:
    """Every import under `root` that breaks a rule, as `file:line: what, why not`."""
    public = {
        name: public_names(package)
        for layer in LAYERS
        for name in layer.public_names_of
        if (package := root / SOURCES[name.partition(".")[0]] / name.replace(".", "/")).is_dir()
    }
    found: list[str] = []
    for folder in SOURCES.values():
        for path in sorted((root / folder).rglob("*.py")):
            parts = path.relative_to(root / folder).with_suffix("").parts
            is_package = parts[-1] == "__init__"
            module = ".".join(parts[:-1] if is_package else parts)
            layer = max(
                (it for it in LAYERS if is_within(module, it.modules)), key=lambda it: len(it.modules)
            )
            found += [
                f"{path.relative_to(root)}:{item.line}: imports {item.name}; {reason}"
                for item in imports_of(module, ast.parse(path.read_text(encoding="utf-8")), is_package)
                if (reason := refusal(item, layer, module, public))
            ]
    return found


def test_every_module_imports_only_what_its_layer_may() -> None:
    found = violations(ROOT)
    assert not found, "\n" + "\n".join(found)


def test_every_rule_is_about_something_that_exists() -> None:
    """A module that was renamed must not leave its rule behind."""
    for package, folder in SOURCES.items():
        assert (ROOT / folder / package / "__init__.py").is_file(), f"{folder}/{package} is no package"
    for layer in LAYERS:
        path = ROOT / SOURCES[layer.modules.partition(".")[0]] / layer.modules.replace(".", "/")
        assert path.is_dir() or path.with_suffix(".py").is_file(), (
            f"there is no {layer.modules}: is its rule still needed?"
        )


ALLOWED = {
    "core/duologue/protocol/frames.py": "import struct\nfrom collections import deque\nfrom duologue.protocol.limits import Limits",
    "core/duologue/protocol/limits.py": "from . import frames\nfrom .frames import x",
    "core/duologue/messages.py": "import msgspec, xxhash, pluggy\nfrom importlib import metadata\nimport importlib.metadata",
    "adapters/duologue_adapters/tcp.py": "import asyncio, socket, anyio\nfrom duologue.protocol import Connection",
    "adapters/duologue_adapters/zeromq.py": "import zmq",
    "adapters/duologue_adapters/layers/websocket.py": "from websockets.server import ServerProtocol",
    "wireformats/duologue_wireformats/cbor.py": "import cbor2, msgspec\nfrom duologue.wireformat import WireFormat",
    "contrib/duologue_contrib/cli.py": "import asyncio, typer, rich.console\nfrom duologue import Peer\nimport duologue",
}
"""One file of each kind that breaks no rule."""

FORBIDDEN = [
    ("core/duologue/protocol/x.py", "import time", "pure"),
    ("core/duologue/protocol/x.py", "from datetime import datetime", "pure"),
    ("core/duologue/protocol/x.py", "import msgspec", "pure"),
    ("core/duologue/protocol/x.py", "from importlib.metadata import version", "pure"),
    ("core/duologue/protocol/x.py", "from duologue.messages import Message", "pure"),
    ("core/duologue/protocol/x.py", "from ..messages import Message", "pure"),
    ("core/duologue/protocol/x.py", "from .. import messages", "pure"),
    ("core/duologue/protocol/x.py", "def f():\n    import logging", "pure"),
    ("core/duologue/protocol/x.py", "if TYPE_CHECKING:\n    from asyncio import Task", "pure"),
    ("core/duologue/protocol/x.py", "__import__('socket')", "pure"),
    ("core/duologue/x.py", "import asyncio", "core decides"),
    ("core/duologue/x.py", "from concurrent.futures import Future", "core decides"),
    ("core/duologue/x.py", "import anyio", "core decides"),
    ("core/duologue/x.py", "import duologue_adapters", "core decides"),
    ("core/duologue/x.py", "from importlib import import_module", "core decides"),
    ("core/duologue/x.py", "importlib.import_module('duologue_wireformats.cbor')", "core decides"),
    ("wireformats/duologue_wireformats/x.py", "import cbor2", "only duologue_wireformats.cbor may"),
    (
        "wireformats/duologue_wireformats/cbor.py",
        "import msgpack",
        "only no module may",
    ),
    ("wireformats/duologue_wireformats/x.py", "import anyio", "its own codec"),
    ("wireformats/duologue_wireformats/x.py", "import duologue_adapters.tcp", "its own codec"),
    ("adapters/duologue_adapters/x.py", "from duologue_wireformats import cbor", "its own transport"),
    ("adapters/duologue_adapters/x.py", "import duologue_contrib", "its own transport"),
    ("adapters/duologue_adapters/x.py", "import trio", "its own transport"),
    ("adapters/duologue_adapters/tcp.py", "import zmq", "only duologue_adapters.zeromq may"),
    ("adapters/duologue_adapters/driver.py", "import asyncio", "the driver"),
    ("adapters/duologue_adapters/driver.py", "from anyio import sleep", "the driver"),
    ("adapters/duologue_adapters/peer.py", "import anyio", "knows no engine"),
    ("adapters/duologue_adapters/dispatch.py", "import asyncio.tasks", "the driver"),
    ("contrib/duologue_contrib/x.py", "from duologue import Secret", "Secret is not in __all__"),
    ("contrib/duologue_contrib/x.py", "from duologue import protocol", "protocol is not in __all__"),
    ("contrib/duologue_contrib/x.py", "from duologue.messages import Message", "public interface"),
    ("contrib/duologue_contrib/x.py", "import duologue_adapters.driver", "public interface"),
    ("contrib/duologue_contrib/x.py", "import requests", "public interface"),
]


def plant(root: Path, files: Mapping[str, str]) -> None:
    """A small tree of our packages with these files in it. The only public name of each is `Peer`."""
    packages = ["core/duologue", "core/duologue/protocol", "adapters/duologue_adapters"]
    packages += ["wireformats/duologue_wireformats", "contrib/duologue_contrib"]
    for package in packages:
        (root / package).mkdir(parents=True)
        (root / package / "__init__.py").write_text('__all__ = ["Peer"]\n', encoding="utf-8")
    for path, text in files.items():
        (root / path).parent.mkdir(exist_ok=True)
        (root / path).write_text(text + "\n", encoding="utf-8")


def test_the_checker_lets_a_tree_pass_that_keeps_the_rules(tmp_path: Path) -> None:
    plant(tmp_path, ALLOWED)
    assert violations(tmp_path) == []


@pytest.mark.parametrize(("path", "text", "reason"), FORBIDDEN, ids=[f"{p}: {t}" for p, t, _ in FORBIDDEN])
def test_the_checker_finds_each_kind_of_violation(tmp_path: Path, path: str, text: str, reason: str) -> None:
    plant(tmp_path, ALLOWED | {path: text})
    (found,) = violations(tmp_path)
    assert found.startswith(f"{path}:")
    assert reason in found
