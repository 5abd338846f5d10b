"""The tests of the plug-in: `pytest check_pipes.py`, where it and duologue are installed. Both are the public suites."""

from __future__ import annotations

import itertools
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio.abc
import pytest
from duologue_pipes.streams import open_as_client
from duologue_pipes.wireformat import MarkedJson

from duologue_contrib.testing import AdapterSuite, WireFormatSuite


class TestFifo(AdapterSuite):
    wireformats = ("marked-json", "json")
    connections = 200

    _folder: Path
    _numbers = itertools.count()

    @pytest.fixture(autouse=True)
    def _in_a_folder(self, tmp_path: Path) -> Iterator[None]:
        self._folder = tmp_path
        yield
        left = [path for path in tmp_path.rglob("*") if not path.is_dir() and path.name != "door"]
        assert left == [], "pipes are left"

    def listen_url(self) -> str:
        return f"fifo://{self._folder}/{next(self._numbers)}"

    @asynccontextmanager
    async def raw_stream(self, url: str) -> AsyncGenerator[anyio.abc.ByteStream, None]:
        async with await open_as_client(Path(url.removeprefix("fifo://"))) as stream:
            yield stream


class TestMarkedJson(WireFormatSuite):
    wireformat = MarkedJson()
    unbounded = MarkedJson(nesting=200, items=10**7)
