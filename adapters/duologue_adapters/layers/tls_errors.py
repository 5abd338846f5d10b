"""What OpenSSL says, in words that say what to do."""

from __future__ import annotations

import ssl

_EXPIRED, _NOT_YET_VALID, _WRONG_NAME, _WRONG_ADDRESS = 10, 9, 62, 64
"""Verification errors, by the numbers of OpenSSL's `X509_V_ERR_...`."""

_UNKNOWN_AUTHORITY = {18, 19, 20, 21}
"""Self-signed, by itself or at the root, or the issuer is not known."""

_NO_COMMON_VERSION = "the two ends have no version of TLS in common: TLS 1.2 or later is needed"
_OURS_REFUSED = (
    "the other end does not accept this end's certificate: does it trust the authority that signed it?"
)
_OURS_MISSING = "the other end demands a certificate of this end: give certificate= and key="

_ADVICE = {
    "UNSUPPORTED_PROTOCOL": _NO_COMMON_VERSION,
    "TLSV1_ALERT_PROTOCOL_VERSION": _NO_COMMON_VERSION,
    "NO_SHARED_CIPHER": "the two ends have no cipher suite in common",
    "SSLV3_ALERT_HANDSHAKE_FAILURE": "the other end refused the handshake: it may demand a certificate of this end "
    "(certificate=, key=), or there is no cipher suite in common",
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "the other end has shown no certificate",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": _OURS_MISSING,
    "TLSV1_ALERT_UNKNOWN_CA": _OURS_REFUSED,
    "SSLV3_ALERT_BAD_CERTIFICATE": _OURS_REFUSED,
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": _OURS_REFUSED,
    "SSLV3_ALERT_CERTIFICATE_REVOKED": _OURS_REFUSED,
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "the other end refused this end's certificate: it has expired",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": _OURS_REFUSED,
    "TLSV1_ALERT_ACCESS_DENIED": _OURS_REFUSED,
}


_REFUSED_NAME = "TLSV1_UNRECOGNIZED_NAME"


def is_permanent(error: ssl.SSLError) -> bool:
    """Whether it would come again. A certificate that is not valid yet will be; and who knows of errors that we don't."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_code != _NOT_YET_VALID
    return error.reason in _ADVICE or error.reason == _REFUSED_NAME


def explain(error: ssl.SSLError, server_hostname: str | None) -> str:
    """The text for an error of TLS. `server_hostname`: whom a client wanted to talk to."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _explain_certificate(error, server_hostname)
    reason = error.reason or str(error)
    return f"{_ADVICE.get(reason, 'TLS failed')} ({reason.lower().replace('_', ' ')})"


def _explain_certificate(error: ssl.SSLCertVerificationError, server_hostname: str | None) -> str:
    code = error.verify_code
    if code in (_WRONG_NAME, _WRONG_ADDRESS):
        text = (
            f"the other end's certificate is not for {server_hostname!r}: connect to a name that it has, or give that "
            "name by server_hostname="
        )
    elif code in _UNKNOWN_AUTHORITY:
        text = "the other end's certificate is signed by nobody who is trusted here: give the authority's own by ca="
    elif code == _EXPIRED:
        text = "the other end's certificate has expired: it needs a new one"
    elif code == _NOT_YET_VALID:
        text = "the other end's certificate is not valid yet: compare the clocks"
    else:
        text = "the other end's certificate can't be verified"
    return f"{text} ({error.verify_message})"
