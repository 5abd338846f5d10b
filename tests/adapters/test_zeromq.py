"""ZeroMQ: its three kinds of address, flow control, ends, reconnecting, and what a user sees when something is wrong."""

from __future__ import annotations

import gc
import itertools
import os
import signal
import socket
import stat
import threading
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
import zmq
from tests.adapters.common import (
    Add,
    Echo,
    Hold,
    Say,
    State,
    Tools,
    closed_event,
    connected,
    first_peer,
    tools,
    turn,
    until,
)
from tests.adapters.test_processes import running

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
from duologue_adapters.zeromq.messages import PIECE, WINDOW
from duologue_adapters.zeromq.sockets import RECEIVE_QUEUE, SEND_QUEUE

_names = itertools.count(1)


@pytest.fixture(params=["tcp", "ipc", "inproc"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where to serve: each kind of address."""
    addresses = {"tcp": "127.0.0.1:0", "ipc": f"{tmp_path}/sock", "inproc": f"test-{next(_names)}"}
    return f"zmq+{request.param}://{addresses[request.param]}"


async def test_both_ends_call(url: str, wireformat: str) -> None:
    """Two peers, in all formats and over all kinds of address: both serve and call, both close."""
    here, there = Tools(), Tools()
    async with connected(url, there.services, here.services, wireformat=wireformat) as (client, server):
        assert await client.remote(tools).call(Add(a=1, b=2)) == 3
        assert await server.remote(tools).call(Echo(data=b"back")) == b"back"
        await client.remote(tools).send(Say(text="one way"))
        await there.until(lambda: there.said == ["one way"])
        await client.close()
        assert await server.wait_closed() is CloseReason.CLOSED_BY_REMOTE


async def test_the_server_closes(url: str) -> None:
    """The other way round: the server calls, and its peer closes first."""
    here = Tools()
    async with connected(url, None, here.services) as (client, server):
        for number in range(100):
            await server.remote(tools).send(Say(text=str(number)))
        await here.until(lambda: len(here.said) == 100)
        await server.close("enough")
        assert await client.wait_closed() is CloseReason.CLOSED_BY_REMOTE
        assert here.said == [str(number) for number in range(100)]


async def test_many_calls(url: str) -> None:
    """Calls from both ends at once, of all sizes."""
    here, there = Tools(), Tools()
    async with connected(url, there.services, here.services) as (client, server):
        answers: list[bool] = []

        async def call(peer: Peer, size: int) -> None:
            answers.append(await peer.remote(tools).call(Echo(data=b"x" * size)) == b"x" * size)

        async with anyio.create_task_group() as group:
            for number in range(200):
                group.start_soon(call, (client, server)[number % 2], number * 997 % 300_000)
        assert answers == [True] * 200
        await until(lambda: State(client).is_idle and State(server).is_idle)


async def test_the_largest_frame(url: str) -> None:
    """A frame of exactly 1 MiB, there and back."""
    there = Tools()
    async with connected(url, there.services) as (client, _):
        codec = client.wireformat.codec(Echo)
        room = Limits().max_frame - 24 - (len(codec.encode(Echo(data=bytes(70_000)))) - 70_000)
        data = os.urandom(room)
        payload = codec.encode(Echo(data=data))
        assert len(payload) + 24 == 2**20
        answer = await client.call_raw(tools.sid(Echo), payload)
        assert client.wireformat.codec(bytes).decode(answer) == data


@pytest.mark.fault(9)
async def test_a_reader_that_is_paused(url: str) -> None:
    """100 MB for a reader that does not read: what waits is bounded at both ends, and goes on when it reads again."""
    here, there = Tools(), Tools()
    async with connected(url, there.services, here.services) as (client, server):
        link: Any = server._link  # type: ignore[attr-defined]
        sender: Any = client._link  # type: ignore[attr-defined]
        sent = 0
        link.pause_reading()
        switch, server._switch_reading = server._switch_reading, lambda: None  # type: ignore[attr-defined]

        async def send_all() -> None:
            nonlocal sent
            for _ in range(1000):
                await client.remote(tools).send(Say(text="x" * 100_000), timeout=None)
                sent += 1

        async with anyio.create_task_group() as group:
            group.start_soon(send_all)
            # The window is used up, and the outbox is full: nothing moves any more.
            await until(lambda: sender.session._credit < 4096 and State(client).waiting == 1)
            most = WINDOW + Limits().outbox_high + 2 * 100_100
            assert sent * 100_000 < most
            assert sum(map(len, link._inbox)) <= WINDOW
            assert sender.unsent <= Limits().outbox_high + 100_100
            server._switch_reading = switch  # type: ignore[attr-defined]
            link.resume_reading()
        await there.until(lambda: len(there.said) == 1000)


async def test_reconnecting(url: str) -> None:
    """Whoever connects again is a new peer; the old one has ended."""
    there = Tools()
    async with serve(url, there.services, wireformat="json") as server:
        async with connect(server.url, wireformat="json") as peer:
            assert await peer.remote(tools).call(Add(a=1, b=1)) == 2
            old = await first_peer(server)
        async with connect(server.url, wireformat="json") as peer:
            assert await peer.remote(tools).call(Add(a=1, b=1)) == 2
            await until(lambda: len(tuple(server.peers)) == 1)
            assert await first_peer(server) is not old
            assert await old.wait_closed() is CloseReason.CLOSED_BY_REMOTE


async def test_serving_again_at_once(url: str) -> None:
    """An address is free when its server has been left, though the library closes in a thread of its own."""
    address = url
    for _ in range(5):
        async with serve(address, wireformat="json") as server:
            address = server.url
            async with connect(address, wireformat="json"):
                pass


async def test_an_address_that_is_taken(url: str) -> None:
    """Two can't serve at one address, and the first one is not disturbed by the attempt."""
    there = Tools()
    async with serve(url, there.services, wireformat="json") as server:
        with pytest.raises(ConnectFailed, match=r"in use|somebody serves"):
            async with serve(server.url, wireformat="json"):
                raise AssertionError
        async with connect(server.url, wireformat="json") as peer:
            assert await peer.remote(tools).call(Add(a=1, b=1)) == 2


@pytest.mark.fault(65)
async def test_nobody_answers(url: str) -> None:
    """Nobody there, or nobody who speaks the link protocol: `HandshakeTimeout`, with a hint."""
    url = url.replace(":0", f":{free_port()}")
    with pytest.raises(HandshakeTimeout) as caught:
        async with connect(url, wireformat="json", limits=Limits(handshake_timeout=0.1)):
            raise AssertionError
    assert caught.value.seconds == 0.1
    assert "not ready after 0.1 s: nobody answers there, or one end has keys" in str(caught.value)


async def test_a_server_that_comes_later(url: str) -> None:
    """Who is first does not matter, within the time that a handshake may take."""
    url = url.replace(":0", f":{free_port()}")
    there = Tools()
    answers: list[int] = []

    async def client() -> None:
        async with connect(url, wireformat="json") as peer:
            answers.append(await peer.remote(tools).call(Add(a=1, b=1)))

    async with anyio.create_task_group() as group:
        group.start_soon(client)
        await turn(20)
        async with serve(url, there.services, wireformat="json"):
            await until(lambda: answers == [2])


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


@pytest.mark.fault(65)
async def test_a_server_that_is_full(url: str) -> None:
    """Over the limit of connections a client waits for its opening to be answered, and has given nothing away meanwhile."""
    there = Tools()
    async with serve(url, there.services, wireformat="json", limits=Limits(connections=1)) as server:
        async with connect(server.url, wireformat="json"):
            with pytest.raises(HandshakeTimeout):
                async with connect(server.url, wireformat="json", limits=Limits(handshake_timeout=0.1)):
                    raise AssertionError
        async with connect(server.url, wireformat="json") as peer:
            assert await peer.remote(tools).call(Add(a=1, b=1)) == 2


async def test_a_server_that_can_not_serve() -> None:
    """A peer that the server aborts at once: connecting fails, and says that it was the other end."""

    def no(peer: Peer) -> None:
        raise LookupError("no")

    async with serve("zmq+tcp://127.0.0.1:0", wireformat="json", on_peer=no) as server:
        with pytest.raises(ConnectFailed, match="the other end has ended it") as caught:
            async with connect(server.url, wireformat="json"):
                raise AssertionError
        assert isinstance(caught.value.__cause__, OSError), "as with every transport: somebody was asked"


@pytest.mark.fault(53)
async def test_a_server_that_is_killed(anyio_backend: tuple[str, object]) -> None:
    """The client's library sees that its connection is gone: whoever waits is told at once."""
    with running("tests.adapters.zeromq_server", anyio_backend[0]) as process:
        assert process.stdout is not None
        async with connect(process.stdout.readline().strip(), wireformat="json") as peer:

            async def call() -> None:
                with pytest.raises(ConnectionLost):
                    await peer.remote(tools).call(Hold())

            assert await peer.remote(tools).call(Add(a=1, b=2)) == 3
            async with anyio.create_task_group() as group:
                group.start_soon(call)
                await until(lambda: State(peer).pending == 1 and State(peer).queued == 0)
                process.send_signal(signal.SIGKILL)
            assert "the connection is gone" in (await closed_event(peer)).detail


async def test_leaving_by_an_exception(url: str) -> None:
    """Either end is cut: the other learns at once, as with a socket that is reset."""
    async with serve(url, wireformat="json") as server:
        with pytest.raises(KeyError):
            async with connect(server.url, wireformat="json"):
                peer = await first_peer(server)
                raise KeyError
        assert await peer.wait_closed() is CloseReason.TRANSPORT_FAILED
        async with connect(server.url, wireformat="json") as client:
            await until(lambda: bool(tuple(server.peers)))
            (await first_peer(server)).abort("cut")  # type: ignore[attr-defined]
            assert await client.wait_closed() is CloseReason.TRANSPORT_FAILED


@pytest.mark.fault(72)
async def test_how_sockets_are_set() -> None:
    """Bounds that the library does not have by itself."""
    async with serve("zmq+tcp://127.0.0.1:0", wireformat="json") as server:
        async with connect(server.url, wireformat="json") as client:
            router = server._listener._pump._socket  # type: ignore[attr-defined]
            dealer = client._link._send.__self__._pump._socket  # type: ignore[attr-defined]
            for sock in (router, dealer):
                assert sock.getsockopt(zmq.LINGER) == 1000
                assert sock.getsockopt(zmq.MAXMSGSIZE) == PIECE + 9
                assert sock.getsockopt(zmq.SNDHWM) == SEND_QUEUE
                assert sock.getsockopt(zmq.RCVHWM) == RECEIVE_QUEUE
                assert sock.getsockopt(zmq.HEARTBEAT_IVL) == 20_000
                assert sock.getsockopt(zmq.HANDSHAKE_IVL) == 10_000


@pytest.mark.parametrize(
    "url",
    [
        "zmq+tcp://127.0.0.1",
        "zmq+tcp://:7000",
        "zmq+tcp://127.0.0.1:7000/path",
        "zmq+tcp://127.0.0.1:70000",
        "zmq+tcp:127.0.0.1:7000",
        "zmq+ipc://",
        "zmq+ipc://relative/path",
        "zmq+ipc://*",
        "zmq+inproc://",
        "zmq+ipc:///" + "long" * 100,
        "zmq+ipc:///no/such/folder/sock",
        "zmq+ipc:///tmp/\udc80",
        "zmq+inproc://\udc80",
    ],
)
async def test_urls_that_are_none(url: str) -> None:
    """They are refused, and the library's own errors are not what a user sees."""
    with pytest.raises(ConnectFailed) as caught:
        async with connect(url, wireformat="json", limits=Limits(handshake_timeout=0.1)):
            raise AssertionError
    assert caught.value.url == url
    with pytest.raises(ConnectFailed):
        async with serve(url, wireformat="json"):
            raise AssertionError


async def test_addresses() -> None:
    """`server.url` says where it really listens; names are looked up, capitals in a scheme are fine."""
    there = Tools()
    async with serve("ZMQ+TCP://localhost:0", there.services, wireformat="json") as server:
        port = server.url.rsplit(":", 1)[1]
        assert int(port)
        async with connect(f"zmq+tcp://localhost:{port}", wireformat="json") as peer:
            assert await peer.remote(tools).call(Add(a=1, b=1)) == 2
            assert (await first_peer(server)).info.address in ("127.0.0.1", "::1")
    with pytest.raises(ConnectFailed, match="port 0"):
        async with connect("zmq+tcp://localhost:0", wireformat="json"):
            raise AssertionError
    for host in ("*", "0.0.0.0"):
        async with serve(f"zmq+tcp://{host}:0", there.services, wireformat="json", insecure=True) as server:
            assert server.url.startswith("zmq+tcp://0.0.0.0:")
            async with connect(server.url.replace("0.0.0.0", "127.0.0.1"), wireformat="json") as peer:
                assert await peer.remote(tools).call(Add(a=1, b=1)) == 2


async def test_a_path(tmp_path: Path) -> None:
    """The socket's file is for its owner only, and goes with the server. One that was left behind is replaced, and nothing else."""
    path = tmp_path / "sock"
    url = f"zmq+ipc://{path}"
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(path))
    async with serve(url, wireformat="json") as server:
        assert server.url == url
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not path.exists()
    path.write_text("precious")
    with pytest.raises(ConnectFailed, match="something else than a socket"):
        async with serve(url, wireformat="json"):
            raise AssertionError
    assert path.read_text() == "precious"


@pytest.mark.parametrize("heartbeat", [0, -1, float("inf"), float("nan"), "20", None])
async def test_options(heartbeat: Any) -> None:
    """What the adapter does not know is refused, and so is a heartbeat that is none."""
    with pytest.raises(TypeError, match="colour"):
        async with connect("zmq+tcp://127.0.0.1:1", wireformat="json", colour="red"):
            raise AssertionError
    with pytest.raises(TypeError, match="server_key"):
        async with serve("zmq+tcp://127.0.0.1:0", wireformat="json", server_key="x"):
            raise AssertionError
    with pytest.raises(ValueError, match="heartbeat"):
        async with serve("zmq+tcp://127.0.0.1:0", wireformat="json", heartbeat=heartbeat):
            raise AssertionError


@pytest.mark.fault(41)
async def test_nothing_is_left(url: str) -> None:
    """Connections opened and closed, and servers too: no descriptor, which is what each socket of the library has, stays."""

    async def once() -> None:
        async with serve(url, wireformat="json") as server:
            for _ in range(5):
                async with connect(server.url, wireformat="json") as peer:
                    await peer.close()

    def descriptors() -> int:
        gc.collect()
        return len(os.listdir("/proc/self/fd"))

    await once()
    # Some of the library's descriptors are closed in its own thread, a moment later.
    await anyio.sleep(0.1)
    before = descriptors()
    for _ in range(5):
        await once()
    await until(lambda: descriptors() <= before)


async def test_two_loops_of_one_process(anyio_backend: tuple[str, dict[str, Any]]) -> None:
    """One context serves them all: a client in another thread, with an event loop of its own, within the process."""
    there = Tools()
    name = f"zmq+inproc://loops-{next(_names)}"
    answers: list[int] = []

    async def client() -> None:
        async with connect(name, wireformat="json") as peer:
            answers.append(await peer.remote(tools).call(Add(a=20, b=22)))

    async with serve(name, there.services, wireformat="json"):
        thread = threading.Thread(
            target=lambda: anyio.run(client, backend=anyio_backend[0], backend_options=anyio_backend[1])
        )
        thread.start()
        await until(lambda: not thread.is_alive())
        thread.join()
    assert answers == [42]


async def test_a_process_that_ends_at_once(anyio_backend: tuple[str, object]) -> None:
    """A process that ends right after its last call ends cleanly: the library's thread is waited for, and not for ever."""
    there = Tools()
    async with serve("zmq+tcp://127.0.0.1:0", there.services, wireformat="json") as server:
        with running("tests.adapters.zeromq_sender", anyio_backend[0], server.url) as process:
            await there.until(lambda: there.said == ["last"])
            assert await anyio.to_thread.run_sync(process.wait) == 0
