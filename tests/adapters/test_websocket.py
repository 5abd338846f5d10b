"""`ws://` over real sockets: our two ends, other libraries' ends, and pages."""

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
import websockets.asyncio.client
import websockets.asyncio.server
import websockets.trio.client
import websockets.trio.server
from sniffio import current_async_library
from tests.adapters.common import (
    RESPONSE_SID,
    Add,
    Echo,
    Hold,
    RawRemote,
    Say,
    Tools,
    closed_event,
    frame,
    raw_client,
    raw_server,
    tools,
    until,
)
from websockets.exceptions import ConnectionClosed, InvalidStatus

from duologue import (
    CloseReason,
    ConnectFailed,
    ConnectionLost,
    HandshakeTimeout,
    Limits,
    Peer,
    Server,
    Services,
    connect,
    serve,
)

MIB = 1024 * 1024
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


# -- our two ends ---------------------------------------------------------------------------------------------


async def test_calls_in_both_directions() -> None:
    """Typed calls from either end, one frame of exactly 1 MiB among them; the URL is the real one."""
    here, there = Tools(), Tools()
    async with serving(there.services, "/chat") as (server, peers):
        assert server.url.startswith("ws://127.0.0.1:")
        assert server.url.endswith("/chat")
        assert ":0/" not in server.url
        async with connect(server.url, here.services, wireformat="json") as client:
            for peer in (client, peers[0]):
                assert await peer.remote(tools).call(Add(a=1, b=2)) == 3
                assert await peer.remote(tools).call(Echo(data=b"x" * 500_000)) == b"x" * 500_000
                await peer.remote(tools).send(Say(text="through"))
            await here.until(lambda: here.said == ["through"])
            await there.until(lambda: there.said == ["through"])
            assert peers[0].info.extra == {"origin": None, "path": "/chat"}
            assert peers[0].info.address.startswith("127.0.0.1:")


async def test_the_largest_frame() -> None:
    """A frame of exactly 1 MiB, there and back, from each end."""
    here, there = Tools(), Tools()
    payload = b'{"data":"' + b"eHh4" * 262_135 + b'"}'
    payload += b" " * (MIB - 24 - len(payload))
    async with serving(there.services) as (server, peers):
        async with connect(server.url, here.services, wireformat="json") as client:
            for peer in (client, peers[0]):
                answer = await peer.call_raw(tools.sid(Echo), payload)
                assert json.loads(answer) == "eHh4" * 262_135


async def test_many_calls_at_once() -> None:
    """A hundred callers at each end, small and large: every answer comes to who asked."""
    here, there = Tools(), Tools()
    async with serving(there.services) as (server, peers):
        async with connect(server.url, here.services, wireformat="json") as client:
            count = 0
            async with anyio.create_task_group() as group:

                async def call(peer: Peer, number: int) -> None:
                    nonlocal count
                    data = bytes([number]) * (number * 1000)
                    assert await peer.remote(tools).call(Echo(data=data)) == data
                    count += 1

                for number in range(100):
                    for peer in (client, peers[0]):
                        group.start_soon(call, peer, number)
            assert count == 200


@pytest.mark.parametrize("closes", ["client", "server", "both"])
async def test_a_clean_end(closes: str) -> None:
    """Closed from either end, or from both at once: each says who it was, and it is no failure."""
    async with serving() as (server, peers), connect(server.url, wireformat="json") as client:
        await until(lambda: bool(peers))
        async with anyio.create_task_group() as group:
            if closes in ("client", "both"):
                group.start_soon(client.close)
            if closes in ("server", "both"):
                group.start_soon(peers[0].close)
        reasons = {await client.wait_closed(), await peers[0].wait_closed()}
        expected = {CloseReason.CLOSED_LOCALLY, CloseReason.CLOSED_BY_REMOTE}
        assert reasons == expected or (closes == "both" and reasons <= expected)


async def test_a_connection_that_is_cut() -> None:
    """The other end hangs up without a goodbye: cut short, for callers too, though no frame of ours was cut."""
    there = Tools()
    async with serving(there.services) as (server, peers), raw(server) as remote:
        await shake_hands(remote)
        await until(lambda: bool(peers))
        async with anyio.create_task_group() as group:

            async def call() -> None:
                with pytest.raises(ConnectionLost):
                    await peers[0].remote(tools).call(Add(a=1, b=1))

            group.start_soon(call)
            while b'"b":1' not in remote.received:
                await remote.receive()
            remote.end_writing()
            event = await closed_event(peers[0])
        assert event.reason is CloseReason.TRUNCATED
        assert "without a WebSocket close frame" in event.detail


async def shake_hands(remote: RawRemote) -> None:
    """Ask for a WebSocket by hand, and get it."""
    await remote.send(
        b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    while b"\r\n\r\n" not in remote.received:
        await remote.receive()
    assert remote.received.startswith(b"HTTP/1.1 101 ")


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


# -- our client, and what it meets --------------------------------------------------------------------------------------


async def test_another_librarys_server() -> None:
    """Path and query arrive as they were written; calls from our end, and from theirs; their goodbye is a clean end."""
    here = Tools()
    paths: list[str] = []

    async def handler(socket: Any) -> None:
        paths.append(socket.request.path)
        data = await socket.recv()
        sid, cid = struct.unpack("<QQ", data[8:24])
        assert sid == tools.sid(Add)
        await socket.send(frame(RESPONSE_SID, cid, b"3") + ADD)
        assert await socket.recv() == THREE
        await hang_up(socket, 1000)

    async with library_server(handler) as url:
        async with connect(f"{url}/a%20b/ä?token=x y", here.services, wireformat="json") as client:
            assert await client.remote(tools).call(Add(a=1, b=2)) == 3
            assert await client.wait_closed() is CloseReason.CLOSED_BY_REMOTE
    assert paths == ["/a%20b/%C3%A4?token=x%20y"]


async def test_a_server_that_closes_with_an_error() -> None:
    """Its code and its reason are in the event, on one line."""

    async def handler(socket: Any) -> None:
        await hang_up(socket, 1008, "you are\nnot welcome")

    async with library_server(handler) as url, connect(url, wireformat="json") as client:
        event = await closed_event(client)
        assert event.reason is CloseReason.TRANSPORT_FAILED
        assert "code 1008: you are" in event.detail
        assert "\n" not in event.detail


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 8\r\n\r\nnot you\n", "answered 403 Forbidden: not you"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "is that a WebSocket server?"),
        (b"", "hung up during the WebSocket handshake"),
    ],
)
async def test_servers_that_open_nothing(reply: bytes, text: str) -> None:
    """`ConnectFailed` with what the server said, and nothing of ours has left but the request."""
    async with raw_server() as (url, accept), anyio.create_task_group() as group:

        async def server() -> None:
            remote = await accept()
            while b"\r\n\r\n" not in remote.received:
                await remote.receive()
            await remote.send(reply)
            remote.end_writing()
            assert (await remote.read_to_end()).endswith(b"\r\n\r\n")

        group.start_soon(server)
        with pytest.raises(ConnectFailed, match="no connection at ws://") as caught:
            async with connect(url.replace("tcp", "ws"), wireformat="json"):
                raise AssertionError
        assert text in str(caught.value)


@pytest.mark.fault(65)
async def test_a_server_that_does_not_answer() -> None:
    """`HandshakeTimeout`."""
    async with raw_server() as (url, _):
        with pytest.raises(HandshakeTimeout):
            async with connect(
                url.replace("tcp", "ws"), wireformat="json", limits=Limits(handshake_timeout=0.1)
            ):
                raise AssertionError


async def test_paths() -> None:
    """A server with a path opens there only; one without opens anywhere."""
    async with serving(None, "/chat") as (server, _):
        for path in ("", "/", "/chat/", "/Chat", "/chat/more"):
            with pytest.raises(ConnectFailed, match="404 Not Found: there is no WebSocket at this path"):
                async with connect(server.url.removesuffix("/chat") + path, wireformat="json"):
                    raise AssertionError
        async with connect(server.url + "?token=1", wireformat="json"):
            pass
    async with serving() as (server, _), connect(server.url + "/anything", wireformat="json"):
        pass


@pytest.mark.parametrize(
    "url",
    [
        "ws://",
        "ws:///path",
        "ws://127.0.0.1:port",
        "ws://127.0.0.1:70000",
        "ws://127.0.0.1:7000/#part",
        "ws://me:secret@127.0.0.1:7000",
        "ws://[::1:7000",
        "ws://ä..b:7000",
        "ws://" + "long" * 20 + ":7000",
        "ws:127.0.0.1:7000/x",
    ],
)
async def test_urls_that_are_none(url: str) -> None:
    """Refused for clients and servers alike, and the text says what to write."""
    with pytest.raises(ConnectFailed, match="scheme://host:port/path"):
        async with connect(url, wireformat="json"):
            raise AssertionError
    with pytest.raises(ConnectFailed, match="scheme://host:port/path"):
        async with serve(url, wireformat="json", origins=[]):
            raise AssertionError


async def test_servers_that_can_not_be() -> None:
    """A query, a port that is taken, a folder that is none: `ConnectFailed`, with what is wrong."""
    async with serving() as (server, _):
        for url, options, text in (
            ("ws://127.0.0.1:0/?x", {}, "no query"),
            (server.url, {}, "can't listen there"),
            ("ws://127.0.0.1:0", {"static": "/no/such/folder"}, "can't be served"),
            ("ws://127.0.0.1:0", {"static": __file__}, "can't be served"),
        ):
            with pytest.raises(ConnectFailed, match=text):
                async with serve(url, wireformat="json", origins=[], **options):
                    raise AssertionError
    with pytest.raises(TypeError, match="ws adapter does not know the option compression"):
        async with connect("ws://127.0.0.1:1", wireformat="json", compression="deflate"):
            raise AssertionError


# -- pages ---------------------------------------------------------------------------------------------------------


async def test_pages_on_the_same_port(tmp_path: Path) -> None:
    """A folder of files beside the WebSocket; a large one arrives whole, though it is read slowly."""
    there = Tools()
    large = bytes(range(256)) * 20_000
    (tmp_path / "index.html").write_bytes(b"<p>hello")
    (tmp_path / "large.bin").write_bytes(large)
    async with serving(there.services, "/chat", static=tmp_path) as (server, peers):
        request = b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n"
        assert await answer_to(server, request % b"/") == (200, b"<p>hello")
        assert await answer_to(server, request % b"/large.bin?x") == (200, large)
        assert (await answer_to(server, request % b"/../index.html"))[0] == 404
        assert (await answer_to(server, request % b"/chat"))[0] == 404
        assert await answer_to(server, b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n") == (200, b"")
        assert (await answer_to(server, b"DELETE / HTTP/1.1\r\nHost: x\r\n\r\n"))[0] == 405
        assert not peers
        async with connect(server.url, wireformat="json") as client:
            assert await client.remote(tools).call(Add(a=1, b=2)) == 3
