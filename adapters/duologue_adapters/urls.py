"""URLs and options, checked in one place, so that every adapter says the same about the same mistake."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import quote, urlsplit

from duologue import ConnectFailed
from duologue_adapters.ports import HEARTBEAT

_IN_PATHS = "/%:@!$&'()*+,;=-._~"
"""What may stand in a path as it is, besides letters and digits."""


def host_and_port(url: str, *, serves: bool = True) -> tuple[str, int]:
    """The host and the port of `scheme://host:port`; `serves` allows port 0. Raises `ConnectFailed` if that is not what it is."""
    try:
        parts = urlsplit(url)
        host, port = _ascii(parts.hostname), parts.port
    except ValueError as exc:
        raise ConnectFailed(url, f"{exc}; write scheme://host:port", is_permanent=True) from exc
    if not host or port is None:
        raise ConnectFailed(
            url,
            "host or port is missing: write scheme://host:port"
            + (", with port 0 to let the system choose" if serves else ""),
            is_permanent=True,
        )
    if parts.path not in ("", "/") or parts.query or parts.fragment or parts.username:
        raise ConnectFailed(
            url, "only a host and a port mean anything here: write scheme://host:port", is_permanent=True
        )
    if not serves:
        _refuse_port_0(url, port)
    return host, port


def host_port_and_path(url: str, usual_port: int, *, serves: bool = True) -> tuple[str, int, str]:
    """The host, the port, and the path with its query of `scheme://host:port/path`; the path is empty if there is none.

    All are in the letters that a request is written in. `serves` allows port 0. Raises `ConnectFailed` if that is not what the URL is.
    """
    write = "write scheme://host:port/path"
    try:
        parts = urlsplit(url)
        host, port = _ascii(parts.hostname), parts.port
    except ValueError as exc:
        raise ConnectFailed(url, f"{exc}; {write}", is_permanent=True) from exc
    if not host:
        raise ConnectFailed(url, f"the host is missing: {write}", is_permanent=True)
    if parts.fragment or parts.username is not None:
        raise ConnectFailed(
            url, f"only host, port, path and query mean anything here: {write}", is_permanent=True
        )
    if not serves:
        _refuse_port_0(url, port)
    path = quote(parts.path, safe=_IN_PATHS, errors="surrogateescape")
    query = f"?{quote(parts.query, safe=_IN_PATHS + '?', errors='surrogateescape')}" if parts.query else ""
    return host, usual_port if port is None else port, (path or "/" if query else path) + query


def _refuse_port_0(url: str, port: int | None) -> None:
    if port == 0:
        raise ConnectFailed(
            url, "port 0 is only for servers: connect to the one in server.url", is_permanent=True
        )


def _ascii(host: str | None) -> str | None:
    """A host as it is asked for. Raises `UnicodeError`, a `ValueError`, for what is no name; later each library would in its way."""
    return host and host.encode("idna").decode()


def check_options(scheme: str, options: Mapping[str, Any], known: Collection[str] = ()) -> None:
    """Refuse options that the adapter does not know. Raises `TypeError`."""
    unknown = sorted(set(options) - set(known))
    if unknown:
        what = f"it takes {', '.join(sorted(known))}" if known else "it takes none"
        raise TypeError(f"the {scheme} adapter does not know the option {', '.join(unknown)}: {what}")


def heartbeat_of(options: Mapping[str, Any]) -> float:
    """The option `heartbeat`: seconds of silence after which the other end is asked whether it is there, and as many again until
    it is given up. Raises `ValueError`.
    """
    seconds = options.get("heartbeat", HEARTBEAT)
    if not isinstance(seconds, int | float) or not 0 < seconds < math.inf:
        raise ValueError(f"heartbeat={seconds!r}: give seconds, more than 0 and finite: it can't be off")
    return seconds


def not_served(url: str) -> ConnectFailed:
    """What `serve` raises where there is but one connection."""
    return ConnectFailed(
        url,
        "it is one connection, which can't be served: use connect, which takes services, too",
        is_permanent=True,
        serves=True,
    )
