"""What a page does when its server breaks the protocol, or is killed: its connection ends, with a reason, and nothing else."""

from __future__ import annotations

import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.adapters.websocket_sockets import library_server
from tests.contrib.browser.nodes import page

ROOT = Path(__file__).parents[3]

BAD = {
    "text": ("hello", "text message"),
    "garbage": (b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n", "over the limit"),
    "too short": (struct.pack("<QQQ", 23, 1, 1), "of 23 bytes"),
    "over the limit": (struct.pack("<Q", 1024 * 1024 + 1), "over the limit of 1048576"),
}
"""What a server may send, and what the page says about it."""


@pytest.mark.parametrize("what", BAD)
async def test_a_server_that_breaks_the_protocol(what: str) -> None:
    """The page says what is wrong, in an error frame and in the close frame, and its call ends."""
    data, text = BAD[what]
    received: list[Any] = []
    codes: list[Any] = []

    async def serve_badly(connection: Any) -> None:
        received.append(await connection.recv())
        await connection.send(data)
        received.append(await connection.recv())
        try:
            await connection.recv()
        except Exception:
            codes.append((connection.protocol.close_rcvd.code, connection.protocol.close_rcvd.reason))

    async with library_server(serve_badly) as url, page("ending", url, "json") as there:
        ended, call = await there.line(), await there.line()
        assert await there.ended() == 0
    assert (ended["reason"], ended["isPermanent"]) == ("protocol error", True)
    assert text in ended["detail"]
    assert (call["name"], call["executed"], call["reason"]) == ("ConnectionLost", "unknown", "protocol error")
    assert received[1][8:24] == bytes(16)
    assert b"DeserializeWireFormat" in received[1]
    assert text.encode() in received[1]
    ((code, reason),) = codes
    assert code == (4003 if what == "text" else 4002)
    assert text in reason


@pytest.mark.parametrize(
    ("code", "reason", "is_permanent"),
    [
        (1000, "closed by remote", False),
        (1001, "closed by remote", False),
        (1008, "transport failed", True),
        (1011, "transport failed", False),
    ],
)
async def test_a_server_that_closes(code: int, reason: str, is_permanent: bool) -> None:
    """By the close code the page knows whether it was a goodbye, and whether to come again is of use."""

    async def hang_up(connection: Any) -> None:
        await connection.recv()
        await (getattr(connection, "aclose", None) or connection.close)(code, "because")

    async with library_server(hang_up) as url, page("ending", url, "cbor") as there:
        ended, call = await there.line(), await there.line()
    assert (ended["reason"], ended["code"], ended["isPermanent"]) == (reason, code, is_permanent)
    assert "because" in ended["detail"]
    assert (call["name"], call["executed"]) == ("ConnectionLost", "unknown")


@contextmanager
def serving(port: int) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A server in a process of its own, by the command line."""
    command = [
        sys.executable,
        "-m",
        "duologue_contrib",
        "serve",
        "tests.contrib.browser.talk_served:services",
    ]
    command += ["--listen", f"ws://127.0.0.1:{port}", "--wireformat", "msgpack", "--option", "ws:origins=[]"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            assert process.stdout is not None
            yield process, int(process.stdout.readline().strip().rpartition(":")[2])
        finally:
            process.kill()


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_server_that_is_killed(anyio_backend: str) -> None:
    """kill -9: the call under way ends once, `unknown`; each attempt is told; what is called meanwhile goes to the next server."""
    with serving(0) as (process, port):
        async with page("reconnect", f"ws://127.0.0.1:{port}", "msgpack") as there:
            assert await there.line() == {"connecting": 1}
            assert await there.line() == {"connected": 1}
            assert await there.line() == {"first": 3}
            assert await there.line() == {"flying": True}
            process.send_signal(signal.SIGKILL)
            process.wait()
            (lost,) = await there.lines("lost")
            assert (lost["name"], lost["executed"], lost["reason"]) == (
                "ConnectionLost",
                "unknown",
                "cut short",
            )
            while (line := await there.line()) != {"attemptFailed": 2}:
                assert line in ({"connecting": 2}, {"disconnected": "cut short"})
            with serving(port):
                connected, second = await there.lines("connected", "second")
                assert connected > 1
                assert second == 4
                await there.lines("closed")


async def test_nobody_is_there() -> None:
    """A port at which nobody listens is worth another attempt."""
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    async with page("reconnect", f"ws://127.0.0.1:{port}", "json") as there:
        for attempt in (1, 2, 3):
            assert await there.line() == {"connecting": attempt}
            assert await there.line() == {"attemptFailed": attempt}
