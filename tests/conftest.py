"""What all tests share: the marker that ties a test to the fault it shows, and little garbage to collect."""

from __future__ import annotations

import gc

import pytest


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "fault(*numbers): the rows of docs/faults.md that the test shows; its docstring says the fault, and what must happen",
    )


def pytest_collection_finish() -> None:
    """Many tests collect garbage, to see what is left. The thousands of tests themselves are none: looking at them takes half a second."""
    import hypothesis  # noqa: F401 - it looks for who refers to what it knows, and finds nobody among the frozen

    gc.collect()
    gc.freeze()
