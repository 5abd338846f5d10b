"""From an adapter's options to an `ssl.SSLContext`: verified, checked against the host's name, TLS 1.2 or later."""

from __future__ import annotations

import ssl
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from duologue import ConnectFailed

CLIENT_OPTIONS = ("ca", "certificate", "key", "password", "server_hostname", "ssl_context", "heartbeat")
SERVER_OPTIONS = ("certificate", "client_ca", "key", "password", "ssl_context", "heartbeat")


def client_context(url: str, options: Mapping[str, Any]) -> ssl.SSLContext:
    """What a client verifies its server with. Raises `ConnectFailed` if a file is no good, `TypeError` for a wrong choice."""
    if (given := _given(options)) is not None:
        if given.verify_mode is not ssl.CERT_REQUIRED or not given.check_hostname:
            warnings.warn(
                "the ssl_context given to connect does not verify the server and its name: anyone on the way can pose as it. "
                "Set verify_mode = ssl.CERT_REQUIRED and check_hostname = True, and load the CA that you trust",
                RuntimeWarning,
                stacklevel=3,
            )
        return given
    context = _context(ssl.Purpose.SERVER_AUTH, url, "ca", options.get("ca"))
    if options.get("certificate") is not None:
        _load_certificate(context, url, options)
    elif options.get("key") is not None:
        raise TypeError("key= without certificate=: give both, or none")
    return _hardened(context)


def server_context(url: str, options: Mapping[str, Any]) -> ssl.SSLContext:
    """What a server shows itself with, and verifies its clients with if `client_ca` is given. Raises as `client_context`."""
    if (given := _given(options)) is not None:
        return given
    if options.get("certificate") is None or options.get("key") is None:
        raise TypeError(
            "a TLS server must show who it is: give certificate= and key=, or a ready ssl_context="
        )
    context = _context(ssl.Purpose.CLIENT_AUTH, url, "client_ca", options.get("client_ca"))
    if options.get("client_ca") is not None:
        context.verify_mode = ssl.CERT_REQUIRED
    _load_certificate(context, url, options)
    return _hardened(context)


def _given(options: Mapping[str, Any]) -> ssl.SSLContext | None:
    context = options.get("ssl_context")
    if context is None:
        return None
    if not isinstance(context, ssl.SSLContext):
        raise TypeError(f"ssl_context={context!r}: give an ssl.SSLContext")
    if others := sorted(set(options) - {"ssl_context", "server_hostname", "heartbeat"}):
        raise TypeError(f"ssl_context= brings everything: leave out {', '.join(others)}")
    return _without_renegotiation(context)


def _hardened(context: ssl.SSLContext) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return _without_renegotiation(context)


def _without_renegotiation(context: ssl.SSLContext) -> ssl.SSLContext:
    # TLS 1.3 has none any more: a remote could make us compute with it, and it lets a write wait for a read.
    context.options |= ssl.OP_NO_RENEGOTIATION
    return context


def _context(purpose: ssl.Purpose, url: str, option: str, ca: Any) -> ssl.SSLContext:
    """A context that trusts these authorities, or those of the system."""
    match ca:
        case None:
            where: dict[str, Any] = {}
        case bytes():
            where = {"cadata": ca.decode("ascii", "replace") if b"-----BEGIN" in ca else ca}
        case str() | Path() if _is_path(ca):
            where = {"capath" if Path(ca).is_dir() else "cafile": ca}
        case _:
            raise TypeError(
                f"{option}= is no path, but {type(ca).__name__}: give a path, or the certificates as bytes"
            )
    try:
        return ssl.create_default_context(purpose, **where)
    except OSError as exc:  # ssl.SSLError is one
        what = "the bytes" if isinstance(ca, bytes) else _path(ca)
        raise ConnectFailed(
            url,
            f"{option}: {what} can't be used: {exc}; give a PEM file, a folder of them, or certificates as bytes",
            is_permanent=True,
        ) from exc


def _load_certificate(context: ssl.SSLContext, url: str, options: Mapping[str, Any]) -> None:
    # An empty password for none: without one OpenSSL would ask at the terminal, and wait.
    certificate, key, password = options["certificate"], options.get("key"), options.get("password")
    for option in ("certificate", "key"):
        given = options.get(option)
        if given is not None and not isinstance(given, str | Path):
            # Not its value: it may be the key itself.
            raise TypeError(f"{option}= is no path, but {type(given).__name__}: give the path of a PEM file")
    try:
        if key is None and b"PRIVATE KEY" not in Path(certificate).read_bytes():
            raise TypeError(f"key= is missing, and there is none in {str(certificate)!r}: give both")
        context.load_cert_chain(certificate, key, password if password is not None else "")
    except OSError as exc:  # ssl.SSLError is one
        raise ConnectFailed(
            url,
            f"certificate={_path(certificate)} with key={_path(key)} can't be used: {exc}; both must be PEM files, belong "
            "together, and a key that is encrypted needs password=",
            is_permanent=True,
        ) from exc


def _is_path(given: object) -> bool:
    return isinstance(given, str | Path) and "-----BEGIN" not in str(given)


def _path(given: object) -> str:
    """A path, for an error. What is none may be the key itself, given by mistake, and is for nobody's log."""
    return repr(str(given)) if _is_path(given) else f"<no path, but {type(given).__name__}>"
