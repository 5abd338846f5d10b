"""Calls whose connection ends under them, and calls that are made again."""

from __future__ import annotations

from typing import cast

import anyio
import pytest
from tests.adapters.common import Add, Hold, tools, turn, until
from tests.contrib.reconnect.outcomes import Outcomes
from tests.contrib.reconnect.stage import (
    FastTime,
    HandTime,
    Stage,
    connected_again,
    stage,
)

from duologue import (
    CallError,
    CallTimeout,
    ConnectionClosed,
    ConnectionLost,
    Executed,
    Limits,
    Message,
    RegistrationError,
    RemoteError,
    serve,
)
from duologue_adapters.peer import DriverPeer
from duologue_contrib.reconnect import (
    Backoff,
    NotConnected,
    ReconnectFailed,
    Retry,
    reconnecting,
)


class Stranger(Message[None]):
    pass


async def lose(there: Stage, *, held: int) -> None:
    """Cut the connection while so many calls are handled."""
    await there.tools.until(lambda: there.tools.running == held)
    cast("DriverPeer", there.peers[0]).abort()
    await until(lambda: len(there.tools.cancelled) == held)


async def test_a_call_in_flight_is_not_made_again() -> None:
    """Its connection ends: it raises, says that it may have run, and the next connection knows nothing of it."""
    time, outcomes = FastTime(), Outcomes()
    async with stage() as there:
        async with reconnecting(there.url, wireformat="json", clock=time.clock) as client:
            before = client.peer
            async with anyio.create_task_group() as group:
                group.start_soon(outcomes.of, client.remote(tools).call, Hold(name="x"))
                await lose(there, held=1)
            await connected_again(client, before)
            assert await client.remote(tools).call(Add(a=1, b=2)) == 3
        (error,) = outcomes.errors
        assert isinstance(error, ConnectionLost)
        assert error.executed is Executed.UNKNOWN
        assert there.tools.began == ["x"]


QUEUED = Limits(owed=1)
"""One call is out, and all others wait within this end."""


@pytest.mark.parametrize("by_text", [False, True])
@pytest.mark.parametrize("retry", list(Retry))
async def test_what_is_made_again(retry: Retry, by_text: bool) -> None:
    """The connection ends under a call that is out, and one that has not left. By default both raise. `NOT_EXECUTED` makes
    the second one again, since it certainly never ran; `IDEMPOTENT` both. Its text is equal to it, and so means the same.
    """
    outcomes = Outcomes()
    async with stage() as there:
        async with reconnecting(
            there.url, wireformat="json", clock=FastTime().clock, limits=QUEUED
        ) as client:
            before = client.peer
            remote = client.remote(tools, retry=cast("Retry", retry.value) if by_text else retry)
            async with anyio.create_task_group() as group:
                group.start_soon(outcomes.of, remote.call, Hold(name="out"))
                await there.tools.until(lambda: there.tools.running == 1)
                group.start_soon(outcomes.of, remote.call, Hold(name="queued"))
                await turn(5)
                await lose(there, held=1)
                await connected_again(client, before)
                there.tools.release.set()
    executed = [error.executed for error in outcomes.errors if isinstance(error, ConnectionLost)]
    match retry:
        case Retry.NEVER:
            assert sorted(executed) == [Executed.NO, Executed.UNKNOWN]
            assert there.tools.began == ["out"]
        case Retry.NOT_EXECUTED:
            assert (executed, outcomes.answers) == ([Executed.UNKNOWN], ["queued"])
            assert there.tools.began == ["out", "queued"]
        case Retry.IDEMPOTENT:
            assert (executed, sorted(map(str, outcomes.answers))) == ([], ["out", "queued"])
            assert sorted(there.tools.began) == ["out", "out", "queued"]


@pytest.mark.parametrize("end", ["timeout", "close", "gave up", "unknown service", "does not wait"])
async def test_what_may_have_run_before_is_not_forgotten(end: str) -> None:
    """A call that may be made again was out once, and its last try certainly did not run: the caller is told `unknown`."""
    time, outcomes = HandTime(), Outcomes()
    async with stage() as there:
        async with reconnecting(
            there.url,
            wireformat="json",
            clock=time.clock,
            backoff=Backoff(max_attempts=1 if end == "gave up" else None),
            waits=end != "does not wait",
        ) as client:
            remote = client.remote(tools, retry=Retry.IDEMPOTENT)
            timeout = 0.2 if end == "timeout" else None
            async with anyio.create_task_group() as group:
                group.start_soon(lambda: outcomes.of(remote.call, Hold(name="x"), timeout=timeout))
                await lose(there, held=1)
                if end == "close":
                    await until(lambda: client.waiting == 1)
                    await client.close()
                elif end == "unknown service":
                    await until(lambda: client.waiting == 1)
                    await there.stop()
                    async with serve(there.url, wireformat="json"):
                        await time.pass_by()
                        await until(lambda: len(outcomes) == 1)
    (error,) = outcomes.errors
    kinds = {
        "timeout": CallTimeout,
        "close": ConnectionClosed,
        "gave up": ReconnectFailed,
        "unknown service": RemoteError,
        "does not wait": NotConnected,
    }
    assert type(error) is kinds[end]
    assert isinstance(error, CallError)
    assert error.executed is Executed.UNKNOWN
    assert there.tools.began == ["x"]


async def test_a_call_that_finds_its_connection_ended() -> None:
    """It has not been made, so it waits for the next one, whatever was said about making it again: nobody need time it."""
    time = HandTime()
    async with stage() as there:
        async with reconnecting(there.url, wireformat="json", clock=time.clock) as client:
            outcomes, before = Outcomes(), client.peer
            async with anyio.create_task_group() as group:
                assert before is not None
                closing = anyio.Event()

                async def close() -> None:
                    closing.set()
                    await before.close()

                group.start_soon(close)
                await closing.wait()
                await until(lambda: not before.is_open)
                group.start_soon(outcomes.of, client.remote(tools).call, Add(a=1, b=2))
                await time.pass_by()
            assert outcomes.answers == [3]


async def test_messages_of_another_namespace() -> None:
    """A remote of the client is an ordinary `Remote`."""
    async with stage() as there:
        async with reconnecting(there.url, wireformat="json") as client:
            remote = client.remote(tools)
            assert (remote.peer, remote.namespace) == (client, tools)
            assert repr(client).startswith("<ReconnectingClient <Peer mem://")
            assert client.remote(tools, retry=Retry.IDEMPOTENT).peer.info is client.info
            with pytest.raises(RegistrationError):
                await remote.call(Stranger())


async def test_what_is_no_retry_is_refused() -> None:
    """The text says which there are, wherever it is given."""
    async with stage() as there:
        async with reconnecting(there.url, wireformat="json") as client:
            given = r"retry='always': give Retry.NEVER, Retry.NOT_EXECUTED, Retry.IDEMPOTENT"
            with pytest.raises(ValueError, match=given):
                client.remote(tools, retry="always")  # type: ignore[arg-type]
            for use in (client.call_raw, client.send_raw):
                with pytest.raises(ValueError, match=given):
                    await use(tools.sid(Add), b"{}", retry="always")  # type: ignore[operator]
