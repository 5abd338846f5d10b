"""TLS without I/O, by `ssl.SSLObject`. Not by the event loop's own TLS: that hides how the stream ended."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from duologue_adapters.layers.tls_errors import explain, is_permanent
from duologue_adapters.ports import CutShort, Layer, LayerError

READ_SIZE = 64 * 1024
"""Bytes to ask for at once. A record of TLS has 16 KiB at most, and no more than one is given."""

TOO_OLD = ("SSLv2", "SSLv3", "TLSv1", "TLSv1.1")

UNASKED = 16 * 1024
"""Bytes that the other end may make us answer before we get to write. It may ask for new keys, or for a renegotiation, as often
as it likes, and each of that is answered. A handful is usual in the life of a connection, and this is hundreds.
"""

HANDSHAKE, ALERT = 0x16, 0x15
"""What the first byte is that comes from a remote which speaks TLS."""


@dataclass(frozen=True, slots=True)
class TlsIdentity:
    """What TLS knows of the other end: `peer.info.extra["tls"]`."""

    version: str
    """The protocol, for example `TLSv1.3`."""
    cipher: str
    """The cipher suite, as OpenSSL names it."""
    subject: str
    """The common name in the other end's certificate; empty if it has none."""
    names: tuple[tuple[str, str], ...]
    """The names that the certificate is for, with their kinds: `(("DNS", "example.org"), ("IP Address", "192.0.2.1"))`."""
    certificate: Mapping[str, Any]
    """All of it, as `ssl.SSLSocket.getpeercert` gives it. Empty if the other end has shown none, or it was not verified."""
    certificate_der: bytes
    """The same as bytes, to pin it, say. Not empty for one that was not verified, so by itself it proves nothing."""


class TlsLayer(Layer):
    """TLS 1.2 or later, as a client or as a server."""

    def __init__(
        self, context: ssl.SSLContext, *, server_side: bool = False, server_hostname: str | None = None
    ) -> None:
        """Raises `ssl.SSLError` or `ValueError` if the context can't be used so, or the name is none."""
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side, server_hostname)
        self._server_hostname = server_hostname
        self._speaks_tls: bool | None = None
        self._is_open = False
        self._is_ended = False
        self._unasked = 0
        self._failure: LayerError | None = None
        """It is over, and why. What came in before it is handed up first."""
        if not server_side:
            self._shake_hands()  # the client speaks first

    # -- what comes in ------------------------------------------------------------------------------

    def receive_data(self, data: bytes | memoryview, now: float) -> list[bytes]:
        if self._failure is not None:
            raise self._failure
        if self._is_ended:
            return []  # whatever follows a goodbye, nobody has signed it
        if self._speaks_tls is None:
            self._speaks_tls = data[0] in (HANDSHAKE, ALERT)
        self._incoming.write(data)
        if not self._is_open:
            self._shake_hands()
        return self._read() if self._is_open else []

    def receive_eof(self, now: float) -> None:
        if self._failure is not None:
            raise self._failure
        if not self._is_open:
            raise LayerError(
                "the other end hung up during the TLS handshake: does it speak TLS, and accept this end?"
            )
        if not self._is_ended:
            raise CutShort(
                "the TLS stream ended without close_notify: it was cut on the way, or left unclosed"
            )

    def _read(self) -> list[bytes]:
        """All that is complete, as one piece, since each piece that goes up costs a look at everything."""
        pieces: list[bytes] = []
        before = self._outgoing.pending
        try:
            while piece := self._tls.read(READ_SIZE):
                pieces.append(piece)
            self._is_ended = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:  # it says goodbye, too, when we have said it
            self._is_ended = True
        except ssl.SSLError as exc:
            self._failure = self._error(exc)
            self._failure.__cause__ = exc
        self._unasked += self._outgoing.pending - before
        if self._failure is None and self._unasked > UNASKED:
            self._failure = LayerError("a flood of requests for new keys, or to renegotiate")
        if self._failure is not None and not pieces:
            raise self._failure
        return pieces if len(pieces) < 2 else [b"".join(pieces)]

    def _shake_hands(self) -> None:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return
        except (ssl.SSLError, ssl.CertificateError) as exc:
            if self._speaks_tls is False:
                raise LayerError(
                    "the other end does not speak TLS there: is it a port for tcp:// or ws://?",
                    is_permanent=True,
                ) from exc
            raise self._error(exc) from exc
        # A context of the user's may allow more than ours do.
        if self._tls.version() in TOO_OLD:
            raise LayerError(
                f"the other end speaks {self._tls.version()}, and TLS 1.2 or later is needed",
                is_permanent=True,
            )
        self._is_open = True
        self.extra = {"tls": self._identity()}

    def _error(self, exc: ssl.SSLError) -> LayerError:
        return LayerError(explain(exc, self._server_hostname), is_permanent=is_permanent(exc))

    def _identity(self) -> TlsIdentity:
        certificate: dict[str, Any] = self._tls.getpeercert() or {}
        subject = {key: value for part in certificate.get("subject", ()) for key, value in part}
        cipher = self._tls.cipher()
        return TlsIdentity(
            version=self._tls.version() or "",
            cipher=cipher[0] if cipher else "",
            subject=subject.get("commonName", ""),
            names=tuple(certificate.get("subjectAltName", ())),
            certificate=certificate,
            certificate_der=self._tls.getpeercert(binary_form=True) or b"",
        )

    # -- what goes out ------------------------------------------------------------------------------

    def send_data(self, buffers: list[bytes], now: float) -> None:
        if data := b"".join(buffers):
            self._tls.write(data)

    def send_eof(self, now: float) -> None:
        try:
            self._tls.unwrap()
        except ssl.SSLError:
            pass  # it wants the other end's goodbye now; that comes to `receive_data` in its time

    def data_to_send(self) -> list[bytes]:
        self._unasked = 0
        return [self._outgoing.read()] if self._outgoing.pending else []

    @property
    def is_open(self) -> bool:
        return self._is_open

    @property
    def is_ended(self) -> bool:
        return self._is_ended

    # -- time is the business of whoever opens the link ------------------------------------------------

    def next_deadline(self) -> float | None:
        return None if self._failure is None else 0.0  # to be told, after what came before it

    def handle_timer(self, now: float) -> None:
        if self._failure is not None:
            raise self._failure
