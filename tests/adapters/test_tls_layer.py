"""The TLS layer by itself: two of them, and a list of bytes between. No socket, no loop."""

from __future__ import annotations

import _ssl
import ctypes
import ssl

import pytest
from tests.adapters.certificates import Certificates

from duologue_adapters import CutShort, LayerError
from duologue_adapters.layers import TlsIdentity, TlsLayer


def ends(certificates: Certificates, **settings: object) -> tuple[TlsLayer, TlsLayer]:
    """A client and a server that have said nothing yet to each other."""
    client = TlsLayer(certificates.client_context(**settings), server_hostname="localhost")
    return client, TlsLayer(certificates.server_context(), server_side=True)


def move(source: TlsLayer, target: TlsLayer, size: int = 2**30) -> bytes:
    """Pass on what one end has to say, in pieces of a size; what goes up at the other."""
    data = b"".join(source.data_to_send())
    received: list[bytes] = []
    for start in range(0, len(data), size):
        received += target.receive_data(data[start : start + size], 0.0)
    return b"".join(received)


def opened(certificates: Certificates, size: int = 2**30, **settings: object) -> tuple[TlsLayer, TlsLayer]:
    """A client and a server after their handshake."""
    client, server = ends(certificates, **settings)
    while not (client.is_open and server.is_open):
        assert move(client, server, size) == b""
        assert move(server, client, size) == b""
    assert move(server, client, size) == b""
    return client, server


@pytest.mark.parametrize("size", [1, 7, 2**30])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_bytes_through_both_ends(certificates: Certificates, size: int, version: ssl.TLSVersion) -> None:
    """However the bytes are cut: a handshake, data in both directions, large ones too, and goodbyes."""
    client, server = opened(certificates, size, maximum_version=version)
    client.send_data([b"ab", b"", b"cd" * 10_000], 0.0)
    assert move(client, server, size) == b"ab" + b"cd" * 10_000
    server.send_data([b"answer"], 0.0)
    assert move(server, client, size) == b"answer"
    client.send_data([b""], 0.0)
    assert client.data_to_send() == []
    assert client.next_deadline() is None
    client.handle_timer(0.0)


def test_a_goodbye_ends_one_half(certificates: Certificates) -> None:
    """After `close_notify` the other end still answers, and what it says arrives; then its own goodbye."""
    client, server = opened(certificates)
    client.send_data([b"last words"], 0.0)
    client.send_eof(0.0)
    assert move(client, server) == b"last words"
    assert server.is_ended
    server.receive_eof(0.0)
    server.send_data([b"the answer"], 0.0)
    assert move(server, client) == b"the answer"
    assert not client.is_ended
    server.send_eof(0.0)
    assert move(server, client) == b""
    assert client.is_ended
    client.receive_eof(0.0)
    assert client.receive_data(b"junk behind it", 0.0) == []


@pytest.mark.fault(71)
def test_an_end_without_a_goodbye(certificates: Certificates) -> None:
    """The TCP stream ends, and TLS knows nothing of it: cut short, whether or not we have said goodbye."""
    client, server = opened(certificates)
    server.send_eof(0.0)
    for layer in (client, server):
        with pytest.raises(CutShort, match="without close_notify"):
            layer.receive_eof(0.0)


def test_an_end_in_the_handshake(certificates: Certificates) -> None:
    """No connection yet, so nothing is cut short: it failed."""
    for layer in ends(certificates):
        with pytest.raises(LayerError, match="hung up during the TLS handshake") as caught:
            layer.receive_eof(0.0)
        assert not isinstance(caught.value, CutShort)


def test_changed_bytes(certificates: Certificates) -> None:
    """One bit is another on the way: nothing of the record goes up."""
    client, server = opened(certificates)
    client.send_data([b"secret"], 0.0)
    data = bytearray(b"".join(client.data_to_send()))
    data[-1] ^= 1
    with pytest.raises(LayerError, match=r"TLS failed .*mac"):
        server.receive_data(bytes(data), 0.0)
    assert server.data_to_send(), "an alert says why"


@pytest.mark.skipif(not ssl.HAS_TLSv1_1, reason="this OpenSSL has forgotten it")
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated")
def test_no_version_before_1_2(certificates: Certificates) -> None:
    """A context that allows what is too old is no way around it."""
    client = certificates.client_context(maximum_version=ssl.TLSVersion.TLSv1_1)
    server = certificates.server_context(minimum_version=ssl.TLSVersion.TLSv1_1)
    client.minimum_version = ssl.TLSVersion.TLSv1_1
    for context in (client, server):
        context.set_ciphers("DEFAULT@SECLEVEL=0")
    one, other = TlsLayer(client, server_hostname="localhost"), TlsLayer(server, server_side=True)
    with pytest.raises(LayerError, match=r"TLS 1\.2 or later is needed"):
        for _ in range(4):
            move(one, other)
            move(other, one)
    assert not (one.is_open and other.is_open)


def test_who_the_other_end_is(certificates: Certificates) -> None:
    """The client knows the server's certificate, the server that the client has shown none."""
    client, server = opened(certificates)
    identity = client.extra["tls"]
    assert isinstance(identity, TlsIdentity)
    assert identity.version == "TLSv1.3"
    assert identity.cipher.startswith("TLS_")
    assert set(identity.names) == {("IP Address", "127.0.0.1"), ("DNS", "localhost")}
    assert identity.certificate["issuer"]
    assert identity.certificate_der
    identity = server.extra["tls"]
    assert (identity.names, identity.subject, identity.certificate, identity.certificate_der) == (
        (),
        "",
        {},
        b"",
    )


@pytest.mark.parametrize(
    "junk", [b"\0", b"GET / HTTP/1.1\r\n\r\n", bytes(range(24, 64)), b"\x16\x03junk and more"]
)
def test_bytes_that_are_no_tls(certificates: Certificates, junk: bytes) -> None:
    """Refused as soon as they can't be TLS any more, by a client and by a server, in words without their bytes."""
    for layer in ends(certificates):
        with pytest.raises(LayerError) as caught:
            layer.receive_data(junk, 0.0)
            layer.receive_eof(0.0)
        assert "TLS" in str(caught.value)
        assert "GET" not in str(caught.value)


def ask_for_new_keys(layer: TlsLayer) -> None:
    """As any client may (RFC 8446, section 4.6.3). Python has no words for it, so the library is asked itself."""
    try:
        update = ctypes.CDLL(_ssl.__file__).SSL_key_update
    except (AttributeError, OSError):
        pytest.skip("this Python has OpenSSL where it can't be called")
    session = layer._tls._sslobj  # type: ignore[attr-defined]
    # The object's head, the socket, and then OpenSSL's own object.
    pointer = ctypes.c_void_p.from_address(
        id(session) + object.__basicsize__ + ctypes.sizeof(ctypes.c_void_p)
    )
    update.argtypes = (ctypes.c_void_p, ctypes.c_int)
    assert update(pointer, 1) == 1
    layer.send_data([b"x"], 0.0)


@pytest.mark.fault(40)
def test_a_flood_of_requests_for_new_keys(certificates: Certificates) -> None:
    """Each is answered, and who sends them without reading the answers gets no further than some hundreds."""
    client, server = opened(certificates)
    for _ in range(1000):
        ask_for_new_keys(client)
        assert move(client, server) == b"x"
        move(server, client)
    received = 0
    with pytest.raises(LayerError, match="a flood of requests for new keys"):
        for _ in range(10_000):
            ask_for_new_keys(client)
            received += len(move(client, server))
    assert 100 < received < 1000
    assert len(b"".join(server.data_to_send())) < 20_000


def test_what_came_before_the_failure(certificates: Certificates) -> None:
    """In one piece with what breaks TLS: it is handed up first, and then the layer's time is over."""
    client, server = opened(certificates)
    client.send_data([b"good"], 0.0)
    good = b"".join(client.data_to_send())
    client.send_data([b"bad"], 0.0)
    bad = bytearray(b"".join(client.data_to_send()))
    bad[-1] ^= 1
    assert server.receive_data(good + bad, 0.0) == [b"good"]
    assert server.next_deadline() == 0.0
    for fail in (server.handle_timer, server.receive_eof, lambda now: server.receive_data(b"more", now)):
        with pytest.raises(LayerError, match=r"TLS failed .*mac"):
            fail(1.0)
    assert server.data_to_send(), "an alert says why"
