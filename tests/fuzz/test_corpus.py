"""The corpus goes through its targets, on every Python and without a fuzzer: what once was found stays mended."""

from __future__ import annotations

import pytest
from tests.fuzz.cli import inputs_of
from tests.fuzz.runs import CORPUS, KEPT
from tests.fuzz.targets import NAMES, find


@pytest.mark.parametrize("name", NAMES)
def test_the_corpus_passes(name: str) -> None:
    """Each input is an accepted one, or ends in a documented error: whatever else is raised is a defect."""
    inputs = inputs_of(name)
    target = find(name)
    for label, data in inputs:
        try:
            target(data)
        except BaseException as error:
            error.add_note(f"input {label}: {data.hex()}")
            raise
    assert len(inputs) >= 10, "a corpus that shows little"


def test_the_corpus_is_small() -> None:
    """A few dozen inputs for each target, each of less than 4 KiB: what it costs to clone and to play is known."""
    assert {path.name for path in CORPUS.iterdir()} == set(NAMES)
    for name in NAMES:
        files = list((CORPUS / name).iterdir())
        assert len(files) <= 2 * KEPT, "room for what was found and mended, too"
        assert max(path.stat().st_size for path in files) < 4096
