"""`python tests/fuzz/one.py TARGET [options of libFuzzer] [folders or files]`: fuzz one target, in this process.

`python tests/fuzz` starts one of these for each target; by itself it is for those who want an option of libFuzzer's.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import atheris

ROOT = Path(__file__).resolve().parents[2]
sys.path[0] = str(ROOT)

INSTRUMENTED = ["duologue", "duologue_adapters", "duologue_wireformats", "websockets"]
"""Whose branches lead the fuzzer."""

if __name__ == "__main__":
    with atheris.instrument_imports(include=INSTRUMENTED):
        from tests.fuzz.targets import find

        target = find(sys.argv[1])
    # libFuzzer's merge begins itself anew, by way of a shell, with what it takes for its own name.
    itself = shlex.join([sys.executable, str(Path(__file__).resolve()), sys.argv[1]])
    atheris.Setup([itself, *sys.argv[2:]], target)
    atheris.Fuzz()
