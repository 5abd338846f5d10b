"""The demo on a terminal: what moves, what stays, and what is left when it ends."""

from __future__ import annotations

import re
import sys

import pytest
from tests.contrib.terminal import Terminal

from duologue_contrib.demo.play import all_rows

DEMO = [sys.executable, "-W", "error", "-m", "duologue_contrib", "demo"]


def some_rows(names: str, *options: str) -> list[str]:
    return [sys.executable, "-W", "error", "-m", "tests.contrib.demo_rows", names, *options]


def test_the_whole_demo_on_a_narrow_terminal() -> None:
    """On 40 columns every row can be read, the one that plays shows how far it is, and nothing of that stays."""
    with Terminal(DEMO, columns=40) as terminal:
        code = terminal.wait_until_left()
    screen = terminal.screen
    assert code == 0, screen.text
    assert [row.title for row in all_rows() if f"ok {row.title}" not in screen.text] == []
    assert "1,000 ConnectionLost (executed: unknown); 500 ConnectionLost (executed: no)" in screen.text
    assert f"{len(all_rows())} rows in" in screen.text
    assert re.search(r"\d of 10,000 calls", terminal.written)
    assert "of 10,000 calls" not in screen.text
    assert " row 1 of " in terminal.written
    assert " row 1 of " not in screen.text


def test_what_plays_shows_its_progress_and_how_faults_ended() -> None:
    """Below the rows that are done: what it is, how much of it, how fast, and how those that went wrong ended."""
    with Terminal(some_rows("fine,endless"), columns=80) as terminal:
        terminal.wait_for("row 2 of 2")
        terminal.wait_for("100 of 1,000 calls")
        terminal.wait_for("1 a fault that was injected")
        terminal.wait_for("1 ok")


@pytest.mark.parametrize(("columns", "lines"), [(150, 1), (100, 2), (40, 2)])
def test_a_row_on_a_terminal_is_one_block(columns: int, lines: int) -> None:
    """What came out stands beside the title where there is room, and below it, indented, where there is not."""
    with Terminal(some_rows("fine"), columns=columns) as terminal:
        code = terminal.wait_until_left()
    shown = terminal.screen.lines
    first = next(number for number, line in enumerate(shown) if line.startswith("ok"))
    block = shown[first : shown.index("", first)]
    assert code == 0
    assert len(block) == lines
    assert " ".join(" ".join(block).split()) == "ok fine 20 calls/s fine"
    assert all(line.startswith("  ") for line in block[1:])
    assert "Side by side, on this machine: fine" in terminal.screen.text


@pytest.mark.parametrize("options", [(), ("--plain",)], ids=["live", "plain"])
def test_a_row_that_fails_is_told_again_at_the_end(options: tuple[str, ...]) -> None:
    """Which and why stands there in the last lines, and the exit code is 1, in either way of showing."""
    with Terminal(some_rows("wrong,fine,surprising", *options), columns=100) as terminal:
        code = terminal.wait_until_left()
    assert code == 1
    last = [line for line in terminal.screen.lines if line][-3:]
    assert re.fullmatch(r"3 rows in \d+\.\d s: 1 ok, 2 FAILED", last[0])
    assert last[1:] == [
        "failed: wrong: expected 2 + 2 = 5, got 4",
        "failed: surprising: expected no error, got DuologueError('nobody thought of this')",
    ]


def test_a_bug_leaves_the_terminal_as_it_was() -> None:
    """If the demo itself breaks there is a traceback, below what was shown, and nothing that moves; the server is gone, too."""
    with Terminal(some_rows("server,fine,buggy"), columns=100) as terminal:
        code = terminal.wait_until_left()
        assert terminal.is_as_before()
    assert code == 1
    assert "Bug: the demo itself is broken" in terminal.screen.text
    assert "row 3 of 3" not in terminal.screen.text
    assert "ok fine 20 calls/s fine Another section" not in terminal.screen.text
    assert "ok fine 20 calls/s fine" in terminal.screen.text


def test_colours_unless_the_user_wants_none() -> None:
    """Green is for what went well. With NO_COLOR the screen is the same without colours, but it still moves."""
    colourful, colourless = (
        Terminal(some_rows("fine"), NO_COLOR=wanted, COLORTERM=None) for wanted in (None, "1")
    )
    for terminal in (colourful, colourless):
        with terminal:
            assert terminal.wait_until_left() == 0
            assert terminal.is_as_before()
    assert "32" in colourful.screen.colours
    assert {code for code in colourless.screen.colours if re.fullmatch(r"[349]\d|10\d", code)} == set()
    assert "\x1b[?25l" in colourless.written
    numbers = re.compile(r"\d+\.\d s")
    assert [numbers.sub("", line) for line in colourful.screen.lines] == [
        numbers.sub("", line) for line in colourless.screen.lines
    ]


@pytest.mark.parametrize(
    ("options", "environment"), [(("--plain",), {}), ((), {"TERM": "dumb"})], ids=["asked for", "dumb"]
)
def test_plain_lines_on_a_terminal(options: tuple[str, ...], environment: dict[str, str]) -> None:
    """With --plain, and on a terminal that can't do more, there are lines and no command to the terminal."""
    with Terminal(some_rows("fine", *options), **environment) as terminal:
        assert terminal.wait_until_left() == 0
    assert "\x1b" not in terminal.written
    assert "ok fine 20 calls/s fine" in terminal.screen.text


def test_plain_lines_in_a_pipe_whatever_the_environment_says() -> None:
    """FORCE_COLOR is there for tools that colour their lines. A pipe still gets no commands to a terminal."""
    with Terminal(
        ["sh", "-c", '"$@" | cat', "sh", *some_rows("fine")], FORCE_COLOR="1", TTY_COMPATIBLE="1"
    ) as terminal:
        terminal.wait_until_left()
    assert "\x1b" not in terminal.written
    assert "ok fine 20 calls/s fine" in terminal.screen.text
