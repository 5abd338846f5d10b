"""A plug-in of somebody else's, built and installed as users do it: it is found by its entry points, and passes the public suites."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent / "duologue-pipes"
LONG_ENOUGH = 300.0


def python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs Python with what is installed in a folder, away from the sources."""
    environment = os.environ | {"PYTHONPATH": str(folder)}
    return subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        cwd=folder,
        timeout=LONG_ENOUGH,
    )


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the plug-in installed in it, out of a wheel that pip builds. Nothing of it comes from a network."""
    scratch = tmp_path_factory.mktemp("third_party")
    source, target = scratch / "source", scratch / "installed"
    shutil.copytree(SOURCE, source, ignore=shutil.ignore_patterns("__pycache__"))
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    offline = ["--no-index", "--no-deps", "--no-build-isolation"]
    done = subprocess.run(
        [*pip, *offline, "--target", str(target), str(source)],
        capture_output=True,
        text=True,
        check=False,
        timeout=LONG_ENOUGH,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return target


PROGRAM = """
import sys, tempfile
import anyio
from duologue import Message, Namespace, Services, connect, serve

class Add(Message[int]):
    a: int
    b: int

calc = Namespace("calc", [Add])
services = Services(calc)

@services.handler
async def add(msg: Add) -> int:
    return msg.a + msg.b

async def main():
    with tempfile.TemporaryDirectory() as folder:
        async with serve(f"fifo://{folder}", services, wireformat="marked-json") as server:
            async with connect(server.url, wireformat="marked-json") as peer:
                print(await peer.remote(calc).call(Add(a=1, b=2)))

anyio.run(main, backend=sys.argv[1])
"""


@pytest.mark.parametrize("engine", ["asyncio", "trio"])
def test_it_is_found_by_its_entry_points(engine: str, installed: Path) -> None:
    """A program that names the scheme and the wire format, and imports nothing of the plug-in, uses both."""
    done = python(installed, "-c", PROGRAM, engine)
    assert (done.stdout, done.stderr, done.returncode) == ("3\n", "", 0)


def test_without_it_the_scheme_is_unknown(tmp_path: Path) -> None:
    """Where it is not installed the same program is told what is known instead, and what to do."""
    done = python(tmp_path, "-c", PROGRAM, "asyncio")
    assert done.returncode == 1
    text = r"UnknownWireFormat: no wire format named 'marked-json': known are .*json.*; install the plug-in, or mend the name"
    assert re.search(text, done.stderr.splitlines()[-1])
    done = python(tmp_path, "-c", PROGRAM.replace("marked-json", "json"), "asyncio")
    text = (
        r"UnknownScheme: no adapter for 'fifo' URLs: known are .*tcp.*; install the plug-in, or mend the URL"
    )
    assert re.search(text, done.stderr.splitlines()[-1])


def test_it_is_listed(installed: Path) -> None:
    """`duologue plugins` says which distribution, in which version, has brought it."""
    done = python(installed, "-m", "duologue_contrib", "plugins")
    assert done.returncode == 0, done.stderr
    assert re.search(
        r"^  fifo +ready +duologue-pipes 0.3 +duologue_pipes.adapter$", done.stdout, re.MULTILINE
    )
    assert re.search(
        r"^  marked-json +ready +duologue-pipes 0.3 +duologue_pipes.wireformat$", done.stdout, re.MULTILINE
    )


@pytest.mark.parametrize("suite", ["TestFifo", "TestMarkedJson"])
def test_it_passes_the_public_suites(suite: str, installed: Path) -> None:
    """Its own tests, which are the suite for adapters and the one for wire formats: all pass, and none is skipped."""
    checks = f"{SOURCE / 'check_pipes.py'}::{suite}"
    # With its own configuration: what ours says about tests would not be there, in somebody else's project.
    config = ["-c", str(SOURCE / "pyproject.toml"), "-p", "no:cacheprovider", "-q", "-rs"]
    done = python(installed, "-m", "pytest", *config, checks)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr
    assert "passed" in done.stdout
    assert "skipped" not in done.stdout, done.stdout[-2000:]


def test_two_that_offer_the_same_are_refused(installed: Path, tmp_path: Path) -> None:
    """The same plug-in from a second distribution: neither is taken, both are named, and the rest of the library works."""
    both = shutil.copytree(installed, tmp_path / "both")
    (info,) = both.glob("duologue_pipes-*.dist-info")
    other = shutil.copytree(info, both / "pipes_again-1.0.dist-info")
    metadata = other / "METADATA"
    text = metadata.read_text(encoding="utf-8").replace("Name: duologue-pipes", "Name: pipes-again")
    metadata.write_text(text, encoding="utf-8")
    done = python(both, "-c", PROGRAM.replace("marked-json", "json"), "asyncio")
    assert done.returncode == 1
    assert re.search(
        r"PluginError: 'fifo' is offered by several plug-ins, .* of duologue-pipes and .* of pipes-again: uninstall one, or let it choose another name",
        done.stderr.splitlines()[-1],
    )
    listed = python(both, "-m", "duologue_contrib", "plugins").stdout
    assert len(re.findall(r"^  fifo +can't be used ", listed, re.MULTILINE)) == 2
    assert re.search(r"^  tcp +ready ", listed, re.MULTILINE)
