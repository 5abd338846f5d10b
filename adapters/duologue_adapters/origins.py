"""Whose pages may open a WebSocket: the origins that a server is given, and that of a page which came from the server itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from ipaddress import ip_address
from typing import Any, cast

SELF = "self"
"""In a list of origins: the pages that came from where they connect to."""

_ORIGIN = re.compile(r"null|([a-z][a-z0-9+.-]*)://[^/?#@\s]+")
_HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?P<port>:[0-9]{1,5})?")
_USUAL_PORTS = {"http": ":80", "https": ":443"}

OwnOrigin = Callable[[str], str | None]
"""From the `Host` that a request names to the origin of pages from there; None if they may not connect."""


def allowed_origins(given: Any) -> Collection[str] | None:
    """The option `origins`, as browsers write them, without `SELF`; None for all. Raises `TypeError`, `ValueError`."""
    if given == "any":
        return None
    if given == SELF:
        return []
    if given is None or isinstance(given, str | bytes) or not isinstance(given, Collection):
        what = "is missing" if given is None else f"is {given!r}"
        raise TypeError(
            f"origins= {what}: whose pages may connect? Give a list such as ['https://example.org'], "
            "'self' for pages that came from this server, in the list or alone, "
            "[] for no page at all (programs that are no browsers may connect in any case), "
            "or 'any' for every page that a user may open anywhere on the web"
        )
    return [_origin(each) for each in cast("Collection[object]", given) if each != SELF]


def own_origin(given: Any, scheme: str, host: str) -> OwnOrigin | None:
    """What finds the origin of pages that came from a server at `host` by `http` or `https`, if the option `origins` has `SELF` in it.

    Where a page came from, only the `Host` of its request says, and whoever has a name in the DNS can let it point here: then a page
    of theirs came "from here", too. So only what nobody else can have is believed: addresses, `localhost`, and the server's own name.
    """
    if given != SELF and not (isinstance(given, Collection) and SELF in given):
        return None

    def find(named: str) -> str | None:
        match = _HOST.fullmatch(named.lower())
        if match is None or not (match["name"] in ("localhost", host.lower()) or _is_address(match["name"])):
            return None
        return _without_usual_port(f"{scheme}://{match[0]}", scheme)

    return find


def _origin(given: object) -> str:
    origin = given.lower() if isinstance(given, str) else ""
    match = _ORIGIN.fullmatch(origin)
    if match is None:
        raise ValueError(
            f"the origin {given!r} can match no page: write scheme://host, or scheme://host:port, and nothing behind it"
        )
    return _without_usual_port(origin, match[1])


def _without_usual_port(origin: str, scheme: str | None) -> str:
    """As a browser writes it."""
    return origin.removesuffix(_USUAL_PORTS.get(scheme or "", " "))


def _is_address(name: str) -> bool:
    try:
        ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True
