"""The transports that can be put over a network, or over a proxy, each with the options that it needs."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.adapters.certificates import Certificates

from duologue import Limits, Peer, Server, Services, connect, serve

SOCKETS = ("tcp", "unix", "tls", "ws", "zmq+tcp")
"""One of each kind."""

PINGING = ("ws", "wss", "zmq+tcp")
"""Those that ask by themselves whether the other end is there, whatever the system does."""


@dataclass(frozen=True)
class Transport:
    """Where to serve, and with which options to serve and to connect."""

    scheme: str
    url: str
    serve_options: dict[str, Any] = field(default_factory=dict[str, Any])
    connect_options: dict[str, Any] = field(default_factory=dict[str, Any])

    def serve(
        self,
        services: Services | None = None,
        *,
        limits: Limits = Limits(),
        on_peer: Callable[[Peer], None] | None = None,
        **options: Any,
    ) -> AbstractAsyncContextManager[Server]:
        return serve(
            self.url,
            services,
            wireformat="msgpack",
            limits=limits,
            on_peer=on_peer,
            **self.serve_options,
            **options,
        )

    def connect(
        self, url: str, services: Services | None = None, *, limits: Limits = Limits(), **options: Any
    ) -> AbstractAsyncContextManager[Peer]:
        return connect(url, services, wireformat="msgpack", limits=limits, **self.connect_options, **options)


def transport_of(scheme: str, folder: Path, certificates: Certificates, host: str = "127.0.0.1") -> Transport:
    """By its scheme."""
    if scheme == "unix":
        return Transport(scheme, f"unix://{folder}/socket")
    serve_options: dict[str, Any] = {}
    connect_options: dict[str, Any] = {}
    if scheme in ("tls", "wss"):
        serve_options |= certificates.server
        connect_options |= {"ca": certificates.ca_file, "server_hostname": "127.0.0.1"}
    if scheme in ("ws", "wss"):
        serve_options["origins"] = []
    if scheme.startswith("zmq") and host != "127.0.0.1":
        serve_options["insecure"] = connect_options["insecure"] = True
    return Transport(scheme, f"{scheme}://{host}:0", serve_options, connect_options)


@pytest.fixture
def transport(request: pytest.FixtureRequest, tmp_path: Path, certificates: Certificates) -> Transport:
    """The one that a test is parametrized with."""
    return transport_of(request.param, tmp_path, certificates)


def over(*schemes: str) -> pytest.MarkDecorator:
    """Run a test over each of these."""
    return pytest.mark.parametrize("transport", schemes or SOCKETS, indirect=True)
