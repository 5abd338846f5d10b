"""The adapters pass the suite that every adapter must pass."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, ClassVar

import anyio.abc
import pytest
import trustme
from tests.adapters.raw_streams import raw_memory, raw_tcp

from duologue_contrib.testing import AdapterSuite


class TestTcp(AdapterSuite):
    url = "tcp://127.0.0.1:0"

    def raw_stream(self, url: str) -> AbstractAsyncContextManager[anyio.abc.ByteStream]:
        return raw_tcp(url)


class TestTls(AdapterSuite):
    url = "tls://127.0.0.1:0"
    has_halves = False
    connections = 100

    @pytest.fixture(autouse=True)
    def certificates(self, tmp_path: Path) -> None:
        authority = trustme.CA()
        mine = authority.issue_cert("127.0.0.1")
        mine.cert_chain_pems[0].write_to_path(tmp_path / "certificate.pem")
        mine.private_key_pem.write_to_path(tmp_path / "key.pem")
        authority.cert_pem.write_to_path(tmp_path / "authority.pem")
        self.serve_options = {
            "certificate": str(tmp_path / "certificate.pem"),
            "key": str(tmp_path / "key.pem"),
        }
        self.connect_options = {"ca": str(tmp_path / "authority.pem")}


class TestUnix(AdapterSuite):
    connections = 250

    @pytest.fixture(autouse=True)
    def place(self, tmp_path: Path) -> None:
        self.url = f"unix://{tmp_path}/socket"


class TestWebSocket(AdapterSuite):
    url = "ws://127.0.0.1:0"
    serve_options: ClassVar[Mapping[str, Any]] = {"origins": []}
    has_halves = False
    connections = 250


class TestZeroMq(AdapterSuite):
    url = "zmq+tcp://127.0.0.1:0"
    # a server learns of a client's end by its silence, which must not take long here
    serve_options: ClassVar[Mapping[str, Any]] = {"heartbeat": 3.0}
    connections = 100


class TestMemory(AdapterSuite):
    url = "mem://suite"
    is_in_process = True

    def raw_stream(self, url: str) -> AbstractAsyncContextManager[anyio.abc.ByteStream]:
        return raw_memory(url)
