"""The `__init__.py` of a package lists its public names, and does nothing else."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path
from types import FunctionType

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = ("core", "adapters", "wireformats", "contrib")
OURS = ("duologue", "duologue_adapters", "duologue_wireformats", "duologue_contrib")
PACKAGES = sorted(path for source in SOURCES for path in (ROOT / source).rglob("__init__.py"))


def name_of(path: Path) -> str:
    """The dotted name of the package whose `__init__.py` this is."""
    return ".".join(path.parent.relative_to(ROOT).parts[1:])


def listed_names(tree: ast.Module) -> list[str] | None:
    """What `__all__` lists, in its order, or None if there is none."""
    for node in tree.body:
        match node:
            case (
                ast.Assign(targets=[ast.Name(id="__all__")], value=value)
                | ast.AnnAssign(target=ast.Name(id="__all__"), value=ast.expr() as value)
            ):
                return list(ast.literal_eval(value))
            case _:
                pass
    return None


def order(name: str) -> tuple[int, str]:
    """Constants, classes, the rest: the order that ruff's RUF022 asks for, so that the two never disagree."""
    if name.isupper() and len(name) > 1:
        return 0, name
    return (1, name) if name[0].isupper() else (2, name)


def faults(source: str) -> list[str]:
    """What is wrong with the text of an `__init__.py`."""
    tree = ast.parse(source)
    listed = listed_names(tree)
    if listed is None:
        return ["it has no __all__"]
    found: list[str] = []
    if listed != sorted(listed, key=order):
        found.append(f"__all__ is not sorted, the order is {sorted(listed, key=order)}")
    if twice := {name for name in listed if listed.count(name) > 1}:
        found.append(f"__all__ lists twice: {sorted(twice)}")
    bound: set[str] = set()
    for node in tree.body:
        match node:
            case ast.Expr(value=ast.Constant(value=str())):
                pass
            case ast.ImportFrom(module="__future__"):
                pass
            case ast.ImportFrom(names=names):
                bound |= {alias.asname or alias.name for alias in names}
            case ast.Assign(targets=[ast.Name(id="__all__")]) | ast.AnnAssign(target=ast.Name(id="__all__")):
                pass
            case _:
                found.append(f"line {node.lineno} does more than import public names: {ast.unparse(node)}")
    if extra := bound - set(listed):
        found.append(f"imported and not in __all__: {sorted(extra)}")
    if missing := set(listed) - bound:
        found.append(f"in __all__ and not imported: {sorted(missing)}")
    return found


@pytest.mark.parametrize("path", PACKAGES, ids=name_of)
def test_a_package_lists_its_public_names_and_does_nothing_else(path: Path) -> None:
    found = faults(path.read_text(encoding="utf-8"))
    assert not found, f"{path.relative_to(ROOT)}: " + "; ".join(found)


@pytest.mark.parametrize("path", PACKAGES, ids=name_of)
def test_every_public_name_can_be_imported(path: Path) -> None:
    package = importlib.import_module(name_of(path))
    assert package.__file__ is not None
    assert Path(package.__file__) == path, "these tests are about the source, not about an installed copy"
    missing = [name for name in package.__all__ if not hasattr(package, name)]
    assert not missing


def undocumented(name: str, thing: object) -> list[str]:
    """The public class or function, and the public methods of the class, that have no docstring."""
    if not isinstance(thing, type | FunctionType):
        return []
    # A dataclass without a docstring gets its signature for one.
    found = [] if thing.__doc__ and not thing.__doc__.startswith(f"{name}(") else [name]
    if isinstance(thing, FunctionType):
        return found
    for member in dir(thing):
        declared = [(base, vars(base)[member]) for base in thing.__mro__ if member in vars(base)]
        if member.startswith("_") or not declared:
            continue
        owner, kind = declared[0]
        ours = owner.__module__.partition(".")[0] in OURS
        is_method = isinstance(kind, FunctionType | classmethod | staticmethod | property)
        # A method that fulfils a port is documented by the port.
        if ours and is_method and not any(each.__doc__ for _, each in declared):
            found.append(f"{name}.{member}")
    return found


@pytest.mark.parametrize("path", PACKAGES, ids=name_of)
def test_every_public_name_is_documented(path: Path) -> None:
    package = importlib.import_module(name_of(path))
    missing = [each for name in package.__all__ for each in undocumented(name, getattr(package, name))]
    assert not missing, f"no docstring: {missing}"


@pytest.mark.parametrize("path", PACKAGES, ids=name_of)
def test_a_folder_with_modules_is_a_package(path: Path) -> None:
    """Without an `__init__.py` a folder would be imported all the same, and would escape the tests above."""
    strays = [
        folder.name
        for folder in path.parent.iterdir()
        if folder.is_dir() and any(folder.rglob("*.py")) and not (folder / "__init__.py").exists()
    ]
    assert not strays


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ("from a import B", "no __all__"),
        ("from a import B, A\n__all__ = ['B', 'A']", "not sorted"),
        ("from a import A, b, CC\n__all__ = ['A', 'CC', 'b']", "not sorted"),
        ("from a import A\n__all__ = ['A', 'A']", "twice: ['A']"),
        ("from a import A, B\n__all__ = ['A']", "not in __all__: ['B']"),
        ("from a import A as C\n__all__ = ['A']", "not imported: ['A']"),
        ("__all__ = ['A']\nclass A: pass", "does more than import"),
        ("import sys\n__all__ = []", "does more than import"),
        ("from a import A\n__all__ = ['A']\nA.setup()", "does more than import"),
    ],
    ids=lambda value: value.replace("\n", "; "),
)
def test_the_checker_finds_each_fault(source: str, fault: str) -> None:
    assert fault in "; ".join(faults(source))


def test_the_checker_lets_a_list_of_names_pass() -> None:
    text = '"""What it is."""\nfrom a import CC, A, b\nfrom a._version import __version__\n'
    assert faults(text + '__all__ = ["CC", "A", "__version__", "b"]') == []


def test_the_checker_finds_what_is_not_documented(monkeypatch: pytest.MonkeyPatch) -> None:
    class Port:
        """A port."""

        def run(self) -> None:
            """What it does."""

    class Engine(Port):
        def run(self) -> None: ...
        def stop(self) -> None: ...
        @property
        def is_running(self) -> bool:
            return True

        def _inside(self) -> None: ...

    monkeypatch.setattr(f"{__name__}.OURS", (__name__.partition(".")[0],))
    assert undocumented("Port", Port) == []
    assert undocumented("Engine", Engine) == ["Engine", "Engine.is_running", "Engine.stop"]
