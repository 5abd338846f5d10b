"""What is told of mutants, without running any."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.mutation.cli import every_file, is_turning, main, prepare, sample
from tests.mutation.report import Found, read, report


def test_what_counts_as_killed() -> None:
    """A failure, an end that did not come and a crash are noticed; tests that pass, and none at all, are not; the rest is not known."""
    found = Found(
        "a",
        {
            "failed": 1,
            "endless": 36,
            "crashed": -11,
            "passed": 0,
            "none": 33,
            "not run": None,
            "interrupted": 2,
        },
    )
    assert (found.killed, found.checked, found.survivors) == (3, 5, ["none", "passed"])


def test_a_table_and_the_survivors() -> None:
    """A row for each file and one for all, then the names to look at."""
    lines = report([Found("first", {"a1": 1, "a2": 0}), Found("second", {"b1": None})]).splitlines()
    assert [line.split() for line in lines[1:5]] == [
        ["file", "killed", "/", "run", "not", "run"],
        ["first", "1", "/", "2", "50.0%"],
        ["second", "0", "/", "0", "-", "1"],
        ["all", "1", "/", "2", "50.0%", "1"],
    ]
    assert lines[-1] == "a2"


def test_what_mutmut_wrote_is_read(tmp_path: Path) -> None:
    """A file without mutants is none to tell of, and before the first run there is nothing."""
    prepare(tmp_path)
    assert read(tmp_path) == []
    folder = tmp_path / "mutants" / "src" / "duologue" / "protocol"
    folder.mkdir(parents=True)
    for name, results in {"budget": {"x": 1}, "__init__": {}}.items():
        folder.joinpath(f"{name}.py.meta").write_text(json.dumps({"exit_code_by_key": results}))
    assert read(tmp_path) == [Found("budget", {"x": 1})]


def test_a_sample_can_be_had_again() -> None:
    """The same seed picks the same mutants, and never more than there are."""
    found = [Found("a", dict.fromkeys("abcdefgh"))]
    assert sample(found, 3, seed=5) == sample(found, 3, seed=5)
    assert sorted(sample(found, 100, seed=5)) == list("abcdefgh")


@pytest.mark.parametrize("number", ["-1", "0", "x"])
def test_a_sample_of_nothing_is_refused(number: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exc:
        main(["--sample", number])
    assert exc.value.code == 2
    assert "give 1 or more" in capsys.readouterr().err


def test_what_turns_is_for_terminals() -> None:
    """In a file there is what is told, and no signs of life."""
    assert is_turning("⠙ 12/30  🎉 11")
    assert not is_turning("done in 12 ms")


def test_a_file_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    """It is said at once, before anything is run."""
    assert "budget" in every_file()
    assert main(["budgets"]) == 2
    assert "budgets" in capsys.readouterr().err
