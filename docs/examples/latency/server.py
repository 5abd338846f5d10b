"""Calls between a page and Python, in both directions at once, and how long they take, drawn live in the page.

    python docs/examples/latency/server.py

Open the address that it prints. The page calls this program, and measures; this program calls the page, measures too, and sends it what
it has measured. A server speaks one wire format, so there are three, at three ports in a row; the page chooses.
"""

from __future__ import annotations

import argparse
import math
import socket
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from pathlib import Path
from typing import Annotated

import anyio
import anyio.abc
from msgspec import Meta

from duologue import CallError, ConnectFailed, Message, Namespace, Peer, Services, serve
from duologue_contrib.browser import serve_page

PAGE = Path(__file__).parent / "page"
WIREFORMATS = ("cbor", "msgpack", "json")
"""In the order of their ports. The page has the same list."""

PERIOD = 0.5
"""So often the page is told what was measured, in seconds."""

CALL_TIMEOUT = 10.0
PAUSE = 0.1
"""After a call that failed, in seconds."""


class Echo(Message[bytes], newtype=True):
    """The page calls it, and gets its bytes back."""

    data: bytes


class Load(Message[None]):
    """What the page wants to be called with: so many calls at any time, each with so many bytes. None of them: no calls."""

    outstanding: Annotated[int, Meta(ge=0, le=100)]
    size: Annotated[int, Meta(ge=0, le=64 * 1024)]


class Ping(Message[bytes], newtype=True):
    """The page's counterpart of `Echo`."""

    data: bytes


class Measured(Message[None]):
    """How long the calls to the page took that ended since the last time: 50 and 99 of 100 took no longer than so many milliseconds."""

    calls: int
    failed: int
    seconds: float
    p50: float | None
    p99: float | None


here = Namespace("here", [Echo, Load])
page = Namespace("page", [Ping, Measured])


def percentile(ordered: list[float], share: float) -> float | None:
    """The smallest of the numbers that is not less than so many of a hundred. Nothing, of nothing."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else None


class Caller:
    """Calls one page, as it wants to be called, and tells it what comes of it."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._page = peer.remote(page)
        self._load = Load(outstanding=0, size=0)
        self._changed = anyio.Event()
        self._took: list[float] = []
        self._failed = 0
        self.services = Services(here)
        self.services.handler(Echo, self._echo, inline=True)
        self.services.handler(Load, self._set_load, inline=True)

    def _echo(self, msg: Echo) -> bytes:
        return msg.data

    def _set_load(self, msg: Load) -> None:
        self._load = msg
        self._changed.set()

    async def run(self) -> None:
        """Until the page has gone."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._keep_calling)
            group.start_soon(self._keep_telling)
            await self._peer.wait_closed()
            group.cancel_scope.cancel()

    async def _keep_calling(self) -> None:
        while True:
            self._changed = anyio.Event()
            async with anyio.create_task_group() as callers:
                for _ in range(self._load.outstanding):
                    callers.start_soon(self._call, Ping(bytes(self._load.size)))
                await self._changed.wait()
                callers.cancel_scope.cancel()

    async def _call(self, ping: Ping) -> None:
        """One call after the other."""
        while self._peer.is_open:
            started = time.perf_counter()
            try:
                await self._page.call(ping, timeout=CALL_TIMEOUT)
            except CallError:
                self._failed += 1
                await anyio.sleep(PAUSE)  # what fails at once would do so without end
            else:
                self._took.append((time.perf_counter() - started) * 1000)

    async def _keep_telling(self) -> None:
        since = time.perf_counter()
        while True:
            await anyio.sleep(PERIOD)
            took, self._took = sorted(self._took), []
            failed, self._failed = self._failed, 0
            now = time.perf_counter()
            try:
                await self._page.send(
                    Measured(len(took), failed, now - since, percentile(took, 0.5), percentile(took, 0.99))
                )
            except CallError:
                return  # it has gone
            since = now


def free_ports_in_a_row() -> int:
    """The first of as many ports as there are wire formats. Each was free a moment ago."""
    for _ in range(100):
        with ExitStack() as stack:
            port = 0
            try:
                for number in range(len(WIREFORMATS)):
                    tried = stack.enter_context(socket.socket())
                    tried.bind(("127.0.0.1", port + number if port else 0))
                    port = port or tried.getsockname()[1]
            except (OSError, OverflowError):
                continue  # a neighbour is taken, or there is none
            return port
    raise ConnectFailed("http://127.0.0.1:0", "there are no free ports in a row")


@asynccontextmanager
async def serving(port: int) -> AsyncIterator[str]:
    """Serve the page at a port, and each further wire format at the next one, until the block is left: gives the page's address."""
    callers: dict[Peer, Caller] = {}

    def caller_of(peer: Peer) -> Caller:
        if peer not in callers:
            callers[peer] = Caller(peer)
        return callers[peer]

    def services_of(peer: Peer) -> Services:
        return caller_of(peer).services

    async def on_peer(peer: Peer) -> None:
        await caller_of(peer).run()
        del callers[peer]

    first, *others = WIREFORMATS
    port = port or free_ports_in_a_row()
    async with AsyncExitStack() as stack:
        served = await stack.enter_async_context(
            serve_page(f"http://127.0.0.1:{port}", PAGE, services_of, wireformat=first, on_peer=on_peer)
        )
        origins = [f"http://{host}:{port}" for host in ("127.0.0.1", "localhost")]
        for number, wireformat in enumerate(others, start=port + 1):
            url = f"ws://127.0.0.1:{number}"
            try:
                await stack.enter_async_context(
                    serve(url, services_of, wireformat=wireformat, on_peer=on_peer, origins=origins)
                )
            except ConnectFailed as exc:
                print(f"{wireformat} can't be chosen: {exc}")
        yield served.url


async def main(port: int) -> None:
    """Serve until interrupted."""
    async with serving(port) as url:
        print(f"Open {url} in a browser. End with Ctrl-C.", flush=True)
        await anyio.sleep_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="How long calls take between a page and Python, drawn live.")
    parser.add_argument("--port", type=int, default=8700, help="of the page; 0 for any that is free")
    parser.add_argument("--loop", choices=["asyncio", "uvloop", "trio"], default="asyncio")
    chosen = parser.parse_args()
    try:
        anyio.run(
            main,
            chosen.port,
            backend="trio" if chosen.loop == "trio" else "asyncio",
            backend_options={"use_uvloop": True} if chosen.loop == "uvloop" else {},
        )
    except KeyboardInterrupt:
        print()
    except ConnectFailed as exc:
        raise SystemExit(f"{exc}\nChoose another port with --port.") from None
