"""No handler, callback or caller can do anything to another: what came out when somebody tried."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import logging
import threading
from typing import Any

import anyio
import anyio.from_thread
import anyio.to_thread
import pytest
from tests.adapters.common import (
    Add,
    Fail,
    Say,
    State,
    Tools,
    Unusual,
    connected,
    next_event,
    tools,
    turn,
    until,
)

from duologue import (
    ConnectFailed,
    Context,
    ErrorKind,
    Limits,
    Message,
    Namespace,
    Peer,
    PeerClosed,
    RegistrationError,
    RemoteError,
    RequestFailed,
    Services,
    connect,
    serve,
)
from duologue_adapters.observers import _drop_tracebacks

variable: contextvars.ContextVar[Any] = contextvars.ContextVar("variable of the server")


class Unequal:
    """Equal to everything, or not to be compared at all."""

    def __init__(self, *, fails: bool) -> None:
        self._fails = fails

    def __eq__(self, other: object) -> bool:
        if self._fails:
            raise ValueError("the truth of an array")
        return True

    __hash__ = None  # type: ignore[assignment]


@pytest.mark.parametrize(
    "make",
    [list, functools.partial(Unequal, fails=False), functools.partial(Unequal, fails=True)],
    ids=["a list", "equal to all", "not to be compared"],
)
async def test_what_is_equal_is_not_the_same(url: str, make: Any) -> None:
    """A handler that puts an equal object in place of a variable's has changed its context all the same."""
    services = Services(tools)
    outside, seen = make(), list[bool]()

    @services.handler
    async def add(msg: Add) -> int:
        seen.append(variable.get() is outside)
        variable.set(make())
        return msg.a

    token = variable.set(outside)
    try:
        async with connected(url, services) as (client, _):
            async with anyio.create_task_group() as group:
                for number in range(20):
                    group.start_soon(client.remote(tools).call, Add(a=number, b=0))
            assert await client.remote(tools).call(Add(a=7, b=0)) == 7
    finally:
        variable.reset(token)
    assert seen == [True] * 21


@pytest.mark.fault(59)
async def test_a_cancellation_out_of_a_function(url: str, caplog: pytest.LogCaptureFixture) -> None:
    """A function in place that raises its loop's cancellation fails its own request, and no other: there is no task to end."""
    caplog.set_level(logging.CRITICAL, "duologue")
    services = Services(tools)
    cancelled = anyio.get_cancelled_exc_class()

    def add(msg: Add) -> int:
        if msg.a == 0:
            raise (
                cancelled._create() if hasattr(cancelled, "_create") else cancelled()
            )  # trio makes them itself
        return msg.a

    services.handler(Add, add, inline=True)
    async with connected(url, services) as (client, server):
        outcomes: list[int] = []

        async def call(number: int) -> None:
            try:
                outcomes.append(await client.remote(tools).call(Add(a=number, b=0)))
            except RemoteError as exc:
                assert exc.kind is ErrorKind.INTERNAL_SERVER_ERROR
                outcomes.append(-1)

        async with anyio.create_task_group() as group:
            for number in range(5):
                group.start_soon(call, number)
        assert sorted(outcomes) == [-1, 1, 2, 3, 4]
        assert client.is_open
        assert server.is_open


@pytest.mark.fault(59)
async def test_a_group_of_groups_of_groups(url: str, caplog: pytest.LogCaptureFixture) -> None:
    """An exception group that is nested deeper than Python can recurse is a failure like any other."""
    caplog.set_level(logging.CRITICAL + 1, "duologue")
    services = Services(tools)

    @services.handler
    async def fail(msg: Fail) -> int:
        error: Exception = ValueError()
        for _ in range(3000):
            error = ExceptionGroup("", [error])
        raise error

    async with connected(url, services) as (client, _):
        with pytest.raises(RemoteError):
            await client.remote(tools).call(Fail())
        with pytest.raises(RemoteError):
            await client.remote(tools).call(Fail())


async def test_nothing_starts_after_the_end(url: str) -> None:
    """A handler that closes its peer is the last: those that were to come after it never begin."""
    services = Services(tools)
    began: list[bool] = []

    @services.handler
    async def say(msg: Say, ctx: Context) -> None:
        began.append(ctx.peer.is_open)
        await ctx.peer.close()

    async with connected(url, services) as (client, server):
        for _ in range(50):
            await client.remote(tools).send(Say(text=""))
        await server.wait_closed()
        await until(lambda: State(server).is_idle)
    assert began == [True]


class Rising(Message[int]):
    depth: int


rising = Namespace("rising", [Rising])


@pytest.mark.fault(39)
async def test_threads_that_wait_for_threads_of_other_connections(url: str) -> None:
    """Handlers in threads call back, over many connections at a limit of one: there are threads for all of them."""
    there, here = Services(rising), Services(rising)

    def rise(msg: Rising, ctx: Context) -> int:
        if msg.depth == 0:
            return 0
        return 1 + anyio.from_thread.run(ctx.peer.remote(rising).call, Rising(depth=msg.depth - 1))

    there.handler(Rising, rise)
    here.handler(Rising, rise)
    limits = Limits(calls=1, lent=8, sends=1)
    depths: list[int] = []

    async def one(url: str) -> None:
        async with connect(url, here, wireformat="json", limits=limits) as peer:
            depths.append(await peer.remote(rising).call(Rising(depth=8)))

    async with serve(url, there, wireformat="json", limits=limits) as server:
        async with anyio.create_task_group() as group:
            for _ in range(4):
                group.start_soon(one, server.url)
    assert depths == [8] * 4


@pytest.mark.fault(38)
@pytest.mark.parametrize("count", [1, 4, 100])
async def test_messages_that_fill_the_slots_and_wait_for_each_other(url: str, count: int) -> None:
    """As many as there are slots, of which one waits for an answer and holds a lock that the others wait for."""
    here, services, lock = Tools(), Services(tools), anyio.Lock()
    answers: list[int] = []

    @services.handler
    async def say(msg: Say, ctx: Context) -> None:
        async with lock:
            answers.append(await ctx.peer.remote(tools).call(Add(a=1, b=1)))

    async with connected(url, services, here.services, limits=Limits(sends=count)) as (client, server):
        for _ in range(count):
            await client.remote(tools).send(Say(text=""))
        await until(lambda: len(answers) == count)
        await until(lambda: State(server).is_idle)


@pytest.mark.parametrize("what", ["on_peer", "services"])
async def test_a_callback_that_raises_anything(url: str, what: str, caplog: pytest.LogCaptureFixture) -> None:
    """What `on_peer` raises, or the function that makes services, ends that connection, and the server goes on."""
    caplog.set_level(logging.CRITICAL, "duologue")
    there, peers = Tools(), list[Peer]()

    def fail_first(peer: Peer) -> Any:
        peers.append(peer)
        if len(peers) == 1:
            raise Unusual
        if len(peers) == 2:
            raise asyncio.CancelledError  # as of a future that was cancelled
        return there.services if what == "services" else None

    arguments: dict[str, Any] = {"on_peer": fail_first} if what == "on_peer" else {}
    services = fail_first if what == "services" else there.services
    async with serve(url, services, wireformat="json", **arguments) as server:
        for _ in range(2):
            async with connect(server.url, wireformat="json") as peer:
                await peer.wait_closed()
        async with connect(server.url, wireformat="json") as peer:
            assert await peer.remote(tools).call(Add(a=1, b=1)) == 2


async def test_services_that_are_none(url: str, caplog: pytest.LogCaptureFixture) -> None:
    """A function for `services=` that is an `async def`: the log says so, and no coroutine is left behind."""

    async def made(peer: Peer) -> Services:
        raise AssertionError

    async with serve(url, made, wireformat="json") as server:  # type: ignore[arg-type]
        async with connect(server.url, wireformat="json") as peer:
            await peer.wait_closed()
    assert "it must be a `def` that returns Services or None" in caplog.text
    caplog.clear()


async def test_services_that_the_wire_format_can_not_carry(url: str) -> None:
    """The server says so as it begins, and not to each of its peers."""

    class Mixed(Message[None]):
        counts: dict[int | str, int]

    services = Services(Namespace("mixed", [Mixed]))

    @services.handler
    async def mixed(msg: Mixed) -> None:
        raise AssertionError

    with pytest.raises(RegistrationError, match="another wire format"):
        async with serve(url, services, wireformat="json"):
            raise AssertionError


async def test_two_who_read_one_observer(url: str) -> None:
    """Each event goes to one of the two, and the end to both."""
    seen: list[str] = []
    async with connected(url) as (client, server):
        events = server.events()

        async def read() -> None:
            async for event in events:
                seen.append(type(event).__name__)

        async with anyio.create_task_group() as group:
            group.start_soon(read)
            group.start_soon(read)
            await turn(3)
            with pytest.raises(RemoteError):
                await client.call_raw(4711, b"")
            await until(lambda: seen == ["RequestFailed"])
            await client.close()
    assert seen == ["RequestFailed", "PeerClosed"]


@pytest.mark.fault(64)
async def test_an_observer_keeps_no_traceback(url: str, caplog: pytest.LogCaptureFixture) -> None:
    """The log has it. In a queue that nobody reads it would keep the message, which may be large."""
    there = Tools()
    async with connected(url, there.services) as (client, server):
        events = server.events()
        with pytest.raises(RemoteError):
            await client.remote(tools).call(Fail())
        event = await next_event(events)
        assert isinstance(event, RequestFailed)
        assert isinstance(event.error, ValueError)
        assert event.error.__traceback__ is None
        assert "Traceback" in caplog.text
        with pytest.raises(RemoteError):
            await client.call_raw(tools.sid(Add), b"\xc1")
        event = await next_event(events)
        assert isinstance(event, RequestFailed)
        assert event.error is not None
        assert event.error.__traceback__ is None
        await client.close()
        assert isinstance(await next_event(events), PeerClosed)
    caplog.clear()


async def test_a_handler_that_is_missing_is_logged(url: str, caplog: pytest.LogCaptureFixture) -> None:
    """The caller learns no more than that something is wrong here, so here one must be able to find it."""
    async with connected(url, Services(tools)) as (client, _):
        with pytest.raises(RemoteError):
            await client.remote(tools).call(Add(a=1, b=1))
    assert "tools::Add" in caplog.text
    assert "NoHandler" in caplog.text
    caplog.clear()


async def test_a_name_that_is_served_in_another_loop(anyio_backend: tuple[str, Any]) -> None:
    """A pipe in memory can't leave its event loop: who tries it from another is told so, and does not wait for ever."""
    told: list[ConnectFailed] = []

    async def visit() -> None:
        with pytest.raises(ConnectFailed, match="another event loop") as caught:
            async with connect("mem://here-only", wireformat="json"):
                raise AssertionError
        told.append(caught.value)

    async with serve("mem://here-only", wireformat="json"):
        visitor = threading.Thread(
            target=lambda: anyio.run(visit, backend=anyio_backend[0]), name="worker of a test"
        )
        visitor.start()
        await anyio.to_thread.run_sync(visitor.join)
    assert len(told) == 1


async def test_a_thread_that_can_not_be_started(
    url: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The call fails at once, its permit comes back, and later ones, when there are threads again, are handled."""
    services = Services(tools)

    def add(msg: Add) -> int:
        return msg.a + msg.b

    services.handler(Add, add)

    async def none_left(*_: Any, **__: Any) -> None:
        raise RuntimeError("can't start new thread")

    async with connected(url, services, limits=Limits(calls=1)) as (client, server):
        with monkeypatch.context() as patched:
            patched.setattr(anyio.to_thread, "run_sync", none_left)
            for _ in range(3):
                with pytest.raises(RemoteError):
                    await client.remote(tools).call(Add(a=1, b=1), timeout=5)
        assert await client.remote(tools).call(Add(a=1, b=1), timeout=5) == 2
        await until(lambda: State(server).is_idle)
    assert "can't start new thread" in caplog.text
    caplog.clear()


def test_tracebacks_are_dropped_wherever_they_hang() -> None:
    """Of a group's parts, of causes and of contexts."""

    def raised(error: Exception) -> Exception:
        try:
            raise error
        except Exception as exc:
            return exc

    inner, cause, context = raised(ValueError()), raised(KeyError()), raised(TypeError())
    group = raised(ExceptionGroup("", [inner]))
    group.__cause__, group.__context__ = cause, context
    context.__context__ = group  # a circle
    _drop_tracebacks(group)
    assert [each.__traceback__ for each in (group, inner, cause, context)] == [None] * 4
