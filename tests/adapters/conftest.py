"""The engines and transports that the tests of the driver run on, and an end for tests that hang."""

from __future__ import annotations

import functools
import importlib.util
import inspect
import itertools
import os
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.adapters.certificates import Certificates

HERE = Path(__file__).parent
LONGEST = float(os.environ.get("DUOLOGUE_LONGEST", "60"))
"""Seconds after which a test hangs for sure. Most take some milliseconds."""

_HAS_UVLOOP = importlib.util.find_spec("uvloop") is not None
_names = itertools.count(1)


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
    """Every engine: callbacks on asyncio and on uvloop, streams on trio."""
    return request.param


@pytest.fixture(params=["tcp", "unix", "mem"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where to serve: over real sockets of two kinds, and over a pipe in memory."""
    match request.param:
        case "tcp":
            return "tcp://127.0.0.1:0"
        case "unix":
            return f"unix://{tmp_path}/socket"
        case _:
            return f"mem://test-{next(_names)}"


@pytest.fixture(params=["cbor", "msgpack", "json"])
def wireformat(request: pytest.FixtureRequest) -> str:
    """The name of each wire format."""
    name: str = request.param
    return name


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """An authority, and what it has signed."""
    return Certificates(tmp_path_factory.mktemp("certificates"))


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
