"""`duologue demo`, as a user runs it, and what it does when something does not come out as it should."""

from __future__ import annotations

import io
import os
import re
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest
from rich.console import Console
from typer.testing import CliRunner

import duologue
from duologue_contrib.commands import app
from duologue_contrib.demo import command, rows, talk
from duologue_contrib.demo.play import all_rows, start_server
from duologue_contrib.demo.report import RichReport
from duologue_contrib.demo.rows import Outcome, Result, Row, State, expect
from duologue_contrib.demo.stage import Stage

DEMO = [sys.executable, "-W", "error", "-m", "duologue_contrib", "demo"]
LONG_ENOUGH = 300.0


@pytest.fixture(autouse=True)
def _not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """The demo tells how fast the library is, so its processes are not slowed down by a look at their coverage."""
    for name in os.environ:
        if name.startswith("COVERAGE_"):
            monkeypatch.delenv(name)


def states_of(output: str) -> list[tuple[str, str]]:
    """State and title of each row in the demo's output."""
    found = re.findall(r"^(ok|FAILED|skipped) +(.*?)  ", output, re.MULTILINE)
    return [(state, title) for state, title in found]


@pytest.mark.parametrize("options", [[], ["--trio", "--plain"]], ids=["asyncio", "trio"])
def test_everything_that_the_demo_claims_is_so(options: list[str], tmp_path: Path) -> None:
    """The demo exits with 0, on either event loop, from any folder, with each row in its place and nothing on stderr."""
    done = subprocess.run(
        [*DEMO, *options], capture_output=True, text=True, check=False, cwd=tmp_path, timeout=LONG_ENOUGH
    )
    assert states_of(done.stdout) == [("ok", row.title) for row in all_rows()], done.stdout + done.stderr
    assert done.stderr == ""
    assert done.returncode == 0
    assert "at most 100 ran at once" in done.stdout
    assert "1,000 ConnectionLost (executed: unknown); 500 ConnectionLost (executed: no)" in done.stdout


def test_the_server_ends_with_the_demo_even_if_that_is_killed() -> None:
    """SIGKILL to the demo's process leaves no server behind."""
    if not hasattr(os, "pidfd_open"):
        pytest.skip("only Linux lets one wait for the end of a process that is not a child")
    with subprocess.Popen(DEMO, stdout=subprocess.PIPE, text=True) as demo:
        assert demo.stdout is not None
        try:
            found = next(
                match for line in demo.stdout if (match := re.search(r"process (\d+) listens", line))
            )
            server = os.pidfd_open(int(found[1]))
        finally:
            demo.kill()
    try:
        ended, _, _ = select.select([server], [], [], 30.0)
        if not ended:
            signal.pidfd_send_signal(server, signal.SIGKILL)
        assert ended
    finally:
        os.close(server)


async def fine(stage: Stage) -> Outcome:
    return Outcome("fine", calls=10, seconds=0.5)


async def wrong(stage: Stage) -> Outcome:
    expect(2 + 2 == 5, "2 + 2 = 5", 2 + 2)
    return Outcome("never")


async def crashing(stage: Stage) -> Outcome:
    async with anyio.create_task_group() as group:
        group.start_soon(wrong, stage)
    return Outcome("never")


async def surprising(stage: Stage) -> Outcome:
    raise duologue.DuologueError("nobody thought of this")


async def endless(stage: Stage) -> Outcome:
    await anyio.sleep_forever()
    return Outcome("never")


RunDemo = Callable[..., tuple[int, list[str]]]


@pytest.fixture
def run_demo(monkeypatch: pytest.MonkeyPatch) -> RunDemo:
    """Runs the command with other rows. Gives the exit code and the lines of the rows."""

    def run(*played: Row, options: tuple[str, ...] = ()) -> tuple[int, list[str]]:
        monkeypatch.setattr(command, "all_rows", lambda: list(played))
        result = CliRunner().invoke(app, ["demo", *options])
        lines = result.stdout.splitlines()
        return result.exit_code, [line for line in lines if re.match(r"(ok|FAILED|skipped) ", line)]

    return run


def test_a_row_that_fails_is_told_and_the_others_still_play(run_demo: RunDemo) -> None:
    """A claim that is not so, alone or in a task group, any other error, and a row without an end: each is one FAILED."""
    code, lines = run_demo(
        Row("one", wrong),
        Row("two", fine),
        Row("three", crashing),
        Row("four", surprising),
        Row("five", fine),
    )
    assert code == 1
    assert [line.split(maxsplit=2)[:2] for line in lines] == [
        ["FAILED", "one"],
        ["ok", "two"],
        ["FAILED", "three"],
        ["FAILED", "four"],
        ["ok", "five"],
    ]
    assert lines[0].endswith("expected 2 + 2 = 5, got 4")
    assert lines[1].endswith("20 calls/s  fine")
    assert lines[2].endswith("expected 2 + 2 = 5, got 4")
    assert lines[3].endswith("expected no error, got DuologueError('nobody thought of this')")


@pytest.mark.parametrize("options", [(), ("--trio",)], ids=["asyncio", "trio"])
def test_a_row_that_does_not_end_fails(
    run_demo: RunDemo, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    """The demo itself ends in any case."""
    monkeypatch.setattr(rows, "LONGEST", 0.01)
    code, lines = run_demo(Row("endless", endless), Row("fine", fine), options=options)
    assert code == 1
    assert lines[0].endswith("expected an end, got none within 0.01 s")
    assert lines[1].startswith("ok ")


def test_a_claim_about_the_library_that_is_not_so_fails(
    run_demo: RunDemo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the budget were 50, a hundred calls at once would be found out: the row looks at what the server counts."""
    monkeypatch.setattr(talk, "BUDGET", 50)
    code, lines = run_demo(Row("server", start_server), Row("budget", talk.many_on_several))
    assert code == 1
    assert lines[0].startswith("ok ")
    assert lines[1].endswith("expected at most 50 at once, got 100")


def test_without_a_server_the_rows_that_need_none_still_play(
    run_demo: RunDemo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that can't even start is told, and so is each row that would need it."""
    monkeypatch.setattr(sys, "executable", "/bin/false")
    code, lines = run_demo(
        Row("server", start_server), Row("budget", talk.many_on_several), *talk.talk_rows()[2:3]
    )
    assert code == 1
    assert [line.split()[0] for line in lines] == ["FAILED", "FAILED", "ok"]
    assert "ended before it listened" in lines[0]
    assert "the server did not start" in lines[1]


def test_a_missing_extra_skips_its_rows_and_says_what_to_install() -> None:
    """Without cbor2 both rows of cbor are skipped, all others are played, and that is no failure."""
    script = """if True:
        import sys
        sys.modules["cbor2"] = None
        from duologue_contrib.demo import command, play, talk
        command.all_rows = lambda: [*play.all_rows()[:1], *talk.talk_rows()[:6]]
        from duologue_contrib.cli import main
        main()
        """
    done = subprocess.run(
        [sys.executable, "-c", script, "demo"],
        capture_output=True,
        text=True,
        check=False,
        timeout=LONG_ENOUGH,
    )
    assert [state for state, _ in states_of(done.stdout)] == [
        *("ok", "skipped", "ok", "ok"),
        *("skipped", "ok", "ok"),
    ]
    assert done.stdout.count("pip install 'duologue[cbor]'") == 2
    assert done.returncode == 0


def test_trio_that_is_not_installed_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """`--trio` without trio is a mistake of the user's, who is told what to do."""
    monkeypatch.setattr(command.importlib.util, "find_spec", lambda name: None)
    result = CliRunner().invoke(app, ["demo", "--trio"])
    assert result.exit_code == 2
    assert "pip install trio" in result.output


@pytest.mark.parametrize("missing", ["typer", "rich"])
def test_the_script_without_its_extra_says_what_to_install(missing: str) -> None:
    """The script `duologue` is there in every installation, and must not greet with a traceback."""
    script = f"import sys; sys.modules[{missing!r}] = None; from duologue_contrib.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "pip install 'duologue[cli]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_command_tells_its_version() -> None:
    """`duologue --version` ends well, and `duologue` alone shows the commands."""
    result = CliRunner().invoke(app, ["--version"])
    assert result.exit_code == 0
    assert result.stdout == f"duologue {duologue.__version__}\n"
    assert "demo" in CliRunner().invoke(app, []).output


@pytest.mark.parametrize(("width", "lines"), [(150, 1), (80, 3)])
def test_a_row_on_a_terminal_is_one_block(width: int, lines: int) -> None:
    """What came out stands beside the title where there is room, and below it, wrapped and indented, where there is not."""
    screen = io.StringIO()
    report = RichReport(Console(file=screen, force_terminal=True, width=width, color_system=None))
    text = "what came out of it, " * (1 if lines == 1 else 5)
    report.row(Result("a row", State.OK, text.strip(), "20 calls/s"))
    first, *others = screen.getvalue().splitlines()
    assert re.match(r"ok +a row +20 calls/s", first)
    assert len(others) == lines - 1
    assert all(re.match(r" {9}\S", line) for line in others)


def test_a_terminal_shows_what_plays_and_a_pipe_does_not(
    run_demo: RunDemo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Colours and the line that moves are for eyes: not in a pipe, and not with --plain."""
    monkeypatch.setenv("FORCE_COLOR", "1")  # to rich, stdout is a terminal now
    code, with_colours = run_demo(Row("a row", fine))
    assert (code, with_colours) == (0, [])
    code, plain = run_demo(Row("a row", fine), options=("--plain",))
    assert (code, len(plain)) == (0, 1)
