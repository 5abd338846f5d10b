"""The adapter that docs/adapters.md shows how to write passes the suite that the page tells to run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.docs.test_code_blocks import ROOT, blocks_of

CONFIG = """[pytest]
filterwarnings = error
"""
AT_THE_END = """
TestPlain.connections = 50
TestPlain.wireformats = ("json",)
"""
"""Enough to see whether what the page says will do."""


def test_the_adapter_of_the_page_passes_the_suite(tmp_path: Path) -> None:
    """As somebody else would have it: in a module of its own, with a test of a few lines. All passes but what needs a second process."""
    blocks = [block.code for block in blocks_of(ROOT / "docs" / "adapters.md")]
    adapter, register, suite = [
        next(code for code in blocks if name in code)
        for name in ("class PlainAdapter", "def duologue_adapter", "class TestPlain")
    ]
    register = register.partition("async with")[0]
    (tmp_path / "test_plain.py").write_text(adapter + register + suite + AT_THE_END, encoding="utf-8")
    (tmp_path / "pytest.ini").write_text(CONFIG, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "-rs", "test_plain.py"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, timeout=300)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr
    skipped = [line for line in done.stdout.splitlines() if line.startswith("SKIPPED")]
    assert all("one process" in line or "raw connection" in line for line in skipped), skipped
