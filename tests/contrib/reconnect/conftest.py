"""The engines that the tests of the reconnecting client run on, and an end for tests that hang."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.adapters.certificates import Certificates
from tests.adapters.conftest import LONGEST

from duologue_contrib.testing.adapter_stage import ENGINES

HERE = Path(__file__).parent


@pytest.fixture(scope="module", params=ENGINES.values(), ids=list(ENGINES))
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    """Every engine."""
    if request.param[1].get("use_uvloop"):
        pytest.importorskip("uvloop")
    return request.param


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
