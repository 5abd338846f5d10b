"""The chat is an example, made of scripts that stand side by side: their folder has to be known. Every engine, and an end for what hangs."""

from __future__ import annotations

import functools
import importlib.util
import inspect
import os
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.contrib.browser.conftest import npm_folder  # noqa: F401 - a fixture

HERE = Path(__file__).parent
LONGEST = float(os.environ.get("DUOLOGUE_LONGEST", "60"))
"""Seconds after which a test hangs for sure. Most take a second or two, to start processes."""

sys.path.append(str(HERE.parents[2] / "docs" / "examples" / "chat"))

_HAS_UVLOOP = importlib.util.find_spec("uvloop") is not None


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(("asyncio", {"use_uvloop": False}), id="asyncio"),
        pytest.param(
            ("asyncio", {"use_uvloop": True}),
            id="uvloop",
            marks=pytest.mark.skipif(not _HAS_UVLOOP, reason="uvloop is not installed"),
        ),
        pytest.param(("trio", {}), id="trio"),
    ],
)
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


def pytest_itemcollected(item: pytest.Item) -> None:
    """A test that hangs fails: on each loop, by its own cancellation."""
    if (
        isinstance(item, pytest.Function)
        and HERE in item.path.parents
        and inspect.iscoroutinefunction(item.obj)
    ):
        item.obj = _bounded(item.obj)


def _bounded(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., Coroutine[Any, Any, None]]:
    @functools.wraps(test)
    async def bounded(*args: Any, **kwargs: Any) -> None:
        with anyio.fail_after(LONGEST):
            await test(*args, **kwargs)

    return bounded
