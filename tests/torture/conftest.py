"""The engines that victims run on in their short form."""

from __future__ import annotations

import pytest
from tests.engines import engines

CHEAP = ("killed", "descriptors", "fan_in", "subscriber")
"""Tests that run on every engine. The others take longer, and what they show is not about how tasks are run: `make torture ARGS=--engine=trio`."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each test on its engines. All of it has to be a matter of a minute."""
    if "anyio_backend" not in metafunc.fixturenames:
        return
    everywhere = any(word in metafunc.function.__name__ for word in CHEAP)
    names = ["asyncio", "uvloop", "trio"] if everywhere else ["asyncio"]
    metafunc.parametrize("anyio_backend", engines(names), scope="module")


@pytest.fixture(scope="module")
def anyio_backend() -> object:
    """Each test gets it from above."""
    raise AssertionError("a test without an engine")
