"""Everything that `make torture` does, in seconds: smaller numbers, and no bound that a busy machine could break."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.torture.cli import play
from tests.torture.report import Result, as_json, lines_of, summary
from tests.torture.scenarios import SCENARIOS
from tests.torture.setting import Finding, Scenario, Setting, Skipped, exactly
from tests.torture.victim import allow_descriptors

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="only Linux tells of processes what is looked at here"
)


@pytest.fixture
def folder() -> Iterator[Path]:
    """With a short path, since there will be sockets in it."""
    with tempfile.TemporaryDirectory(dir="/tmp") as path:
        yield Path(path)


async def holds(name: str, backend: Any, folder: Path) -> None:
    """Play the scenario: every bound of it holds."""
    allow_descriptors()
    try:
        findings = await play(SCENARIOS[name], Setting(backend, folder, short=True))
    except Skipped as exc:
        pytest.skip(str(exc))
    result = Result(SCENARIOS[name], findings, 0.0)
    assert result.holds, "\n".join(lines_of(result))
    assert any(finding.bound is not None for finding in findings)


@pytest.mark.fault(53)
async def test_killed_with_thousands_waiting(anyio_backend: Any, folder: Path) -> None:
    """SIGKILL with 3,000 who wait: each has one error at once, and of no call whose handler had begun it is said that it had not."""
    await holds("killed", anyio_backend, folder)


@pytest.mark.fault(53)
async def test_killed_in_full_flow(anyio_backend: Any, folder: Path) -> None:
    """SIGKILL in the middle of calls that come and go: what is said of each is true, by what the handlers wrote down."""
    await holds("flow", anyio_backend, folder)


@pytest.mark.fault(54)
async def test_stopped(anyio_backend: Any, folder: Path) -> None:
    """SIGSTOP of a client, and of a server: the other end is told, or its callers have their own time-outs; others are served."""
    await holds("stopped", anyio_backend, folder)


@pytest.mark.fault(50)
async def test_partition(anyio_backend: Any, folder: Path) -> None:
    """Two processes on machines between which everything is lost: both are told, over each transport, and others are served."""
    await holds("partition", anyio_backend, folder)


@pytest.mark.fault(4)
async def test_slow_loris(anyio_backend: Any, folder: Path) -> None:
    """A hundred frames that never end, a byte a second: each is cut at its time, costs little, and leaves nothing."""
    await holds("loris", anyio_backend, folder)


@pytest.mark.fault(38)
async def test_send_flood(anyio_backend: Any, folder: Path) -> None:
    """One-way messages faster than they are handled, small and large: each connection costs at most 16 MiB."""
    await holds("sends", anyio_backend, folder)


@pytest.mark.fault(40)
async def test_never_reads(anyio_backend: Any, folder: Path) -> None:
    """Calls without end, and not an answer is read: such a connection costs at most 2 MiB, and is cut as stalled."""
    await holds("deaf", anyio_backend, folder)


@pytest.mark.fault(41)
async def test_churn(anyio_backend: Any, folder: Path) -> None:
    """Hundreds of connections are opened and closed, with a call in its handler or half a frame: handlers are cancelled, nothing is left."""
    await holds("churn", anyio_backend, folder)


@pytest.mark.fault(66)
async def test_out_of_descriptors(anyio_backend: Any, folder: Path) -> None:
    """No file descriptors are left: who is connected is served, the log is no flood, and others are served as soon as there are some."""
    await holds("descriptors", anyio_backend, folder)


@pytest.mark.fault(43)
async def test_a_stalled_subscriber(anyio_backend: Any, folder: Path) -> None:
    """One of a hundred subscribers stops reading: the others get everything in order, and it costs at most 2 MiB."""
    await holds("subscribers", anyio_backend, folder)


@pytest.mark.fault(47)
async def test_fan_in(anyio_backend: Any, folder: Path) -> None:
    """As many connections as there may be, with a part of a large frame each: the server's bytes are bounded, others are served."""
    await holds("fan-in", anyio_backend, folder)


@pytest.mark.fault(49)
async def test_large_frames(anyio_backend: Any, folder: Path) -> None:
    """Frames of 1 MiB on a slow link, for many heartbeats: pings and small answers are not behind more than the next of them."""
    await holds("large", anyio_backend, folder)


def test_every_scenario_has_its_short_form() -> None:
    """A scenario that is added is tested here, too."""
    text = Path(__file__).read_text(encoding="utf-8")
    assert all(f'holds("{name}"' in text for name in SCENARIOS)


def scenario_of(*findings: Finding) -> Result:
    return Result(Scenario("one", "of its kind", play), findings, 1.0)  # type: ignore[arg-type]


def test_a_bound_that_is_broken_is_a_failure() -> None:
    """Whatever is over its bound, under it, or other than it should be, is shown as a miss, and fails the whole."""
    good = [
        Finding("most", 2, 2),
        Finding("least", 2, 2, is_least=True),
        Finding("shown", 9),
        *exactly("x", 1, 1),
    ]
    for bad in (
        Finding("most", 3, 2),
        Finding("least", 1, 2, is_least=True),
        *exactly("x", 0, 1),
        *exactly("x", 2, 1),
    ):
        result = scenario_of(*good, bad)
        assert not result.holds
        assert sum("MISS" in line for line in lines_of(result)) == 1
        assert "3 of 4 bounds held" in summary([result])
        written = as_json([result], "asyncio", short=True)["scenarios"]["one"]
        assert [each["holds"] for each in written["findings"]] == [True] * 4 + [False]
    assert scenario_of(*good).holds


def test_the_command(tmp_path: Path) -> None:
    """`python tests/torture --short` prints a table, writes JSON, and says by its status whether all bounds hold."""
    written = tmp_path / "figures.json"
    done = subprocess.run(
        [sys.executable, str(Path(__file__).parent), "--short", "--only=descriptors", f"--json={written}"],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "1 scenarios in" in done.stdout
    assert json.loads(written.read_text())["scenarios"]["descriptors"]["holds"]
