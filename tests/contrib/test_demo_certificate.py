"""The certificate that the demo makes for itself."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from duologue_contrib.demo import certificate
from duologue_contrib.demo.certificate import KeyPair, throwaway_key_pair


@pytest.fixture(scope="module")
def pair() -> KeyPair:
    return throwaway_key_pair()


def shake_hands(pair: KeyPair, directory: Path, host: str, trusted: str) -> str | None:
    """A client and a server in memory. Returns the version that they agree on."""
    (directory / "certificate.pem").write_text(pair.certificate)
    (directory / "key.pem").write_text(pair.key)
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    serving.load_cert_chain(directory / "certificate.pem", directory / "key.pem")
    connecting = ssl.create_default_context(cadata=trusted)
    connecting.verify_flags |= ssl.VerifyFlags.VERIFY_X509_STRICT  # as it is by default from Python 3.13 on
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = connecting.wrap_bio(back, there, server_hostname=host)
    server = serving.wrap_bio(there, back, server_side=True)
    for end in (client, server, client, server):
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            pass
    return client.version()


def test_openssl_takes_it(pair: KeyPair, tmp_path: Path) -> None:
    """A client that was given the certificate, and nobody else's, connects to 127.0.0.1."""
    assert shake_hands(pair, tmp_path, "127.0.0.1", pair.certificate) == "TLSv1.3"


@pytest.mark.parametrize("host", ["127.0.0.2", "localhost"])
def test_it_is_for_one_address_only(pair: KeyPair, tmp_path: Path, host: str) -> None:
    """A client that wants to talk to somebody else refuses."""
    with pytest.raises(ssl.SSLCertVerificationError, match="mismatch"):
        shake_hands(pair, tmp_path, host, pair.certificate)


def test_who_trusts_another_run_does_not_trust_this_one(pair: KeyPair, tmp_path: Path) -> None:
    """Each run has a key of its own."""
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(pair, tmp_path, "127.0.0.1", throwaway_key_pair().certificate)


def test_another_implementation_reads_the_same(pair: KeyPair) -> None:
    """Its signature is right, the key is the certificate's, and it is over in a day."""
    read = x509.load_pem_x509_certificate(pair.certificate.encode())
    read.verify_directly_issued_by(read)
    key = load_pem_private_key(pair.key.encode(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert key.public_key() == read.public_key()
    names = read.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert list(names) == [x509.IPAddress(IPv4Address("127.0.0.1"))]
    now = datetime.now(UTC)
    assert read.not_valid_before_utc < now < read.not_valid_after_utc < now + timedelta(days=2)


@pytest.mark.parametrize("secret", [1, 2, 3, 2**255, -1], ids=str)
def test_the_arithmetic_is_that_of_the_curve(monkeypatch: pytest.MonkeyPatch, secret: int) -> None:
    """At the ends of the range of keys, and where points are doubled, the public key is what another implementation says."""
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    secret %= order
    monkeypatch.setattr(certificate.secrets, "randbelow", lambda limit: secret - 1)
    pair = throwaway_key_pair()
    read = x509.load_pem_x509_certificate(pair.certificate.encode())
    read.verify_directly_issued_by(read)
    assert read.public_key() == ec.derive_private_key(secret, ec.SECP256R1()).public_key()
