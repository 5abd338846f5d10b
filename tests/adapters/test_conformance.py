"""The adapters pass the suite that every adapter must pass."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

import anyio.abc
from tests.adapters.raw_streams import raw_memory, raw_tcp

from duologue_contrib.testing import AdapterSuite


class TestTcp(AdapterSuite):
    url = "tcp://127.0.0.1:0"

    def raw_stream(self, url: str) -> AbstractAsyncContextManager[anyio.abc.ByteStream]:
        return raw_tcp(url)


class TestMemory(AdapterSuite):
    url = "mem://suite"
    is_in_process = True

    def raw_stream(self, url: str) -> AbstractAsyncContextManager[anyio.abc.ByteStream]:
        return raw_memory(url)
