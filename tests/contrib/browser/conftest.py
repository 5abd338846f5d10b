"""Every engine, every wire format, and an end for tests that hang."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.engines import anyio_backend as anyio_backend
from tests.engines import end_if_it_hangs, longest

HERE = Path(__file__).parent
LONGEST = longest(60)
"""Seconds after which a test hangs for sure. Most take a second, to start Node.js."""


@pytest.fixture(params=["cbor", "msgpack", "json"])
def wireformat(request: pytest.FixtureRequest) -> str:
    """The name of each wire format that a page can speak."""
    name: str = request.param
    return name


@pytest.fixture(scope="session")
def npm_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where packages of npm's that only tests need are installed."""
    return tmp_path_factory.mktemp("npm")


def pytest_itemcollected(item: pytest.Item) -> None:
    end_if_it_hangs(item, HERE, LONGEST)
