"""The engines that the tests around `PubSub` run on."""

from __future__ import annotations

from typing import Any

import pytest

from duologue_contrib.testing.adapter_stage import ENGINES


@pytest.fixture(scope="module", params=ENGINES.values(), ids=list(ENGINES))
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    """Every engine."""
    if request.param[1].get("use_uvloop"):
        pytest.importorskip("uvloop")
    return request.param
