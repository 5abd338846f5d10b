"""The part of the suite for adapters that is about ends: who closes, how, and what the other end is told."""

from __future__ import annotations

from functools import partial

import anyio

from duologue import (
    CallError,
    CloseReason,
    Codec,
    ConnectFailed,
    ConnectionClosed,
    ConnectionLost,
    Executed,
    Limits,
    Message,
    Peer,
    PeerClosed,
    RemoteError,
    WireFormat,
)
from duologue_contrib.testing.adapter_services import Actor, Add, Hold, Note, Quit, Tick, suite, until
from duologue_contrib.testing.adapter_stage import AdapterStage, all_of, bounded, expect, hold_until
from duologue_contrib.testing.needed import pytest

_ENOUGH = 30.0
"""Seconds of grace that are never needed."""

_AT_ONCE = Limits(discard_timeout=1000.0, close_timeout=1000.0)
"""Closing that has to wait for one of these, since the other end is not told in time, is no closing."""

_GONE = (CloseReason.CLOSED_BY_REMOTE, CloseReason.TRANSPORT_FAILED, CloseReason.TRUNCATED)
"""What an end may be told whose other end was cut off: it depends on what was on its way."""


class Trouble(Exception):
    """In a user's block."""


class EndTests(AdapterStage):
    """Every way in which a connection ends, but for a killed process."""

    @pytest.mark.parametrize("closing", ["client", "server"])
    @bounded
    async def test_closed_from_one_end(self, closing: str) -> None:
        """The end that closes knows that it did, the other that it was closed, cleanly; calls that wait fail, later ones too."""
        here, there = Actor(), Actor()
        limits = _AT_ONCE if self.has_halves else Limits()
        async with self.connected(there, here, limits=limits) as (client, server):
            one, other = (client, server) if closing == "client" else (server, client)
            failed: list[Exception] = []
            async with anyio.create_task_group() as group:
                group.start_soon(hold_until, one, ConnectionClosed, failed)
                group.start_soon(hold_until, other, (RemoteError, ConnectionLost), failed)
                await until(lambda: here.running == there.running == 1)
                await one.close("enough")
            assert await one.wait_closed() is CloseReason.CLOSED_LOCALLY
            reason = await other.wait_closed()
            assert reason is CloseReason.CLOSED_BY_REMOTE, f"the other end was told: {reason.value}"
            await until(lambda: here.cancelled == there.cancelled == ["held"])
            for peer in (one, other):
                assert [type(event) async for event in peer.events()] == [PeerClosed]
                with pytest.raises(ConnectionClosed) as caught:
                    await peer.remote(suite).call(Add(a=1, b=2))
                assert caught.value.executed is Executed.NO

    @bounded
    async def test_closed_from_both_ends(self) -> None:
        """Both ends close at once, each twice: each has one end, soon, and none of them is an error."""
        async with self.connected() as peers:
            await all_of(peer.close for peer in peers * 2)
            for peer in peers:
                reason = await peer.wait_closed()
                assert reason in (CloseReason.CLOSED_LOCALLY, CloseReason.CLOSED_BY_REMOTE), reason.value

    @pytest.mark.parametrize("grace", [0.0, _ENOUGH], ids=["without grace", "with grace"])
    @bounded
    async def test_closed_by_a_handler(self, grace: float) -> None:
        """A handler closes its own peer and does not wait for itself. With grace its answer still arrives."""
        async with self.connected(Actor()) as (client, server):
            call = client.remote(suite).call(Quit(grace=grace))
            if grace:
                assert await call == "bye"
            else:
                with pytest.raises((RemoteError, ConnectionLost)):
                    await call
            assert await server.wait_closed() is CloseReason.CLOSED_LOCALLY
            assert await client.wait_closed() is CloseReason.CLOSED_BY_REMOTE

    @bounded
    async def test_grace(self) -> None:
        """Closed with grace: handlers run on to their end, and their answers arrive."""
        there = Actor()
        async with self.connected(there) as (client, server):
            async with anyio.create_task_group() as group:
                for name in ("one", "two"):
                    group.start_soon(expect, client, Hold(name=name), name)
                await until(lambda: there.running == 2)
                group.start_soon(partial(server.close, grace=_ENOUGH))
                await until(lambda: not server.is_open)
                there.release.set()
            assert await client.wait_closed() is CloseReason.CLOSED_BY_REMOTE
        assert sorted(there.ended) == ["one", "two"]

    @bounded
    async def test_a_grace_that_ends(self) -> None:
        """Handlers that are not done when the grace is over are cancelled, and their callers told."""
        there = Actor()
        async with self.connected(there) as (client, server):
            failed: list[Exception] = []
            async with anyio.create_task_group() as group:
                group.start_soon(hold_until, client, (RemoteError, ConnectionLost), failed)
                await until(lambda: there.running == 1)
                await server.close(grace=0.05)
            assert there.cancelled == ["held"]
            assert await client.wait_closed() is CloseReason.CLOSED_BY_REMOTE

    @bounded
    async def test_the_last_answers_arrive(self) -> None:
        """Closed with grace right behind answers that fill every buffer: they arrive whole, though the remote goes on sending."""
        there, name = Actor(), "x" * 900_000
        # A machine that has much else to do may take longer to read them than we would stay for.
        async with self.connected(there, limits=Limits(discard_timeout=_ENOUGH)) as (client, server):

            async def chatter() -> None:
                with pytest.raises((CallError, ConnectionClosed)):
                    while True:
                        await client.remote(suite).send(Note(number=0, filler="x" * 1000))

            async with anyio.create_task_group() as group:
                for _ in range(8):
                    group.start_soon(expect, client, Hold(name=name), name)
                group.start_soon(chatter)
                await until(lambda: there.running == 8)
                there.release.set()
                await server.close(grace=_ENOUGH)

    @bounded
    async def test_a_block_that_is_left(self, wireformat: str | WireFormat) -> None:
        """A block is left right after it has sent: all of that still arrives, and the other end is told of a clean end."""
        there, arrived = Actor(), list[Peer]()
        async with self.served(there, wireformat=wireformat, on_peer=arrived.append) as server:
            async with self.connecting(server.url, wireformat=wireformat) as client:
                for number in range(20):
                    await client.remote(suite).send(Tick(number=number, filler="x" * 50_000))
            assert not client.is_open
            await until(lambda: len(arrived) == 1)
            reason = await arrived[0].wait_closed()
            assert reason is CloseReason.CLOSED_BY_REMOTE, f"the other end was told: {reason.value}"
        assert there.ticks == list(range(20)), "not all that was sent has arrived"

    @bounded
    async def test_sent_and_hung_up(self) -> None:
        """One-way messages that came before a clean end are handled to their end, in order, though nobody is there any more."""
        there, arrived = Actor(), list[Peer]()
        there.reads = anyio.Event()
        async with self.served(there, on_peer=arrived.append) as server, anyio.create_task_group() as group:

            async def send_and_leave() -> None:
                async with self.connecting(server.url) as client:
                    await client.remote(suite).send(Hold(name="held"))
                    for number in range(5):
                        await client.remote(suite).send(Note(number=number))

            group.start_soon(send_and_leave)
            await until(lambda: there.running == 1 and not arrived[0].is_open)
            there.reads.set()
            there.release.set()
            assert await arrived[0].wait_closed() is CloseReason.CLOSED_BY_REMOTE
        assert (there.noted, there.ended) == (list(range(5)), ["held"])

    @bounded
    async def test_a_server_does_not_wait_for_the_messages_of_those_who_left(self) -> None:
        """It is closed without grace: what still runs for a client that has hung up is cancelled."""
        there, arrived = Actor(), list[Peer]()
        async with self.served(there, on_peer=arrived.append) as server, anyio.create_task_group() as group:

            async def send_and_leave() -> None:
                async with self.connecting(server.url) as client:
                    await client.remote(suite).send(Hold(name="held"))

            group.start_soon(send_and_leave)
            await until(lambda: there.running == 1 and not arrived[0].is_open)
            await server.close()
        assert there.cancelled == ["held"]

    @bounded
    async def test_drained(self) -> None:
        """A server is drained: calls that run are answered, new ones refused, messages handled; then the client is told."""
        there = Actor()
        async with self.served(there) as server, self.connecting(server.url) as client:
            remote, drained = client.remote(suite), list[bool]()

            async def drain() -> None:
                drained.append(await server.drain(timeout=_ENOUGH))

            async with anyio.create_task_group() as group:
                group.start_soon(expect, client, Hold(name="held"), "held")
                await until(lambda: there.running == 1)
                group.start_soon(drain)
                await until(lambda: not any(peer.is_open for peer in server.peers))
                with pytest.raises(RemoteError):
                    await remote.call(Add(a=1, b=2))
                await remote.send(Tick(number=7))
                await until(lambda: there.ticks == [7])
                there.release.set()
            assert drained == [True]
            assert await client.wait_closed() is CloseReason.CLOSED_BY_REMOTE

    @bounded
    async def test_an_exception_in_the_block_of_a_client(self) -> None:
        """It comes out as it is, in no group of ours; the other end is cut off, and the handlers of both are cancelled."""
        here, there, trouble, arrived = Actor(), Actor(), Trouble(), list[Peer]()
        failed: list[Exception] = []
        async with self.served(there, on_peer=arrived.append) as server, anyio.create_task_group() as group:
            with pytest.raises(Trouble) as caught:
                async with self.connecting(server.url, here) as client:
                    group.start_soon(hold_until, client, (ConnectionClosed, ConnectionLost), failed)
                    await until(lambda: there.running == 1)
                    group.start_soon(hold_until, arrived[0], (ConnectionClosed, ConnectionLost), failed)
                    await until(lambda: here.running == 1)
                    raise trouble
            assert caught.value is trouble
            assert await arrived[0].wait_closed() in _GONE
            await until(lambda: here.cancelled == there.cancelled == ["held"])

    @bounded
    async def test_an_exception_in_the_block_of_a_server(self) -> None:
        """The same for a server: its clients are cut off, and nobody can connect there any more."""
        there, trouble, reasons, urls = Actor(), Trouble(), list[CloseReason](), list[str]()

        async def client() -> None:
            async with self.connecting(urls[0]) as peer:
                await peer.remote(suite).send(Hold(name="there"))
                reasons.append(await peer.wait_closed())

        async with anyio.create_task_group() as group:
            with pytest.raises(Trouble) as caught:
                async with self.served(there) as server:
                    urls.append(server.url)
                    group.start_soon(client)
                    group.start_soon(client)
                    await until(lambda: there.running == 2)
                    raise trouble
            assert caught.value is trouble
        assert len(reasons) == 2
        assert set(reasons) <= set(_GONE), reasons
        assert there.cancelled == ["there"] * 2
        with pytest.raises(ConnectFailed):
            async with self.connecting(urls[0], limits=Limits(handshake_timeout=1)):
                pytest.fail("somebody serves there")

    @bounded
    async def test_a_cancelled_block(self) -> None:
        """A block is cancelled while it waits for an answer: the other end is cut off, and its handlers are cancelled."""
        there, arrived = Actor(), list[Peer]()
        async with self.served(there, on_peer=arrived.append) as server:
            async with anyio.create_task_group() as group:

                async def block() -> None:
                    async with self.connecting(server.url) as client:
                        await client.remote(suite).call(Hold(name="held"))

                group.start_soon(block)
                await until(lambda: there.running == 1)
                group.cancel_scope.cancel()
            assert await arrived[0].wait_closed() in _GONE
            await until(lambda: there.cancelled == ["held"] and not tuple(server.peers))

    @bounded
    async def test_a_server_that_closes(self) -> None:
        """A server is closed while clients are connected: each is told of a clean end, and the address is free again."""
        there = Actor()
        async with self.served(there) as server:
            url = server.url
            async with self.connecting(url) as one, self.connecting(url) as two:
                await expect(one, Add(a=1, b=2), 3)
                await expect(two, Add(a=1, b=2), 3)
                await server.close()
                for peer in (one, two):
                    reason = await peer.wait_closed()
                    assert reason is CloseReason.CLOSED_BY_REMOTE, f"a client was told: {reason.value}"
            await server.wait_closed()
            assert not tuple(server.peers)
            async with self.served(there, url=url) as again, self.connecting(again.url) as peer:
                await expect(peer, Add(a=1, b=2), 3)

    @bounded
    async def test_cut_by_a_peer_that_writes(self) -> None:
        """A peer is cut off while it writes large frames: what arrived is whole and in order, the rest is not there, others are served."""
        there, arrived = Actor(), list[Peer]()
        async with self.served(there, on_peer=arrived.append) as server:
            with pytest.raises(Trouble):
                async with self.connecting(server.url) as client:
                    await expect(client, Add(a=1, b=2), 3)
                    for number in range(4):
                        await client.remote(suite).send(
                            Note(number=number, filler="x" * 900_000), timeout=None
                        )
                    raise Trouble
            assert await arrived[0].wait_closed() in _GONE
            assert there.noted == list(range(len(there.noted)))
            assert there.noted_bytes == 900_000 * len(there.noted)
            async with self.connecting(server.url) as other:
                await expect(other, Add(a=1, b=2), 3)

    @pytest.mark.parametrize("how", ["ended", "cut"])
    @bounded
    async def test_cut_in_the_middle_of_a_frame(self, how: str, wireformat: str | WireFormat) -> None:
        """The stream ends, or is cut, inside a frame: that is no clean end, and no part of the frame is delivered; others are served."""
        if how == "ended" and not self.has_halves:
            pytest.skip("the transport has no halves")
        there, arrived = Actor(), list[Peer]()
        async with self.served(there, wireformat=wireformat, on_peer=arrived.append) as server:
            async with self.connecting(server.url, wireformat=wireformat) as other:
                await expect(
                    other, Add(a=1, b=2), 3
                )  # it has arrived, so the next to arrive is the other one
                async with self.raw_stream(server.url) as raw:
                    frame = frame_of(other.wireformat, Tick(number=1))
                    await raw.send(frame + frame[:-3])
                    await until(lambda: there.ticks == [1])
                    if how == "ended":
                        await raw.send_eof()
                        assert await arrived[-1].wait_closed() is CloseReason.TRUNCATED
                reason = await arrived[-1].wait_closed()
                assert reason in (CloseReason.TRUNCATED, CloseReason.TRANSPORT_FAILED), reason.value
                assert there.ticks == [1]
                await expect(other, Add(a=1, b=2), 3)

    @bounded
    async def test_half_closed(self) -> None:
        """The remote ends its half and reads on: answers that were under way, more than fits into any buffer, still arrive, and then the end."""
        if not self.has_halves:
            pytest.skip("the transport has no halves")
        there, arrived = Actor(), list[Peer]()
        names = [letter * 900_000 for letter in "abcdefgh"]
        limits = Limits(eof_grace=_ENOUGH)
        async with self.served(there, limits=limits, on_peer=arrived.append) as server:
            async with self.raw_stream(server.url) as raw:
                await until(lambda: len(arrived) == 1)
                spoken = arrived[0].wireformat
                for cid, name in enumerate(names, 1):
                    await raw.send(frame_of(spoken, Hold(name=name), cid))
                await until(lambda: there.running == len(names))
                await raw.send_eof()
                await until(lambda: not arrived[0].is_open)
                there.release.set()
                decoder, answers = spoken.framing.decoder(Limits().max_frame), dict[int, str]()
                async for data in raw:
                    if decoder.feed(data):
                        for _, cid, payload in decoder.frames():
                            answers[cid] = spoken.codec(str).decode(payload)
            assert sorted(answers) == list(range(1, len(names) + 1)), "not every answer has arrived"
            assert [answers[cid] for cid in sorted(answers)] == names
            assert await arrived[0].wait_closed() is CloseReason.CLOSED_BY_REMOTE

    @bounded
    async def test_a_remote_that_does_not_hang_up(self) -> None:
        """We close, and the remote neither reads nor closes: after the time for its last words it is cut off, and can send no more."""
        arrived = list[Peer]()
        limits = Limits(discard_timeout=0.05)
        async with self.served(limits=limits, on_peer=arrived.append) as server:
            async with self.raw_stream(server.url) as raw:
                await until(lambda: len(arrived) == 1)
                await arrived[0].close()
                with pytest.raises((anyio.BrokenResourceError, anyio.ClosedResourceError)):
                    while True:
                        await raw.send(bytes(10_000))
        assert not arrived[0].is_open


def frame_of(wireformat: WireFormat, message: Message[object], cid: int = 0) -> bytes:
    """A frame, as a peer would write it."""
    codec: Codec[Message[object]] = wireformat.codec(type(message))
    payload, framing = codec.encode(message), wireformat.framing
    return framing.header(framing.overhead + len(payload), suite.sid(type(message)), cid) + payload
