"""URLs and options, checked in one place, so that every adapter says the same about the same mistake."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, NoReturn
from urllib.parse import urlsplit

from duologue import ConnectFailed, Server


def host_and_port(url: str) -> tuple[str, int]:
    """The host and the port of `scheme://host:port`. Raises `ConnectFailed` if that is not what it is."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as exc:
        raise ConnectFailed(url, f"{exc}; write scheme://host:port") from exc
    if not host or port is None:
        raise ConnectFailed(
            url, "host or port is missing: write scheme://host:port, with port 0 to let the system choose"
        )
    if parts.path not in ("", "/") or parts.query or parts.fragment or parts.username:
        raise ConnectFailed(url, "only a host and a port mean anything here: write scheme://host:port")
    return host, port


def check_options(scheme: str, options: Mapping[str, Any], known: Collection[str] = ()) -> None:
    """Refuse options that the adapter does not know. Raises `TypeError`."""
    unknown = sorted(set(options) - set(known))
    if unknown:
        what = f"it takes {', '.join(sorted(known))}" if known else "it takes none"
        raise TypeError(f"the {scheme} adapter does not know the option {', '.join(unknown)}: {what}")


class NotServed(AbstractAsyncContextManager[Server]):
    """What `serve` gives where there is but one connection. Entering raises `ConnectFailed`."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def __aenter__(self) -> NoReturn:
        raise ConnectFailed(
            self._url, "it is one connection, which can't be served: use connect, which takes services, too"
        )

    async def __aexit__(self, *_: object) -> None:
        """Nothing was entered."""
