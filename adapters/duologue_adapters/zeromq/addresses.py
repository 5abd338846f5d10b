"""From URLs to endpoints of the library, and back. Names are looked up here, and not in the thread that all sockets share."""

from __future__ import annotations

import socket

import anyio

from duologue import ConnectFailed
from duologue_adapters.urls import host_and_port


async def endpoint_of(url: str, *, serves: bool) -> str:
    """The endpoint that a URL means. Raises `ConnectFailed`."""
    scheme, _, rest = url.partition("://")
    match scheme.lower():
        case "zmq+tcp":
            return await _tcp_endpoint(url, serves)
        case "zmq+ipc" if rest.startswith("/"):
            if not rest.isprintable():
                raise ConnectFailed(
                    url, "ZeroMQ knows only paths of letters that can be printed", is_permanent=True
                )
            return f"ipc://{rest}"
        case "zmq+inproc" if rest.isprintable() and rest:
            return f"inproc://{rest}"
        case _:
            raise ConnectFailed(
                url, "write zmq+tcp://host:port, zmq+ipc:///path or zmq+inproc://name", is_permanent=True
            )


def url_of(endpoint: str) -> str:
    """The URL of an endpoint as the library names it."""
    return f"zmq+{endpoint}"


async def _tcp_endpoint(url: str, serves: bool) -> str:
    host, port = host_and_port(url, serves=serves)
    if host == "*":
        host = "0.0.0.0"
    try:
        infos = await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as exc:
        raise ConnectFailed(url, str(exc)) from exc
    address = infos[0][4][0]
    return f"tcp://[{address}]:{port}" if ":" in str(address) else f"tcp://{address}:{port or '*'}"
