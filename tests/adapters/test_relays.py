"""Relays over real sockets: what passes, over which transports, and what each failure is to the one who asked."""

from __future__ import annotations

import gc
import itertools
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from time import perf_counter
from typing import Any

import anyio
import pytest
from tests.adapters.common import (
    QUICK,
    Add,
    Echo,
    Fail,
    Hold,
    Say,
    State,
    Tools,
    collect,
    first_peer,
    frame,
    raw_client,
    tools,
    until,
)
from tests.adapters.relays import TCP, Told, core_of, relaying
from tests.adapters.test_processes import running

from duologue import (
    CallTimeout,
    ErrorKind,
    FailureKind,
    FrameTooLarge,
    Limits,
    Message,
    Namespace,
    Peer,
    RelayMap,
    RemoteError,
    RequestFailed,
    Services,
    connect,
    serve,
)

CALLS = int(os.environ.get("DUOLOGUE_RELAYED_CALLS", "100000"))
"""How many calls go through one relay. On trio a fifth of them."""

_names = itertools.count(1)


def address(scheme: str, folder: Path) -> str:
    """Where to serve, by scheme."""
    match scheme:
        case "unix" | "zmq+ipc":
            return f"{scheme}://{folder}/{scheme[:3]}{next(_names)}"
        case "mem":
            return f"mem://relays-{next(_names)}"
        case _:
            return f"{scheme}://127.0.0.1:0"


# -- what passes ------------------------------------------------------------------------------------------


async def test_calls_sends_and_errors_pass(url: str, wireformat: str) -> None:
    """Whoever asks a relay can't tell it from the one who answers: answers, one-way messages, and kinds of errors."""
    async with relaying(
        urls=(url, url + "-relay" if url.startswith(("mem", "unix")) else url), wireformat=wireformat
    ) as stage:
        remote = stage.client.remote(tools)
        assert await remote.call(Add(a=1, b=2)) == 3
        assert await remote.call(Echo(data=b"x" * 100_000)) == b"x" * 100_000
        await remote.send(Say(text="hello"))
        await stage.there.until(lambda: stage.there.said == ["hello"])
        for message, kind in (
            (Fail(), ErrorKind.INTERNAL_SERVER_ERROR),
            (Unknown(), ErrorKind.UNKNOWN_SERVICE),
        ):
            with pytest.raises(RemoteError) as caught:
                await stage.client.remote(other_tools if isinstance(message, Unknown) else tools).call(
                    message
                )
            assert caught.value.kind is kind
            assert "secret" not in str(caught.value)
        with pytest.raises(RemoteError) as caught:
            await stage.client.call_raw(tools.sid(Add), b"\xc1")
        assert caught.value.kind is ErrorKind.DESERIALIZE
        await stage.until_idle()


class Unknown(Message[None]):
    """Nobody serves this."""


other_tools = Namespace("other tools", [Unknown])


PAIRS = [
    ("ws", "zmq+tcp"),
    ("tcp", "unix"),
    ("unix", "mem"),
    ("zmq+ipc", "tcp"),
    ("mem", "ws"),
    ("zmq+tcp", "zmq+ipc"),
]


@pytest.mark.parametrize(("into", "out"), PAIRS, ids=[" to ".join(pair) for pair in PAIRS])
async def test_a_relay_joins_transports(into: str, out: str, tmp_path: Path) -> None:
    """In by one transport and out by another: calls, one-way messages, large ones, errors, and an answer to a call back."""
    urls = address(out, tmp_path), address(into, tmp_path)
    async with relaying(urls=urls) as stage:
        remote = stage.client.remote(tools)
        async with anyio.create_task_group() as group:

            async def call(number: int) -> None:
                assert await remote.call(Add(a=number, b=1)) == number + 1

            for number in range(200):
                group.start_soon(call, number)
        assert await remote.call(Echo(data=bytes(500_000))) == bytes(500_000)
        for number in range(20):
            await remote.send(Say(text=str(number)))
        await stage.there.until(lambda: len(stage.there.said) == 20)
        with pytest.raises(RemoteError):
            await remote.call(Fail())
        await stage.until_idle()


@asynccontextmanager
async def deep(depth: int, there: Tools, **options: Any) -> AsyncIterator[tuple[Peer, list[Peer]]]:
    """A client of a relay of a relay ...: and each relay's connection to the next, the provider's first."""
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(serve(TCP, there.services, wireformat="cbor"))
        hops: list[Peer] = []
        for level in range(depth):
            hop = await stack.enter_async_context(
                connect(server.url, wireformat="cbor", name=f"level {level}")
            )
            hops.append(hop)
            server = await stack.enter_async_context(
                serve(TCP, RelayMap(hop, tools, other_tools, **options), wireformat="cbor")
            )
        yield await stack.enter_async_context(connect(server.url, wireformat="cbor")), hops


async def test_five_deep() -> None:
    """Through five relays: answers, one-way messages, and errors of the last arrive as through none."""
    there = Tools()
    async with deep(5, there) as (client, hops):
        remote = client.remote(tools)
        assert [await remote.call(Add(a=n, b=1)) for n in range(20)] == list(range(1, 21))
        await remote.send(Say(text="deep"))
        await there.until(lambda: there.said == ["deep"])
        for namespace, message, kind in (
            (tools, Fail(), ErrorKind.INTERNAL_SERVER_ERROR),
            (other_tools, Unknown(), ErrorKind.UNKNOWN_SERVICE),
        ):
            with pytest.raises(RemoteError) as caught:
                await client.remote(namespace).call(message)  # type: ignore[arg-type]
            assert caught.value.kind is kind
        await until(lambda: all(State(hop).is_idle for hop in (client, *hops)))


async def test_a_relay_in_the_middle_of_five_disappears() -> None:
    """Calls under way fail at once, whatever is between; so do later ones, and the connections of the others stay."""
    there = Tools()
    async with deep(5, there) as (client, hops), anyio.create_task_group() as group:

        async def call() -> None:
            with pytest.raises(RemoteError) as caught:
                await client.remote(tools).call(Hold(), timeout=None)
            assert caught.value.kind is ErrorKind.INTERNAL_SERVER_ERROR

        for _ in range(10):
            group.start_soon(call)
        await there.until(lambda: there.running == 10)
        await hops[2].close()
        await call()
        assert client.is_open
        assert all(hop.is_open for hop in hops if hop is not hops[2])
        there.release.set()


# -- what breaks ------------------------------------------------------------------------------------------


@pytest.mark.fault(76)
async def test_a_provider_is_killed_during_calls(anyio_backend: tuple[str, object]) -> None:
    """The target is killed with SIGKILL: its calls fail at once, those to another go on, and the relay is told which was lost."""
    here = Tools()
    picked: list[Peer] = []
    with running("tests.adapters.hanging_server", anyio_backend[0]) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        async with (
            connect(url, wireformat="msgpack", name="the victim") as victim,
            relaying(lambda target: RelayMap(lambda _: picked[0], tools), there=here) as stage,
            anyio.create_task_group() as group,
        ):
            told = Told(stage.asking)
            failed: list[RemoteError] = []

            async def call() -> None:
                with pytest.raises(RemoteError) as caught:
                    await stage.client.remote(tools).call(Hold(), timeout=None)
                failed.append(caught.value)

            picked[:] = [victim]
            for _ in range(100):
                group.start_soon(call)
            await until(lambda: State(victim).pending == 100 and not State(victim).queued)
            picked[:] = [stage.target]
            group.start_soon(stage.client.remote(tools).call, Hold(name="elsewhere"))
            await here.until(lambda: here.running == 1)
            start = perf_counter()
            process.send_signal(signal.SIGKILL)
            await until(lambda: len(failed) == 100)
            assert perf_counter() - start < 5, "at once on a machine that has nothing else to do"
            assert {each.kind for each in failed} == {ErrorKind.INTERNAL_SERVER_ERROR}
            assert (await told.lost()).target == "the victim"
            kinds = {each.kind for each in told.all if isinstance(each, RequestFailed)}
            assert kinds == {FailureKind.RELAY_GONE}
            assert stage.client.is_open
            assert here.running == 1
            here.release.set()


@pytest.mark.fault(79)
@pytest.mark.parametrize("how", ["closes", "vanishes"])
async def test_the_caller_goes_away(how: str) -> None:
    """The caller goes away: its calls are forgotten on both of the relay's connections; what the provider answers later is dropped, and harms none."""
    async with relaying(limits=QUICK) as stage:
        remote = stage.client.remote(tools)
        async with raw_client(stage.relay.url) as raw:
            await until(lambda: len(tuple(stage.relay.peers)) == 2)
            [gone] = [peer for peer in stage.relay.peers if peer is not stage.asking]
            payload = stage.client.wireformat.codec(Hold).encode(Hold(name="x"))
            await raw.send(b"".join(frame(tools.sid(Hold), number, payload) for number in range(1, 21)))
            await stage.there.until(lambda: stage.there.running == 20)
            assert State(stage.target).pending == 20
            if how == "vanishes":
                raw.reset()
        await gone.wait_closed()
        assert State(gone).is_idle
        assert State(stage.target).pending == 0
        assert await remote.call(Add(a=1, b=1)) == 2
        stage.there.release.set()
        await stage.there.until(lambda: len(stage.there.ended) == 20)
        assert await remote.call(Add(a=1, b=1)) == 2
        await until(lambda: core_of(stage.target).late == 20)
        await stage.until_idle()


@pytest.mark.parametrize("how", ["cancelled", "timed out"])
async def test_the_caller_gives_up(how: str) -> None:
    """Base mode has no word for it, so the relay waits on. The late answer is dropped at the client, and nothing is left."""
    async with relaying() as stage:
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as group:

                async def call() -> None:
                    if how == "cancelled":
                        await stage.client.remote(tools).call(Hold())
                    with pytest.raises(CallTimeout):
                        await stage.client.remote(tools).call(Hold(), timeout=0.5)

                group.start_soon(call)
                await stage.there.until(lambda: stage.there.running == 1)
                if how == "cancelled":
                    scope.cancel()
        assert State(stage.asking).handlers == 1
        stage.there.release.set()
        await stage.until_idle()
        await until(lambda: core_of(stage.client).late == 1)  # the relay is idle before it has arrived


@pytest.mark.parametrize("is_last", [True, False])
async def test_time_outs(is_last: bool) -> None:
    """Each relay waits as long as it was told. Whoever asked gets `CallTimeout`, also through further relays, and not its own."""
    there = Tools()
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(serve(TCP, there.services, wireformat="json"))
        hops: list[Peer] = []
        for timeout in (0.5, 60.0) if is_last else (60.0, 0.5):
            hops.append(await stack.enter_async_context(connect(server.url, wireformat="json")))
            services = RelayMap(hops[-1], tools, timeout=timeout)
            server = await stack.enter_async_context(serve(TCP, services, wireformat="json"))
        client = await stack.enter_async_context(connect(server.url, wireformat="json"))
        told = Told(await first_peer(server))
        with pytest.raises(CallTimeout):
            await client.remote(tools).call(Hold(), timeout=None)
        [failure] = await told.failures(1)
        assert failure.kind is FailureKind.TIMEOUT
        there.release.set()
        assert await client.remote(tools).call(Add(a=1, b=2)) == 3
        await until(lambda: all(State(peer).is_idle for peer in (client, *hops)))


@pytest.mark.parametrize("timeout", [None, float("inf"), 0])
async def test_time_outs_at_the_ends_of_the_scale(timeout: float | None) -> None:
    """For ever is for ever, also for what has to wait for room; and 0 is at once, as with any call."""
    limits = Limits(owed=1)
    async with relaying(lambda target: RelayMap(target, tools, timeout=timeout), limits=limits) as stage:
        remote = stage.client.remote(tools)
        if timeout == 0:
            with pytest.raises(CallTimeout):
                await remote.call(Hold(), timeout=None)
        else:
            async with anyio.create_task_group() as group:
                for _ in range(3):
                    group.start_soon(remote.call, Hold())
                await stage.there.until(lambda: stage.there.running == 1)
                await until(lambda: State(stage.target).waiting == 2)
                stage.there.release.set()
        await until(lambda: State(stage.asking).is_idle)


# -- sizes and amounts ------------------------------------------------------------------------------------


class Grow(Message[bytes]):
    """Asks for so many bytes."""

    size: int


growing = Namespace("growing", [Grow])


def growers() -> Services:
    services = Services(growing)

    @services.handler
    async def grow(msg: Grow) -> bytes:
        return bytes(msg.size)

    return services


@pytest.mark.fault(3, 78)
async def test_the_largest_frame() -> None:
    """A request, and an answer, of exactly the limit pass through the relay; what is larger by one byte does not."""
    there = Tools()
    there.services.remove(Say)
    largest = 2**20 - 24
    async with relaying(there=there) as stage:
        payload = stage.client.wireformat.codec(Echo).encode(Echo(data=bytes(largest - 11)))
        assert len(payload) == largest
        assert len(await stage.client.call_raw(tools.sid(Echo), payload)) == largest - 6
        with pytest.raises(FrameTooLarge):
            await stage.client.call_raw(tools.sid(Echo), payload + b"x")
        async with AsyncExitStack() as stack:
            provider = await stack.enter_async_context(serve(TCP, growers(), wireformat="msgpack"))
            target = await stack.enter_async_context(connect(provider.url, wireformat="msgpack"))
            relay = await stack.enter_async_context(
                serve(TCP, RelayMap(target, growing), wireformat="msgpack")
            )
            client = await stack.enter_async_context(connect(relay.url, wireformat="msgpack"))
            assert len(await client.remote(growing).call(Grow(size=largest - 5))) == largest - 5
            with pytest.raises(RemoteError):
                await client.remote(growing).call(Grow(size=largest - 4))
            assert client.is_open


@pytest.mark.fault(78)
async def test_what_is_too_large_for_the_next_connection() -> None:
    """A request that is over the limit there, and an answer over the limit back: each fails alone, all connections stay."""
    small = Limits(max_frame=10_000)
    there = Tools()
    async with AsyncExitStack() as stack:
        provider = await stack.enter_async_context(
            serve(TCP, [there.services, growers()], wireformat="msgpack")
        )
        narrow = await stack.enter_async_context(connect(provider.url, wireformat="msgpack", limits=small))
        wide = await stack.enter_async_context(connect(provider.url, wireformat="msgpack"))
        for target, limits in ((narrow, Limits()), (wide, small)):
            services = RelayMap(target, tools, growing)
            relay = await stack.enter_async_context(serve(TCP, services, wireformat="msgpack", limits=limits))
            client = await stack.enter_async_context(connect(relay.url, wireformat="msgpack"))
            told = Told(await first_peer(relay))
            if target is narrow:
                with pytest.raises(RemoteError):
                    await client.remote(tools).call(Echo(data=bytes(20_000)))
                await client.remote(tools).send(Say(text="x" * 20_000))
            else:
                for _ in range(2):
                    with pytest.raises(RemoteError):
                        await client.remote(growing).call(Grow(size=20_000))
            assert [each.kind for each in await told.failures(2)] == [FailureKind.FRAME_TOO_LARGE] * 2
            assert await client.remote(tools).call(Add(a=1, b=1)) == 2
            await until(lambda target=target, client=client: State(target).is_idle and State(client).is_idle)  # type: ignore[misc]
        assert there.said == []


async def test_nothing_is_left_of_a_hundred_thousand_calls(anyio_backend: tuple[str, object]) -> None:
    """64 at once, until there were 100,000: nothing is held, pending or queued then, and memory is what it was."""
    count = CALLS if anyio_backend[0] == "asyncio" else CALLS // 5
    async with relaying() as stage:
        remote = stage.client.remote(tools)

        async def some(calls: int) -> None:
            for number in range(calls):
                assert await remote.call(Add(a=number, b=1)) == number + 1

        async with anyio.create_task_group() as group:
            for _ in range(64):
                group.start_soon(some, 20)
        await stage.until_idle()
        collect()
        before = len(gc.get_objects())
        async with anyio.create_task_group() as group:
            for _ in range(64):
                group.start_soon(some, count // 64)
        await stage.until_idle()
        collect()
        assert len(gc.get_objects()) - before < 3000
        for peer in (stage.target, stage.asking, stage.client):
            assert len(core_of(peer).outgoing.deadlines) < 200
