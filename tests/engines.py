"""The engines that tests run on, and an end for tests that hang: what the `conftest.py` of each folder makes use of."""

from __future__ import annotations

import functools
import importlib.util
import inspect
import os
from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path
from typing import Any

import anyio
import pytest

from duologue_contrib.testing.adapter_stage import ENGINES


def engines(names: Iterable[str] = tuple(ENGINES)) -> list[Any]:
    """Those of these names, as parameters of a fixture or a test. What is not installed is skipped."""
    has_uvloop = importlib.util.find_spec("uvloop") is not None
    return [
        pytest.param(
            ENGINES[name],
            id=name,
            marks=pytest.mark.skipif(name == "uvloop" and not has_uvloop, reason="uvloop is not installed"),
        )
        for name in names
    ]


@pytest.fixture(scope="module", params=engines())
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    """Every engine: callbacks on asyncio and on uvloop, streams on trio."""
    return request.param


def longest(seconds: float) -> float:
    """Seconds after which a test hangs for sure, if the environment does not say something else."""
    return float(os.environ.get("DUOLOGUE_LONGEST", seconds))


def end_if_it_hangs(item: pytest.Item, folder: Path, seconds: float) -> None:
    """A test of this folder that hangs fails: on each loop, by its own cancellation."""
    if (
        isinstance(item, pytest.Function)
        and folder in item.path.parents
        and inspect.iscoroutinefunction(item.obj)
    ):
        item.obj = _bounded(item.obj, seconds)


def _bounded(
    test: Callable[..., Coroutine[Any, Any, None]], seconds: float
) -> Callable[..., Coroutine[Any, Any, None]]:
    @functools.wraps(test)
    async def bounded(*args: Any, **kwargs: Any) -> None:
        with anyio.fail_after(seconds):
            await test(*args, **kwargs)

    return bounded
