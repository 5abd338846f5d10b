"""Handlers of every kind, what they are given, and that none of them is in the way of another."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import gc
import threading
from typing import Any

import anyio
import anyio.from_thread
import pytest
import sniffio
from tests.adapters.common import (
    Add,
    Echo,
    Hold,
    Say,
    State,
    Tools,
    collect,
    connected,
    tools,
    turn,
    until,
)

from duologue import (
    CallTimeout,
    Context,
    Limits,
    Message,
    Namespace,
    Peer,
    RemoteError,
    ServiceMap,
    Services,
    connect,
    serve,
)


class Where(Message[str]):
    """Where does the handler run?"""


class Number(Message[int]):
    value: int


class Who(Message[int]):
    pass


kinds = Namespace("kinds", [Where, Number, Who])


def here() -> str:
    return threading.current_thread().name


class Register:
    """Methods work as handlers: they are where the state is."""

    def __init__(self) -> None:
        self.numbers: list[int] = []

    async def take(self, msg: Number) -> int:
        self.numbers.append(msg.value)
        return len(self.numbers)

    async def take_slowly(self, msg: Number) -> int:
        await turn(10 - msg.value % 10)
        return await self.take(msg)

    def __call__(self, msg: Number) -> int:
        self.numbers.append(msg.value)
        return len(self.numbers)


async def in_task(msg: Where) -> str:
    return here()


def in_thread(msg: Where) -> str:
    return here()


def with_context(msg: Where, ctx: Context) -> str:
    assert ctx.peer.is_open
    return here()


@pytest.mark.parametrize(
    ("handler", "inline", "in_loop"),
    [
        (in_task, False, True),
        (in_thread, False, False),
        (in_thread, True, True),
        (with_context, False, False),
        (with_context, True, True),
    ],
)
async def test_where_handlers_run(url: str, handler: Any, inline: bool, in_loop: bool) -> None:
    """`async def` in a task, `def` in a worker thread or, if it is said to be inline, in place."""
    services = Services(kinds)
    services.handler(Where, handler, inline=inline)
    async with connected(url, services) as (client, _):
        where = await client.remote(kinds).call(Where())
    assert (where == here()) is in_loop


async def test_methods_and_objects(url: str) -> None:
    """Bound methods, partials and objects that can be called are handlers."""
    for make in (
        lambda register: register.take,
        lambda register: functools.partial(Register.take, register),
        lambda register: register,
    ):
        register = Register()
        services = Services(kinds)
        services.handler(Number, make(register))
        async with connected(url, services) as (client, _):
            assert [await client.remote(kinds).call(Number(value=n)) for n in (7, 8)] == [1, 2]
        assert register.numbers == [7, 8]


async def test_ordered_handlers(url: str) -> None:
    """`ordered=True`: one at a time, in the order of arrival, though each waits for a different time."""
    register = Register()
    services = Services(kinds)
    services.handler(Number, register.take_slowly, ordered=True)
    async with connected(url, services) as (client, server):
        remote = client.remote(kinds)
        for number in range(50):
            await remote.send(Number(value=number))
        assert await remote.call(Number(value=50)) == 51
        assert register.numbers == list(range(51))
        await until(lambda: State(server).is_idle)


async def test_handlers_do_not_hold_up_each_other(url: str) -> None:
    """While some wait, whatever they wait for, others are handled, and overtake them."""
    there = Tools()
    async with connected(url, there.services) as (client, _), anyio.create_task_group() as group:
        remote = client.remote(tools)
        for number in range(20):
            group.start_soon(remote.call, Hold(name=str(number)))
            assert await remote.call(Add(a=number, b=1)) == number + 1
        await there.until(lambda: there.running == 20)
        there.release.set()
    assert sorted(map(int, there.ended)) == list(range(20))


async def test_what_a_handler_knows_of_its_request(url: str) -> None:
    """`ctx.peer` is the very peer that the message came by, and `ctx.call_id` is the call's, or 0 for a send."""
    seen: list[tuple[Peer, int]] = []
    services = Services(kinds)

    @services.handler
    async def who(msg: Who, ctx: Context) -> int:
        seen.append((ctx.peer, ctx.call_id))
        return ctx.call_id

    async with connected(url, services) as (client, server):
        assert await client.remote(kinds).call(Who()) == 1
        await client.remote(kinds).send(Who())
        assert await client.remote(kinds).call(Who()) == 2
        await until(lambda: len(seen) == 3)
        assert {peer for peer, _ in seen} == {server}
        assert sorted(number for _, number in seen) == [0, 1, 2]
        assert server.info.address
        assert repr(server).startswith("<Peer ")


async def test_state_per_connection(url: str) -> None:
    """`services` may be a function of the new peer: each connection has an object of its own behind it."""
    registers: dict[Peer, Register] = {}

    def services_for(peer: Peer) -> ServiceMap | None:
        if len(registers) == 2:
            return None  # this one is served nothing
        registers[peer] = Register()
        services = Services(kinds)
        services.handler(registers[peer].take)
        return services

    async with serve(url, services_for, wireformat="json") as server:
        async with (
            connect(server.url, wireformat="json") as one,
            connect(server.url, wireformat="json") as other,
            connect(server.url, wireformat="json") as third,
        ):
            await until(lambda: len(tuple(server.peers)) == 3)
            counts = [await peer.remote(kinds).call(Number(value=1)) for peer in (one, one, other)]
            assert counts == [1, 2, 1]
            with pytest.raises(RemoteError, match="UnknownService"):
                await third.remote(kinds).call(Number(value=1))
        assert [len(each.numbers) for each in registers.values()] == [2, 1]


async def test_services_come_and_go(url: str) -> None:
    """A handler can be added to and removed from a live peer: calls fail, then succeed, then fail again."""
    services = Services(kinds)
    async with connected(url, services) as (client, _):
        remote = client.remote(kinds)
        with pytest.raises(RemoteError, match="InternalServerError"):
            await remote.call(Where())
        services.handler(in_task)
        assert await remote.call(Where()) == here()
        services.remove(Where)
        with pytest.raises(RemoteError, match="InternalServerError"):
            await remote.call(Where())


# -- handlers that call back -----------------------------------------------------------------------------


async def test_waiting_for_something_else(url: str) -> None:
    """`ctx.waiting()` lends the permit while the handler waits for something that needs the remote."""
    services = Services(tools)
    said = anyio.Event()

    @services.handler
    async def hold(msg: Hold, ctx: Context) -> str:
        async with ctx.waiting(), ctx.waiting():  # they may be nested
            await said.wait()
        return "said"

    @services.handler
    async def add(msg: Add) -> int:
        said.set()
        return 0

    async with connected(url, services, limits=Limits(calls=1)) as (client, server):
        async with anyio.create_task_group() as group:
            group.start_soon(client.remote(tools).call, Hold())
            await until(lambda: State(server).lent == 1)
            assert State(server).permits == 0
            await client.remote(tools).call(Add(a=0, b=0))
        await until(lambda: State(server).is_idle)


async def test_a_thread_that_calls_back(url: str) -> None:
    """A handler in a thread calls its caller through the loop: it lends its permit like any other (F1)."""
    here = Tools()
    services = Services(tools)

    @services.handler
    def add(msg: Add, ctx: Context) -> int:
        return msg.a + anyio.from_thread.run(ctx.peer.remote(tools).call, Add(a=msg.b, b=0))

    async with connected(url, services, here.services, limits=Limits(calls=1)) as (client, server):
        seen: list[int] = []

        async def look(msg: Add) -> int:
            seen.append(State(server).lent)
            return msg.a

        here.services.remove(Add)
        here.services.handler(Add, look)
        assert await client.remote(tools).call(Add(a=1, b=2)) == 3
        assert seen == [1]
        await until(lambda: State(server).is_idle)


async def test_a_task_that_outlives_its_handler(url: str) -> None:
    """A task that a handler has started and left behind calls like anyone else: it has no permit to lend any more."""
    there, here = Tools(), Tools()
    limits = Limits(owed=1, call_timeout=5)
    async with (
        anyio.create_task_group() as group,
        connected(url, there.services, here.services, limits=limits, client_limits=Limits()) as (
            client,
            server,
        ),
    ):
        may_call, results = anyio.Event(), list[str]()

        async def later(peer: Peer, name: str) -> None:
            await may_call.wait()
            results.append(await peer.remote(tools).call(Hold(name=name)))

        async def say(msg: Say, ctx: Context) -> None:
            for number in range(5):
                group.start_soon(later, ctx.peer, str(number))

        there.services.remove(Say)
        there.services.handler(Say, say)
        await client.remote(tools).call(Say(text=""))
        may_call.set()
        # Over the limit they wait; calls made in handlers would have been refused as going round in circles.
        await until(lambda: State(server).waiting == 4)
        here.release.set()
        await until(lambda: len(results) == 5)


# -- handlers share tasks, and must not notice -----------------------------------------------------------------

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


async def test_a_handler_leaves_nothing_in_the_context(url: str) -> None:
    """What a handler sets in its context is gone for the next one, also where they share a task."""
    services = Services(kinds)
    seen: list[str] = []

    @services.handler
    async def number(msg: Number) -> int:
        seen.append(variable.get())
        variable.set(f"set by {msg.value}")
        if msg.value % 3 == 0:
            await turn()
        assert variable.get() == f"set by {msg.value}"
        return 0

    async with connected(url, services) as (client, _):
        async with anyio.create_task_group() as group:
            for value in range(60):
                group.start_soon(client.remote(kinds).call, Number(value=value))
        assert seen == ["unset"] * 60


@pytest.mark.parametrize("inline", [False, True])
async def test_a_handler_does_not_hand_its_context_on(url: str, inline: bool) -> None:
    """A handler whose wait lets a parked call start does not start it in its own context, nor do handlers in place share one."""
    services = Services(tools)
    seen: list[str] = []

    @services.handler
    async def hold(msg: Hold, ctx: Context) -> str:
        variable.set("set by hold")
        async with ctx.waiting():
            await until(lambda: len(seen) == 2)
        return ""

    def look() -> None:
        seen.append(variable.get())
        variable.set("set by add")

    if inline:

        def add(msg: Add) -> int:
            look()
            return 0

        services.handler(Add, add, inline=True)
    else:

        async def add_later(msg: Add) -> int:
            look()
            return 0

        services.handler(Add, add_later)

    async with connected(url, services, limits=Limits(calls=1)) as (client, server):
        async with anyio.create_task_group() as group:
            group.start_soon(client.remote(tools).call, Hold())
            for _ in range(2):
                group.start_soon(client.remote(tools).call, Add(a=0, b=0))
        await until(lambda: State(server).is_idle)
    assert seen == ["unset", "unset"]


async def test_scopes_of_a_handler_end_with_it(url: str) -> None:
    """Cancel scopes and timeouts that a handler uses up don't reach the handlers that come after it."""
    services = Services(kinds)

    @services.handler
    async def number(msg: Number) -> int:
        with anyio.CancelScope() as scope:
            scope.cancel()
            if msg.value % 2:
                await anyio.sleep_forever()
        with anyio.move_on_after(0):
            await anyio.sleep_forever()
        await turn()
        return msg.value

    async with connected(url, services) as (client, server):
        answers: list[int] = []
        async with anyio.create_task_group() as group:

            async def call(value: int) -> None:
                answers.append(await client.remote(kinds).call(Number(value=value)))

            for value in range(40):
                group.start_soon(call, value)
        assert sorted(answers) == list(range(40))
        await until(lambda: State(server).is_idle)


@pytest.mark.fault(60)
async def test_nobody_else_holds_a_handlers_task(url: str) -> None:
    """Collecting garbage while handlers wait takes none of them away: their tasks are held until they end."""
    services = Services(tools)
    running, ended = set[str](), list[str]()

    @services.handler
    async def hold(msg: Hold) -> str:
        running.add(msg.name)
        try:
            # What it waits for is nobody's but its own, so only who holds the task keeps it alive.
            await (asyncio.Future() if sniffio.current_async_library() == "asyncio" else anyio.Event().wait())
        finally:
            ended.append(msg.name)
        return ""

    async with connected(url, services) as (client, _):
        async with anyio.create_task_group() as group:
            for number in range(50):
                group.start_soon(client.remote(tools).call, Hold(name=str(number)))
            await until(lambda: len(running) == 50)
            for _ in range(3):
                collect()
                await turn(3)
            assert ended == []
            group.cancel_scope.cancel()
    assert len(ended) == 50
    assert gc.garbage == []


@pytest.mark.fault(44)
async def test_a_thread_that_does_not_return(url: str) -> None:
    """A thread can't be cancelled: its caller gets `CallTimeout`, it keeps its permit, and gives it back when it ends."""
    go_on, ended = threading.Event(), threading.Event()
    services = Services(tools)

    @services.handler
    def hold(msg: Hold) -> str:
        go_on.wait(30)
        ended.set()
        return ""

    @services.handler
    async def echo(msg: Echo) -> bytes:
        return msg.data

    async with connected(url, services, limits=Limits(calls=1)) as (client, server):
        try:
            with pytest.raises(CallTimeout):
                await client.remote(tools).call(Hold(), timeout=0.05)
            with pytest.raises(CallTimeout):
                await client.remote(tools).call(Echo(data=b""), timeout=0.05)
            assert State(server).permits == 1
        finally:
            go_on.set()
        assert await client.remote(tools).call(Echo(data=b"free")) == b"free"
        assert ended.is_set()
        await until(lambda: State(server).is_idle)
