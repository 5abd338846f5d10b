"""TCP: addresses, options, and connections that can't be made."""

from __future__ import annotations

import errno
import socket
from contextlib import suppress
from typing import Any

import anyio
import pytest
from tests.adapters.certificates import Certificates
from tests.adapters.common import Add, Tools, first_peer, raw_client, raw_server, tools

from duologue import (
    ConnectFailed,
    DuologueError,
    HandshakeTimeout,
    Limits,
    connect,
    serve,
)
from duologue_adapters import SocketListener, engine_here
from duologue_adapters.engines import callbacks, streams
from duologue_adapters.engines.streams import real_cause
from duologue_adapters.engines.tcp import is_refusal, is_to_itself


@pytest.mark.parametrize(
    "url",
    [
        "tcp://",
        "tcp://127.0.0.1",
        "tcp://:7000",
        "tcp://127.0.0.1:port",
        "tcp://127.0.0.1:70000",
        "tcp://127.0.0.1:-1",
        "tcp://127.0.0.1:7000/path",
        "tcp://127.0.0.1:7000?query=1",
        "tcp://127.0.0.1:7000#part",
        "tcp://me@127.0.0.1:7000",
        "tcp://[::1:7000",
        "tcp:127.0.0.1:7000",
        "tcp://two..dots:7000",
        "tcp://" + "long" * 20 + ":7000",
    ],
)
async def test_urls_that_are_none(url: str) -> None:
    """Whatever is not host and port is refused, for clients and servers alike, and the text says what to write."""
    with pytest.raises(ConnectFailed, match="scheme://host:port") as caught:
        async with connect(url, wireformat="json"):
            raise AssertionError
    assert caught.value.url == url
    with pytest.raises(ConnectFailed, match="scheme://host:port"):
        async with serve(url, wireformat="json"):
            raise AssertionError


async def test_ports_of_clients() -> None:
    """Port 0 is for servers: a client is not told of it, and may not use it."""
    for scheme in ("tcp", "tls", "zmq+tcp"):
        with pytest.raises(ConnectFailed, match=r"write scheme://host:port$"):
            async with connect(f"{scheme}://127.0.0.1", wireformat="json"):
                raise AssertionError
    for scheme in ("tcp", "tls", "ws", "wss", "zmq+tcp"):
        with pytest.raises(
            ConnectFailed, match=r"port 0 is only for servers: connect to the one in server\.url"
        ):
            async with connect(f"{scheme}://127.0.0.1:0", wireformat="json"):
                raise AssertionError


@pytest.mark.parametrize(
    ("url", "options", "text"),
    [
        ("tls://127.0.0.1:1", {"certificate": b"-----BEGIN"}, "certificate= is no path, but bytes: give the path of a PEM file"),
        ("tls://127.0.0.1:1", {"certificate": 5}, "certificate= is no path, but int"),
        ("tls://127.0.0.1:1", {"certificate": __file__}, "key= is missing, and there is none in '.*test_tcp.py'"),
        ("tls://127.0.0.1:1", {"certificate": __file__, "key": 5}, "key= is no path, but int"),
        ("wss://127.0.0.1:1", {"server_hostname": 5}, "server_hostname=5: give the name of a host"),
    ],
)  # fmt: skip
async def test_options_of_the_wrong_type(url: str, options: dict[str, Any], text: str) -> None:
    """Each is told by its name, before anything is opened."""
    with pytest.raises(TypeError, match=text):
        async with connect(url, wireformat="json", **options):
            raise AssertionError


async def test_a_folder_of_the_wrong_type() -> None:
    with pytest.raises(TypeError, match="static=5: give the path of a folder"):
        async with serve("ws://127.0.0.1:0", wireformat="json", origins=[], static=5):
            raise AssertionError


async def test_times_of_the_wrong_kind() -> None:
    """A heartbeat without end, and a timeout that is a text."""
    with pytest.raises(ValueError, match="heartbeat=inf: give seconds, more than 0 and finite"):
        async with connect("tcp://127.0.0.1:1", wireformat="json", heartbeat=float("inf")):
            raise AssertionError
    async with serve("mem://times", Tools().services, wireformat="json") as server:
        async with connect(server.url, wireformat="json") as peer:
            timeout: Any = "5"
            with pytest.raises(TypeError, match="a timeout of '5': give seconds"):
                await peer.remote(tools).call(Add(a=1, b=2), timeout=timeout)
            services: Any = Tools().services
            with pytest.raises(TypeError, match="give the Namespace that the messages are in"):
                peer.remote(services)


def test_a_connection_to_itself() -> None:
    """The system makes one where a socket has the port that it connects to. That is found by its two addresses."""
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as one:
        one.connect(listener.getsockname())
        assert not is_to_itself(one)
    with socket.socket() as sock:
        assert not is_to_itself(sock), "it is not connected"
        sock.bind(("127.0.0.1", 0))
        sock.connect(sock.getsockname())
        assert is_to_itself(sock)


async def test_a_connection_to_itself_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is refused as if nobody listened there, which is so; and nobody holds the port."""
    for engine in (callbacks, streams):
        monkeypatch.setattr(engine, "is_to_itself", lambda sock: True)
    async with raw_server() as (url, accept):
        with pytest.raises(ConnectFailed, match="the connection was one to itself") as caught:
            async with connect(url, wireformat="json"):
                raise AssertionError
        assert not caught.value.is_permanent
        remote = await accept()
        with suppress(ConnectionResetError):
            assert await remote.read_to_end() == b""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
        return port


@pytest.mark.parametrize("url", ["tcp://{}", "tls://{}", "ws://{}", "wss://{}/path"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_nobody_listens_says_so(url: str, host: str) -> None:
    """On each engine, whatever is on top of TCP, and for one address and for several: it says so, and what the system said."""
    url = url.format(f"{host}:{free_port()}")
    with pytest.raises(ConnectFailed, match=r": nobody listens there \(.*\[Errno \d+\]") as caught:
        async with connect(url, wireformat="json"):
            raise AssertionError
    assert not caught.value.is_permanent


def test_several_addresses() -> None:
    """What anyio tells of them in a group is one error; it is a refusal only if all of them were one."""
    refused, lost = ConnectionRefusedError(errno.ECONNREFUSED, "refused"), OSError(errno.ENETUNREACH, "lost")
    error = OSError("of no use")
    assert real_cause(error) is error
    error.__cause__ = ExceptionGroup("several", [refused, refused])
    assert str(real_cause(error)) == f"[Errno {errno.ECONNREFUSED}] refused"
    assert is_refusal(real_cause(error))
    error.__cause__ = ExceptionGroup("several", [refused, lost])
    assert str(real_cause(error)).endswith(f"refused; [Errno {errno.ENETUNREACH}] lost")
    assert not is_refusal(real_cause(error))
    assert not is_refusal(error)


async def test_a_socket_that_blocks() -> None:
    """The socket that an adapter gives may block: waiting for a link does not stop the loop."""
    async with engine_here() as engine:
        with socket.create_server(("127.0.0.1", 0)) as sock:
            listener = SocketListener(engine, sock, "some://where")
            with anyio.move_on_after(0.05) as scope:
                await listener.accept()
            assert scope.cancelled_caught


@pytest.mark.parametrize("url", ["TCP://127.0.0.1:{}", "tcp://127.0.0.1:{}/", "tcp://localhost:{}"])
async def test_ways_to_write_an_address(url: str) -> None:
    """The scheme in capitals, a slash at the end, a name for the host."""
    there = Tools()
    async with serve("tcp://localhost:0", there.services, wireformat="json") as server:
        port = server.url.rsplit(":", 1)[1]
        if "127" in url and "127" not in server.url:
            pytest.skip("localhost is not 127.0.0.1 here")
        async with connect(url.format(port), wireformat="json") as peer:
            assert await peer.remote(tools).call(Add(a=1, b=1)) == 2


async def test_options_are_refused() -> None:
    """A keyword that the adapter does not know is a mistake to be told, not to be ignored."""
    with pytest.raises(TypeError, match="tcp adapter does not know the option nodealy"):
        async with connect("tcp://127.0.0.1:1", wireformat="json", nodealy=True):
            raise AssertionError
    with pytest.raises(TypeError, match="backlog, reuse"):
        async with serve("tcp://127.0.0.1:0", wireformat="json", reuse=True, backlog=5):
            raise AssertionError


async def test_nobody_listens() -> None:
    """Refused: `ConnectFailed`, with the URL, and the system's error as its cause."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        url = f"tcp://127.0.0.1:{sock.getsockname()[1]}"
        with pytest.raises(ConnectFailed) as caught:
            async with connect(url, wireformat="json"):
                raise AssertionError
    assert caught.value.url == url
    assert isinstance(caught.value.__cause__, OSError)


async def test_a_host_that_is_none() -> None:
    """A name that can't be looked up, to connect to or to listen on."""
    for enter in (connect, serve):
        with pytest.raises(ConnectFailed):
            async with enter("tcp://no-such-host.invalid:7000", wireformat="json"):
                raise AssertionError


async def test_an_address_that_is_taken() -> None:
    """A port that somebody else listens on, and an address that is not ours: `ConnectFailed`, which says where."""
    async with serve("tcp://127.0.0.1:0", wireformat="json") as server:
        with pytest.raises(ConnectFailed, match="can't listen there"):
            async with serve(server.url, wireformat="json"):
                raise AssertionError
    with pytest.raises(ConnectFailed, match="can't listen there"):
        async with serve("tcp://192.0.2.1:0", wireformat="json"):
            raise AssertionError


@pytest.mark.fault(65)
async def test_a_host_that_does_not_answer() -> None:
    """No answer to our wish to connect, which is what a full queue of a listener looks like: `HandshakeTimeout`."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        crowd = [socket.socket() for _ in range(4)]
        try:
            for each in crowd:  # they fill the queue, and nobody accepts
                each.setblocking(False)
                each.connect_ex(address)
            with anyio.fail_after(5):
                with pytest.raises(HandshakeTimeout) as caught:
                    async with connect(
                        f"tcp://{address[0]}:{address[1]}",
                        wireformat="json",
                        limits=Limits(handshake_timeout=0.1),
                    ):
                        raise AssertionError
        finally:
            for each in crowd:
                each.close()
    assert caught.value.seconds == 0.1
    assert isinstance(caught.value, ConnectFailed)
    assert isinstance(caught.value, DuologueError)


@pytest.mark.fault(65)
async def test_silent_connections_hold_up_nobody() -> None:
    """Plain TCP has no handshake: connections that say nothing cost a peer each, and others are served meanwhile."""
    there = Tools()
    async with serve("tcp://127.0.0.1:0", there.services, wireformat="json") as server:
        async with raw_client(server.url), raw_client(server.url), raw_client(server.url):
            async with connect(server.url, wireformat="json") as peer:
                assert await peer.remote(tools).call(Add(a=1, b=1)) == 2
                assert len(tuple(server.peers)) == 4


@pytest.mark.fault(50)
@pytest.mark.parametrize(
    ("options", "idle", "between", "probes"),
    [
        ({}, 20, 5, 4),
        ({"heartbeat": 20.0}, 20, 5, 4),
        ({"heartbeat": 0.1}, 1, 1, 1),  # the system counts in seconds
        ({"heartbeat": 7}, 7, 1, 7),
        ({"heartbeat": 100.5}, 101, 25, 5),
        ({"heartbeat": 1e9}, 32767, 8191, 5),
    ],
)
async def test_how_sockets_are_set(options: dict[str, float], idle: int, between: int, probes: int) -> None:
    """No delay for small frames, and a silent partition is noticed after twice the heartbeat, at both ends: idle or not."""
    async with serve("tcp://127.0.0.1:0", wireformat="json", **options) as server:
        async with connect(server.url, wireformat="json", **options) as client:
            for peer in (client, await first_peer(server)):
                sock = socket_of(peer)
                assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
                assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
                for name, value in (
                    ("TCP_KEEPIDLE", idle),
                    ("TCP_KEEPINTVL", between),
                    ("TCP_KEEPCNT", probes),
                    ("TCP_USER_TIMEOUT", 2000 * idle),
                ):
                    if hasattr(socket, name):
                        assert sock.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)) == value, name


@pytest.mark.parametrize("scheme", ["tcp", "tls", "ws", "wss"])
@pytest.mark.parametrize("heartbeat", [0, -1, float("inf"), float("nan"), "20", None])
async def test_a_heartbeat_that_is_none(scheme: str, heartbeat: Any, certificates: Certificates) -> None:
    """`ValueError`, at both ends, before anything is done."""
    url = f"{scheme}://127.0.0.1:0"
    options = {"origins": []} if scheme.startswith("ws") else {}
    options |= certificates.server if scheme in ("tls", "wss") else {}
    with pytest.raises(ValueError, match="heartbeat"):
        async with serve(url, wireformat="json", heartbeat=heartbeat, **options):
            raise AssertionError
    with pytest.raises(ValueError, match="heartbeat"):
        async with connect(url.replace(":0", ":1"), wireformat="json", heartbeat=heartbeat):
            raise AssertionError


async def test_the_connection_below_a_websocket() -> None:
    """Its pings ask; TCP can't tell silence from an end that does not read, so it never has less time than usual, or than they."""
    for heartbeat, seconds in ((0.5, 20), (300.0, 300)):
        async with serve("ws://127.0.0.1:0", wireformat="json", origins=[], heartbeat=heartbeat) as server:
            async with connect(server.url, wireformat="json", heartbeat=heartbeat) as client:
                for peer in (client, await first_peer(server)):
                    sock = socket_of(peer)
                    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == seconds


def socket_of(peer: object) -> socket.socket:
    link: Any = peer._link  # type: ignore[attr-defined]
    while hasattr(link, "_below"):
        link = link._below
    found: socket.socket
    if hasattr(link, "_transport"):
        found = link._transport.get_extra_info("socket")
    else:
        found = link._stream.extra(anyio.abc.SocketAttribute.raw_socket)
    return found


async def test_a_server_on_all_addresses() -> None:
    """A server may listen on 0.0.0.0; `server.url` says what it listens on, with the real port."""
    there = Tools()
    async with serve("tcp://0.0.0.0:0", there.services, wireformat="json") as server:
        assert server.url.startswith("tcp://0.0.0.0:")
        async with connect(server.url.replace("0.0.0.0", "127.0.0.1"), wireformat="json") as peer:
            assert await peer.remote(tools).call(Add(a=1, b=1)) == 2
