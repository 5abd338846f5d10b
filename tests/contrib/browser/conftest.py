"""Every engine, every wire format, and an end for tests that hang."""

from __future__ import annotations

import functools
import importlib.util
import inspect
import os
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import anyio
import pytest

HERE = Path(__file__).parent
LONGEST = float(os.environ.get("DUOLOGUE_LONGEST", "60"))
"""Seconds after which a test hangs for sure. Most take a second, to start Node.js."""

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
