"""Runs of the fuzzer: one process for each target, what it left behind, and the corpus that is kept."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.seeds import seeds

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
CORPUS = HERE / "corpus"
"""Kept in the repository, and played by `test_corpus.py` on every Python."""
FOUND = ROOT / ".fuzz"
"""What a run found, and its logs. Not kept."""
LONGEST = 2000
"""Bytes of an input. What takes more of them to be seen is for the tests of large payloads."""
TOO_LONG = 20
"""Seconds for one input. Most take less than a millisecond."""
MEMORY = 1000
"""MiB for the process: what an input leaves behind adds up."""
KEPT = 40
"""Inputs of a target in the corpus, at most."""

_HASH = re.compile("[0-9a-f]{40}")
_DONE = re.compile(r"^Done (\d+) runs in (\d+) second", re.MULTILINE)
_UNITS = re.compile(r"^stat::number_of_executed_units:\s*(\d+)", re.MULTILINE)


@dataclass(frozen=True)
class Outcome:
    """What came of fuzzing a target."""

    name: str
    status: int
    log: str
    artifacts: tuple[Path, ...]
    """The inputs that failed."""

    @property
    def is_good(self) -> bool:
        return self.status == 0 and not self.artifacts

    @property
    def inputs(self) -> int:
        """How many it was given."""
        found = _DONE.search(self.log) or _UNITS.search(self.log)
        return int(found[1]) if found else 0

    def describe(self) -> str:
        if self.is_good:
            done = _DONE.search(self.log)
            seconds = max(1, int(done[2])) if done else 1
            return f"{self.name}: {self.inputs:,} inputs in {seconds} s, {self.inputs // seconds:,} a second, no failure"
        lines = [
            f"{self.name}: FAILED, status {self.status}, after {self.inputs:,} inputs",
            _end_of(self.log),
        ]
        for path in self.artifacts:
            shown = path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
            data = path.read_bytes()
            lines += [
                f"the input, {len(data)} bytes, is in {shown}; it is {data.hex()}",
                f'to see it again: make fuzz ARGS="--target {self.name} --replay {shown}"',
                f'or elsewhere:    make fuzz ARGS="--target {self.name} --hex {data.hex()}"',
                f"when it is mended, keep it: cp {shown} tests/fuzz/corpus/{self.name}/",
            ]
        return "\n".join(lines)


def _end_of(log: str) -> str:
    """The failure itself, as far as the log shows one."""
    _, mark, failure = log.partition(" === Uncaught Python exception: ===")
    lines = (failure if mark else log).strip().splitlines()
    return "\n".join(lines[:60] if mark else lines[-30:])


def fuzz(name: str, seconds: int, runs: int, seed: int) -> Outcome:
    """Fuzz a target. Ends early with the first failure."""
    crashes = FOUND / "crashes"
    crashes.mkdir(parents=True, exist_ok=True)
    before = set(crashes.iterdir())
    options = [
        f"-max_total_time={seconds}",
        f"-runs={runs}",
        f"-seed={seed}",
        f"-artifact_prefix={crashes}/{name}-",
        "-len_control=20",  # longer inputs sooner: a story needs some length
        "-print_final_stats=1",
    ]
    status, log = _start(name, options, [_found(name), CORPUS / name])
    (FOUND / f"{name}.log").write_text(log, encoding="utf-8")
    new = sorted(
        path for path in crashes.iterdir() if path not in before and path.name.startswith(f"{name}-")
    )
    return Outcome(name, status, log, tuple(new))


def merge(name: str) -> int:
    """Make the corpus anew: the fewest of the seeds, of the corpus and of what was found that reach as much. Says how many.

    Files that bear a name of their own stay: someone put them there since they once failed.
    """
    kept = CORPUS / name
    kept.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        begun, made = Path(scratch, "begun"), Path(scratch, "made")
        begun.mkdir()
        for number, data in enumerate(seeds(name)):
            (begun / f"{number:03}").write_bytes(data)
        # With counters an input that goes round a loop more often is something new, too. For some targets that is too many.
        for counters in (1, 0):
            made.mkdir()
            options = ["-set_cover_merge=1", f"-use_counters={counters}"]
            status, log = _start(name, options, [made, begun, kept, _found(name)])
            if status:
                raise SystemExit(f"{name} can't be merged:\n{_end_of(log)}")
            if not counters or len(list(made.iterdir())) <= KEPT:
                break
            shutil.rmtree(made)
        for path in kept.iterdir():
            if _HASH.fullmatch(path.name):
                path.unlink()
        for path in made.iterdir():
            shutil.move(path, kept / path.name)
    return len(list(kept.iterdir()))


def _found(name: str) -> Path:
    folder = FOUND / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _start(name: str, options: Sequence[str], folders: Sequence[Path]) -> tuple[int, str]:
    limits = [f"-max_len={LONGEST}", f"-timeout={TOO_LONG}", f"-rss_limit_mb={MEMORY}"]
    command = [sys.executable, str(HERE / "one.py"), name, *limits, *options, *map(str, folders)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    return done.returncode, (done.stdout + done.stderr).decode(errors="replace")
