"""`duologue plugins`: what is there, where it comes from, and what is missing to use it."""

from __future__ import annotations

import re
import subprocess
import sys

from typer.testing import CliRunner

import duologue
from duologue_contrib.commands import app


def test_what_comes_with_the_library_is_listed() -> None:
    """Each adapter and wire format stands in a line of its group, with the distribution, its version and the module."""
    result = CliRunner().invoke(app, ["plugins"])
    assert result.exit_code == 0
    adapters, wireformats = result.stdout.split("Wire formats, by name\n")
    origin = re.escape(f"duologue {duologue.__version__}")
    assert re.search(rf"^  tcp +ready +{origin} +duologue_adapters.tcp$", adapters, re.MULTILINE)
    assert re.search(rf"^  json +ready +{origin} +duologue_wireformats.json_text$", wireformats, re.MULTILINE)


def test_a_missing_extra_is_told() -> None:
    """Without cbor2 the line of cbor says so, with what to install; that is no error, and the rest is ready."""
    script = "import sys; sys.modules['cbor2'] = None; from duologue_contrib.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, "plugins"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(
        r"^  cbor +can't be used .*\n    .*pip install 'duologue\[cbor\]'$", done.stdout, re.MULTILINE
    )
    assert re.search(r"^  msgpack +ready ", done.stdout, re.MULTILINE)
