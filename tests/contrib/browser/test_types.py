"""The client's declarations, and those that are written for messages, as TypeScript's own compiler sees them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.contrib.browser import declared
from tests.contrib.browser.nodes import HERE, installed_nodes, npm_package

from duologue_contrib.browser import CLIENT_FILES, CLIENT_PATH, typescript

MARK = re.compile(r"// E: (.+)$")
FOUND = re.compile(r"^(?P<file>[^(]+)\((?P<line>\d+),\d+\): error TS\d+: (?P<text>.*)$")

STRICT = {
    "strict": True,
    "noUnusedLocals": True,
    "noUnusedParameters": True,
    "noImplicitReturns": True,
    "noEmit": True,
    "allowJs": True,
    "checkJs": True,
    "target": "es2024",
    "lib": ["es2024", "dom", "dom.iterable"],
    "types": [],
    "module": "es2022",
    "moduleResolution": "bundler",
}


@pytest.fixture(scope="module")
def compiler(npm_folder: Path) -> list[str]:
    """How to run TypeScript's compiler."""
    if not installed_nodes():
        pytest.skip("NOT TESTED in Node.js, which is not there")
    return [installed_nodes()[0].path, str(npm_package("typescript@5.9", npm_folder) / "bin/tsc")]


def errors(compiler: list[str], folder: Path, *files: str, **options: object) -> list[tuple[str, int, str]]:
    """What the compiler finds: file, line and text."""
    config = {"compilerOptions": STRICT | options, "files": list(files)}
    (folder / "tsconfig.json").write_text(json.dumps(config), encoding="utf-8")
    done = subprocess.run(
        [*compiler, "-p", "."], cwd=folder, capture_output=True, text=True, check=False, timeout=120
    )
    found = [match for line in done.stdout.splitlines() if (match := FOUND.match(line))]
    assert bool(found) == bool(done.returncode), done.stdout
    return [(match["file"], int(match["line"]), match["text"]) for match in found]


def test_the_client_is_what_it_declares(compiler: list[str], tmp_path: Path) -> None:
    """Every module of it, checked as strictly as can be, and against the declarations, which are written by hand."""
    client = tmp_path / "client"
    shutil.copytree(CLIENT_FILES, client)
    # Of the packages it is said what the client uses of them, and no more is looked at.
    shutil.copytree(HERE / "package_types", client / "packages", dirs_exist_ok=True)
    files = sorted(str(path.relative_to(tmp_path)) for path in client.glob("*.m?s"))
    assert len(files) > 15
    assert errors(compiler, tmp_path, *files) == []


def test_the_entry_module_has_what_is_declared() -> None:
    """The names that a page can import are those that its editor offers."""
    declared_text = (CLIENT_FILES / "duologue.d.mts").read_text(encoding="utf-8")
    module = (CLIENT_FILES / "duologue.mjs").read_text(encoding="utf-8")
    declared_names = re.findall(r"^export (?:function|class) (\w+)", declared_text, re.MULTILINE)
    exported = [
        name.strip()
        for names in re.findall(r"export \{([^}]*)\}", module)
        for name in names.split(",")
        if name.strip()
    ]
    assert sorted(declared_names) == sorted(exported)


def test_a_page_with_types(compiler: list[str], tmp_path: Path) -> None:
    """In a page's own script answers have their types, and what can't be meant is an error where it stands, and nowhere else.

    The lines that are wrong on purpose are marked `// E: words`, with words of the error.
    """
    page = HERE / "page_with_types.mjs"
    shutil.copy(page, tmp_path / "page.mjs")
    text = typescript([declared.calc, declared.drawing, declared.chat])
    (tmp_path / "declared.d.ts").write_text(text, encoding="utf-8")
    found = errors(
        compiler,
        tmp_path,
        "page.mjs",
        "declared.d.ts",
        paths={f"{CLIENT_PATH}*": [f"{CLIENT_FILES.as_posix()}/*"]},
        noUnusedLocals=False,
    )
    marks = {
        number: match[1]
        for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1)
        if (match := MARK.search(line))
    }
    assert marks
    assert {line for _, line, _ in found} == marks.keys(), found
    for file, line, message in found:
        assert file == "page.mjs"
        assert marks[line] in message
