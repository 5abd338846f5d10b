"""WebSockets over real sockets, for tests: our server, and ends that know nothing of the library."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.abc
import websockets.asyncio.client
import websockets.asyncio.server
import websockets.trio.client
import websockets.trio.server
from sniffio import current_async_library
from tests.adapters.common import (
    RESPONSE_SID,
    Add,
    RawRemote,
    frame,
    raw_client,
    tools,
)

from duologue import (
    Limits,
    Peer,
    Server,
    Services,
    serve,
)

ADD = frame(tools.sid(Add), 1, b'{"a":1,"b":2}')
THREE = frame(RESPONSE_SID, 1, b"3")


@asynccontextmanager
async def serving(
    services: Services | None = None, path: str = "", *, limits: Limits = Limits(), **options: Any
) -> AsyncIterator[tuple[Server, list[Peer]]]:
    """A server for everyone, and the peers that it has had."""
    peers: list[Peer] = []
    options = {"origins": "any", **options}
    async with serve(
        f"ws://127.0.0.1:0{path}",
        services,
        wireformat="json",
        limits=limits,
        on_peer=peers.append,
        **options,
    ) as server:
        yield server, peers


def library_client(url: str, **options: Any) -> Any:
    """A client of `websockets`, on the event loop that runs."""
    if current_async_library() == "trio":
        return websockets.trio.client.connect(url, proxy=None, **options)
    return websockets.asyncio.client.connect(url, proxy=None, **options)


@asynccontextmanager
async def library_server(handler: Any, **options: Any) -> AsyncIterator[str]:
    """A server of `websockets`, and its URL."""
    if current_async_library() == "trio":
        async with anyio.create_task_group() as group:
            start: Any = websockets.trio.server.serve

            async def run(*, task_status: anyio.abc.TaskStatus[Any]) -> None:
                await start(handler, 0, host="127.0.0.1", task_status=task_status, **options)

            server = await group.start(run)
            port = server.listeners[0].socket.getsockname()[1]
            yield f"ws://127.0.0.1:{port}"
            group.cancel_scope.cancel()
        return
    async with websockets.asyncio.server.serve(handler, "127.0.0.1", 0, **options) as server:
        yield f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"


async def hang_up(socket: Any, code: int, reason: str = "") -> None:
    """Close a connection of `websockets`, whose two kinds have different names for it."""
    await (socket.aclose if current_async_library() == "trio" else socket.close)(code, reason)


def raw(server: Server) -> Any:
    """A bare socket that is connected to a server."""
    return raw_client("tcp://" + server.url.removeprefix("ws://").partition("/")[0])


async def answer_to(server: Server, request: bytes) -> tuple[int, bytes]:
    """Status and body of the answer to a plain request."""
    async with raw(server) as remote:
        await remote.send(request)
        head, _, body = (await remote.read_to_end()).partition(b"\r\n\r\n")
    return int(head.split(b" ")[1]), body


async def shake_hands(remote: RawRemote) -> None:
    """Ask for a WebSocket by hand, and get it."""
    await remote.send(
        b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    while b"\r\n\r\n" not in remote.received:
        await remote.receive()
    assert remote.received.startswith(b"HTTP/1.1 101 ")
