"""The engines that the tests of the reconnecting client run on, and an end for tests that hang."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.adapters.certificates import Certificates
from tests.adapters.conftest import LONGEST
from tests.engines import anyio_backend as anyio_backend
from tests.engines import end_if_it_hangs

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """An authority, and what it has signed."""
    return Certificates(tmp_path_factory.mktemp("certificates"))


def pytest_itemcollected(item: pytest.Item) -> None:
    end_if_it_hangs(item, HERE, LONGEST)
