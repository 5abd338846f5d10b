"""`wss://`: WebSocket over TLS over TCP, and what each of the two layers has to say."""

from __future__ import annotations

import logging
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.streams.tls import TLSStream
from tests.adapters.certificates import Certificates
from tests.adapters.common import (
    RESPONSE_SID,
    Add,
    Echo,
    Tools,
    closed_event,
    frame,
    raw_client,
    tools,
    until,
)
from tests.adapters.websocket_sockets import library_client
from websockets.exceptions import ConnectionClosed, InvalidStatus

from duologue import CloseReason, ConnectFailed, Limits, Peer, Server, Services, connect, serve

REQUEST = (
    b"GET /chat HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


@asynccontextmanager
async def serving(
    certificates: Certificates,
    services: Services | None = None,
    *,
    limits: Limits = Limits(),
    **options: Any,
) -> AsyncIterator[tuple[Server, list[Peer]]]:
    """A server for everyone, and the peers that it has had."""
    peers: list[Peer] = []
    options = {"origins": "any", **certificates.server, **options}
    async with serve(
        "wss://127.0.0.1:0/chat", services, wireformat="json", limits=limits, on_peer=peers.append, **options
    ) as server:
        yield server, peers


@asynccontextmanager
async def tls_stream(server: Server, certificates: Certificates) -> AsyncIterator[TLSStream]:
    """A client that has TLS, and then does what the test wants."""
    host, port = server.url.removeprefix("wss://").removesuffix("/chat").split(":")
    stream = await anyio.connect_tcp(
        host, int(port), ssl_context=certificates.client_context(), tls_hostname=host
    )
    try:
        yield stream
    finally:
        await anyio.aclose_forcefully(stream)


async def test_calls_in_both_directions(certificates: Certificates) -> None:
    """Typed calls from either end, small and large, a clean end; what both layers know is in `info`."""
    here, there = Tools(), Tools()
    async with serving(certificates, there.services) as (server, peers):
        assert server.url.startswith("wss://127.0.0.1:")
        assert server.url.endswith("/chat")
        async with connect(server.url, here.services, wireformat="json", ca=certificates.ca_file) as client:
            for peer in (client, peers[0]):
                assert await peer.remote(tools).call(Add(a=1, b=2)) == 3
                assert await peer.remote(tools).call(Echo(data=b"x" * 500_000)) == b"x" * 500_000
            assert peers[0].info.extra["path"] == "/chat"
            assert peers[0].info.extra["tls"].version == "TLSv1.3"
            assert ("IP Address", "127.0.0.1") in client.info.extra["tls"].names
        assert await peers[0].wait_closed() is CloseReason.CLOSED_BY_REMOTE


async def test_another_librarys_client(certificates: Certificates) -> None:
    """Its TLS and its WebSocket, and our answer; a goodbye from either end is a clean one."""
    there = Tools()
    async with serving(certificates, there.services, origins=["https://example.org"]) as (server, peers):
        async with library_client(
            server.url, ssl=certificates.client_context(), origin="https://example.org"
        ) as socket:
            await socket.send(frame(tools.sid(Add), 1, b'{"a":1,"b":2}'))
            assert await socket.recv() == frame(RESPONSE_SID, 1, b"3")
        assert await peers[0].wait_closed() is CloseReason.CLOSED_BY_REMOTE
        async with library_client(server.url, ssl=certificates.client_context()) as socket:
            await until(lambda: len(peers) == 2)
            await peers[1].close()
            with pytest.raises(ConnectionClosed) as caught:
                await socket.recv()
            assert caught.value.rcvd is not None
            assert caught.value.rcvd.code == 1000
        with pytest.raises(InvalidStatus) as refused:
            async with library_client(
                server.url, ssl=certificates.client_context(), origin="https://evil.example"
            ):
                raise AssertionError
        assert refused.value.response.status_code == 403


@pytest.mark.parametrize("name", ["stranger", "expired", "elsewhere"])
async def test_a_server_that_must_not_be_trusted(certificates: Certificates, name: str) -> None:
    """TLS says no before a byte of WebSocket has left."""
    async with serving(certificates, None, **getattr(certificates, name)) as (server, peers):
        with pytest.raises(ConnectFailed) as caught:
            async with connect(server.url, wireformat="json", ca=certificates.ca_file):
                raise AssertionError
        assert not isinstance(caught.value.__cause__, ssl.SSLError)
        assert not peers


async def test_the_wrong_scheme(certificates: Certificates, caplog: pytest.LogCaptureFixture) -> None:
    """`ws` where `wss` is spoken, and the other way round: an error on each side, and no peer."""
    caplog.set_level(logging.INFO)
    async with serving(certificates) as (server, peers):
        with pytest.raises(ConnectFailed):
            async with connect(server.url.replace("wss", "ws"), wireformat="json"):
                raise AssertionError
        assert not peers
    async with serve("ws://127.0.0.1:0", wireformat="json", origins=[]) as plain:
        with pytest.raises(ConnectFailed, match="TLS"):
            async with connect(plain.url.replace("ws", "wss"), wireformat="json", ca=certificates.ca_file):
                raise AssertionError
        assert not tuple(plain.peers)
    assert not caplog.records


async def test_an_end_without_a_close_frame(certificates: Certificates) -> None:
    """TLS says goodbye, and WebSocket does not: cut short."""
    async with serving(certificates) as (server, peers):
        async with tls_stream(server, certificates) as stream:
            await stream.send(REQUEST)
            await until(lambda: bool(peers))
            with suppress(ssl.SSLError, anyio.EndOfStream, anyio.BrokenResourceError):
                await stream.unwrap()  # it says goodbye, and then waits for ours
        event = await closed_event(peers[0])
        assert event.reason is CloseReason.TRUNCATED
        assert "without a WebSocket close frame" in event.detail


@pytest.mark.fault(65)
async def test_slow_handshakes_hold_up_nobody(certificates: Certificates) -> None:
    """Clients that say nothing, and one that has TLS and then says nothing, are cut; others connect meanwhile."""
    there = Tools()
    limits = Limits(handshake_timeout=2.0)
    async with serving(certificates, there.services, limits=limits) as (server, peers):
        address = server.url.replace("wss", "tcp").removesuffix("/chat")
        async with raw_client(address) as silent, tls_stream(server, certificates) as slow:
            async with connect(server.url, wireformat="json", ca=certificates.ca_file) as client:
                assert await client.remote(tools).call(Add(a=1, b=2)) == 3
                assert await silent.read_to_end() == b""
                with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
                    await slow.receive()
                assert len(peers) == 1


async def test_options(certificates: Certificates, tmp_path: Path) -> None:
    """Those of TLS and of WebSocket together, each refused where it does not belong."""
    for options, text in (
        ({"origins": []}, "certificate"),
        (certificates.server, "origins= is missing"),
        ({**certificates.server, "origins": [], "ca": "x"}, "wss adapter does not know the option ca"),
    ):
        with pytest.raises(TypeError, match=text):
            async with serve("wss://127.0.0.1:0", wireformat="json", **options):
                raise AssertionError
    with pytest.raises(TypeError, match="ws adapter does not know the option certificate"):
        async with serve("ws://127.0.0.1:0", wireformat="json", origins=[], **certificates.server):
            raise AssertionError
    with pytest.raises(TypeError, match="wss adapter does not know the option origins"):
        async with connect("wss://127.0.0.1:1", wireformat="json", origins=[]):
            raise AssertionError
    (tmp_path / "index.html").write_bytes(b"<p>hello")
    async with serving(certificates, static=tmp_path) as (server, _):
        async with tls_stream(server, certificates) as stream:
            await stream.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            answer = b""
            with pytest.raises(anyio.EndOfStream):
                while True:
                    answer += await stream.receive()
            assert answer.endswith(b"<p>hello")
