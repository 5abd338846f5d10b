"""No file descriptors left, in a process that really has none."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from pathlib import Path
from time import perf_counter
from typing import Any

import anyio
import pytest
from tests.adapters.certificates import Certificates
from tests.adapters.common import ROOT, Add, environment
from tests.adapters.crowded import Usage, crowd
from tests.adapters.transports import Transport, transport_of

from duologue import HandshakeTimeout, Limits, Peer

ROOM = 12
"""Descriptors that the servers can have."""


class Crowded:
    """A process with servers, whose descriptors come to an end."""

    def __init__(self, process: subprocess.Popen[str], transports: list[Transport]) -> None:
        assert process.stdout is not None
        urls: list[str] = json.loads(process.stdout.readline())
        self._doors = list(zip(transports, urls, strict=True))

    async def connect(self, stack: AsyncExitStack, limits: Limits = Limits()) -> list[Peer]:
        """A peer of each server."""
        return [
            await stack.enter_async_context(each.connect(url, limits=limits)) for each, url in self._doors
        ]

    def knock(self, stack: ExitStack) -> None:
        """More connections at each server than all can accept, and not a word from them."""
        for _, url in self._doors:
            for _ in range(ROOM):
                stack.enter_context(_knock(url))


def _knock(url: str) -> socket.socket:
    place = url.partition("://")[2]
    if place.startswith("/"):
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(place)
        return sock
    host, port = place.split(":")
    return socket.create_connection((host, int(port)))


@asynccontextmanager
async def crowded(
    anyio_backend: Any, folder: Path, certificates: Certificates, *schemes: str
) -> AsyncIterator[Crowded]:
    transports = [transport_of(scheme, folder, certificates) for scheme in schemes]
    plan = [(each.url, each.serve_options) for each in transports]
    with _started([anyio_backend, plan, ROOM]) as process:
        try:
            yield Crowded(process, transports)
        finally:
            process.kill()


def _started(plan: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.adapters.crowded", json.dumps(plan, default=os.fspath)],
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
        cwd=ROOT,
    )


async def are_served(peers: list[Peer]) -> None:
    for peer in peers:
        assert await peer.remote(crowd).call(Add(a=1, b=2)) == 3


async def usage(peers: list[Peer]) -> tuple[float, int]:
    return await peers[0].remote(crowd).call(Usage())


@pytest.mark.fault(66)
async def test_no_descriptors_left(tmp_path: Path, certificates: Certificates, anyio_backend: Any) -> None:
    """Servers that can accept nobody serve those whom they have, try again after 0.1 to 1 s, without much work or many words
    meanwhile, and accept again when there are descriptors."""
    schemes = "tcp", "unix", "tls", "ws"
    async with (
        crowded(anyio_backend, tmp_path, certificates, *schemes) as there,
        AsyncExitStack() as stack,
    ):
        peers = await there.connect(stack)
        with ExitStack() as crowds:
            there.knock(crowds)
            while (await usage(peers))[1] < 2 * len(schemes):
                await are_served(peers)
            start, (work, lines) = perf_counter(), await usage(peers)
            for _ in range(10):
                await are_served(peers)
                await anyio.sleep(0.1)  # the next pauses, in which it should do nothing
            passed, (more_work, more_lines) = perf_counter() - start, await usage(peers)
            assert more_lines - lines < len(schemes) * (6 + passed)
            assert more_work - work < 0.4 * passed
        await are_served(await there.connect(stack))
        await are_served(peers)


@pytest.mark.fault(66)
async def test_no_descriptors_left_for_zeromq(
    tmp_path: Path, certificates: Certificates, anyio_backend: Any
) -> None:
    """The library accepts by itself, and knows no pause (docs/adapters.md); but those who are connected are served, others
    time out, and when there are descriptors they can come in."""
    async with crowded(anyio_backend, tmp_path, certificates, "zmq+tcp") as there, AsyncExitStack() as stack:
        peers = await there.connect(stack)
        with ExitStack() as crowds:
            there.knock(crowds)
            with pytest.raises(HandshakeTimeout):
                await there.connect(stack, limits=Limits(handshake_timeout=0.3))
            await are_served(peers)
        await are_served(await there.connect(stack))
        await are_served(peers)
