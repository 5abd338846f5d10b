"""Certificates for the tests of TLS, and remotes that know nothing of the library: blocking sockets in a thread."""

from __future__ import annotations

import datetime
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import trustme

PATIENCE = 20.0
"""Seconds after which a blocking socket gives up, so that a test that hangs ends."""


class Certificates:
    """An authority, and files with what it signs."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.ca = trustme.CA()
        self.other_ca = trustme.CA()
        self.ca_file = folder / "ca.pem"
        self.ca.cert_pem.write_to_path(str(self.ca_file))
        server = self.ca.issue_cert("127.0.0.1", "localhost")
        self.server = self._files("server", server)
        self.server_key = server.private_key_pem.bytes()
        self.client = self._files("client", self.ca.issue_cert("someone@example.org", common_name="someone"))
        self.stranger = self._files("stranger", self.other_ca.issue_cert("127.0.0.1", common_name="stranger"))
        past = datetime.datetime(2020, 1, 1)
        self.expired = self._files(
            "expired",
            self.ca.issue_cert("127.0.0.1", not_before=past, not_after=past + datetime.timedelta(days=30)),
        )
        future = datetime.datetime(2040, 1, 1)
        self.early = self._files(
            "early",
            self.ca.issue_cert(
                "127.0.0.1", not_before=future, not_after=future + datetime.timedelta(days=30)
            ),
        )
        self.elsewhere = self._files("elsewhere", self.ca.issue_cert("example.org"))

    def _files(self, name: str, leaf: trustme.LeafCert) -> dict[str, Any]:
        """The options for it."""
        certificate, key = self._folder / f"{name}.pem", self._folder / f"{name}.key"
        certificate.write_bytes(b"".join(each.bytes() for each in leaf.cert_chain_pems))
        leaf.private_key_pem.write_to_path(str(key))
        return {"certificate": certificate, "key": str(key)}

    def server_context(self, **settings: Any) -> ssl.SSLContext:
        """For a server by hand."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.server["certificate"], self.server["key"])
        for name, value in settings.items():
            setattr(context, name, value)
        return context

    def client_context(self, **settings: Any) -> ssl.SSLContext:
        """For a client by hand."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(self.ca_file)
        for name, value in settings.items():
            setattr(context, name, value)
        return context


@asynccontextmanager
async def server_in_thread(talk: Callable[[socket.socket], None]) -> AsyncIterator[str]:
    """A server for one connection; its URL."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE)

        def serve() -> None:
            with listener.accept()[0] as sock:
                sock.settimeout(PATIENCE)
                talk(sock)

        async with anyio.create_task_group() as group:
            group.start_soon(anyio.to_thread.run_sync, serve)
            yield f"tls://127.0.0.1:{listener.getsockname()[1]}"


async def talk_in_thread(url: str, talk: Callable[[socket.socket], None]) -> None:
    """Connect to a server, and talk to it to the end."""
    address = "127.0.0.1", int(url.rsplit(":", 1)[1])

    def connect() -> None:
        with socket.create_connection(address, PATIENCE) as sock:
            talk(sock)

    await anyio.to_thread.run_sync(connect)


def hang_up_rudely(tls: ssl.SSLSocket) -> None:
    """End the TCP stream, and say no goodbye in TLS."""
    socket.socket.shutdown(tls, socket.SHUT_WR)


def read_to_end(sock: socket.socket) -> bytes:
    """Everything, until the stream ends or breaks."""
    received = b""
    try:
        while data := sock.recv(65536):
            received += data
    except OSError:
        pass
    return received
