"""Servers: greeting their peers, pushing to them, limits, and what can go wrong while links are accepted."""

from __future__ import annotations

import contextlib
import errno
import logging
import resource
import socket
import weakref
from collections.abc import Awaitable, Callable, Iterator

import anyio
import pytest
from tests.adapters.common import (
    Add,
    Hold,
    Say,
    Tools,
    collect,
    connected,
    first_peer,
    raw_client,
    tools,
    turn,
    until,
)

from duologue import (
    CallBudget,
    CallError,
    CloseReason,
    ConnectFailed,
    ConnectionLost,
    Context,
    Limits,
    Message,
    Namespace,
    Peer,
    Server,
    ServiceMap,
    Services,
    connect,
    serve,
)


async def test_pushing_to_all_peers(url: str) -> None:
    """`server.peers` are the ones that are connected now: a server calls and sends to each of them."""
    clients = [Tools() for _ in range(5)]
    async with serve(url, wireformat="msgpack") as server, contextlib.AsyncExitStack() as stack:
        assert tuple(server.peers) == ()
        for client in clients:
            await stack.enter_async_context(connect(server.url, client.services, wireformat="msgpack"))
        await until(lambda: len(tuple(server.peers)) == 5)
        for number, peer in enumerate(server.peers):
            await peer.remote(tools).send(Say(text="news"))
            assert await peer.remote(tools).call(Add(a=number, b=1)) == number + 1
        for client in clients:
            await client.until(lambda client=client: client.said == ["news"])  # type: ignore[misc]
        await stack.aclose()
        await until(lambda: not tuple(server.peers))
        assert repr(server).startswith("<Server ")


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:0", "tcp://localhost:0", "tcp://[::1]:0"])
async def test_a_port_that_the_system_chooses(address: str) -> None:
    """Port 0: `server.url` says the real one, and leads there; two servers don't get the same."""
    there = Tools()
    try:
        async with (
            serve(address, there.services, wireformat="json") as one,
            serve(address, wireformat="json") as other,
        ):
            assert one.url != other.url
            assert not one.url.endswith(":0")
            async with connect(one.url, wireformat="json") as peer:
                assert await peer.remote(tools).call(Add(a=1, b=1)) == 2
                assert peer.info.address
    except ConnectFailed:
        if "[" in address and not socket.has_ipv6:
            pytest.skip("no IPv6 here")
        raise


@pytest.mark.parametrize("waits", [False, True])
async def test_greeting(url: str, waits: bool) -> None:
    """`on_peer` is called with each new peer before anything of it is looked at; it may call the peer, and go on for long."""
    greeted: list[Peer] = []
    seen: list[int] = []
    services = Services(tools)

    @services.handler
    async def say(msg: Say, ctx: Context) -> None:
        assert ctx.peer in greeted
        seen.append(len(greeted))

    async def greet(peer: Peer) -> None:
        greeted.append(peer)
        await peer.remote(tools).send(Say(text="welcome"))
        assert await peer.remote(tools).call(Add(a=20, b=22)) == 42
        with pytest.raises(CallError):
            await peer.remote(tools).call(Hold())  # for as long as the peer is there

    def note(peer: Peer) -> None:
        greeted.append(peer)

    on_peer: Callable[[Peer], Awaitable[None] | None] = greet if waits else note
    here = Tools()
    async with (
        serve(url, services, wireformat="cbor", on_peer=on_peer) as server,
        connect(server.url, here.services, wireformat="cbor") as peer,
    ):
        await peer.remote(tools).call(Say(text="hello"))
        assert len(greeted) == 1
        if waits:
            await here.until(lambda: here.running == 1)
            assert here.said == ["welcome"]
    assert seen == [1]


class Broken(Exception):
    pass


@pytest.mark.parametrize("what", ["on_peer", "late on_peer", "services", "on_peer aborts"])
async def test_a_peer_that_can_not_be_served(url: str, what: str, caplog: pytest.LogCaptureFixture) -> None:
    """`on_peer`, or the function that makes services, raises: logged, that connection is closed, others are served."""
    fails = True
    there = Tools()

    def on_peer(peer: Peer) -> Awaitable[None] | None:
        if fails and what == "on_peer":
            raise Broken("on_peer")
        if fails and what == "late on_peer":
            return later()
        if fails and what == "on_peer aborts":
            peer.abort()  # type: ignore[attr-defined]
        return None

    async def later() -> None:
        await turn(2)
        raise Broken("later")

    def services(peer: Peer) -> ServiceMap | None:
        if fails and what == "services":
            raise Broken("services")
        return there.services

    caplog.set_level(logging.ERROR, "duologue")
    async with serve(url, services, wireformat="json", on_peer=on_peer) as server:
        async with connect(server.url, wireformat="json") as peer:
            with anyio.fail_after(5):
                assert await peer.wait_closed() in (
                    CloseReason.CLOSED_BY_REMOTE,
                    CloseReason.TRANSPORT_FAILED,
                )
            assert tuple(server.peers) == ()
        assert ("Broken" in caplog.text) is (what != "on_peer aborts")
        fails = False
        async with connect(server.url, wireformat="json") as peer:
            assert await peer.remote(tools).call(Add(a=1, b=1)) == 2


class Stop(Message[str]):
    grace: float


stopping = Namespace("stopping", [Stop])


@pytest.mark.fault(55)
async def test_a_handler_closes_the_server(url: str) -> None:
    """A handler closes the server that it runs in: it does not wait for itself, and with grace its answer goes out."""
    services = Services(stopping)
    servers: list[Server] = []

    @services.handler
    async def stop(msg: Stop) -> str:
        await servers[0].close(grace=msg.grace)
        return "stopping"

    with anyio.fail_after(5):
        async with serve(url, services, wireformat="json") as server:
            servers.append(server)
            async with connect(server.url, wireformat="json") as peer:
                assert await peer.remote(stopping).call(Stop(grace=4)) == "stopping"
                await peer.wait_closed()
            await server.wait_closed()


async def test_a_server_that_closes(url: str) -> None:
    """Closing a server closes its peers, with grace for their handlers; twice does no harm; nobody gets in any more."""
    there = Tools()
    async with serve(url, there.services, wireformat="json") as server:
        async with (
            connect(server.url, wireformat="json") as one,
            connect(server.url, wireformat="json") as other,
        ):
            answers: list[str] = []

            async def call(peer: Peer) -> None:
                answers.append(await peer.remote(tools).call(Hold(name="last")))

            async with anyio.create_task_group() as group:
                group.start_soon(call, one)
                group.start_soon(call, other)
                await there.until(lambda: there.running == 2)
                group.start_soon(lambda: server.close(grace=5))
                group.start_soon(lambda: server.close(grace=6))
                group.start_soon(server.wait_closed)
                await until(lambda: not any(peer.is_open for peer in server.peers))
                there.release.set()
            assert answers == ["last", "last"]
            assert tuple(server.peers) == ()
            await one.wait_closed()
            await other.wait_closed()
        with pytest.raises(ConnectFailed):
            async with connect(server.url, wireformat="json"):
                raise AssertionError


async def test_leaving_while_clients_connect(url: str) -> None:
    """The server closes while clients come in: each of them is served or refused or cut off, and none hangs."""
    there = Tools()
    for passes in range(8):
        results: list[str] = []

        async def client(address: str, results: list[str] = results) -> None:
            try:
                async with connect(address, wireformat="json") as peer:
                    await peer.remote(tools).call(Add(a=1, b=1), timeout=20)
                    results.append("served")
            except (ConnectFailed, CallError) as exc:
                results.append(type(exc).__name__)

        with anyio.fail_after(10):
            async with (
                anyio.create_task_group() as group,
                serve(url, there.services, wireformat="json") as server,
            ):
                for _ in range(10):
                    group.start_soon(client, server.url)
                await turn(3 * passes)
        assert len(results) == 10
        assert set(results) <= {"served", "ConnectFailed", "ConnectionLost", "RemoteError"}


async def test_at_most_so_many_connections(url: str) -> None:
    """Over `Limits.connections` accepting pauses: the next one gets in when another has left."""
    there = Tools()
    limits = Limits(connections=2, discard_timeout=0.05)
    async with serve(url, there.services, wireformat="json", limits=limits) as server:
        async with (
            connect(server.url, wireformat="json") as one,
            connect(server.url, wireformat="json") as two,
        ):
            for peer in (one, two):
                assert await peer.remote(tools).call(Add(a=1, b=1)) == 2
            async with connect(server.url, wireformat="json") as third, anyio.create_task_group() as group:
                answers: list[int] = []

                async def call() -> None:
                    answers.append(await third.remote(tools).call(Add(a=2, b=2)))

                group.start_soon(call)
                await turn(10)
                assert len(tuple(server.peers)) == 2
                assert answers == []
                await one.close()
                await until(lambda: answers == [4])


@contextlib.contextmanager
def few_descriptors() -> Iterator[None]:
    """No further file descriptor can be had."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.socket() as probe:
        resource.setrlimit(resource.RLIMIT_NOFILE, (probe.fileno() + 2, hard))
        held: list[socket.socket] = []
        try:
            try:
                while True:
                    held.append(socket.socket())
            except OSError as exc:
                assert exc.errno == errno.EMFILE
            yield
        finally:
            for each in held:
                each.close()
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.fault(66)
async def test_no_file_descriptors_left(caplog: pytest.LogCaptureFixture) -> None:
    """A connection that can't be accepted: said once in a while, tried again, and then it is served like any other."""
    there = Tools()
    caplog.set_level(logging.WARNING, "duologue")
    async with serve("tcp://127.0.0.1:0", there.services, wireformat="json") as server:
        host, port = server.url.removeprefix("tcp://").split(":")
        with socket.socket() as client:
            client.setblocking(False)
            with few_descriptors():
                client.connect_ex((host, int(port)))
                await until(lambda: "can't accept" in caplog.text)
            await until(lambda: len(tuple(server.peers)) == 1)
        async with connect(server.url, wireformat="json") as peer:
            assert await peer.remote(tools).call(Add(a=1, b=1)) == 2
    assert len(caplog.records) <= 3


async def test_clients_that_only_knock() -> None:
    """Connections that end as soon as they are there, politely or not, leave no peer behind."""
    there = Tools()
    async with serve("tcp://127.0.0.1:0", there.services, wireformat="json") as server:
        for number in range(20):
            async with raw_client(server.url) as raw:
                await turn(number % 4)
                if number % 2:
                    raw.reset()
        async with connect(server.url, wireformat="json") as peer:
            assert await peer.remote(tools).call(Add(a=1, b=1)) == 2
        await until(lambda: not tuple(server.peers))


async def test_the_last_peer_is_forgotten(url: str) -> None:
    """A server that waits for the next connection keeps nothing of the one before."""
    async with serve(url, wireformat="json") as server:
        async with connect(server.url, wireformat="json"):
            last = weakref.ref(await first_peer(server))
        await until(lambda: not tuple(server.peers))
        await turn(5)
        collect()
        assert last() is None


@pytest.mark.fault(46)
async def test_a_shared_budget(url: str) -> None:
    """One client dies while it holds all permits of a budget that many share: the others go on at once."""
    there, budget = Tools(), CallBudget(4)
    async with serve(url, there.services, wireformat="json", budget=budget) as server:
        async with connect(server.url, wireformat="json") as other, anyio.create_task_group() as group:
            async with connect(server.url, wireformat="json") as hog, anyio.create_task_group() as calls:
                for _ in range(20):
                    calls.start_soon(lost_call, hog)
                await there.until(lambda: there.running == 4)
                answers: list[int] = []

                async def call() -> None:
                    answers.append(await other.remote(tools).call(Add(a=1, b=1)))

                group.start_soon(call)
                await until(lambda: budget.waiting == 2)
                assert (budget.in_use, answers) == (4, [])
                hog.abort()  # type: ignore[attr-defined]
                with anyio.fail_after(2):
                    await until(lambda: answers == [2])
        await until(lambda: budget.in_use == budget.waiting == 0)
    assert len(there.cancelled) == 4


async def lost_call(peer: Peer) -> None:
    with pytest.raises((ConnectionLost, CallError)):
        await peer.remote(tools).call(Hold())


async def test_both_ends_of_a_pair_without_a_server() -> None:
    """A server's address is for people, and every peer knows the one that it talks to."""
    async with connected("tcp://127.0.0.1:0") as (client, server):
        assert client.info.address.startswith("127.0.0.1:")
        assert server.info.address.startswith("127.0.0.1:")
        assert client.info.address != server.info.address
