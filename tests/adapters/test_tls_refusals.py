"""Servers that must not be trusted, and options that can't be meant: refused, in words, before any byte of ours leaves."""

from __future__ import annotations

import logging
import socket
import ssl
import warnings
from pathlib import Path
from typing import Any

import pytest
from tests.adapters.certificates import Certificates, read_to_end, server_in_thread
from tests.adapters.common import Add, Tools, tools

from duologue import ConnectFailed, HandshakeTimeout, Limits, Peer, connect, serve
from duologue_adapters import LayerError

HERE = "tls://127.0.0.1:0"
RECORDS = {20: "change cipher spec", 21: "alert", 22: "handshake"}


def assert_no_data(received: bytes) -> None:
    """Records of a handshake, and no application data."""
    while received:
        assert received[0] in RECORDS
        received = received[5 + int.from_bytes(received[3:5]) :]


@pytest.mark.fault(70)
@pytest.mark.parametrize(
    ("shown", "options", "text"),
    [
        (
            "elsewhere",
            {},
            r"not for '127\.0\.0\.1': connect to a name that it has, or give that name by server_hostname=",
        ),
        ("server", {"server_hostname": "example.org"}, r"not for 'example\.org'"),
        ("stranger", {}, "signed by nobody who is trusted here: give the authority's own by ca="),
        ("server", {"ca": None}, "signed by nobody who is trusted here"),
        ("expired", {}, "has expired"),
        ("early", {}, "not valid yet"),
    ],
)
async def test_certificates_that_must_not_be_trusted(
    certificates: Certificates,
    caplog: pytest.LogCaptureFixture,
    shown: str,
    options: dict[str, Any],
    text: str,
) -> None:
    """Wrong name, unknown authority, expired, not valid yet: `ConnectFailed`, which says what to do. The server makes no
    peer, logs nothing, and serves on.
    """
    caplog.set_level(logging.INFO)
    arrived: list[Peer] = []
    options = {"ca": certificates.ca_file, **options}
    async with serve(
        HERE, Tools().services, wireformat="json", on_peer=arrived.append, **getattr(certificates, shown)
    ) as server:
        with pytest.raises(ConnectFailed, match=text) as caught:
            async with connect(server.url, wireformat="json", **options):
                raise AssertionError
        assert caught.value.url == server.url
        assert isinstance(caught.value.__cause__, LayerError)
        assert arrived == []
        if shown == "elsewhere":
            async with connect(
                server.url, wireformat="json", ca=certificates.ca_file, server_hostname="example.org"
            ) as peer:
                assert await peer.remote(tools).call(Add(a=1, b=2)) == 3
    assert not caplog.records


@pytest.mark.fault(70)
async def test_a_self_signed_certificate(certificates: Certificates) -> None:
    """A certificate that has signed itself is not trusted, unless it is the one given by `ca`; there is no way to say `any`."""
    folder = certificates.ca_file.parent
    key = folder / "self.key"
    key.write_bytes(certificates.ca.private_key_pem.bytes())
    async with serve(HERE, wireformat="json", certificate=certificates.ca_file, key=key) as server:
        with pytest.raises(ConnectFailed, match="trusted here"):
            async with connect(server.url, wireformat="json"):
                raise AssertionError
        with pytest.raises(TypeError, match="does not know the option verify"):
            async with connect(server.url, wireformat="json", verify=False):
                raise AssertionError


@pytest.mark.fault(70)
@pytest.mark.parametrize(
    ("answer", "text"),
    [
        pytest.param(b"\x15\x03\x02\x00\x02\x02\x46", "TLS 1.2 or later is needed", id="an alert of TLS 1.1"),
        pytest.param(
            b"\x16\x03\x02\x00\x2a\x02\x00\x00\x26\x03\x02" + bytes(32) + b"\x00\x00\x2f\x00",
            "TLS 1.2 or later is needed",
            id="a hello of TLS 1.1",
        ),
        pytest.param(b"HTTP/1.1 400 Bad Request\r\n\r\n", "does not speak TLS there", id="http"),
        pytest.param(b"SSH-2.0-OpenSSH_9.9\r\n", "does not speak TLS there", id="ssh"),
        pytest.param(b"", "hung up during the TLS handshake", id="nothing"),
    ],
)
async def test_servers_that_speak_something_else(
    certificates: Certificates, answer: bytes, text: str
) -> None:
    """TLS 1.1 and no more, or no TLS at all. Nothing but a handshake ever left."""
    received: list[bytes] = []

    def talk(sock: socket.socket) -> None:
        received.append(sock.recv(65536))
        sock.sendall(answer)
        sock.shutdown(socket.SHUT_WR)
        received.append(read_to_end(sock))

    async with server_in_thread(talk) as url:
        with pytest.raises(ConnectFailed, match=text):
            async with connect(url, wireformat="json", ca=certificates.ca_file):
                raise AssertionError
    assert_no_data(b"".join(received))


async def test_a_server_without_tls(caplog: pytest.LogCaptureFixture) -> None:
    """`tls://` to a port for `tcp://`: `ConnectFailed`, and the server takes it for what it is, a frame that is far too large."""
    caplog.set_level(logging.INFO)
    async with serve("tcp://127.0.0.1:0", Tools().services, wireformat="json") as server:
        with pytest.raises(ConnectFailed, match="does not speak TLS there: is it a port for tcp:// or ws://"):
            async with connect(server.url.replace("tcp", "tls"), wireformat="json"):
                raise AssertionError
        async with connect(server.url, wireformat="json") as peer:
            assert await peer.remote(tools).call(Add(a=1, b=2)) == 3
    assert not caplog.records


@pytest.mark.fault(65)
async def test_a_server_that_never_answers() -> None:
    """It accepts, and says nothing: `HandshakeTimeout`."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"tls://127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(HandshakeTimeout):
            async with connect(url, wireformat="json", limits=Limits(handshake_timeout=0.1)):
                raise AssertionError


async def test_nobody_listens() -> None:
    """As with TCP."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        with pytest.raises(ConnectFailed):
            async with connect(f"tls://127.0.0.1:{sock.getsockname()[1]}", wireformat="json"):
                raise AssertionError


# -- options ---------------------------------------------------------------------------------------------


async def refused_connect(error: type[Exception], text: str, **options: Any) -> None:
    with pytest.raises(error, match=text):
        async with connect("tls://127.0.0.1:1", wireformat="json", **options):
            raise AssertionError


async def refused_serve(error: type[Exception], text: str, url: str = HERE, **options: Any) -> None:
    with pytest.raises(error, match=text):
        async with serve(url, wireformat="json", **options):
            raise AssertionError


async def test_options_of_a_client(certificates: Certificates, tmp_path: Path) -> None:
    """What can't be meant is told before anything is done."""
    context = certificates.client_context()
    await refused_connect(TypeError, "does not know the option client_ca", client_ca="x")
    await refused_connect(TypeError, "leave out ca", ssl_context=context, ca="x")
    await refused_connect(TypeError, r"give an ssl\.SSLContext", ssl_context=True)
    await refused_connect(TypeError, "key= without certificate=", key="x")
    await refused_connect(TypeError, "give a path", ca=7)
    await refused_connect(ConnectFailed, r"ca: .* can't be used", ca=tmp_path / "missing.pem")
    await refused_connect(ConnectFailed, "ca: the bytes can't be used", ca=b"-----BEGIN nothing")
    await refused_connect(ConnectFailed, "can't be used", certificate=tmp_path / "missing.pem")
    await refused_connect(ConnectFailed, "is no name of a host", server_hostname=".example.org")
    context = certificates.server_context(verify_mode=ssl.CERT_REQUIRED, check_hostname=True)
    await refused_connect(ConnectFailed, "not for clients", ssl_context=context)


async def test_options_of_a_server(certificates: Certificates, tmp_path: Path) -> None:
    """A server that does not say who it is can't be; a key that is encrypted needs its password, and nobody is asked for it."""
    await refused_serve(TypeError, "give certificate= and key=")
    await refused_serve(
        TypeError, "give certificate= and key=", certificate=certificates.server["certificate"]
    )
    await refused_serve(TypeError, "does not know the option ca", ca="x")
    files = dict(certificates.server)
    await refused_serve(
        TypeError, "leave out certificate, key", ssl_context=certificates.server_context(), **files
    )
    await refused_serve(ConnectFailed, "can't be used", **{**files, "key": certificates.client["key"]})
    await refused_serve(ConnectFailed, "not for servers", ssl_context=certificates.client_context())
    await refused_serve(ConnectFailed, "can't listen there", "tls://192.0.2.1:0", **files)
    await refused_serve(ConnectFailed, "scheme://host:port", "tls://127.0.0.1", **files)
    locked = tmp_path / "locked.key"
    locked.write_bytes(encrypted(certificates.server_key, b"sesame"))
    files["key"] = str(locked)
    await refused_serve(ConnectFailed, "needs password=", **files)
    await refused_serve(ConnectFailed, "needs password=", password="wrong", **files)
    async with serve(HERE, Tools().services, wireformat="json", password="sesame", **files) as server:
        async with connect(server.url, wireformat="json", ca=certificates.ca_file) as peer:
            assert await peer.remote(tools).call(Add(a=1, b=2)) == 3


@pytest.mark.parametrize("kind", [bytes, str, bytearray])
async def test_a_key_in_the_place_of_its_path(
    certificates: Certificates, kind: type[bytes | str | bytearray]
) -> None:
    """The mistake is refused, and the error does not tell the key to whoever reads the log."""
    key: object = certificates.server_key.decode() if kind is str else kind(certificates.server_key)
    files = certificates.server
    secret = certificates.server_key.decode().splitlines()[1]
    for option in ("certificate", "key", "client_ca"):
        with pytest.raises((ConnectFailed, TypeError)) as caught:
            async with serve(HERE, wireformat="json", **{**files, option: key}):
                pass
        assert secret not in repr(caught.value)


def encrypted(key: bytes, password: bytes) -> bytes:
    """The key, so that it needs a password. (The library comes with trustme.)"""
    from cryptography.hazmat.primitives import serialization

    return serialization.load_pem_private_key(key, None).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(password),
    )


@pytest.mark.fault(70)
@pytest.mark.parametrize("what", ["nothing", "no name"])
async def test_a_context_that_does_not_verify_warns(certificates: Certificates, what: str) -> None:
    """It is used, since it was given; but not without a word."""
    context = certificates.client_context(check_hostname=False)
    if what == "nothing":
        context.verify_mode = ssl.CERT_NONE
    async with serve(HERE, Tools().services, wireformat="json", **certificates.elsewhere) as server:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            async with connect(server.url, wireformat="json", ssl_context=context) as peer:
                assert await peer.remote(tools).call(Add(a=1, b=2)) == 3
                assert bool(peer.info.extra["tls"].certificate) is (what == "no name")
    assert any("does not verify the server and its name" in str(each.message) for each in caught)


async def test_contexts_of_ones_own(certificates: Certificates) -> None:
    """Ready contexts at both ends, which verify: no warning."""
    async with serve(
        HERE, Tools().services, wireformat="json", ssl_context=certificates.server_context()
    ) as server:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            async with connect(
                server.url, wireformat="json", ssl_context=certificates.client_context()
            ) as peer:
                assert await peer.remote(tools).call(Add(a=1, b=2)) == 3
