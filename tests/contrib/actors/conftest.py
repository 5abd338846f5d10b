"""Every engine, every kind of address, and an end for tests that hang."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.contrib.actors.common import Reach
from tests.engines import anyio_backend as anyio_backend
from tests.engines import end_if_it_hangs, longest

HERE = Path(__file__).parent
LONGEST = longest(60)
"""Seconds after which a test hangs for sure. Most take some milliseconds."""


@pytest.fixture(params=["local", "keyed", "mem", "tcp"])
def reach(request: pytest.FixtureRequest) -> Reach:
    """How the tests get at the actor: they are the same, whichever it is."""
    return Reach(request.param)


def pytest_itemcollected(item: pytest.Item) -> None:
    end_if_it_hangs(item, HERE, LONGEST)
