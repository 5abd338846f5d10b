"""The tests of the plug-in: `pytest check_pipes.py`, where it and duologue are installed. Both are the public suites."""

from __future__ import annotations

import itertools
import os
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.abc
import pytest
from duologue_pipes.pipes import come_in
from duologue_pipes.wireformat import MarkedJson

from duologue_contrib.testing import AdapterSuite, WireFormatSuite


class TestFifo(AdapterSuite):
    wireformats = ("marked-json", "json")
    connections = 50

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
        async with RawPipes(*await come_in(Path(url.removeprefix("fifo://")))) as stream:
            yield stream


class RawPipes(anyio.abc.ByteStream):
    """Two pipes, and nothing that knows what goes through them."""

    def __init__(self, reader: int, writer: int) -> None:
        self._reader = reader
        self._writer = writer

    async def receive(self, max_bytes: int = 65536) -> bytes:
        await anyio.wait_readable(self._reader)
        if data := os.read(self._reader, max_bytes):
            return data
        raise anyio.EndOfStream

    async def send(self, item: bytes) -> None:
        while item:
            await anyio.wait_writable(self._writer)
            try:
                item = item[os.write(self._writer, item) :]
            except BrokenPipeError as exc:
                raise anyio.BrokenResourceError from exc

    async def send_eof(self) -> None:
        os.close(self._writer)
        self._writer = -1

    async def aclose(self) -> None:
        os.close(self._reader)
        if self._writer >= 0:
            await self.send_eof()


class TestMarkedJson(WireFormatSuite):
    wireformat = MarkedJson()
    unbounded = MarkedJson(nesting=200, items=10**7)
