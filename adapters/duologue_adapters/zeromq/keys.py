"""Who may connect: the options for CURVE keys, and where it may go without."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

import zmq
from zmq.utils import z85

from duologue import ConnectFailed
from duologue_adapters.zeromq.sockets import Socket

_SERVER = ("secret_key", "public_key", "authorized_keys")
_CLIENT = ("server_key", "public_key", "secret_key")
SERVER_OPTIONS = (*_SERVER, "insecure", "heartbeat")
CLIENT_OPTIONS = (*_CLIENT, "insecure", "heartbeat")


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of one end. A key is the 40 characters that `zmq.curve_keypair()` gives."""

    public: bytes
    secret: bytes
    server: bytes = b""
    """For a client: the server's."""
    authorized: frozenset[bytes] = frozenset()
    """For a server: the clients'."""

    def set_on(self, socket: Socket, domain: bytes = b"") -> None:
        """Make a socket use them. A server's asks, for each client, under `domain`."""
        socket.setsockopt(zmq.CURVE_PUBLICKEY, self.public)
        socket.setsockopt(zmq.CURVE_SECRETKEY, self.secret)
        if self.server:
            socket.setsockopt(zmq.CURVE_SERVERKEY, self.server)
        else:
            socket.setsockopt(zmq.CURVE_SERVER, 1)
            socket.setsockopt(zmq.ZAP_DOMAIN, domain)
            socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)  # should nobody answer for it, nobody comes in


def server_keys(options: Mapping[str, Any]) -> Keys | None:
    """The keys of a server; None if it was given none. Raises `TypeError` or `ValueError`."""
    if not _are_given(options, _SERVER):
        return None
    authorized = options["authorized_keys"]
    if isinstance(authorized, str | bytes) or not isinstance(authorized, Collection):
        raise TypeError("authorized_keys is no list: give a list of the clients' public keys")
    keys = frozenset(_key("authorized_keys", key) for key in options["authorized_keys"])
    return Keys(*_own_keys(options), authorized=keys)


def client_keys(options: Mapping[str, Any]) -> Keys | None:
    """The keys of a client; None if it was given none. Raises `TypeError` or `ValueError`."""
    if not _are_given(options, _CLIENT):
        return None
    return Keys(*_own_keys(options), server=_key("server_key", options["server_key"]))


def _are_given(options: Mapping[str, Any], names: tuple[str, ...]) -> bool:
    """All or none. Half of it is a mistake that must not pass for security."""
    missing = [name for name in names if not options.get(name)]
    if missing and any(name in options for name in names):
        raise TypeError(
            f"{', '.join(missing)} missing, or empty: for CURVE give {', '.join(names)}; without it none of them"
        )
    return not missing


def _own_keys(options: Mapping[str, Any]) -> tuple[bytes, bytes]:
    public, secret = (_key(name, options[name]) for name in ("public_key", "secret_key"))
    if zmq.curve_public(secret) != public:
        raise ValueError("public_key and secret_key are not of one pair: zmq.curve_keypair() makes both")
    return public, secret


def _key(name: str, value: Any) -> bytes:
    try:
        key = value.encode("ascii") if isinstance(value, str) else bytes(value)
        if len(key) == 40 and len(z85.decode(key)) == 32:
            return key
    except (TypeError, ValueError, KeyError, ArithmeticError):
        pass
    raise ValueError(
        f"{name}: a key is 40 characters, as zmq.curve_keypair() gives them"
    )  # and it is nobody's to read


def check_safety(url: str, endpoint: str, keys: Keys | None, options: Mapping[str, Any]) -> None:
    """Without keys anyone may come, and read along: only within one machine. Raises `ConnectFailed`, `TypeError`."""
    insecure = options.get("insecure", False)
    if not isinstance(insecure, bool):  # "no" is true
        raise TypeError(f"insecure={insecure!r}: give True or False")
    if keys is None and not insecure and not _is_local(endpoint):
        raise ConnectFailed(
            url,
            "it leaves this machine, and there are no keys: give CURVE keys (secret_key, public_key, and authorized_keys"
            " for a server or server_key for a client), or insecure=True if the network is to be trusted",
            is_permanent=True,
        )


def _is_local(endpoint: str) -> bool:
    scheme, _, address = endpoint.partition("://")
    return scheme != "tcp" or ip_address(address.rpartition(":")[0].strip("[]").partition("%")[0]).is_loopback
