"""Writes the parts of the documentation that can be read off the code, so that they can't disagree with it.

`python docs/generate.py` writes them, `python docs/generate.py --check` says whether they are as they would be written.
They stand between `<!-- generated: name -->` and `<!-- end -->`; everything else on those pages is written by hand.
"""

from __future__ import annotations

import ast
import itertools
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))  # run as a file, it would find only its own folder there

from docs.fault_rows import GROUPS, IN_SCOPE, ROWS  # noqa: E402

from duologue.protocol.lifecycle import TRANSITIONS, Phase  # noqa: E402

DOCS = ROOT / "docs"
SOURCES = ("core", "adapters", "wireformats", "contrib")
NOT_ENFORCED = ("nesting", "items")
"""Limits about which the guide says more than their own docstrings do."""

_REGION = re.compile(r"(?P<begin><!-- generated: (?P<name>[a-z]+) -->\n).*?(?P<end><!-- end -->)", re.DOTALL)
_PAGE = re.compile(r" \((?:docs/|F\d)[^)]*\)")
"""Where comments refer to a page."""
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z`\"])")


class Stale(Exception):
    """Something that the pages are made of is not as it must be; the text says what to do."""


# -- the life cycle ----------------------------------------------------------------------------------


def diagram() -> str:
    """The table of transitions, as a picture."""
    first, last = next(iter(Phase)), list(Phase)[-1]
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {first.name}"]
    lines += [
        f"    {start.name} --> {end.name}: {trigger.value}" for (start, trigger), end in TRANSITIONS.items()
    ]
    return "\n".join([*lines, f"    {last.name} --> [*]", "```"])


def transitions() -> str:
    """The same for reading: one row for each trigger, one column for each phase that can be left."""
    phases = [phase for phase in Phase if any(start is phase for start, _ in TRANSITIONS)]
    triggers = list(dict.fromkeys(trigger for _, trigger in TRANSITIONS))
    rows = [
        [
            trigger.value,
            *(end.name if (end := TRANSITIONS.get((phase, trigger))) else "-" for phase in phases),
        ]
        for trigger in triggers
    ]
    return table(["what happens", *(phase.name for phase in phases)], rows)


# -- the faults -----------------------------------------------------------------------------------------


@dataclass(frozen=True, order=True)
class Shown:
    """A test that shows what must happen at a fault."""

    path: str
    line: int
    name: str
    sentence: str


def shown_faults(tests: Path = ROOT / "tests") -> dict[int, list[Shown]]:
    """By row: the tests that are marked with it. Read from the source, so nothing has to be installed for it."""
    found: dict[int, list[Shown]] = {}
    for path in sorted(tests.rglob("test_*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        name = path.relative_to(tests.parent).as_posix()
        for number, test in _marked(tree, name, frozenset(_numbers(_pytestmark(tree.body)))):
            if number not in ROWS:
                raise Stale(f"{test.path}:{test.line}: there is no row {number} in docs/fault_rows.py")
            found.setdefault(number, []).append(test)
    return found


def _marked(
    scope: ast.Module | ast.ClassDef, path: str, inherited: frozenset[int]
) -> Iterator[tuple[int, Shown]]:
    for node in scope.body:
        if isinstance(node, ast.ClassDef):
            own = frozenset(_numbers([*node.decorator_list, *_pytestmark(node.body)]))
            if _is_state_machine(node):
                # Hypothesis makes the test of it, so the class itself stands for it.
                yield from _tests_of(node, path, inherited | own)
            else:
                yield from _marked(node, path, inherited | own)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            yield from _tests_of(node, path, inherited | frozenset(_numbers(node.decorator_list)))


def _tests_of(
    node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef, path: str, numbers: frozenset[int]
) -> Iterator[tuple[int, Shown]]:
    for number in sorted(numbers):
        docstring = ast.get_docstring(node)
        if docstring is None:
            raise Stale(
                f"{path}:{node.lineno}: {node.name} is marked with a fault and has no docstring: say what it shows"
            )
        yield number, Shown(path, node.lineno, node.name, first_sentence(docstring))


def _is_state_machine(node: ast.ClassDef) -> bool:
    return any(isinstance(base, ast.Name) and base.id.endswith("Machine") for base in node.bases)


def _pytestmark(body: list[ast.stmt]) -> list[ast.expr]:
    return [
        node.value
        for node in body
        if isinstance(node, ast.Assign)
        and any(isinstance(target, ast.Name) and target.id == "pytestmark" for target in node.targets)
    ]


def _numbers(marks: list[ast.expr]) -> Iterator[int]:
    """The rows of every `pytest.mark.fault(...)` in these expressions, within `pytest.param(..., marks=...)` too."""
    for mark in marks:
        for node in ast.walk(mark):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.fault":
                yield from (ast.literal_eval(argument) for argument in node.args)


def faults() -> str:
    """One table for each group of rows, with the sentences of the tests; then the rows that have none."""
    shown = shown_faults()
    parts: list[str] = []
    for title, numbers in GROUPS.items():
        rows = [
            [str(number), escaped(ROWS[number]), "<br>".join(map(_cited, sorted(shown[number])))]
            for number in numbers
            if number in shown
        ]
        if rows:
            parts += [f"## {title}", table(["", "fault", "what the tests show"], rows)]
    missing = [number for number in ROWS if number not in shown]
    parts += ["## Not shown yet"]
    for title, wanted in (
        ("What there is already could fail so, and no test shows that it does not:", True),
        ("These concern parts that are not built yet, or need more than a test here can set up:", False),
    ):
        listed = [
            f"- {number}: {escaped(ROWS[number])}" for number in missing if (number in IN_SCOPE) is wanted
        ]
        if listed:
            parts += [title, "\n".join(listed)]
    return "\n\n".join(parts)


def _cited(test: Shown) -> str:
    return f"{escaped(test.sentence)} (`{test.path}::{test.name}`)"


# -- files and limits -----------------------------------------------------------------------------------


def files() -> str:
    """Every module with the first sentence of its docstring."""
    parts: list[str] = []
    for source in SOURCES:
        by_folder: dict[Path, list[Path]] = {}
        for path in sorted((ROOT / source).rglob("*.py")):
            by_folder.setdefault(path.parent, []).append(path)
        for folder, paths in sorted(by_folder.items()):
            # Modules only: what an `__init__.py` or `_version.py` is for is no secret.
            rows = [[f"`{path.name}`", _first_line(path)] for path in paths if not path.name.startswith("_")]
            if rows:
                parts += [
                    f"`{folder.relative_to(ROOT).as_posix()}/`",
                    table(["file", "what it is for"], rows),
                ]
    return "\n\n".join(parts)


def _first_line(path: Path) -> str:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    if docstring is None:
        raise Stale(f"{path.relative_to(ROOT)} has no docstring: say what the file is for")
    return escaped(_PAGE.sub("", first_sentence(docstring)))


def limits() -> str:
    """The fields of `Limits` with their defaults and reasons, in order."""
    source = ROOT / "core/duologue/protocol/limits.py"
    tree = ast.parse(source.read_text(encoding="utf-8"))
    (body,) = (node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Limits")
    rows: list[list[str]] = []
    for field, reason in itertools.pairwise(body):
        match field, reason:
            case (
                ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value),
                ast.Expr(value=ast.Constant(value=str() as text)),
            ) if name not in NOT_ENFORCED:
                rows.append([f"`{name}`", f"`{_shown_value(value)}`", escaped(" ".join(text.split()))])
            case _:
                pass
    return table(["limit", "default", "what it is for"], rows)


def _shown_value(value: ast.expr) -> str:
    """`8 * MIB` as `8 MiB`, `60.0` as `60`."""
    text = re.sub(r"(?<!\* )\b(?=[KM]IB\b)", "1 * ", ast.unparse(value))
    return re.sub(r" \* ([KM])IB", r" \1iB", text).removesuffix(".0")


# -- writing ---------------------------------------------------------------------------------------------

REGIONS: dict[str, dict[str, Callable[[], str]]] = {
    "architecture.md": {"files": files},
    "faults.md": {"faults": faults},
    "guide.md": {"limits": limits},
    "lifecycle.md": {"diagram": diagram, "transitions": transitions},
}


def table(header: list[str], rows: list[list[str]]) -> str:
    """A table in Markdown."""
    return "\n".join(f"| {' | '.join(row)} |" for row in [header, ["---"] * len(header), *rows])


def first_sentence(docstring: str) -> str:
    """Up to the first full stop, or the first empty line."""
    paragraph = " ".join(docstring.split("\n\n")[0].split())
    return _SENTENCE_END.split(paragraph)[0]


def escaped(text: str) -> str:
    """What Markdown would take for a table's border or for HTML, as it is. Code in backticks needs only the former."""
    pieces = text.replace("|", "\\|").split("`")
    pieces[::2] = [piece.replace("<", "&lt;").replace("*", "\\*") for piece in pieces[::2]]
    return "`".join(pieces)


def rewritten(page: Path) -> str:
    """The text of a page with its generated parts as they should be now."""
    parts, done = REGIONS[page.name], set[str]()

    def replace(found: re.Match[str]) -> str:
        done.add(found["name"])
        return f"{found['begin']}\n{parts[found['name']]()}\n\n{found['end']}"

    text = _REGION.sub(replace, page.read_text(encoding="utf-8"))
    if lacking := parts.keys() - done:
        raise Stale(
            f"{page.name} has no place for {', '.join(sorted(lacking))}: put in `<!-- generated: ... -->` and `<!-- end -->`"
        )
    return text


def main(arguments: list[str]) -> int:
    """Write the pages, or with `--check` say which are stale."""
    if arguments not in ([], ["--check"]):
        print(__doc__)
        return 2
    try:
        pages = {DOCS / name: rewritten(DOCS / name) for name in REGIONS}
    except Stale as exc:
        print(exc)
        return 1
    stale = [page for page, text in pages.items() if page.read_text(encoding="utf-8") != text]
    for page in stale:
        if arguments:
            print(f"docs/{page.name} is stale: run `python docs/generate.py`")
        else:
            page.write_text(pages[page], encoding="utf-8")
            print(f"docs/{page.name} written")
    return int(bool(arguments and stale))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
