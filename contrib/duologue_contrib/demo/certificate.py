"""A certificate for one run of the demo, made with the standard library alone: no private key travels with the package.

For the demo, and for nothing else. It stands for 127.0.0.1 and for a day, and signs itself. Its arithmetic is plain: how long it
takes depends on the key, which is of no use to anybody after some seconds. The handshakes are made by OpenSSL as always.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

# The curve P-256, y^2 = x^3 - 3x + b, with its base point and that point's order (FIPS 186-4, D.1.2.3).
_P = 2**256 - 2**224 + 2**192 + 2**96 - 1
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_BASE = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)

_EC_PUBLIC_KEY = "1.2.840.10045.2.1"
_P256 = "1.2.840.10045.3.1.7"
_ECDSA_WITH_SHA256 = "1.2.840.10045.4.3.2"
_COMMON_NAME = "2.5.4.3"
_SUBJECT_KEY, _KEY_USAGE, _ALT_NAME, _CONSTRAINTS, _AUTHORITY_KEY = (
    f"2.5.29.{number}" for number in (14, 15, 17, 19, 35)
)

LOOPBACK = bytes([127, 0, 0, 1])

_Point = tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class KeyPair:
    """Both as PEM, as `ssl` wants them."""

    certificate: str
    key: str


def throwaway_key_pair() -> KeyPair:
    """A new key, and a certificate for it."""
    secret = secrets.randbelow(_ORDER - 1) + 1
    public = _encoded(_times(secret, _BASE))
    curve = _oid(_P256)
    # SEC 1, C.4
    key = _sequence(
        _integer(1), _der(0x04, secret.to_bytes(32)), _der(0xA0, curve), _der(0xA1, _bits(public))
    )
    body = _body(public)
    certificate = _sequence(body, _sequence(_oid(_ECDSA_WITH_SHA256)), _bits(_signature(secret, body)))
    return KeyPair(ssl.DER_cert_to_PEM_cert(certificate), _pem("EC PRIVATE KEY", key))


def _body(public: bytes) -> bytes:
    """What is signed: RFC 5280, 4.1."""
    name = _sequence(_der(0x31, _sequence(_oid(_COMMON_NAME), _der(0x0C, b"a run of the duologue demo"))))
    now = datetime.now(UTC)
    key_id = hashlib.sha1(public, usedforsecurity=False).digest()  # RFC 5280, 4.2.1.2: a name, no protection
    extensions = [
        (_CONSTRAINTS, True, _sequence(_der(0x01, b"\xff"))),  # it may sign certificates: its own
        (_KEY_USAGE, True, _bits(b"\x84", unused=2)),  # digitalSignature, keyCertSign
        (_ALT_NAME, False, _sequence(_der(0x87, LOOPBACK))),
        (_SUBJECT_KEY, False, _der(0x04, key_id)),
        (_AUTHORITY_KEY, False, _sequence(_der(0x80, key_id))),
    ]
    return _sequence(
        _der(0xA0, _integer(2)),  # version 3
        _integer(secrets.randbits(127) | 1),
        _sequence(_oid(_ECDSA_WITH_SHA256)),
        name,
        _sequence(_time(now - timedelta(hours=1)), _time(now + timedelta(days=1))),
        name,
        _sequence(_sequence(_oid(_EC_PUBLIC_KEY), _oid(_P256)), _bits(public)),
        _der(0xA3, _sequence(*(_extension(*each) for each in extensions))),
    )


def _extension(oid: str, critical: bool, value: bytes) -> bytes:
    return _sequence(_oid(oid), _der(0x01, b"\xff") if critical else b"", _der(0x04, value))


# -- ECDSA --------------------------------------------------------------------------------------


def _signature(secret: int, message: bytes) -> bytes:
    """SEC 1, 4.1.3."""
    digest = int.from_bytes(hashlib.sha256(message).digest())
    while True:
        nonce = secrets.randbelow(_ORDER - 1) + 1
        point = _times(nonce, _BASE)
        assert point is not None  # the order is a prime, and the nonce is below it
        r = point[0] % _ORDER
        s = pow(nonce, -1, _ORDER) * (digest + r * secret) % _ORDER
        if r and s:
            return _sequence(_integer(r), _integer(s))


def _times(number: int, point: _Point) -> _Point:
    """Double and add. None is the point at infinity."""
    total: _Point = None
    while number:
        if number & 1:
            total = _sum(total, point)
        point = _sum(point, point)
        number >>= 1
    return total


def _sum(one: _Point, other: _Point) -> _Point:
    if one is None or other is None:
        return one or other
    (x1, y1), (x2, y2) = one, other
    if x1 == x2 and (y1 + y2) % _P == 0:
        return None
    if one == other:
        slope = (3 * x1 * x1 - 3) * pow(2 * y1, -1, _P)
    else:
        slope = (y2 - y1) * pow(x2 - x1, -1, _P)
    x = (slope * slope - x1 - x2) % _P
    return x, (slope * (x1 - x) - y1) % _P


def _encoded(point: _Point) -> bytes:
    """SEC 1, 2.3.3, without compression."""
    assert point is not None
    return b"\x04" + point[0].to_bytes(32) + point[1].to_bytes(32)


# -- DER ----------------------------------------------------------------------------------------


def _der(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8)
    return bytes([tag, 0x80 | len(length)]) + length + content


def _sequence(*parts: bytes) -> bytes:
    return _der(0x30, b"".join(parts))


def _integer(number: int) -> bytes:
    return _der(0x02, number.to_bytes(number.bit_length() // 8 + 1))  # with room for the sign


def _bits(content: bytes, unused: int = 0) -> bytes:
    return _der(0x03, bytes([unused]) + content)


def _oid(dotted: str) -> bytes:
    first, second, *others = map(int, dotted.split("."))
    content = bytes([40 * first + second])
    for number in others:
        groups = [number & 0x7F]
        while number := number >> 7:
            groups.append(0x80 | number & 0x7F)
        content += bytes(reversed(groups))
    return _der(0x06, content)


def _time(moment: datetime) -> bytes:
    return _der(0x17, moment.strftime("%y%m%d%H%M%SZ").encode())


def _pem(what: str, content: bytes) -> str:
    text = base64.b64encode(content).decode()
    lines = [text[start : start + 64] for start in range(0, len(text), 64)]
    return "\n".join([f"-----BEGIN {what}-----", *lines, f"-----END {what}-----", ""])
