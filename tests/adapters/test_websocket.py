"""`ws://` over real sockets: our two ends, our client with other servers, URLs, and pages."""

from __future__ import annotations

import json
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
import pytest
from tests.adapters.common import (
    RESPONSE_SID,
    Add,
    Echo,
    Say,
    Tools,
    closed_event,
    frame,
    raw_server,
    tools,
    until,
)
from tests.adapters.websocket_sockets import (
    ADD,
    THREE,
    answer_to,
    hang_up,
    library_server,
    raw,
    serving,
    shake_hands,
)

from duologue import (
    CloseReason,
    ConnectFailed,
    ConnectionLost,
    HandshakeTimeout,
    Limits,
    Peer,
    connect,
    serve,
)

MIB = 1024 * 1024


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


async def test_a_large_page_for_one_who_does_not_read(tmp_path: Path) -> None:
    """No more of it is in memory than is on its way: not the file."""
    size = 64 * MIB
    with (tmp_path / "large.bin").open("wb") as file:
        file.truncate(size)
    async with serving(Tools().services, "/chat", static=tmp_path) as (server, _):
        tracemalloc.start()
        try:
            async with await anyio.connect_tcp(
                "127.0.0.1", int(server.url.split(":")[2].split("/")[0])
            ) as stream:
                await stream.send(b"GET /large.bin HTTP/1.1\r\nHost: x\r\n\r\n")
                assert (await stream.receive()).startswith(b"HTTP/1.1 200 ")
                await anyio.wait_all_tasks_blocked()  # the server has written all that the socket takes
                received = 0
                while received < 8 * MIB:
                    received += len(await stream.receive(MIB))
            assert tracemalloc.get_traced_memory()[1] < 8 * MIB
        finally:
            tracemalloc.stop()
