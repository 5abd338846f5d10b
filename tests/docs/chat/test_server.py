"""The chat's server as a process: how it begins, and how it ends."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
import urllib.request
from typing import Any

import anyio
import pytest
from messages import LIMITS, Join, Joined, NickSet, SetNick, chat, screen
from tests.docs.chat.processes import CHAT, ChatServer

from duologue import CloseReason, PubSub, connect

QUICK = 5.0
"""Seconds. It takes a tenth of one where nothing else runs; a busy machine may take longer to end a process."""


@pytest.fixture(params=[("asyncio", {})], ids=["asyncio"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    """Of the test alone: the processes have loops of their own."""
    return request.param


@pytest.fixture(params=["asyncio", "trio"])
def server(request: pytest.FixtureRequest) -> ChatServer:
    return ChatServer(request.param)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
async def test_a_signal_ends_it_in_good_order(
    server: ChatServer, number: signal.Signals, capfd: pytest.CaptureFixture[str]
) -> None:
    """At once, with a page and a terminal connected, who are told goodbye; nothing is left to say, as an error least of all."""
    async with (
        server.run() as process,
        server.terminal("ada") as ada,
        connect(server.page.replace("http", "ws"), PubSub(screen), wireformat="cbor", limits=LIMITS) as page,
    ):
        remote = page.remote(chat)
        assert await remote.call(SetNick("bert", "")) == NickSet("bert")
        assert isinstance(await remote.call(Join("lobby")), Joined)
        await ada.line()
        began = time.monotonic()
        assert await process.end(number) == 0
        assert time.monotonic() - began < QUICK
        assert await page.wait_closed() is CloseReason.CLOSED_BY_REMOTE
        assert "closed by remote" in await ada.until("the connection is lost")
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("which", ["--port", "--terminal-port"])
def test_a_port_in_use(which: str) -> None:
    """It says so in two lines, and what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ports = {"--port": "0", "--terminal-port": "0"} | {which: str(taken.getsockname()[1])}
        command = [sys.executable, "-W", "error", str(CHAT / "server.py"), *sum(ports.items(), ())]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (1, "")
    assert "Address already in use" in done.stderr
    assert "choose other ports, --port and --terminal-port" in done.stderr
    assert done.stderr.count("\n") == 2


async def test_it_says_where_it_is(server: ChatServer) -> None:
    """The page's address has the page, and the command for a terminal is one that runs as it stands there."""
    async with server.run() as process:
        printed = dict(line.split(":", 1) for line in process.seen if ": " in line)
        assert "<title>Chat</title>" in await anyio.to_thread.run_sync(_fetched, printed["page"].strip())
        done = await anyio.run_process(printed["terminal"].split(), stdin=subprocess.DEVNULL)
        assert done.stdout.startswith(b"-- #lobby: ")


def _fetched(url: str) -> str:
    with urllib.request.urlopen(url, timeout=30) as page:
        text: str = page.read().decode()
    return text
