"""TLS over real sockets: calls through it, who may connect, and every way in which it ends."""

from __future__ import annotations

import logging
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from tests.adapters.certificates import (
    Certificates,
    hang_up_rudely,
    read_to_end,
    server_in_thread,
    talk_in_thread,
)
from tests.adapters.common import (
    RESPONSE_SID,
    Add,
    Echo,
    Hold,
    Say,
    Tools,
    closed_event,
    frame,
    raw_client,
    tools,
    turn,
    until,
)

from duologue import (
    CloseReason,
    ConnectionLost,
    Context,
    Limits,
    Message,
    Namespace,
    Peer,
    Server,
    Services,
    connect,
    serve,
)
from duologue.plugins import find_wireformat
from duologue_adapters.layers import TlsIdentity

HERE = "tls://127.0.0.1:0"


@asynccontextmanager
async def tls_server(
    certificates: Certificates,
    services: Services | None = None,
    limits: Limits = Limits(),
    on_peer: Callable[[Peer], None] | None = None,
    **options: Any,
) -> AsyncIterator[Server]:
    """A server that anyone who knows the authority can trust."""
    options = options or certificates.server
    async with serve(
        HERE, services, wireformat="msgpack", limits=limits, on_peer=on_peer, **options
    ) as server:
        yield server


@asynccontextmanager
async def tls_pair(
    certificates: Certificates,
    server: Services | None = None,
    client: Services | None = None,
    limits: Limits = Limits(),
) -> AsyncIterator[tuple[Peer, Peer]]:
    """A client's peer, and the server's peer of it."""
    peers: list[Peer] = []
    async with (
        tls_server(certificates, server, limits, peers.append) as serving,
        connect(serving.url, client, wireformat="msgpack", limits=limits, ca=certificates.ca_file) as peer,
    ):
        await until(lambda: bool(peers))
        yield peer, peers[0]


def plain(url: str) -> str:
    """For a bare socket."""
    return url.replace("tls://", "tcp://")


def sid_of(message: type[Message[Any]]) -> int:
    return tools.sid(message)


# -- through it ----------------------------------------------------------------------------------------


async def test_calls_in_both_directions(certificates: Certificates) -> None:
    """The URL says tls at both ends, and all else is as with any other transport."""
    here, there = Tools(), Tools()
    async with tls_pair(certificates, there.services, here.services) as (client, server):
        for peer in (client, server):
            assert await peer.remote(tools).call(Add(a=1, b=2)) == 3
            await peer.remote(tools).send(Say(text="hello"))
        await here.until(lambda: here.said == ["hello"])
        await there.until(lambda: there.said == ["hello"])
        await client.close()
        assert await client.wait_closed() is CloseReason.CLOSED_LOCALLY
        assert await server.wait_closed() is CloseReason.CLOSED_BY_REMOTE


async def test_a_frame_of_exactly_1_mib(certificates: Certificates) -> None:
    """The largest frame there may be, in both directions."""
    codec = find_wireformat("msgpack").codec(Echo)
    data = bytes(2**20 - 24 - (len(codec.encode(Echo(data=bytes(2**17)))) - 2**17))
    assert len(codec.encode(Echo(data=data))) + 24 == 2**20
    here, there = Tools(), Tools()
    async with tls_pair(certificates, there.services, here.services) as (client, server):
        for peer in (client, server):
            assert await peer.remote(tools).call(Echo(data=data)) == data


async def test_much_at_once(certificates: Certificates) -> None:
    """Both ends push large messages at each other at the same time: all arrive."""
    here, there = Tools(), Tools()
    async with tls_pair(certificates, there.services, here.services) as (client, server):
        answers: list[bool] = []

        async def call(peer: Peer, number: int) -> None:
            data = bytes([number]) * 200_000
            answers.append(await peer.remote(tools).call(Echo(data=data)) == data)

        async with anyio.create_task_group() as group:
            for number in range(30):
                group.start_soon(call, client, number)
                group.start_soon(call, server, number)
        assert answers == [True] * 60


async def test_by_name_and_from_bytes(certificates: Certificates) -> None:
    """A host by its name; the authority as bytes, in PEM and in DER, and as a folder would be: in a file."""
    der = ssl.PEM_cert_to_DER_cert(certificates.ca.cert_pem.bytes().decode())
    async with tls_server(certificates, Tools().services) as server:
        by_name = server.url.replace("127.0.0.1", "localhost")
        for url, ca in (
            (by_name, str(certificates.ca_file)),
            (server.url, certificates.ca.cert_pem.bytes()),
            (server.url, der),
        ):
            async with connect(url, wireformat="msgpack", ca=ca) as peer:
                assert await peer.remote(tools).call(Add(a=1, b=2)) == 3


# -- who is there ---------------------------------------------------------------------------------------


class Who(Message[str]):
    pass


people = Namespace("people", [Who])


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_who_calls(certificates: Certificates, version: ssl.TLSVersion) -> None:
    """With `client_ca` a client must show a certificate, and a handler knows whose it is."""
    services = Services(people)

    async def who(msg: Who, ctx: Context) -> str:
        identity = ctx.peer.info.extra["tls"]
        assert isinstance(identity, TlsIdentity)
        return f"{identity.subject} {identity.names[0][1]} {identity.version}"

    services.handler(Who, who)
    context = certificates.client_context(maximum_version=version)
    context.load_cert_chain(certificates.client["certificate"], certificates.client["key"])
    options = {"client_ca": certificates.ca_file, **certificates.server}
    async with tls_server(certificates, services, **options) as server:
        async with connect(server.url, wireformat="msgpack", ssl_context=context) as peer:
            answer = await peer.remote(people).call(Who())
            assert (
                answer
                == f"someone someone@example.org {'TLSv1.2' if version == ssl.TLSVersion.TLSv1_2 else 'TLSv1.3'}"
            )
            assert ("DNS", "localhost") in peer.info.extra["tls"].names
        async with connect(
            server.url, wireformat="msgpack", ca=certificates.ca_file, **certificates.client
        ) as peer:
            assert (await peer.remote(people).call(Who())).startswith("someone")


@pytest.mark.fault(70)
@pytest.mark.parametrize("which", ["none", "of a stranger"])
async def test_clients_that_may_not_come_in(
    certificates: Certificates, caplog: pytest.LogCaptureFixture, which: str
) -> None:
    """No certificate, or one that a stranger has signed. In TLS 1.3 a client's handshake is done before the server has
    looked, so the client learns it from its first call; none of its messages gets through, and no peer is made.
    """
    caplog.set_level(logging.INFO)
    shown = certificates.stranger if which == "of a stranger" else {}
    options = {"client_ca": certificates.ca_file, **certificates.server}
    arrived: list[Peer] = []
    async with tls_server(certificates, Tools().services, Limits(), arrived.append, **options) as server:
        async with connect(server.url, wireformat="msgpack", ca=certificates.ca_file, **shown) as peer:
            event = await closed_event(peer)
        assert event.reason is CloseReason.REFUSED
        text = "demands a certificate" if which == "none" else "does not accept this end's certificate"
        assert text in event.detail
    assert arrived == []
    assert not caplog.records


# -- the end --------------------------------------------------------------------------------------------


async def test_a_close_with_grace(certificates: Certificates) -> None:
    """A handler that runs may finish, and its answer still goes out through TLS."""
    there = Tools()
    async with tls_pair(certificates, there.services) as (client, server):
        async with anyio.create_task_group() as group:
            answers: list[str] = []

            async def call() -> None:
                answers.append(await client.remote(tools).call(Hold(name="last")))

            async def close() -> None:
                await server.close(grace=10)

            group.start_soon(call)
            await there.until(lambda: there.running == 1)
            group.start_soon(close)
            await turn(5)
            there.release.set()
        assert answers == ["last"]
        assert await client.wait_closed() is CloseReason.CLOSED_BY_REMOTE
        assert await server.wait_closed() is CloseReason.CLOSED_LOCALLY


async def test_a_half_close(certificates: Certificates) -> None:
    """A remote that says goodbye, and waits for its answer: the answer arrives, then our goodbye, and the end is clean."""
    there = Tools()
    peers: list[Peer] = []
    payload = find_wireformat("msgpack").codec(Add).encode(Add(a=1, b=2))

    def talk(sock: socket.socket) -> None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = certificates.client_context().wrap_bio(incoming, outgoing, server_hostname="localhost")
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                sock.sendall(outgoing.read())
                incoming.write(sock.recv(65536))
        tls.write(frame(sid_of(Add), 1, payload))
        with pytest.raises(ssl.SSLWantReadError):
            tls.unwrap()
        sock.sendall(outgoing.read())
        sock.shutdown(socket.SHUT_WR)
        incoming.write(read_to_end(sock))
        answer = tls.read(65536)
        assert struct.unpack_from("<QQ", answer, 8) == (RESPONSE_SID, 1)
        with pytest.raises(ssl.SSLZeroReturnError):
            tls.read(1)

    async with tls_server(certificates, there.services, Limits(eof_grace=5), peers.append) as server:
        await talk_in_thread(server.url, talk)
        assert await peers[0].wait_closed() is CloseReason.CLOSED_BY_REMOTE


@pytest.mark.fault(71)
@pytest.mark.parametrize("rest", [b"", frame(1, 1, b"x")[:10]])
async def test_a_client_that_ends_without_a_goodbye(certificates: Certificates, rest: bytes) -> None:
    """The TCP stream ends, and no `close_notify` came: truncated, between two frames just as inside one."""
    peers: list[Peer] = []
    there = Tools()

    def talk(sock: socket.socket) -> None:
        with certificates.client_context().wrap_socket(sock, server_hostname="localhost") as tls:
            tls.sendall(
                frame(sid_of(Say), 0, find_wireformat("msgpack").codec(Say).encode(Say(text="x"))) + rest
            )
            hang_up_rudely(tls)
            read_to_end(tls)

    async with tls_server(certificates, there.services, Limits(eof_grace=5), peers.append) as server:
        await talk_in_thread(server.url, talk)
        event = await closed_event(peers[0])
        assert event.reason is CloseReason.TRUNCATED
        assert ("close_notify" in event.detail) is not bool(rest)
        assert there.said == ["x"]


@pytest.mark.fault(71)
async def test_a_server_that_ends_without_a_goodbye(certificates: Certificates) -> None:
    """A call that waits fails with `ConnectionLost`, truncated: its answer may have been cut off by anyone."""

    def talk(sock: socket.socket) -> None:
        with certificates.server_context().wrap_socket(sock, server_side=True) as tls:
            assert tls.recv(65536)
            hang_up_rudely(tls)
            read_to_end(tls)

    async with server_in_thread(talk) as url:
        async with connect(url, wireformat="msgpack", ca=certificates.ca_file) as peer:
            with pytest.raises(ConnectionLost, match="close_notify") as caught:
                await peer.remote(tools).call(Add(a=1, b=2))
            assert caught.value.reason is CloseReason.TRUNCATED


@pytest.mark.fault(71)
async def test_a_goodbye_that_is_no_end_of_tcp(certificates: Certificates) -> None:
    """`close_notify`, and the socket stays open: that is the clean end of the stream, and we don't wait for more."""

    def talk(sock: socket.socket) -> None:
        with certificates.server_context().wrap_socket(sock, server_side=True) as tls:
            assert tls.recv(65536)
            tls.unwrap().close()

    async with server_in_thread(talk) as url:
        async with connect(url, wireformat="msgpack", ca=certificates.ca_file) as peer:
            with pytest.raises(ConnectionLost) as caught:
                await peer.remote(tools).call(Add(a=1, b=2))
            assert caught.value.reason is CloseReason.CLOSED_BY_REMOTE


# -- those who do no good ---------------------------------------------------------------------------------


@pytest.mark.fault(65)
@pytest.mark.parametrize("said", ["nothing", "half a greeting"])
async def test_handshakes_that_never_end(
    certificates: Certificates, caplog: pytest.LogCaptureFixture, said: str
) -> None:
    """Connections that begin a handshake and don't end it: others are served meanwhile, and those are cut, without a word."""
    caplog.set_level(logging.INFO)
    hello = ssl.MemoryBIO()
    tls = certificates.client_context().wrap_bio(ssl.MemoryBIO(), hello, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    beginning = hello.read()[: 0 if said == "nothing" else 100]
    limits = Limits(handshake_timeout=2.0)
    async with tls_server(certificates, Tools().services, limits) as server:
        async with (
            raw_client(plain(server.url)) as one,
            raw_client(plain(server.url)) as two,
            connect(server.url, wireformat="msgpack", ca=certificates.ca_file) as peer,
        ):
            for raw in (one, two):
                await raw.send(beginning)
            assert await peer.remote(tools).call(Add(a=1, b=2)) == 3
            assert len(tuple(server.peers)) == 1
            for raw in (one, two):
                assert await raw.read_to_end() == b""
            assert await peer.remote(tools).call(Add(a=1, b=2)) == 3
    assert not caplog.records


@pytest.mark.fault(10, 65)
@pytest.mark.parametrize(
    "said", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\xff\xff" + bytes(100), frame(1, 1)]
)
async def test_what_is_no_tls_on_a_tls_port(
    certificates: Certificates, caplog: pytest.LogCaptureFixture, said: bytes
) -> None:
    """It gets an alert, or nothing, and the end; no peer is made, nothing is logged, and others are served."""
    caplog.set_level(logging.INFO)
    async with tls_server(certificates, Tools().services) as server:
        async with raw_client(plain(server.url)) as raw:
            await raw.send(said)
            answer = await raw.read_to_end()
            assert answer[:1] in (b"", b"\x15")
        async with connect(server.url, wireformat="msgpack", ca=certificates.ca_file) as peer:
            assert await peer.remote(tools).call(Add(a=1, b=2)) == 3
    assert not caplog.records


async def test_a_client_without_tls(certificates: Certificates, caplog: pytest.LogCaptureFixture) -> None:
    """`tcp://` to a port for `tls://`: TCP itself connects, so the first call fails; the server knows of no peer."""
    caplog.set_level(logging.INFO)
    async with tls_server(certificates, Tools().services) as server:
        async with connect(plain(server.url), wireformat="msgpack") as peer:
            with pytest.raises(ConnectionLost) as caught:
                await peer.remote(tools).call(Add(a=1, b=2))
            # An alert is a piece of a frame for it; not every OpenSSL sends one to somebody who speaks no TLS.
            assert caught.value.reason is not CloseReason.CLOSED_LOCALLY
        assert not tuple(server.peers)
    assert not caplog.records
