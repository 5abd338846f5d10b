"""Small defects are built into the state machine, one at a time; each that no test of the core notices is shown.

The work is mutmut's, set up in pyproject.toml. It knows sources in a folder `src` only, so it runs in one of ours, .mutants/, whose `src`
leads to `core`. There it keeps what it found, so that a run that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import random
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from tests.arguments import positive
from tests.mutation.report import Found, read, report

ROOT = Path(__file__).resolve().parents[2]
WORK = ROOT / ".mutants"
SOURCES = ROOT / "core" / "duologue" / "protocol"
LEADS_TO = {"src": "core", "tests": "tests", "pyproject.toml": "pyproject.toml"}
"""What mutmut looks for in the folder where it runs, and where that is."""


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    files: list[str] = options.files or every_file()
    if unknown := sorted(set(files) - set(every_file())):
        print(f"no such file in {SOURCES.relative_to(ROOT)}: {', '.join(unknown)}", file=sys.stderr)
        return 2
    if options.fresh:
        shutil.rmtree(WORK, ignore_errors=True)
    prepare(WORK)
    code = 0
    if not options.report:
        wanted = _wanted(files, options)
        # Without names mutmut runs all that has no result, which is not what somebody wants who asked for survivors.
        if wanted or not options.survivors:
            code = _run(wanted, options.jobs)
    found = [found for found in read(WORK) if found.file in files]
    print(report(found))
    if options.diffs:
        for name in (name for each in found for name in each.survivors):
            _mutmut("show", name)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="make mutants", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "files",
        nargs="*",
        metavar="FILE",
        help="such as `budget`, run anew; without any all are run that have no result",
    )
    parser.add_argument(
        "--sample", type=positive, metavar="N", help="so many mutants of those, picked at random"
    )
    parser.add_argument("--seed", type=int, default=1, help="of the sample (default: %(default)s)")
    parser.add_argument(
        "--survivors", action="store_true", help="run again those that survived, after tests were added"
    )
    parser.add_argument("--jobs", type=int, default=1, help="processes at a time (default: %(default)s)")
    parser.add_argument("--diffs", action="store_true", help="show what the survivors change")
    parser.add_argument("--report", action="store_true", help="run nothing, tell what is known")
    parser.add_argument("--fresh", action="store_true", help="forget what earlier runs found")
    return parser


def every_file() -> list[str]:
    return sorted(path.stem for path in SOURCES.glob("*.py") if path.stem != "__init__")


def prepare(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    for name, target in LEADS_TO.items():
        link = folder / name
        if not link.is_symlink():
            link.symlink_to(Path("..") / target)


def _wanted(files: list[str], options: argparse.Namespace) -> list[str]:
    """Names for mutmut. None at all means whatever has no result yet."""
    if options.survivors:
        return [name for each in _known(files) for name in each.survivors]
    if options.sample is not None:
        return sample(_known(files), options.sample, options.seed)
    return [f"duologue.protocol.{file}.*" for file in options.files]


def sample(found: Iterable[Found], number: int, seed: int) -> list[str]:
    names = sorted(name for each in found for name in each.results)
    return random.Random(seed).sample(names, min(number, len(names)))


def _known(files: list[str]) -> list[Found]:
    """There is no list of them before a run, so the smallest file is run if there was none."""
    if not read(WORK):
        _run(["duologue.protocol.ids.*"], 1)
    return [found for found in read(WORK) if found.file in files]


def _run(names: list[str], jobs: int) -> int:
    return _mutmut("run", "--max-children", str(jobs), *names)


def _mutmut(*arguments: str) -> int:
    command = [sys.executable, "-m", "mutmut", *arguments]
    if sys.stdout.isatty():
        return subprocess.run(command, cwd=WORK, check=False).returncode
    # What turns while it works is for a terminal: in a file it would be ten thousands of lines.
    with subprocess.Popen(command, cwd=WORK, stdout=subprocess.PIPE, encoding="utf-8") as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.strip() and not is_turning(line):
                print(line, end="", flush=True)
    return process.returncode


def is_turning(line: str) -> bool:
    """Whether it begins with a pattern of dots in Braille, as signs of life do."""
    return "\u2800" <= line[0] <= "\u28ff"
