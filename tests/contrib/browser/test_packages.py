"""The packages of npm's that are shipped with the client: unmodified, whole as far as they are used, and with their licences."""

from __future__ import annotations

import json
import re
import subprocess
import tarfile
from pathlib import Path

import pytest
from tests.contrib.browser.nodes import npm

from duologue_contrib.browser import CLIENT_FILES

PACKAGES = sorted(path for path in (CLIENT_FILES / "packages").iterdir() if path.is_dir())
LICENSES = {"cborg": "Apache-2.0", "@msgpack/msgpack": "ISC"}
IMPORT = re.compile(r"""^(?:import|export)\s.*?from ["'](\.[^"']+)["']""", re.MULTILINE)

every_package = pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.name)


@every_package
def test_a_package_is_what_its_registry_has(package: Path, tmp_path: Path) -> None:
    """Byte for byte that of the version that its package.json names."""
    about = json.loads((package / "package.json").read_text(encoding="utf-8"))
    wanted = f"{about['name']}@{about['version']}"
    try:
        subprocess.run([*npm(), "pack", wanted], cwd=tmp_path, check=True, capture_output=True, timeout=120)
    except (OSError, subprocess.SubprocessError) as exc:
        pytest.skip(f"NOT TESTED: npm can't fetch {wanted} here: {exc}")
    (archive,) = tmp_path.glob("*.tgz")
    with tarfile.open(archive) as packed:
        for file in package.rglob("*"):
            if file.is_file():
                original = packed.extractfile(f"package/{file.relative_to(package).as_posix()}")
                assert original is not None
                assert original.read() == file.read_bytes(), file.name


@every_package
def test_a_package_has_its_licence(package: Path) -> None:
    about = json.loads((package / "package.json").read_text(encoding="utf-8"))
    assert about["license"] == LICENSES[about["name"]]
    assert (package / "LICENSE").stat().st_size > 500


def test_nothing_is_missing_and_nothing_is_there_for_nothing() -> None:
    """Every file that the client imports is shipped, and no other."""
    seen: set[Path] = set()
    todo = [CLIENT_FILES / name for name in ("duologue.mjs", "cbor.mjs", "msgpack.mjs", "json.mjs")]
    while todo:
        module = todo.pop()
        if module not in seen:
            seen.add(module)
            text = module.read_text(encoding="utf-8")
            todo += [(module.parent / name).resolve() for name in IMPORT.findall(text)]
    shipped = {path for path in CLIENT_FILES.rglob("*js") if path.is_file()}
    assert shipped == seen
