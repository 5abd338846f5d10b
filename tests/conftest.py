"""What all tests share: the marker that ties a test to the fault it shows."""

from __future__ import annotations

import pytest


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "fault(*numbers): the rows of docs/faults.md that the test shows; its docstring says the fault, and what must happen",
    )
