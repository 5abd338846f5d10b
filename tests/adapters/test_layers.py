"""Layers between a link and a peer: they stack, on every engine, and each may greet, ping, say goodbye, and give up."""

from __future__ import annotations

import struct

import anyio
import pytest
from tests.adapters.common import (
    QUICK,
    Add,
    Echo,
    Hold,
    Say,
    State,
    Tools,
    closed_event,
    raw_client,
    tools,
    turn,
    until,
)
from tests.adapters.layers import (
    BYE,
    DATA,
    Masked,
    Messages,
    layered_client,
    layered_server,
    now,
    over_layers,
)

from duologue import CallError, CloseReason, ConnectionLost, Limits
from duologue_adapters import Layer


async def test_layers_stack() -> None:
    """Three layers on each end, of two kinds: calls pass through all of them, in both directions, small ones and large."""
    there = Tools()
    below: list[Layer] = [Messages(started=now()), Masked(), Messages(started=now())]
    above: list[Layer] = [Messages(greets=False, started=now()), Masked(), Messages(started=now())]
    async with over_layers(below, above, there.services) as (client, server):
        for peer in (client, server):
            remote = peer.remote(tools)
            assert await remote.call(Add(a=1, b=2)) == 3
            assert await remote.call(Echo(data=b"x" * 500_000)) == b"x" * 500_000
            await remote.send(Say(text="through"))
        await there.until(lambda: len(there.said) == 2)
    assert await server.wait_closed() in (CloseReason.CLOSED_BY_REMOTE, CloseReason.CLOSED_LOCALLY)


async def test_layers_over_sockets() -> None:
    """The same over TCP, with many calls at once; the goodbyes of the layers pass too, so that the end is clean."""
    there = Tools()
    async with layered_server(there.services) as url, layered_client(url) as peer:
        answers: list[bytes] = []
        async with anyio.create_task_group() as group:

            async def call(number: int) -> None:
                answers.append(await peer.remote(tools).call(Echo(data=bytes([number]) * 10_000)))

            for number in range(100):
                group.start_soon(call, number)
        assert sorted(answers) == [bytes([number]) * 10_000 for number in range(100)]
        await peer.close()
        assert await peer.wait_closed() is CloseReason.CLOSED_LOCALLY


@pytest.mark.parametrize("capacity", [1, 7, 100])
async def test_layers_over_a_narrow_pipe(capacity: int) -> None:
    """A pipe of a few bytes cuts everything anywhere, and takes writes in pieces: nothing is lost, or out of order."""
    there = Tools()
    below: list[Layer] = [Messages(started=now()), Masked(), Messages(started=now())]
    above: list[Layer] = [Messages(started=now()), Masked(), Messages(started=now())]
    async with over_layers(below, above, there.services, capacity=capacity) as (client, server):
        for number in range(3):
            assert await client.remote(tools).call(Add(a=number, b=1)) == number + 1
            assert await server.remote(tools).call(Echo(data=b"abc" * 50)) == b"abc" * 50


async def test_nothing_passes_before_the_handshake() -> None:
    """Calls that are made before the other end has greeted wait in the link, and leave behind the greeting."""
    there = Tools()
    async with layered_server(there.services) as url:
        async with raw_client(url) as raw:
            mask = bytes(byte ^ 1 for byte in range(256))
            await raw.send(b"HEL".translate(mask))
            await turn(5)
            assert raw.received == b""
            await raw.send(b"LO".translate(mask))
            while len(raw.received) < 5:
                await raw.receive()
            assert raw.received.translate(mask) == b"HELLO"


async def test_calls_wait_for_the_handshake() -> None:
    """The other end greets late: until then nothing of a call leaves, and the call's own timeout runs."""
    there = Tools()
    silent, greeting = Messages(started=now()), Messages(greets=False, started=now())
    silent.data_to_send()  # it has lost its greeting, so that nobody opens
    async with over_layers([silent], [greeting], there.services, limits=QUICK) as (client, _):
        with pytest.raises(CallError) as caught:
            await client.remote(tools).call(Add(a=1, b=1), timeout=0.05)
        assert caught.value.executed != "yes"
        assert State(client).queued > 0
        assert client.is_open


async def test_a_handshake_that_fails() -> None:
    """The other end does not greet as it must: transport failed, with the layer's words, for both ends."""
    there = Tools()
    wrong = Messages(started=now())
    wrong._out = [b"GOOD EVENING"]
    async with over_layers([wrong], [Messages(started=now())], there.services) as (client, server):
        with pytest.raises(ConnectionLost) as caught:
            await client.remote(tools).call(Add(a=1, b=1))
        assert caught.value.reason in (CloseReason.TRANSPORT_FAILED, CloseReason.CLOSED_BY_REMOTE)
        event = await closed_event(server)
        assert (event.reason, event.detail) == (CloseReason.TRANSPORT_FAILED, "it does not greet")


@pytest.mark.fault(65)
async def test_a_handshake_that_takes_too_long() -> None:
    """A layer's own time is over: it gives up, and the connection with it; an accept loop is not held up by that."""
    there = Tools()
    silent = Messages(started=now())
    silent.data_to_send()
    slow = Messages(greets=False, started=now(), patience=0.05)
    async with over_layers([silent], [slow], there.services) as (_, server):
        event = await closed_event(server)
        assert (event.reason, event.detail) == (CloseReason.TRANSPORT_FAILED, "it greets too slowly")


async def test_a_layers_last_words() -> None:
    """A layer that gives up still has its say: the reason arrives at the other end before the link is cut."""
    there = Tools()
    async with layered_server(there.services) as url, raw_client(url) as raw:
        mask = bytes(byte ^ 1 for byte in range(256))
        await raw.send(b"HELLO".translate(mask))
        # Much more than is read, so that cutting at once would reset the connection, and the words would be lost.
        await raw.send((b"?" + struct.pack("<I", 0) + b"x" * 100_000).translate(mask))
        raw.end_writing()
        words = (await raw.read_to_end()).translate(mask)
        assert words == b"HELLO" + struct.pack("<BI", BYE, 0)


async def test_an_error_of_a_layer_in_the_middle() -> None:
    """Garbage between two layers: calls under way end with `ConnectionLost`, handlers are cancelled."""
    there = Tools()
    below, above = Messages(started=now()), Messages(started=now())
    async with over_layers([below], [above], there.services) as (client, server):
        async with anyio.create_task_group() as group:

            async def call() -> None:
                with pytest.raises(ConnectionLost):
                    await client.remote(tools).call(Hold())

            group.start_soon(call)
            await there.until(lambda: there.running == 1)
            below._out.append(struct.pack("<BI", ord("?"), 0))
            await client.remote(tools).send(Say(text="makes it write"))
            assert await server.wait_closed() is CloseReason.TRANSPORT_FAILED
        await there.until(lambda: there.cancelled == [""])


async def test_an_end_without_a_goodbye() -> None:
    """The stream ends without the layer's goodbye: that is no clean end, though no frame was cut."""
    there = Tools()
    async with over_layers([Masked()], [Masked(), Messages(started=now())], there.services) as (
        client,
        server,
    ):
        await turn(3)
        client.abort()  # type: ignore[attr-defined]
        assert await server.wait_closed() is CloseReason.TRANSPORT_FAILED


async def test_a_goodbye() -> None:
    """The layer's goodbye is the end of the stream for what is above, whether or not the link itself ends."""
    there = Tools()
    async with layered_server(there.services) as url, raw_client(url) as raw:
        mask, inner = (bytes(byte ^ each for byte in range(256)) for each in (1, 2))
        frame = struct.pack("<QQQ", 24, 4711, 1)
        message = struct.pack("<BI", DATA, 24) + frame.translate(inner)
        await raw.send((b"HELLO" + message + struct.pack("<BI", BYE, 0)).translate(mask))
        everything = (await raw.read_to_end()).translate(mask)
        assert everything.startswith(b"HELLO")
        assert everything.endswith(struct.pack("<BI", BYE, 0))


async def test_a_layers_timer() -> None:
    """Pings at their time, answered by the other end's layer, with nobody above having anything to say."""
    there = Tools()
    below, above = Messages(started=now(), ping_every=0.01), Messages(started=now())
    async with over_layers([Masked(), below], [Masked(), above], there.services) as (client, _):
        await until(lambda: below.pongs >= 5)
        assert above.pings >= 5
        assert await client.remote(tools).call(Add(a=1, b=1)) == 2
    pings = above.pings
    await turn(20)
    assert above.pings == pings


async def test_a_stalled_write_is_seen_through_layers() -> None:
    """The far end takes nothing: what waits in layers counts as unsent, and the connection ends as stalled."""
    there = Tools()
    limits = Limits(answers_stalled=0.2, requests_stalled=0.2, close_timeout=0.2)
    below: list[Layer] = [Masked(), Messages(started=now())]
    above: list[Layer] = [Masked(), Messages(started=now())]
    async with over_layers(below, above, there.services, capacity=1000, limits=limits) as (client, server):
        assert await client.remote(tools).call(Add(a=1, b=1)) == 2
        server._link.pause_reading()  # type: ignore[attr-defined]
        with pytest.raises(CallError):
            await client.remote(tools).call(Echo(data=bytes(500_000)))
        assert await client.wait_closed() is CloseReason.WRITE_STALLED
        server._link.resume_reading()  # type: ignore[attr-defined]


class Listening(Masked):
    """Remembers whether it is read, as a layer with pings must."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[bool] = []

    def reading_paused(self, now: float) -> None:
        self.told.append(False)

    def reading_resumed(self, now: float) -> None:
        self.told.append(True)


async def test_a_layer_is_told_when_reading_pauses() -> None:
    """Each layer of a stack learns it: for one that waits for a pong, a silence of our own making means nothing."""
    layers = [Listening(), Listening()]
    async with over_layers([Masked(), Masked()], [*layers]) as (_, server):
        server._link.pause_reading()  # type: ignore[attr-defined]
        assert [layer.told for layer in layers] == [[False], [False]]
        server._link.resume_reading()  # type: ignore[attr-defined]
        assert [layer.told for layer in layers] == [[False, True], [False, True]]


async def test_a_mistake_in_a_layer_ends_its_connection_only(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever comes out of it: both ends learn that the connection is over, the log has the traceback, nothing else ends."""

    class Mistaken(Masked):
        def receive_data(self, data: bytes | memoryview, now: float) -> list[bytes]:
            raise LookupError("a mistake")

    there = Tools()
    async with over_layers([Masked()], [Masked()], there.services) as (other, _):
        async with over_layers([Masked()], [Mistaken()], there.services) as (client, server):
            with pytest.raises(ConnectionLost):
                await client.remote(tools).call(Add(a=1, b=1))
            event = await closed_event(server)
            assert event.reason is CloseReason.TRANSPORT_FAILED
            assert "a layer has failed by itself" in event.detail
        assert await other.remote(tools).call(Add(a=1, b=1)) == 2
    assert "LookupError: a mistake" in caplog.text
