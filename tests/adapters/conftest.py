"""The engines and transports that the tests of the driver run on, and an end for tests that hang."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from tests.adapters.certificates import Certificates
from tests.engines import anyio_backend as anyio_backend
from tests.engines import end_if_it_hangs, longest

HERE = Path(__file__).parent
LONGEST = longest(60)
"""Seconds after which a test hangs for sure. Most take some milliseconds."""

_names = itertools.count(1)


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
    end_if_it_hangs(item, HERE, LONGEST)
