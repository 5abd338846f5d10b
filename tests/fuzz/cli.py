"""The command line of the fuzzer: who is fuzzed for how long, what came of it, and inputs again."""

from __future__ import annotations

import argparse
import importlib.util
import os
import random
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.arguments import positive
from tests.fuzz.runs import CORPUS, FOUND, Outcome, fuzz, merge
from tests.fuzz.targets import NAMES, Target, find


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    names = options.target or list(NAMES)
    if options.replay or options.hex:
        if len(names) != 1:
            print("say which --target the input is for")
            return 2
        inputs = [*(options.replay or ()), *(options.hex or ())]
        return replay(find(names[0]), names[0], inputs)
    if importlib.util.find_spec("atheris") is None:
        return without_fuzzer(names)
    if options.merge:
        for name in names:
            print(f"{name}: {merge(name)} inputs in the corpus")
        return 0
    return run(names, options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("--target", action="append", choices=NAMES, help="only this one; may be given again")
    parser.add_argument("--seconds", type=positive, default=60, help="for each target (default: 60)")
    parser.add_argument(
        "--runs", type=int, default=-1, help="inputs for each target at most (default: no limit)"
    )
    parser.add_argument(
        "--jobs",
        type=positive,
        default=os.cpu_count() or 1,
        help="targets at once (default: as many as processors)",
    )
    parser.add_argument(
        "--seed", type=int, help="of the fuzzer's choices (default: a random one, which is printed)"
    )
    parser.add_argument(
        "--replay",
        type=_from_file,
        nargs="+",
        metavar="FILE",
        help="only play these inputs to the one target",
    )
    parser.add_argument(
        "--hex", type=_from_hex, nargs="+", metavar="DIGITS", help="the same, as the fuzzer prints them"
    )
    parser.add_argument(
        "--merge", action="store_true", help="add to the corpus whatever was found that reaches something new"
    )
    return parser


def _from_file(text: str) -> tuple[str, bytes]:
    try:
        return Path(text).name, Path(text).read_bytes()
    except OSError as exc:
        raise argparse.ArgumentTypeError(f"{text}: {exc.strerror}") from exc


def _from_hex(text: str) -> tuple[str, bytes]:
    try:
        return text[:20], bytes.fromhex(text)
    except ValueError as exc:
        raise argparse.ArgumentTypeError(
            f"{text!r} has other characters than hexadecimal digits, or half a byte"
        ) from exc


def run(names: Sequence[str], options: argparse.Namespace) -> int:
    seed = options.seed if options.seed is not None else random.randrange(1, 2**31)
    print(
        f"fuzzing {', '.join(names)}: {options.seconds} s each, {options.jobs} at once, --seed {seed}",
        flush=True,
    )

    def one(name: str) -> Outcome:
        outcome = fuzz(name, options.seconds, options.runs, seed)
        print(outcome.describe(), flush=True)
        return outcome

    with ThreadPoolExecutor(options.jobs) as pool:
        outcomes = list(pool.map(one, names))
    failed = [outcome.name for outcome in outcomes if not outcome.is_good]
    inputs = sum(outcome.inputs for outcome in outcomes)
    print(
        f"{inputs:,} inputs, " + (f"and a failure in {', '.join(failed)}" if failed else "without a failure")
    )
    print(
        f"what reached something new is in {FOUND.name}/, and comes first the next time; --merge takes it into the corpus"
    )
    return 1 if failed else 0


def without_fuzzer(names: Sequence[str]) -> int:
    """There are no builds of atheris for this machine, or this Python: see the extra `fuzz` in pyproject.toml."""
    python = f"{sys.version_info.major}.{sys.version_info.minor} on {sys.platform}"
    print(
        f"NOT FUZZED: atheris is not installed, and can't be for Python {python}. Only the corpus is played."
    )
    return max(replay(find(name), name, inputs_of(name)) for name in names)


def inputs_of(name: str) -> list[tuple[str, bytes]]:
    """The corpus of a target, with the names of the files."""
    return [(path.name, path.read_bytes()) for path in sorted((CORPUS / name).iterdir())]


def replay(target: Target, name: str, inputs: Sequence[tuple[str, bytes]]) -> int:
    """Play inputs to a target. The first failure gets out, as it is what a debugger wants."""
    for label, data in inputs:
        try:
            target(data)
        except BaseException as error:
            error.add_note(f"target {name}, input {label}: {data.hex()}")
            raise
    print(f"{name}: {len(inputs)} inputs played, without a failure")
    return 0
