"""Who, which service, which call: errors, events, log lines and reprs say it, for people at this end."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator

import anyio
import pytest
from tests.adapters.common import (
    Add,
    Echo,
    Fail,
    Hold,
    Say,
    Tools,
    closed_event,
    first_peer,
    next_event,
    raw_server,
    tools,
    until,
)

from duologue import (
    CallTimeout,
    ConnectionClosed,
    ErrorReported,
    EventsMissed,
    FrameTooLarge,
    Limits,
    Overloaded,
    Peer,
    PeerEvent,
    RemoteError,
    RequestFailed,
    SendTimeout,
    connect,
    serve,
)


async def test_errors_of_calls(url: str) -> None:
    """The service by its name, the id of the call as the other end has it in its events, the peer with its address."""
    there = Tools()
    observed: list[AsyncIterator[PeerEvent]] = []

    def watch(peer: Peer) -> None:
        observed.append(peer.events())

    async with serve(url, there.services, wireformat="json", name="caller", on_peer=watch) as server:
        async with connect(server.url, wireformat="json", name="worker") as peer:
            label = f"worker ({peer.info.address})"
            assert str(peer.info) == label
            with pytest.raises(RemoteError) as caught:
                await peer.remote(tools).call(Fail(how="exception"))
            error = caught.value
            assert (error.service, error.sid, error.peer) == ("tools::Fail", tools.sid(Fail), label)
            event = await next_event(observed[0])
            assert isinstance(event, RequestFailed)
            assert (event.cid, event.peer) == (error.call_id, str((await first_peer(server)).info))
            assert str(error).startswith(
                f"tools::Fail (call {error.call_id}) at {label}: the remote answered"
            )
            with pytest.raises(RemoteError) as caught:
                await peer.call_raw(0x1234, b"{}")
            assert str(caught.value).startswith(
                f"0x0000000000001234 (call {error.call_id + 1}) at {label}: the remote answered UnknownService"
            )
            with pytest.raises(CallTimeout, match=r"^tools::Add at worker \(") as timed_out:
                await peer.remote(tools).call(Add(a=1, b=2), timeout=0)
            assert timed_out.value.call_id == 0
        assert (await closed_event(peer)).peer == label
        for request in (peer.remote(tools).call(Add(a=1, b=2)), peer.remote(tools).send(Say(text=""))):
            with pytest.raises(ConnectionClosed) as closed:
                await request
            assert closed.value.peer == label
        assert label in repr(peer)
        assert "closed (closed locally)" in repr(peer)
        assert repr(peer) in repr(peer.remote(tools))


async def test_errors_of_sends() -> None:
    """A send has no id. What is too large, and what finds no room, says where it was to go."""
    limits = Limits(max_frame=1000, outbox_high=100, outbox_low=10)
    async with raw_server() as (url, accept), connect(url, wireformat="json", limits=limits) as peer:
        await accept()
        with pytest.raises(FrameTooLarge) as too_large:
            await peer.remote(tools).send(Say(text=2000 * "x"))
        assert str(too_large.value).startswith(f"tools::Say at {peer.info.address}: a frame of ")
        with pytest.raises(FrameTooLarge) as too_large:
            await peer.remote(tools).call(Echo(data=bytes(2000)))
        assert too_large.value.service == "tools::Echo"
        with pytest.raises(SendTimeout) as timed_out:
            while True:
                await peer.remote(tools).send(Say(text=500 * "x"), timeout=0)
        assert str(timed_out.value).startswith(f"tools::Say at {peer.info.address}: no room to send")


async def test_what_is_refused_here(url: str) -> None:
    """A limit of this process is reached: which request it hit is said as well."""
    limits = Limits(owed=1, waiting=0)
    there = Tools()
    async with (
        serve(url, there.services, wireformat="json") as server,
        connect(server.url, wireformat="json", limits=limits) as peer,
        anyio.create_task_group() as group,
    ):

        async def hold() -> None:
            await peer.remote(tools).call(Hold())

        group.start_soon(hold)
        await there.until(lambda: there.running == 1)
        with pytest.raises(Overloaded) as caught:
            await peer.remote(tools).call(Add(a=1, b=2))
        assert (caught.value.service, caught.value.peer) == ("tools::Add", str(peer.info))
        there.release.set()


async def test_log_lines(caplog: pytest.LogCaptureFixture, url: str) -> None:
    """Each says which service of which peer failed, and in what call; and so does the line about those that are not logged."""
    there = Tools()
    with caplog.at_level(logging.ERROR, "duologue"):
        async with serve(url, there.services, wireformat="json", name="caller") as server:
            async with connect(server.url, wireformat="json") as peer:
                label = str((await first_peer(server)).info)
                with pytest.raises(RemoteError) as caught:
                    await peer.remote(tools).call(Fail(how="exception"))
                await peer.remote(tools).send(Fail(how="exception"))
                await until(lambda: len(caplog.records) == 2)
    service = f"tools::Fail (0x{tools.sid(Fail):016x}"
    assert [record.getMessage() for record in caplog.records] == [
        f"{service}, call {caught.value.call_id}) of {label} failed: HandlerFailed",
        f"{service}, one-way message) of {label} failed: HandlerFailed",
    ]


async def test_an_observer_that_was_too_slow(url: str) -> None:
    """It may watch many peers, and learns whose events it has missed."""
    there = Tools()
    async with serve(
        url, there.services, wireformat="json", name="caller", limits=Limits(observer_queue=1)
    ) as server:
        async with connect(server.url, wireformat="json") as peer:
            await peer.remote(tools).call(Add(a=1, b=2))
            here = await first_peer(server)
            events = here.events()
            for _ in range(3):
                with pytest.raises(RemoteError):
                    await peer.call_raw(0x1234, b"{}")
            missed = await next_event(events)
            assert isinstance(missed, EventsMissed)
            assert (missed.count, missed.peer) == (2, str(here.info))


async def test_an_error_that_the_remote_reports(url: str) -> None:
    """A call was given up, and its error comes late: the event says which service, which call, and whose."""
    there = Tools()
    async with serve(url, there.services, wireformat="json") as server:
        async with connect(server.url, wireformat="json", name="worker") as peer:
            events = peer.events()

            async def give_up() -> None:
                await peer.remote(tools).call(Hold())

            async with anyio.create_task_group() as group:
                group.start_soon(give_up)
                await there.until(lambda: there.running == 1)
                group.cancel_scope.cancel()
            await (await first_peer(server)).close()
            event = await next_event(events)
            assert isinstance(event, ErrorReported)
            assert (event.sid, event.cid) == (tools.sid(Hold), 1)
            assert event.peer == str(peer.info)


async def test_what_a_server_shows(url: str) -> None:
    """Where it is, how far in its life, and how many it serves."""
    async with serve(url, Tools().services, wireformat="json") as server:
        async with connect(server.url, wireformat="json") as peer:
            await peer.remote(tools).call(Add(a=1, b=2))
            assert repr(server) == f"<Server {server.url}, open, 1 peers, 0 in the handshake>"
            assert repr(peer) == (
                f"<Peer {peer.info}, open, json, 0 calls out, 0 handlers, 0 parked, 0 bytes unsent>"
            )
    assert repr(server) == f"<Server {server.url}, closed, 0 peers, 0 in the handshake>"
