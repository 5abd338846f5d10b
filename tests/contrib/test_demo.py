"""`duologue demo` in plain lines, as a script runs it, and what it does when something does not come out as it should."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.contrib.demo_rows import crashing, endless, fine, surprising, wrong
from typer.testing import CliRunner

import duologue
from duologue_contrib.commands import app
from duologue_contrib.demo import command, crowd, rows, stage, talk
from duologue_contrib.demo.play import all_rows, start_server
from duologue_contrib.demo.rows import Row
from duologue_contrib.demo.talk import transport_rows

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
    """The demo exits with 0, on either event loop, from any folder, with each row in its place and nothing on stderr.

    Each transport is there, with the URL by which anyone could connect, and what was measured in both directions.
    """
    done = subprocess.run(
        [*DEMO, *options], capture_output=True, text=True, check=False, cwd=tmp_path, timeout=LONG_ENOUGH
    )
    assert states_of(done.stdout) == [("ok", row.title) for row in all_rows()], done.stdout + done.stderr
    assert done.stderr == ""
    assert done.returncode == 0
    assert "at most 100 ran at once" in done.stdout
    lost = "1,000 ConnectionLost (executed: unknown); 500 ConnectionLost (executed: no)"
    assert done.stdout.count(lost) == 2
    talked = r"[\d,]+ calls/s +5,000 answered; 2,500 calls back, [\d,]+/s; 10,000 one-way, [\d,]+/s; (.+)"
    urls = re.findall(talked, done.stdout)
    assert [url.partition(":")[0] for url in urls] == [
        *("mem", "exec", "unix", "tcp", "tls", "ws", "zmq+ipc", "zmq+tcp"),
        *("tcp", "tcp"),
    ]


RunDemo = Callable[..., tuple[int, list[str]]]


@pytest.fixture
def run_demo(monkeypatch: pytest.MonkeyPatch) -> RunDemo:
    """Runs the command with other rows. Gives the exit code and the lines of the rows."""

    def run(
        *played: Row, options: tuple[str, ...] = (), pattern: str = r"(ok|FAILED|skipped) "
    ) -> tuple[int, list[str]]:
        monkeypatch.setattr(command, "all_rows", lambda: list(played))
        for count in ("CALLS", "SENDS", "CALLS_BACK"):
            monkeypatch.setattr(talk, count, 100)
        result = CliRunner().invoke(app, ["demo", *options])
        lines = result.stdout.splitlines()
        return result.exit_code, [line for line in lines if re.match(pattern, line)]

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


def test_the_last_lines_say_which_rows_have_failed_and_why(run_demo: RunDemo) -> None:
    """Each once more, since by then they may be far above; and how many came out well."""
    code, _ = run_demo(Row("one", fine), Row("two", wrong))
    assert code == 1
    code, lines = run_demo(Row("one", fine), Row("two", wrong), pattern=r"failed: |\d+ rows")
    assert re.fullmatch(r"2 rows in \d+\.\d s: 1 ok, 1 FAILED", lines[0])
    assert lines[1:] == ["failed: two: expected 2 + 2 = 5, got 4"]


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
    monkeypatch.setattr(crowd, "BUDGET", 50)
    code, lines = run_demo(Row("server", start_server), Row("budget", crowd.many_on_several))
    assert code == 1
    assert lines[0].startswith("ok ")
    assert lines[1].endswith("expected at most 50 at once, got 100")


def test_without_a_server_the_rows_that_need_none_still_play(
    run_demo: RunDemo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that can't even start is told, and so is each row that would need it."""
    monkeypatch.setattr(sys, "executable", "/bin/false")
    code, lines = run_demo(
        Row("server", start_server), Row("budget", crowd.many_on_several), *transport_rows()[:1]
    )
    assert code == 1
    assert [line.split()[0] for line in lines] == ["FAILED", "FAILED", "ok"]
    assert "ended before it listened" in lines[0]
    assert "the server did not start" in lines[1]


def test_what_the_server_says_before_it_ends_is_told(
    run_demo: RunDemo, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its last line stands in the row, and all of it on stderr."""
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\necho first >&2\necho 'no room left' >&2\nexit 3\n")
    program.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(program))
    result = run_demo(Row("server", start_server))
    assert result[0] == 1
    assert result[1][0].endswith('NoServer("the server\'s process ended before it listened: no room left")')


def test_a_transport_that_the_server_can_not_offer_fails_alone(
    run_demo: RunDemo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The row says why, and the others are played."""
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:
        Path(directory, "unix").write_text("no socket")
        monkeypatch.setattr(stage.tempfile, "mkdtemp", lambda **options: directory)
        unix, tcp = transport_rows()[2:4]
        code, lines = run_demo(Row("server", start_server), unix, tcp)
        assert not Path(directory).exists()
        Path(directory).mkdir()
    assert code == 1
    assert [line.split()[:2] for line in lines] == [["ok", "server"], ["FAILED", "unix,"], ["ok", "tcp,"]]
    assert "the server can't listen: " in lines[1]


def test_sockets_have_short_paths(run_demo: RunDemo, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where temporary files go to a directory with a path that is too long for a socket, they go to another one."""
    long = tmp_path / ("long" * 30)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    code, lines = run_demo(Row("server", start_server), transport_rows()[2])
    assert code == 0, lines


MISSING = """if True:
    import sys
    for library in {libraries!r}:
        sys.modules[library] = None
    from duologue_contrib.demo import command, play, talk
    talk.CALLS = talk.SENDS = talk.CALLS_BACK = 100
    command.all_rows = lambda: play.all_rows()[:11]
    from duologue_contrib.cli import main
    main()
    """


@pytest.mark.parametrize(
    ("libraries", "extras", "skipped"),
    [
        (["cbor2"], ["cbor"], ["tcp, cbor"]),
        (["websockets"], ["websocket"], ["ws, json: WebSocket"]),
        (
            ["zmq", "cbor2"],
            ["zeromq", "zeromq", "cbor"],
            ["zmq+ipc, json: ZeroMQ, a socket's file", "zmq+tcp, json: ZeroMQ, a socket", "tcp, cbor"],
        ),
    ],
    ids=["a wire format", "a transport", "more of both"],
)
def test_a_missing_extra_skips_its_rows_and_says_what_to_install(
    libraries: list[str], extras: list[str], skipped: list[str]
) -> None:
    """Without the library of a transport or a wire format its rows are skipped, all others are played, and that is no failure."""
    done = subprocess.run(
        [sys.executable, "-c", MISSING.format(libraries=libraries), "demo"],
        capture_output=True,
        text=True,
        check=False,
        timeout=LONG_ENOUGH,
    )
    titles = [row.title for row in all_rows()[:11]]
    assert states_of(done.stdout) == [("skipped" if title in skipped else "ok", title) for title in titles], (
        done.stdout
    )
    assert re.findall(r"^skipped .*pip install 'duologue\[(\w+)\]'$", done.stdout, re.MULTILINE) == extras
    assert done.returncode == 0


def test_trio_that_is_not_installed_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """`--trio` without trio is a mistake of the user's, who is told what to do."""
    monkeypatch.setattr(command.importlib.util, "find_spec", lambda name: None)
    result = CliRunner().invoke(app, ["demo", "--trio"])
    assert result.exit_code == 2
    assert "pip install 'duologue[trio]'" in result.output


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
