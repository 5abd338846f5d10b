"""Calls while there is no connection."""

from __future__ import annotations

import anyio
import pytest
from tests.adapters.common import Add, Hold, Say, tools, until
from tests.contrib.reconnect.outcomes import Outcomes
from tests.contrib.reconnect.stage import (
    HandTime,
    is_disconnected,
    new_url,
    stage,
)

from duologue import (
    CallError,
    CallTimeout,
    ConnectionClosed,
    Executed,
    Limits,
    Overloaded,
    SendTimeout,
)
from duologue_contrib.reconnect import (
    Backoff,
    NotConnected,
    ReconnectFailed,
    reconnecting,
)


async def test_calls_and_sends_wait_for_the_connection() -> None:
    """Typed and raw, calls and sends: all that were made meanwhile go out on the next connection."""
    time, outcomes = HandTime(), Outcomes()
    async with stage() as there:
        async with reconnecting(there.url, wireformat="json", clock=time.clock) as client:
            await there.stop()
            await until(is_disconnected(client))
            remote = client.remote(tools)
            async with anyio.create_task_group() as group:
                group.start_soon(outcomes.of, remote.call, Add(a=1, b=2))
                group.start_soon(outcomes.of, remote.send, Say(text="sent"))
                group.start_soon(outcomes.of, client.call_raw, tools.sid(Add), b'{"a":2,"b":2}')
                group.start_soon(outcomes.of, client.send_raw, tools.sid(Say), b'{"text":"raw"}')
                group.start_soon(outcomes.of, client.wait_connected)
                await until(lambda: client.waiting == 5)
                await there.start()
                await time.pass_by()
                await there.tools.until(lambda: len(there.tools.said) == 2)
            assert outcomes.errors == []
            assert {3, None, b"4", client.peer} == set(outcomes.answers)
            assert client.waiting == 0


@pytest.mark.parametrize("timeout", [0, 0.01])
async def test_the_wait_counts_in_the_timeout(timeout: float) -> None:
    """No connection in time: the error says that it never got out."""
    async with reconnecting(new_url(), wireformat="json", first="later", clock=HandTime().clock) as client:
        with pytest.raises(CallTimeout, match="no connection within the timeout") as caught:
            await client.remote(tools).call(Add(a=1, b=2), timeout=timeout)
        assert caught.value.executed is Executed.NO
        assert caught.value.service == "tools::Add"
        with pytest.raises(SendTimeout, match="no connection within the timeout"):
            await client.remote(tools).send(Say(text="x"), timeout=timeout)
        assert client.waiting == 0


async def test_the_timeouts_of_the_limits() -> None:
    """They hold for the wait, too, where a call says nothing."""
    limits = Limits(call_timeout=0.01, send_timeout=0.01)
    async with reconnecting(
        new_url(), wireformat="json", first="later", clock=HandTime().clock, limits=limits
    ) as client:
        with pytest.raises(CallTimeout):
            await client.remote(tools).call(Add(a=1, b=2))
        with pytest.raises(SendTimeout):
            await client.remote(tools).send(Say(text="x"))


async def test_what_is_left_of_the_timeout_is_for_the_answer() -> None:
    """A call that has waited for its connection, and gets no answer there, ends when its own time is over."""
    time, outcomes = HandTime(), Outcomes()
    async with stage(is_up=False) as there:
        async with reconnecting(there.url, wireformat="json", first="later", clock=time.clock) as client:
            async with anyio.create_task_group() as group:
                began = anyio.current_time()
                group.start_soon(lambda: outcomes.of(client.remote(tools).call, Hold(), timeout=1.0))
                await until(lambda: client.waiting == 1)
                await there.start()
                await time.pass_by()
                await there.tools.until(lambda: there.tools.running == 1)
            took = anyio.current_time() - began
        (error,) = outcomes.errors
        assert isinstance(error, CallTimeout)
        assert error.executed is Executed.UNKNOWN
        assert 0.99 <= took < 1.9, "not the wait, and then the timeout once more"


@pytest.mark.parametrize("timeout", [-1, float("nan")])
async def test_timeouts_that_make_no_sense(timeout: float) -> None:
    """They are refused in the same way, connected or not."""
    async with stage() as there:
        for first in ("now", "later"):
            url = there.url if first == "now" else new_url()
            async with reconnecting(url, wireformat="json", first=first, clock=HandTime().clock) as client:  # type: ignore[arg-type]
                with pytest.raises(ValueError, match="timeout of"):
                    await client.remote(tools).call(Add(a=1, b=2), timeout=timeout)


async def test_only_so_many_may_wait() -> None:
    """One more than `Limits.waiting` is refused at once: a queue that only grows is a fault to be seen."""
    limits = Limits(waiting=3)
    async with reconnecting(
        new_url(), wireformat="json", first="later", clock=HandTime().clock, limits=limits
    ) as client:
        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(client.remote(tools).call, Add(a=1, b=2))
            await until(lambda: client.waiting == 3)
            with pytest.raises(Overloaded, match=r"raise Limits\.waiting") as caught:
                await client.remote(tools).call(Add(a=1, b=2))
            assert caught.value.executed is Executed.NO
            group.cancel_scope.cancel()
        assert client.waiting == 0


async def test_calls_that_do_not_wait() -> None:
    """With `waits=False` a call without a connection fails at once, and its cause is what happened last."""
    time = HandTime()
    async with stage() as there:
        async with reconnecting(there.url, wireformat="json", clock=time.clock, waits=False) as client:
            assert await client.remote(tools).call(Add(a=1, b=2)) == 3
            await there.stop()
            await until(lambda: time.is_asleep)
            with pytest.raises(NotConnected) as caught:
                await client.remote(tools).call(Add(a=1, b=2))
            assert caught.value.executed is Executed.NO
            assert "closed by remote" in str(caught.value.__cause__)
            with pytest.raises(NotConnected):
                await client.remote(tools).send(Say(text="x"))


async def test_a_waiting_call_is_cancelled() -> None:
    """It waits no more, and is not made when there is a connection."""
    time = HandTime()
    async with stage(is_up=False) as there:
        async with reconnecting(there.url, wireformat="json", first="later", clock=time.clock) as client:
            async with anyio.create_task_group() as group:
                group.start_soon(client.remote(tools).call, Say(text="cancelled"))
                await until(lambda: client.waiting == 1)
                group.cancel_scope.cancel()
            assert client.waiting == 0
            await there.start()
            await time.pass_by()
            await client.remote(tools).call(Say(text="made"))
        assert there.tools.said == ["made"]


@pytest.mark.parametrize("how", ["left", "closed", "failed", "cancelled"])
async def test_the_end_of_the_client_ends_all_that_wait(how: str) -> None:
    """However the block is left, with callers outside of it: each is told at once, and that its call never got out."""
    outcomes = Outcomes()
    async with anyio.create_task_group() as group:
        with anyio.CancelScope() as scope:
            try:
                async with reconnecting(
                    new_url(), wireformat="json", first="later", clock=HandTime().clock
                ) as client:
                    for _ in range(10):
                        group.start_soon(
                            lambda client=client: outcomes.of(  # type: ignore[misc]
                                client.remote(tools).call, Add(a=1, b=2), timeout=None
                            )
                        )
                    await until(lambda: client.waiting == 10)
                    match how:
                        case "closed":
                            await client.close()
                            await until(lambda: len(outcomes) == 10)
                        case "failed":
                            raise ValueError
                        case "cancelled":
                            scope.cancel()
                            await anyio.sleep_forever()
                        case _:
                            pass
            except ValueError:
                assert how == "failed"
    assert {type(error) for error in outcomes.errors} == {ConnectionClosed}
    assert [error.executed for error in outcomes.errors if isinstance(error, CallError)] == [Executed.NO] * 10


async def test_giving_up_ends_all_that_wait() -> None:
    """Attempts have an end: who waits is told why there will be no connection, and so is who comes later."""
    time, outcomes = HandTime(), Outcomes()
    async with reconnecting(
        new_url(), wireformat="json", first="later", clock=time.clock, backoff=Backoff(max_attempts=2)
    ) as client:
        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(outcomes.of, client.remote(tools).call, Add(a=1, b=2))
            await until(lambda: client.waiting == 3)
            await time.pass_by()
        await outcomes.of(client.remote(tools).call, Add(a=1, b=2))
        await outcomes.of(client.wait_connected)
        await outcomes.of(client.wait_closed)
    assert {type(error) for error in outcomes.errors} == {ReconnectFailed}
    assert len(set(outcomes.errors)) == 6, "each has its own traceback"
    for error in outcomes.errors:
        assert isinstance(error, ReconnectFailed)
        assert error.executed is Executed.NO
        assert "nobody serves that name" in str(error)
