"""The adapters pass the suite that every adapter must pass."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, ClassVar

import anyio.abc
import pytest
import trustme
from tests.adapters.common import children_now
from tests.adapters.handed_over import SCHEME, HandedAdapter
from tests.adapters.raw_streams import raw_child, raw_memory, raw_tcp

from duologue import register_adapter
from duologue.plugins import unregister_adapter
from duologue_contrib.testing import AdapterSuite


class TestTcp(AdapterSuite):
    url = "tcp://127.0.0.1:0"

    def raw_stream(self, url: str) -> AbstractAsyncContextManager[anyio.abc.ByteStream]:
        return raw_tcp(url)


class OverTls(AdapterSuite):
    """With a certificate of an authority that the client is told to trust."""

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
            **type(self).serve_options,
            "certificate": str(tmp_path / "certificate.pem"),
            "key": str(tmp_path / "key.pem"),
        }
        self.connect_options = {"ca": str(tmp_path / "authority.pem")}


class TestTls(OverTls):
    url = "tls://127.0.0.1:0"


class TestUnix(AdapterSuite):
    @pytest.fixture(autouse=True)
    def place(self, tmp_path: Path) -> None:
        self.url = f"unix://{tmp_path}/socket"


class TestWebSocket(AdapterSuite):
    url = "ws://127.0.0.1:0"
    serve_options: ClassVar[Mapping[str, Any]] = {"origins": []}
    has_halves = False
    connections = 250


class TestSecureWebSocket(OverTls):
    # frames within frames, and those encrypted: each of the two is tested with every wire format by itself
    url = "wss://127.0.0.1:0"
    wireformats = ("msgpack",)
    serve_options: ClassVar[Mapping[str, Any]] = {"origins": []}


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


class TestZeroMqFiles(AdapterSuite):
    # what this shows beside zmq+tcp has to do with addresses, not with frames
    wireformats = ("msgpack",)
    serve_options: ClassVar[Mapping[str, Any]] = {"heartbeat": 3.0}
    connections = 100

    @pytest.fixture(autouse=True)
    def place(self, tmp_path: Path) -> None:
        self.url = f"zmq+ipc://{tmp_path}/socket"


class TestZeroMqInProcess(AdapterSuite):
    url = "zmq+inproc://suite"
    wireformats = ("msgpack",)
    is_in_process = True
    connections = 100


class TestExecAndStdio(AdapterSuite):
    """Both ends here, and a child between them: `handed_over.py` says how. No child is left, either."""

    wireformats = ("msgpack",)
    connections = 30

    @pytest.fixture(autouse=True)
    def registered(self, tmp_path: Path) -> Iterator[None]:
        self.url = f"{SCHEME}://{tmp_path}/door"
        before = children_now()
        register_adapter(SCHEME, HandedAdapter())
        yield
        unregister_adapter(SCHEME)
        assert children_now() <= before

    def raw_stream(self, url: str) -> AbstractAsyncContextManager[anyio.abc.ByteStream]:
        return raw_child(url)

    def child_command(self, role: str, url: str, options: Mapping[str, Any], engine: str) -> list[str]:
        plan = super().child_command(role, url, options, engine)[-1]
        return [sys.executable, "-m", "tests.adapters.handed_over", plan]
