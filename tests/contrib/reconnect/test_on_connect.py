"""What is done with each new connection before the calls go out: log in, subscribe."""

from __future__ import annotations

import anyio
import pytest
from tests.adapters.common import Say, Tools, first_peer, tools, until
from tests.contrib.reconnect.stage import (
    FastTime,
    Seen,
    connected_again,
    is_disconnected,
    new_url,
    stage,
)

from duologue import (
    Peer,
    serve,
)
from duologue_contrib.reconnect import (
    AttemptFailed,
    GaveUp,
    ReconnectFailed,
    is_permanent,
    reconnecting,
)


async def test_on_connect_comes_before_the_calls_that_wait() -> None:
    """On each connection: what it says arrives first, and only then those that waited."""
    there_tools = Tools()

    async def log_in(peer: Peer) -> None:
        await peer.remote(tools).call(Say(text="log in"))

    url = new_url()
    async with reconnecting(
        url, wireformat="json", first="later", on_connect=log_in, clock=FastTime().clock
    ) as client:
        remote = client.remote(tools)
        for _ in range(2):
            there_tools.said.clear()
            async with anyio.create_task_group() as group:
                for _ in range(5):
                    group.start_soon(remote.call, Say(text="waited"))
                await until(lambda: client.waiting == 5)
                async with serve(url, there_tools.services, wireformat="json"):
                    await there_tools.until(lambda: len(there_tools.said) == 6)
                    await until(lambda: not client.waiting)
            assert there_tools.said == ["log in"] + ["waited"] * 5
            await until(is_disconnected(client))


async def test_on_connect_may_be_a_plain_function() -> None:
    """As with `on_peer`."""
    arrived: list[Peer] = []
    async with stage() as there:
        async with reconnecting(there.url, wireformat="json", on_connect=arrived.append) as client:
            assert arrived == [client.peer]


async def test_on_connect_that_fails_is_a_failed_attempt() -> None:
    """Its connection is cut, the error is told as it is, and after a wait there is another attempt."""
    seen = Seen()
    failures = [ValueError("first"), KeyError("second")]

    def log_in(peer: Peer) -> None:
        if failures:
            raise failures.pop(0)

    async with stage() as there:
        async with reconnecting(
            there.url,
            wireformat="json",
            first="wait",
            on_connect=log_in,
            on_event=seen,
            clock=FastTime().clock,
        ):
            errors = [event.error for event in seen.of(AttemptFailed)]
            await until(lambda: len(there.peers) == 1)
    assert [repr(error) for error in errors] == ["ValueError('first')", "KeyError('second')"]
    assert seen.names == ["Connecting", "AttemptFailed"] * 2 + ["Connecting", "Connected"]


async def test_on_connect_that_fails_the_first_time() -> None:
    """Entering raises its error, as it raises that of a connection."""

    async def log_in(peer: Peer) -> None:
        raise PermissionError("who are you?")

    async with stage() as there:
        with pytest.raises(PermissionError, match="who are you"):
            async with reconnecting(there.url, wireformat="json", on_connect=log_in):
                raise AssertionError
        await until(lambda: not there.peers)


async def test_on_connect_ends_with_its_connection() -> None:
    """It waits for something that will never come, and the connection breaks: that is a failed attempt, and the hook is cancelled."""
    seen, cancelled = Seen(), list[bool]()

    async def log_in(peer: Peer) -> None:
        if seen.attempts == 1:
            try:
                await anyio.sleep_forever()
            finally:
                cancelled.append(True)

    async with stage() as there:
        async with reconnecting(
            there.url,
            wireformat="json",
            first="later",
            on_connect=log_in,
            on_event=seen,
            clock=FastTime().clock,
        ) as client:
            assert there.server is not None
            await (await first_peer(there.server)).close()
            await connected_again(client, None)
    assert cancelled == [True]
    assert seen.names == ["Connecting", "AttemptFailed", "Connecting", "Connected"]


async def test_a_user_who_is_refused() -> None:
    """What a login means only the program knows: `gives_up` says which of its errors are for good."""
    seen = Seen()

    class Refused(Exception):
        pass

    def log_in(peer: Peer) -> None:
        if seen.attempts > 1:
            raise Refused("wrong password")

    async with stage() as there:
        async with reconnecting(
            there.url,
            wireformat="json",
            on_connect=log_in,
            on_event=seen,
            clock=FastTime().clock,
            gives_up=lambda error: isinstance(error, Refused) or is_permanent(error),
        ) as client:
            assert client.peer is not None
            await client.peer.close()
            with pytest.raises(ReconnectFailed, match="wrong password") as caught:
                await client.wait_closed()
            assert isinstance(caught.value.error, Refused)
            assert caught.value.__cause__ is caught.value.error
    assert seen.attempts == 2
    assert seen.events[-1] == GaveUp(caught.value.error)
