"""The chat is an example, made of scripts that stand side by side: their folder has to be known. Every engine, and an end for what hangs."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from tests.contrib.browser.conftest import npm_folder  # noqa: F401 - a fixture
from tests.engines import anyio_backend as anyio_backend
from tests.engines import end_if_it_hangs, longest

HERE = Path(__file__).parent
LONGEST = longest(60)
"""Seconds after which a test hangs for sure. Most take a second or two, to start processes."""

sys.path.append(str(HERE.parents[2] / "docs" / "examples" / "chat"))


def pytest_itemcollected(item: pytest.Item) -> None:
    end_if_it_hangs(item, HERE, LONGEST)
