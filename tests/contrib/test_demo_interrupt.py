"""The demo is ended before its time: by Ctrl-C, by a signal, by who reads its output, and nothing is left of it."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from typing import Any

import anyio
import pytest
from tests.contrib.leftovers import traces
from tests.contrib.terminal import CTRL_C, LONG_ENOUGH, Terminal
from tests.engines import engines

from duologue_contrib.demo.interrupt import until_signal


def some_rows(names: str, *options: str) -> list[str]:
    return [sys.executable, "-W", "error", "-m", "tests.contrib.demo_rows", names, *options]


@pytest.mark.parametrize("loop", [(), ("--trio",)], ids=["asyncio", "trio"])
@pytest.mark.parametrize("screen", [(), ("--plain",)], ids=["live", "plain"])
def test_ctrl_c_leaves_nothing(loop: tuple[str, ...], screen: tuple[str, ...]) -> None:
    """Pressed while there is a connection by every transport: 130, the terminal as it was, no process, no file, no traceback.

    The terminal tells all that run on it, the child of `exec:`, too.
    """
    with traces() as left:
        command = some_rows("server,everywhere", *loop, *screen)
        with Terminal(command, columns=100, **left.environment) as terminal:
            terminal.wait_for("all are connected")
            running = left.processes()
            sockets = left.files()
            terminal.press(CTRL_C)
            code = terminal.wait_until_left()
            after = left.processes()
            assert terminal.is_as_before()
        assert code == 130, terminal.screen.text
        assert [name for name in ("demo_rows", "demo.server", "demo.child") if name in str(running)] == [
            *("demo_rows", "demo.server", "demo.child")
        ]
        assert {"unix", "zmq", "key.pem"} <= {os.path.basename(path) for path in sockets}
        assert (after, left.files()) == ({}, [])
    text = terminal.screen.text
    assert "ended by SIGINT, 1 of 2 rows in" in text
    assert "row 2 of 2" not in text
    assert "Traceback" not in text


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_signals_end_it_without_a_terminal(number: signal.Signals, code: int) -> None:
    """The exit code is the shell's for that signal, and what was started is ended."""
    with traces() as left:
        with subprocess.Popen(
            some_rows("server,everywhere"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **left.environment},
        ) as demo:
            assert demo.stdout is not None
            assert demo.stderr is not None
            assert "all are connected\n" in iter(demo.stdout.readline, "")
            demo.send_signal(number)
            rest, errors = demo.communicate(timeout=LONG_ENOUGH)
        assert (left.processes(), left.files()) == ({}, [])
    assert demo.returncode == code
    assert f"ended by {number.name}, 1 of 2 rows in" in rest
    assert errors == ""


def test_the_server_cleans_up_if_the_demo_is_killed() -> None:
    """SIGKILL to the demo's process: the server and the child see the end of their stdin, end, and the directory is gone, too."""
    if not hasattr(os, "pidfd_open"):
        pytest.skip("only Linux lets one wait for the end of a process that is not a child")
    with traces() as left:
        with subprocess.Popen(
            some_rows("server,everywhere"),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, **left.environment},
        ) as demo:
            assert demo.stdout is not None
            assert "all are connected\n" in iter(demo.stdout.readline, "")
            others = [os.pidfd_open(pid) for pid in left.processes() if pid != demo.pid]
            demo.kill()
        try:
            for each in others:
                assert select.select([each], [], [], LONG_ENOUGH)[0], left.processes()
        finally:
            for each in others:
                os.close(each)
        assert len(others) == 2
        assert left.files() == []


def test_a_pipe_that_is_closed_is_no_traceback() -> None:
    """`duologue demo | head -3`: who has seen enough is told nothing more, and the server does not stay."""
    with traces() as left:
        with subprocess.Popen(
            some_rows("server,waiting"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **left.environment},
        ) as demo:
            assert demo.stdin is not None
            assert demo.stdout is not None
            assert demo.stderr is not None
            assert any("listens" in line for line in iter(demo.stdout.readline, ""))
            demo.stdout.close()
            demo.stdin.write("go on\n")
            demo.stdin.flush()
            errors = demo.stderr.read()
        assert (left.processes(), left.files()) == ({}, [])
    assert demo.returncode == 1
    assert errors == ""


@pytest.fixture(params=engines())
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    """Every event loop."""
    return request.param


async def nothing() -> None:
    """What runs beside, and is done at once."""


async def test_a_job_that_is_interrupted_cleans_up_in_peace() -> None:
    """The first signal cancels, and is the one that is told. Those that come while the job cleans up do nothing."""
    done: list[str] = []

    async def job() -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                os.kill(os.getpid(), signal.SIGINT)
                await anyio.wait_all_tasks_blocked()
                done.append("cleaned up")

    with anyio.fail_after(LONG_ENOUGH):
        assert await until_signal(job, nothing) is signal.SIGTERM
    assert done == ["cleaned up"]


async def test_a_job_without_a_signal_ends_what_runs_beside() -> None:
    """There is no signal to tell of, and the handlers of the process are what they were."""
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)]
    ended = anyio.Event()

    async def beside() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            ended.set()

    with anyio.fail_after(LONG_ENOUGH):
        assert await until_signal(anyio.lowlevel.checkpoint, beside) is None
    assert ended.is_set()
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)] == before


async def test_a_job_that_fails_raises_its_own_error() -> None:
    """And not a group with one error in it: whoever runs the job looks for what it raises."""

    async def job() -> None:
        raise BrokenPipeError("nobody reads")

    with pytest.raises(BrokenPipeError, match="nobody reads"):
        await until_signal(job, anyio.sleep_forever)


async def test_a_signal_that_is_ignored_stays_ignored() -> None:
    """`nohup duologue demo` goes on when its terminal is closed: who starts a program may decide that."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:

        async def job() -> None:
            os.kill(os.getpid(), signal.SIGHUP)
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            # If somebody listened, it would be heard before this one.
            os.kill(os.getpid(), signal.SIGTERM)
            await anyio.sleep_forever()

        with anyio.fail_after(LONG_ENOUGH):
            assert await until_signal(job, nothing) is signal.SIGTERM
    finally:
        signal.signal(signal.SIGHUP, before)
