"""The transports that the demo shows, and where the server listens for each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

WIREFORMATS = ("json", "msgpack", "cbor")
"""All that come with the library. The first needs no extra, so the transports are compared with it."""


@dataclass(frozen=True, slots=True)
class Transport:
    """One of them."""

    scheme: str
    what: str
    """For people: what carries the bytes."""
    listen: str = ""
    """Where the server's process listens; `DIRECTORY` stands for one of the demo's own. Nothing if there is no server to it."""


DIRECTORY = "DIRECTORY"

TRANSPORTS = (
    Transport("mem", "a pipe within this process"),
    Transport("exec", "a child's stdin and stdout"),
    Transport("unix", "a socket's file", f"unix://{DIRECTORY}/unix"),
    Transport("tcp", "a socket", "tcp://127.0.0.1:0"),
    Transport("tls", "encrypted and verified", "tls://127.0.0.1:0"),
    Transport("ws", "WebSocket", "ws://127.0.0.1:0"),
    Transport("zmq+ipc", "ZeroMQ, a socket's file", f"zmq+ipc://{DIRECTORY}/zmq"),
    Transport("zmq+tcp", "ZeroMQ, a socket", "zmq+tcp://127.0.0.1:0"),
)
"""In the order in which they are shown: from the nearest to those that cross machines."""


def listening() -> list[tuple[Transport, str]]:
    """What the server offers: every transport in json, TCP in the other wire formats, too."""
    served = [transport for transport in TRANSPORTS if transport.listen]
    (tcp,) = (transport for transport in served if transport.scheme == "tcp")
    return [
        *((transport, WIREFORMATS[0]) for transport in served),
        *((tcp, wireformat) for wireformat in WIREFORMATS[1:]),
    ]


def serve_options(scheme: str, directory: str) -> dict[str, Any]:
    """What `serve` must be told besides the URL."""
    match scheme:
        case "tls":
            return {"certificate": f"{directory}/certificate.pem", "key": f"{directory}/key.pem"}
        case "ws":
            return {"origins": []}  # programs may connect, and no page of a browser
        case _:
            return {}
