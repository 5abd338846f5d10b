"""A `ws://` server and clients that know nothing of the library: `websockets`, Node.js, and whatever else comes."""

from __future__ import annotations

import json
import logging
import shutil
import struct
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
import pytest
from tests.adapters.common import (
    RESPONSE_SID,
    Add,
    Echo,
    Hold,
    Tools,
    closed_event,
    frame,
    tools,
    until,
)
from tests.adapters.websocket_sockets import (
    ADD,
    THREE,
    answer_to,
    hang_up,
    library_client,
    raw,
    serving,
)
from websockets.exceptions import ConnectionClosed, InvalidStatus

from duologue import (
    CloseReason,
    Limits,
    connect,
    serve,
)

MIB = 1024 * 1024


# -- a client of another library ----------------------------------------------------------------------------------


@pytest.mark.fault(67, 68)
async def test_another_librarys_client() -> None:
    """Its frames are a stream: cut into messages anywhere, many in one; compression is offered, and not accepted."""
    there = Tools()
    async with serving(there.services) as (server, peers), library_client(server.url) as socket:
        assert socket.protocol.extensions == []
        await socket.send(ADD)
        assert await socket.recv() == THREE
        for start in range(0, len(ADD), 10):
            await socket.send(ADD[start : start + 10])
        assert await socket.recv() == THREE
        await socket.send(ADD + frame(tools.sid(Add), 2, b'{"a":2,"b":2}'))
        received = b""
        while len(received) < 2 * len(THREE):
            received += await socket.recv()
        assert received == THREE + frame(RESPONSE_SID, 2, b"4")
        async with anyio.create_task_group() as group:
            answers: list[int] = []

            async def call() -> None:
                answers.append(await peers[0].remote(tools).call(Add(a=20, b=3)))

            group.start_soon(call)
            data = await socket.recv()
            assert json.loads(data[24:]) == {"a": 20, "b": 3}
            await socket.send(frame(RESPONSE_SID, struct.unpack("<Q", data[16:24])[0], b"23"))
        assert answers == [23]


async def test_many_small_frames_share_a_message() -> None:
    """What a pass of the loop writes is one message, and none is larger than 64 KiB."""
    async with serving() as (server, peers), library_client(server.url) as socket:
        await until(lambda: bool(peers))
        for number in range(2000):
            await peers[0].send_raw(4711, b"%100d" % number)
        sizes: list[int] = []
        received = b""
        while len(received) < 2000 * 124:
            data = await socket.recv()
            sizes.append(len(data))
            received += data
        assert received == b"".join(frame(4711, 0, b"%100d" % number) for number in range(2000))
        assert max(sizes) <= 65_536
        assert len(sizes) <= 20


@pytest.mark.fault(67)
async def test_a_text_message() -> None:
    """Closed with 1003, and it is an error here; a handler that runs is cancelled."""
    there = Tools()
    async with serving(there.services) as (server, peers), library_client(server.url) as socket:
        await socket.send(frame(tools.sid(Hold), 1, b'{"name":"x"}'))
        await there.until(lambda: there.running == 1)
        await socket.send("hello")
        with pytest.raises(ConnectionClosed) as caught:
            while True:
                await socket.recv()
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1003
        event = await closed_event(peers[0])
        assert event.reason is CloseReason.TRANSPORT_FAILED
        assert "only binary messages" in event.detail
        await there.until(lambda: there.cancelled == ["x"])


@pytest.mark.fault(68)
async def test_a_message_that_is_too_large() -> None:
    """Closed with 1009, before the rest of it is even there."""
    async with serving() as (server, peers), library_client(server.url, compression=None) as socket:
        with pytest.raises(ConnectionClosed) as caught:
            await socket.send(bytes(MIB + 1))
            await socket.recv()
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1009
        event = await closed_event(peers[0])
        assert event.reason is CloseReason.TRANSPORT_FAILED
        assert "1048577" in event.detail


async def test_another_librarys_goodbye() -> None:
    """It closes: a clean end here, with the same code there. We close: 1000 there."""
    async with serving() as (server, peers):
        async with library_client(server.url) as socket:
            await hang_up(socket, 1001, "page left")
            assert await peers[0].wait_closed() is CloseReason.CLOSED_BY_REMOTE
            assert socket.protocol.close_rcvd.code == 1001
        async with library_client(server.url) as socket:
            await until(lambda: len(peers) == 2)
            await peers[1].close()
            with pytest.raises(ConnectionClosed) as caught:
                await socket.recv()
            assert caught.value.rcvd is not None
            assert caught.value.rcvd.code == 1000
            assert caught.value.rcvd_then_sent


@pytest.mark.fault(69)
async def test_origins() -> None:
    """A page of another origin gets 403, and no peer is made of it; one that is allowed, or no page, connects."""
    there = Tools()
    origins = ["https://Example.org:443", "http://localhost:8000"]
    async with serving(there.services, origins=origins) as (server, peers):
        for origin in ("https://evil.example", "http://example.org", "null"):
            with pytest.raises(InvalidStatus) as caught:
                async with library_client(server.url, origin=origin):
                    raise AssertionError
            assert caught.value.response.status_code == 403
        assert not peers
        for origin in ("https://example.org", "http://localhost:8000", None):
            async with library_client(server.url, origin=origin) as socket:
                await socket.send(ADD)
                assert await socket.recv() == THREE
                assert peers[-1].info.extra["origin"] == origin


@pytest.mark.fault(69)
@pytest.mark.parametrize(
    ("options", "kind", "text"),
    [
        ({}, TypeError, "origins= is missing"),
        ({"origins": None}, TypeError, "origins= is missing"),
        ({"origins": "*"}, TypeError, "'any' for every page"),
        ({"origins": "https://example.org"}, TypeError, "Give a list"),
        ({"origins": 5}, TypeError, "Give a list"),
        ({"origins": ["https://example.org/"]}, ValueError, "nothing behind it"),
        ({"origins": ["example.org"]}, ValueError, "scheme://host"),
        ({"origins": ["*"]}, ValueError, "can match no page"),
        ({"origins": [None]}, ValueError, "None can match no page"),
        ({"origin": "any"}, TypeError, "does not know the option origin"),
    ],
    ids=repr,
)
async def test_origins_must_be_given(options: dict[str, Any], kind: type[Exception], text: str) -> None:
    """Whose pages may connect is for a person to say: there is no default, and what can't be meant is refused."""
    with pytest.raises(kind) as caught:
        async with serve("ws://127.0.0.1:0", wireformat="json", **options):
            raise AssertionError
    assert text in str(caught.value)


@pytest.mark.fault(65)
async def test_slow_handshakes_hold_up_nobody() -> None:
    """Clients that ask slowly, or not at all, are cut after the time for handshakes; others connect meanwhile."""
    there = Tools()
    async with serving(there.services, limits=Limits(handshake_timeout=0.3)) as (server, peers):
        async with raw(server) as silent, raw(server) as slow:
            await slow.send(b"GET / HTTP/1.1\r\nHost: ")
            async with connect(server.url, wireformat="json") as client:
                assert await client.remote(tools).call(Add(a=1, b=2)) == 3
                for remote in (silent, slow):
                    try:
                        assert await remote.read_to_end() == b""
                    except ConnectionResetError:
                        pass  # it was cut with something of ours unread
                assert await client.remote(tools).call(Add(a=1, b=2)) == 3
                assert len(peers) == 1


@pytest.mark.parametrize(
    ("request_text", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        (b"GET /chat HTTP/1.1\r\nHost: x\r\n\r\n", 426),
        (b"POST /chat HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", 405),
        (b"EHLO example.org\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (ADD, 400),
    ],
)
async def test_who_does_not_speak_websocket(
    request_text: bytes, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    """A browser that just looks, a scanner, our own frames without a WebSocket: each gets an answer in HTTP, and no peer."""
    caplog.set_level(logging.INFO)
    async with serving(None, "/chat") as (server, peers):
        assert (await answer_to(server, request_text))[0] == status
        assert not peers
    assert not caplog.records


# -- a client in Node.js ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def node_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder from which Node.js finds npm's `ws`."""
    folder = tmp_path_factory.mktemp("node")
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip("NOT TESTED with Node.js, which is not installed")
    try:
        subprocess.run(
            [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "ws@8"],
            cwd=folder,
            check=True,
            capture_output=True,
            timeout=60,
        )
    except (OSError, subprocess.SubprocessError) as exc:
        pytest.skip(f"NOT TESTED with Node.js: npm can't install ws here: {exc}")
    return folder


@asynccontextmanager
async def node_client(folder: Path, url: str) -> AsyncIterator[tuple[anyio.abc.Process, Any]]:
    """The client as a process, and a function that gives its next line."""
    script = Path(__file__).with_name("node_client.mjs")
    command = ["node", str(script), url, str(tools.sid(Echo)), str(tools.sid(Add))]
    async with await anyio.open_process(command, cwd=folder) as process:
        assert process.stdout is not None
        text = b""

        async def line() -> str:
            nonlocal text
            while b"\n" not in text:
                text += await process.stdout.receive()  # type: ignore[union-attr]
            first, _, text = text.partition(b"\n")
            return first.decode()

        try:
            yield process, line
        finally:
            if process.returncode is None:
                process.kill()


@pytest.mark.parametrize("end", ["theirs", "ours", "text"])
async def test_a_client_in_node(node_folder: Path, end: str) -> None:
    """Calls in both directions, a frame cut into three messages, no compression, and an end from either side."""
    there = Tools()
    async with serving(there.services, limits=Limits(max_frame=2 * MIB)) as (server, peers):
        async with node_client(node_folder, server.url) as (process, line):
            assert await line() == 'open ""'
            assert await line() == "echo 266668"
            assert await peers[0].remote(tools).call(Add(a=40, b=2)) == 42
            assert await line() == "called 40 2"
            assert process.stdin is not None
            if end == "theirs":
                await process.stdin.send(b"close\n")
                assert await peers[0].wait_closed() is CloseReason.CLOSED_BY_REMOTE
                assert await line() == "close 1000"
            elif end == "ours":
                await peers[0].close()
                assert await line() == "close 1000"
            else:
                await process.stdin.send(b"text\n")
                assert await line() == "close 1003"
                assert await peers[0].wait_closed() is CloseReason.TRANSPORT_FAILED
            await process.wait()
