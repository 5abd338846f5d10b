"""What the tests of the Rust crate `thespis_remote` show, shown here: a test for each, with the crate's file in its name.

Relays and pub/sub are in test_as_in_thespis_relays.py. The last part is what the crate's own lists have left to do.
"""

from __future__ import annotations

import anyio
import pytest
from tests.adapters.common import QUICK, closed_event, first_peer, frame, raw_client, turn, until
from tests.adapters.relays import Told, core_of
from tests.adapters.remotes import (
    TCP,
    Add,
    Leave,
    Show,
    Sum,
    Wait,
    leavers,
    leaving,
    remotes,
    serving,
    waiting,
)

from duologue import (
    CallBudget,
    CallTimeout,
    CloseReason,
    ConnectionClosed,
    ConnectionLost,
    Context,
    ErrorKind,
    ErrorReported,
    FailureKind,
    FrameTooLarge,
    Limits,
    Message,
    Namespace,
    Peer,
    PeerClosed,
    RelayMap,
    RemoteError,
    ServiceIdError,
    ServiceMaps,
    Services,
    connect,
    serve,
)

# -- basic ------------------------------------------------------------------------------------------------


async def test_basic_send_and_call() -> None:
    """A one-way message and a call, to an actor in another process: Add(5) on 5 shows 10."""
    there = Sum(5)
    async with serving(there.services) as (peer, _):
        await peer.remote(remotes).send(Add(5))
        await until(lambda: there.sum == 10)
        assert await peer.remote(remotes).call(Show()) == 10
        assert await peer.remote(remotes).call(Add(2)) is None
        assert await peer.remote(remotes).call(Show()) == 12


async def test_intertwined_sends_and_calls() -> None:
    """One-way messages and calls in turn, in both directions at once: each does what it should."""
    there, here = Sum(5), Sum(19)
    async with serving(there.services, here.services) as (client, server), anyio.create_task_group() as group:

        async def talk(peer: Peer, other: Sum) -> None:
            before = other.sum
            for number in range(1, 101):
                if number % 2:
                    await peer.remote(remotes).send(Add(1))
                else:
                    await peer.remote(remotes).call(Add(1))
            await until(lambda: other.sum == before + 100)
            assert await peer.remote(remotes).call(Show()) == before + 100

        group.start_soon(talk, client, there)
        group.start_soon(talk, server, here)


async def test_sending_and_receiving_while_a_call_waits() -> None:
    """A call that is not answered yet holds up nothing: calls and one-way messages pass it, in both directions."""
    there, here = Sum(5), Sum(6)
    async with serving(there.maps, here.services) as (client, server), anyio.create_task_group() as group:
        answers: list[int] = []

        async def call() -> None:
            answers.append(await client.remote(waiting).call(Wait(17)))

        group.start_soon(call)
        await until(lambda: there.running == 1)
        assert await client.remote(remotes).call(Show()) == 5
        await client.remote(remotes).send(Add(1))
        await until(lambda: there.sum == 6)
        assert await server.remote(remotes).call(Show()) == 6
        await server.remote(remotes).send(Add(1))
        await until(lambda: here.sum == 7)
        assert answers == []
        there.release.set()
    assert answers == [17]


async def test_call_after_close() -> None:
    """On a connection that is closed a call raises `ConnectionClosed`, and so does a send, which the crate drops silently."""
    async with serving(Sum().services) as (client, server):
        await client.close()
        for peer in (client, server):
            await peer.wait_closed()
            with pytest.raises(ConnectionClosed):
                await peer.remote(remotes).call(Show())
            with pytest.raises(ConnectionClosed):
                await peer.remote(remotes).send(Add(1))


async def test_parallel_calls() -> None:
    """Handlers run at the same time: none waits for another, and answers come in the order in which they are ready."""
    there = Sum()
    async with serving(there.maps) as (client, _), anyio.create_task_group() as group:
        for number in range(20):
            group.start_soon(client.remote(waiting).call, Wait(number))
        await until(lambda: there.running == 20)
        assert await client.remote(remotes).call(Show()) == 5
        there.release.set()


# -- backpressure ---------------------------------------------------------------------------------------------


async def test_backpressure_the_budget_is_respected() -> None:
    """With three permits three handlers run, whatever the remote sends."""
    there = Sum()
    async with (
        serving(there.maps, budget=CallBudget(3)) as (client, server),
        anyio.create_task_group() as group,
    ):
        for number in range(30):
            group.start_soon(client.remote(waiting).call, Wait(number))
        await until(lambda: core_of(server).incoming.parking.calls == 27 and there.running == 3)
        there.release.set()
    assert there.most == 3


async def test_backpressure_sends_pass_when_calls_are_held() -> None:
    """Only calls need permits: one-way messages are handled though a dozen calls wait for one."""
    there = Sum()
    async with (
        serving(there.maps, budget=CallBudget(1)) as (client, server),
        anyio.create_task_group() as group,
    ):
        for number in range(12):
            group.start_soon(client.remote(waiting).call, Wait(number))
        await until(lambda: core_of(server).incoming.parking.calls == 11 and there.running == 1)
        await client.remote(remotes).send(Add(5))
        await until(lambda: there.sum == 10)
        assert there.running == 1
        there.release.set()


async def test_backpressure_all_calls_are_handled_in_the_end() -> None:
    """Calls that were held are not lost: each is answered, and with its own answer."""
    there = Sum()
    async with serving(there.maps, budget=CallBudget(2)) as (client, _), anyio.create_task_group() as group:
        answers: list[int] = []

        async def call(number: int) -> None:
            answers.append(await client.remote(waiting).call(Wait(number)))

        for number in range(100):
            group.start_soon(call, number)
        await until(lambda: there.running == 2)
        there.release.set()
    assert sorted(answers) == list(range(100))


async def test_backpressure_one_budget_over_several_connections() -> None:
    """Two permits for three connections: two handlers run in all, and each connection gets its turn."""
    there, budget = Sum(), CallBudget(2)
    async with serve(TCP, there.maps, wireformat="cbor", budget=budget) as server:
        async with (
            connect(server.url, wireformat="cbor") as one,
            connect(server.url, wireformat="cbor") as two,
            connect(server.url, wireformat="cbor") as three,
            anyio.create_task_group() as group,
        ):
            answers: list[int] = []

            async def call(peer: Peer, number: int) -> None:
                answers.append(await peer.remote(waiting).call(Wait(number)))

            for number in range(30):
                group.start_soon(call, (one, two, three)[number % 3], number)
            await until(lambda: budget.in_use == 2 and budget.waiting == 3)
            there.release.set()
        assert there.most == 2
        assert sorted(answers) == list(range(30))
        assert (budget.in_use, budget.waiting) == (0, 0)


# -- events -----------------------------------------------------------------------------------------------


async def test_peer_event_close_local() -> None:
    """Who closes is told that it was closed from here, with the reason that was given."""
    async with serving(Sum().services) as (client, _):
        await client.close("had enough")
        event = await closed_event(client)
        assert (event.reason, event.detail) == (CloseReason.CLOSED_LOCALLY, "had enough")


async def test_peer_event_close_remote() -> None:
    """The other end is told that the remote closed, once, and that is the last event."""
    async with serving(Sum().services) as (client, server):
        told = Told(server)
        await client.close()
        [event] = await told.until(1)
        assert isinstance(event, PeerClosed)
        assert event.reason is CloseReason.CLOSED_BY_REMOTE


@pytest.mark.parametrize("is_call", [False, True], ids=["on send", "on call"])
async def test_peer_event_close_on_a_message(is_call: bool) -> None:
    """The handler of a one-way message, or of a call, closes the connection: both ends are told, and a caller gets an error."""
    async with serving(leavers()) as (client, server):
        told = Told(client), Told(server)
        if is_call:
            with pytest.raises((ConnectionLost, RemoteError)):
                await client.remote(leaving).call(Leave())
        else:
            await client.remote(leaving).send(Leave())
        await client.wait_closed()
        here, there = [(await each.until(1))[-1] for each in told]
        assert isinstance(here, PeerClosed)
        assert here.reason is CloseReason.CLOSED_BY_REMOTE
        assert isinstance(there, PeerClosed)
        assert there.detail == "asked to"


@pytest.mark.parametrize(
    "header",
    [b"\x00" * 24, b"\x17" + b"\x00" * 23, b"\xff" * 24],
    ids=["length 0", "length 23", "length 2^64-1"],
)
async def test_peer_event_header_deserialize(header: bytes) -> None:
    """A header that can't be: the remote is told, the connection closes, and the event says why. The crate goes deaf."""
    async with serve(TCP, Sum().services, wireformat="cbor", limits=QUICK) as server:
        async with raw_client(server.url) as raw:
            peer = await first_peer(server)
            await raw.send(header)
            sid, cid, payload = await raw.frame()
            assert (sid, cid) == (0, 0)
            assert b"DeserializeWireFormat" in payload
            event = await closed_event(peer)
            assert event.reason is CloseReason.PROTOCOL_ERROR


async def test_peer_event_invalid_codec() -> None:
    """The ends do not speak the same wire format: payloads can't be read, which is said, and the connection stays."""
    there = Sum()
    async with serve(TCP, there.services, wireformat="cbor") as server:
        async with connect(server.url, wireformat="json") as client:
            told = Told(await first_peer(server))
            with pytest.raises(RemoteError):
                await client.remote(remotes).call(Add(12345678))
            assert [each.kind for each in await told.failures(1)] == [FailureKind.DESERIALIZE]
            assert client.is_open


@pytest.mark.parametrize("is_call", [True, False])
async def test_peer_event_unknown_service(is_call: bool) -> None:
    """Nobody serves it: an event here, `UnknownService` to a caller, and the connection stays."""
    there = Sum()
    async with serving(there.services) as (client, server):
        told = Told(server)
        if is_call:
            with pytest.raises(RemoteError) as caught:
                await client.remote(waiting).call(Wait(1))
            assert caught.value.kind is ErrorKind.UNKNOWN_SERVICE
        else:
            await client.remote(waiting).send(Wait(1))
        [failure] = await told.failures(1)
        assert (failure.kind, failure.sid) == (FailureKind.UNKNOWN_SERVICE, waiting.sid(Wait))
        assert await client.remote(remotes).call(Show()) == 5


@pytest.mark.parametrize("is_call", [True, False])
async def test_peer_event_deserialize_message(is_call: bool) -> None:
    """A message that can't be decoded: an event here, `Deserialize` to a caller, and the connection stays."""
    there = Sum()
    async with serving(there.services) as (client, server):
        told = Told(server)
        if is_call:
            with pytest.raises(RemoteError) as caught:
                await client.call_raw(remotes.sid(Add), b"\x63abc")
            assert caught.value.kind is ErrorKind.DESERIALIZE
        else:
            await client.send_raw(remotes.sid(Add), b"\x63abc")
        assert [each.kind for each in await told.failures(1)] == [FailureKind.DESERIALIZE]
        assert await client.remote(remotes).call(Show()) == 5


async def test_peer_event_remote_error() -> None:
    """An error of the remote's that belongs to no call is an event; one that does is that caller's, and no event."""
    async with serve(TCP, wireformat="cbor") as server:
        async with raw_client(server.url) as raw:
            peer = await first_peer(server)
            told = Told(peer)
            body = peer.wireformat.encode_plain(
                {"UnknownService": {"sid": {"inner": {"id": 1}}, "cid": None}}
            )
            async with anyio.create_task_group() as group:

                async def call() -> None:
                    with pytest.raises(RemoteError) as caught:
                        await peer.remote(remotes).call(Show())
                    assert caught.value.kind is ErrorKind.UNKNOWN_SERVICE

                group.start_soon(call)
                _, cid, _ = await raw.frame()
                await raw.send(frame(0, cid, body) + frame(0, 0, body))
                [event] = await told.until(1)
            assert isinstance(event, ErrorReported)
            assert event.kind is ErrorKind.UNKNOWN_SERVICE


# -- handlers -----------------------------------------------------------------------------------------------


class Sub(Message[int], newtype=True):
    value: int


async def test_no_handler() -> None:
    """A service that is known, but that nobody handles: `InternalServerError` to the caller, `NoHandler` here."""
    services = Services(remotes)
    async with serving(services) as (client, server):
        told = Told(server)
        with pytest.raises(RemoteError) as caught:
            await client.remote(remotes).call(Show())
        assert caught.value.kind is ErrorKind.INTERNAL_SERVER_ERROR
        await client.remote(remotes).send(Add(1))
        assert [each.kind for each in await told.failures(2)] == [FailureKind.NO_HANDLER] * 2


async def test_handler_gone() -> None:
    """A handler that is no more: its callers are told so, and others are served. It may come back."""
    there = Sum()
    async with serving(there.services) as (client, _):
        assert await client.remote(remotes).call(Show()) == 5
        there.services.remove(Show)
        with pytest.raises(RemoteError) as caught:
            await client.remote(remotes).call(Show())
        assert caught.value.kind is ErrorKind.INTERNAL_SERVER_ERROR
        await client.remote(remotes).call(Add(1))
        there.services.handler(Show, there.show)
        assert await client.remote(remotes).call(Show()) == 6


async def test_handler_dead() -> None:
    """A handler that breaks down in the middle: that call fails, and the next is served. The crate keeps a permit each time."""

    async def die(msg: Show) -> int:
        raise ZeroDivisionError

    there = Sum()
    there.services.remove(Show)
    there.services.handler(Show, die)
    async with serving(there.services, budget=CallBudget(1)) as (client, server):
        told = Told(server)
        for _ in range(5):
            with pytest.raises(RemoteError) as caught:
                await client.remote(remotes).call(Show())
            assert caught.value.kind is ErrorKind.INTERNAL_SERVER_ERROR
        assert [each.kind for each in await told.failures(5)] == [FailureKind.HANDLER_FAILED] * 5
        await client.remote(remotes).call(Add(1))


async def test_timeout() -> None:
    """No answer in time: `CallTimeout`. The late answer harms nobody."""
    there = Sum()
    async with serving(there.maps) as (client, _):
        with pytest.raises(CallTimeout):
            await client.remote(waiting).call(Wait(1), timeout=0.5)
        there.release.set()
        assert await client.remote(waiting).call(Wait(2)) == 2
        await until(lambda: core_of(client).late == 1)


# -- service maps ---------------------------------------------------------------------------------------------


def test_service_map_ids() -> None:
    """The ids are those of the crate's own tests."""
    ids = Namespace("remotes", [Add, Show, Sub])
    assert ids.sid(Add) == 0x6440CFD17C374646
    assert ids.sid(Show) == 0xCDD3781867767588
    assert ids.sid(Sub) == 0xFB47AD8F2083C565


def test_service_map_same_service_in_another_namespace() -> None:
    """The same message in another namespace is another service."""
    assert Namespace("bla", [Add]).sid(Add) != remotes.sid(Add)


def test_service_map_other_service_in_the_same_namespace() -> None:
    """So is another message in the same one."""
    assert remotes.sid(Add) != remotes.sid(Show)


def test_service_map_same_service_in_two_maps() -> None:
    """Namespace and message are all that counts: two maps of it have the same service."""
    assert Namespace("remotes", [Add]).sid(Add) == Namespace("remotes", [Sub, Add]).sid(Add)


def test_service_map_the_same_service_twice() -> None:
    """Registering a service twice is an error, also where optimised builds of the crate replace it silently."""
    with pytest.raises(ServiceIdError):
        ServiceMaps(Sum().services, Sum().services)


async def test_debug_output() -> None:
    """What is printed of maps, peers and remotes names the services, with their ids."""
    there = Sum()
    assert repr(remotes) == (
        "<Namespace 'remotes': remotes::Add 0x6440cfd17c374646, remotes::Show 0xcdd3781867767588>"
    )
    assert "remotes::Add" in repr(there.services)
    async with serving(there.services) as (client, _):
        relay = RelayMap(client, remotes)
        assert repr(relay) == f"<RelayMap of remotes::Add, remotes::Show to {client!r}>"
        assert "cbor" in repr(client)
        assert "remotes" in repr(client.remote(remotes))
        maps = ServiceMaps(relay)
        assert repr(maps) == f"<ServiceMaps: {relay!r}>"


# -- what the crate has on its lists ----------------------------------------------------------------------------


async def test_to_do_grace_period() -> None:
    """Handlers that run get their time, and their answers arrive: the crate loses them, as its sink is closed by then."""
    there = Sum()
    async with serving(there.maps) as (client, server), anyio.create_task_group() as group:
        answers: list[int] = []

        async def call() -> None:
            answers.append(await client.remote(waiting).call(Wait(3)))

        group.start_soon(call)
        await until(lambda: there.running == 1)
        group.start_soon(lambda: server.close("bye", grace=30))
        await turn(5)
        with pytest.raises(RemoteError):
            await client.remote(remotes).call(Show())
        there.release.set()
        await until(lambda: answers == [3])


async def test_to_do_wrong_length() -> None:
    """A length that is too short or too long for what follows: closed, and nothing of it is dispatched."""
    there = Sum()
    good = frame(remotes.sid(Add), 0, b"\x05")
    async with serve(TCP, there.services, wireformat="cbor", limits=QUICK) as server:
        for wrong in (good[:-1] + good[:8], (24).to_bytes(8, "little") + good[8:]):
            async with raw_client(server.url) as raw:
                await until(lambda: len(tuple(server.peers)) == 1)
                [peer] = server.peers
                await raw.send(wrong)
                raw.end_writing()
                event = await closed_event(peer)
                assert event.reason in (CloseReason.TRUNCATED, CloseReason.PROTOCOL_ERROR)
            await until(lambda: not tuple(server.peers))
    assert there.sum == 5


async def test_to_do_closed_half_way() -> None:
    """The stream ends in the middle of a frame: that is told from a clean end, with how much was missing."""
    async with serve(TCP, Sum().services, wireformat="cbor") as server:
        async with raw_client(server.url) as raw:
            peer = await first_peer(server)
            await raw.send(frame(remotes.sid(Add), 0, b"\x05")[:-1])
            raw.end_writing()
            event = await closed_event(peer)
            assert event.reason is CloseReason.TRUNCATED
            assert event.detail == "24 of 25 bytes of a frame"


async def test_to_do_over_the_allowed_length() -> None:
    """Writing it raises here, and the connection stays; reading it closes, decided from the length alone."""
    there = Sum()
    async with serving(there.services, limits=Limits(max_frame=200)) as (client, server):
        assert await client.remote(remotes).call(Show()) == 5
        with pytest.raises(FrameTooLarge):
            await server.send_raw(4711, bytes(177))
        await server.send_raw(4711, bytes(176))
        assert client.is_open
        with pytest.raises(ConnectionLost):
            await client.call_raw(remotes.sid(Add), bytes(177))
        assert (await closed_event(server)).reason is CloseReason.PROTOCOL_ERROR


async def test_to_do_services_at_run_time() -> None:
    """Services are added to, and removed from, a peer that is connected, while its calls run."""
    there = Sum()
    async with serving(None) as (client, server), anyio.create_task_group() as group:
        with pytest.raises(RemoteError):
            await client.remote(remotes).call(Show())
        for services in there.maps:
            server.add_services(services)
        assert await client.remote(remotes).call(Show()) == 5
        group.start_soon(client.remote(waiting).call, Wait(1))
        await until(lambda: there.running == 1)
        for services in there.maps:
            server.remove_services(services)
        with pytest.raises(RemoteError):
            await client.remote(remotes).call(Show())
        there.release.set()


async def test_to_do_who_a_message_comes_from() -> None:
    """A handler knows the connection that a message came by, and may answer to it."""

    class Hello(Message[str]):
        pass

    greeting = Namespace("greeting", [Hello])
    services = Services(greeting)

    @services.handler
    async def hello(msg: Hello, ctx: Context) -> str:
        return f"{await ctx.peer.remote(remotes).call(Show())}"

    async with serving(services, Sum(7).services) as (client, _):
        assert await client.remote(greeting).call(Hello()) == "7"
