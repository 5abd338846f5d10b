"""The generated parts of the documentation are as the code is now, and the faults that concern it are all shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from docs import generate
from docs.fault_rows import GROUPS, IN_SCOPE, ROWS

SHOWN = generate.shown_faults()


def test_the_generated_parts_are_current(capsys: pytest.CaptureFixture[str]) -> None:
    """If this fails: `python docs/generate.py`, and look at what has changed."""
    assert generate.main(["--check"]) == 0, capsys.readouterr().out


@pytest.mark.parametrize("row", sorted(IN_SCOPE))
def test_each_fault_is_shown(row: int) -> None:
    """Every row that concerns a part that exists has a test, marked with its number."""
    assert row in SHOWN, f"no test is marked with fault({row}): {ROWS[row]}"


def test_each_row_is_in_one_group() -> None:
    """No row would be left out of the page."""
    assert [number for numbers in GROUPS.values() for number in numbers] == sorted(ROWS)
    assert set(ROWS) >= IN_SCOPE


TESTS = '''
"""A module."""
import pytest
pytestmark = pytest.mark.fault(9)

@pytest.mark.fault(1, 2)
async def test_one() -> None:
    """Says what it shows: `a|b`. And more."""

@pytest.mark.parametrize("x", [1, pytest.param(2, marks=pytest.mark.fault(3))])
def test_two(x: int) -> None:
    """Goes on
    in the next line.

    And more.
    """

@pytest.mark.fault(4)
class TestIt:
    def test_three(self) -> None:
        """Third."""

def helper() -> None: ...

@pytest.mark.fault(5)
class Both(RuleBasedStateMachine):
    """A machine."""
'''


def test_marks_are_found_wherever_they_are(tmp_path: Path) -> None:
    """On functions, classes, modules, parameters and state machines; with the first sentence of the docstring."""
    folder = tmp_path / "tests"
    folder.mkdir()
    (folder / "test_x.py").write_text(TESTS, encoding="utf-8")
    found = generate.shown_faults(folder)
    assert {row: [(test.name, test.sentence) for test in tests] for row, tests in found.items()} == {
        1: [("test_one", "Says what it shows: `a|b`.")],
        2: [("test_one", "Says what it shows: `a|b`.")],
        3: [("test_two", "Goes on in the next line.")],
        4: [("test_three", "Third.")],
        5: [("Both", "A machine.")],
        9: [
            ("test_one", "Says what it shows: `a|b`."),
            ("test_two", "Goes on in the next line."),
            ("test_three", "Third."),
            ("Both", "A machine."),
        ],
    }


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("@pytest.mark.fault(1)\ndef test_x(): ...", "test_x is marked with a fault and has no docstring"),
        ('@pytest.mark.fault(999)\ndef test_x():\n    """X."""', "there is no row 999"),
    ],
)
def test_marks_that_make_no_sense(tmp_path: Path, source: str, complaint: str) -> None:
    """A test that says nothing, and a row that does not exist, are refused with file and line."""
    folder = tmp_path / "tests"
    folder.mkdir()
    (folder / "test_x.py").write_text(source, encoding="utf-8")
    with pytest.raises(generate.Stale, match=f"tests/test_x.py:2: .*{complaint}"):
        generate.shown_faults(folder)


def test_what_is_written_into_tables() -> None:
    """Borders and tags are escaped; code in backticks stays code."""
    assert generate.escaped("a|b <c> `d|e <f>`") == "a\\|b &lt;c> `d\\|e <f>`"


def test_the_readme_is_short() -> None:
    """It is read to its end only then."""
    lines = (generate.ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 150
