"""What a user gets from the simulation: a world, its clock, its network, and what it says when something is wrong."""

from __future__ import annotations

import asyncio
import logging
import random
import re
import threading
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import anyio
import anyio.to_thread
import pytest

from duologue import (
    CallTimeout,
    ConnectFailed,
    ConnectionClosed,
    ConnectionLost,
    Context,
    Limits,
    Message,
    Namespace,
    Peer,
    RemoteError,
    Services,
    connect,
)
from duologue.plugins import adapter_registry
from duologue_contrib.reconnect import reconnecting
from duologue_contrib.testing.simulation import (
    Faults,
    Process,
    SimulationError,
    SimulationFailed,
    Standstill,
    Violation,
    World,
    simulate,
)


class Add(Message[int]):
    a: int
    b: int


calc = Namespace("calc", [Add])

Play = Callable[[World], Awaitable[object]]


def calculator(before: Callable[[], Awaitable[object]] | None = None) -> Services:
    services = Services(calc)

    @services.handler
    async def add(message: Add) -> int:
        if before is not None:
            await before()
        return message.a + message.b

    return services


def failing(play: Play, **options: Any) -> SimulationFailed:
    """What a scenario fails with."""
    with pytest.raises(SimulationFailed) as caught:
        simulate(play, 0, faults=options.pop("faults", Faults.NONE), **options)
    return caught.value


# -- time, chance and tasks ------------------------------------------------------------------------------


def test_time_takes_no_time() -> None:
    """An hour in a handler, whichever library counts it, is over at once, and is an hour in the world."""

    async def play(world: World) -> None:
        async def long() -> None:
            await anyio.sleep(1800)
            await asyncio.sleep(1800)

        await world.serve("calc", calculator(long))
        peer = await world.connect("client", "calc")
        before = world.now, anyio.current_time()
        assert await peer.remote(calc).call(Add(1, 2), timeout=None) == 3
        assert (world.now - before[0], anyio.current_time() - before[1]) == pytest.approx((3600.0, 3600.0))

    began = time.monotonic()
    assert 3600.0 <= simulate(play, 0, faults=Faults.NONE).seconds < 3601.0
    assert time.monotonic() - began < 60


def test_timeouts_are_those_of_the_world() -> None:
    """A call whose handler takes too long fails at its time-out, to the second."""

    async def play(world: World) -> None:
        await world.serve("calc", calculator(lambda: anyio.sleep(10)))
        peer = await world.connect("client", "calc")
        with pytest.raises(CallTimeout):
            await peer.remote(calc).call(Add(1, 2), timeout=2.5)
        assert world.now == 2.5
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.0):
                await peer.remote(calc).call(Add(1, 2))
        assert world.now == 3.5

    simulate(play, 0, faults=Faults.NONE)


def test_chance_is_of_the_seed() -> None:
    """`world.random` and the module `random` give the same in each run of a seed, and the module has its own state back after it."""
    drawn: list[tuple[float, float]] = []

    async def play(world: World) -> None:
        drawn.append((world.random.random(), random.random()))

    before = random.getstate()
    for seed in (1, 1, 2):
        simulate(play, seed)
    assert drawn[0] == drawn[1] != drawn[2]
    assert random.getstate() == before


@pytest.mark.parametrize("eager", [True, False])
def test_the_same_seed_gives_the_same_trace(eager: bool) -> None:
    """Also with groups of tasks that are cancelled all at once, and on an engine that starts tasks in either way."""

    async def play(world: World) -> None:
        await world.serve("calc", calculator(lambda: world.sleep(world.random.random())))
        peer = await world.connect("client", "calc")

        async def call(number: int) -> None:
            try:
                await peer.remote(calc).call(Add(number, 1))
            finally:
                world.note(f"call {number} is over")

        with anyio.move_on_after(0.5):
            async with anyio.create_task_group() as group:
                for number in range(20):
                    group.start_soon(call, number)

    digests = [simulate(play, seed, eager=eager).digest for seed in (5, 5, 6)]
    assert digests[0] == digests[1] != digests[2]


# -- what there is not --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "outside",
    [
        pytest.param(lambda: asyncio.open_connection("127.0.0.1", 1), id="a socket by name"),
        pytest.param(lambda: asyncio.open_unix_connection("/nowhere"), id="a socket in the file system"),
        pytest.param(lambda: anyio.to_thread.run_sync(lambda: None), id="a thread of anyio"),
        pytest.param(lambda: asyncio.create_subprocess_exec("true"), id="a process"),
    ],
)
def test_nothing_of_the_outside(outside: Callable[[], Awaitable[object]]) -> None:
    """Sockets, threads and processes are refused, or the same seed would not be the same twice."""

    async def play(world: World) -> None:
        with pytest.raises((SimulationError, FileNotFoundError)):
            await outside()

    simulate(play, 0)


def test_tcp_is_refused() -> None:
    """Who connects to a real address is told so."""

    async def play(world: World) -> None:
        async with connect("tcp://127.0.0.1:1", wireformat="json"):
            pass

    failed = failing(play)
    assert isinstance(failed.cause, SimulationError)
    assert "no sockets" in str(failed)


def test_threads_can_be_started_again_afterwards() -> None:
    """Only the simulation's own thread is kept from it, and only as long as it runs."""
    simulate(lambda world: world.sleep(1), 0)
    thread = threading.Thread(target=lambda: None)
    thread.start()
    thread.join()


async def test_not_within_another_loop() -> None:
    """It has an event loop of its own."""
    with pytest.raises(SimulationError, match="plain function"):
        simulate(lambda world: world.sleep(1), 0)


def test_handlers_that_are_functions() -> None:
    """Those that would run in a thread run in place, some time later; `asyncio.to_thread` too."""
    services = Services(calc)

    @services.handler
    def add(message: Add) -> int:
        return message.a + message.b

    async def play(world: World) -> None:
        await world.serve("calc", services)
        peer = await world.connect("client", "calc")
        assert await peer.remote(calc).call(Add(1, 2)) == 3
        assert await asyncio.to_thread(lambda: 4) == 4
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(lambda: 1 // 0)

    for seed in range(5):
        simulate(play, seed)


def test_the_scheme_is_gone_afterwards() -> None:
    """`sim://` is there only in a simulation, and leaves nothing in the registry."""
    simulate(lambda world: world.sleep(1), 0)
    assert "sim" not in adapter_registry().known()
    with pytest.raises(Exception, match="sim"):
        connect("sim://calc", wireformat="json")


# -- processes, and the network ---------------------------------------------------------------------------


async def listening(world: World, process: Process, seconds: float) -> None:
    """A process dies and comes back."""
    process.crash()
    await world.sleep(seconds)
    process.start()
    await world.sleep(0)


def test_a_process_dies_and_comes_back() -> None:
    """Its calls fail, its handlers are cancelled, its name is free; what comes back serves again, with what was kept."""
    cancelled: list[str] = []

    async def hold() -> None:
        try:
            await anyio.sleep(1)
        except BaseException:
            cancelled.append("cancelled")
            raise

    async def play(world: World) -> None:
        await world.serve("calc", calculator(hold))
        peer = await world.connect("client", "calc")
        async with reconnecting(world.url("calc"), wireformat="json") as client:
            async with anyio.create_task_group() as group:
                group.start_soon(expect_loss, peer)
                await world.sleep(0.5)
                await listening(world, world.process("calc"), 3.0)
            with pytest.raises(ConnectionClosed):
                await peer.remote(calc).call(Add(1, 2))
            assert await client.remote(calc).call(Add(1, 2)) == 3

    async def expect_loss(peer: Peer) -> None:
        with pytest.raises(ConnectionLost):
            await peer.remote(calc).call(Add(1, 2))

    outcome = simulate(play, 0, faults=Faults.NONE)
    assert cancelled == ["cancelled"]
    assert "calc dies" in outcome.trace
    assert "calc                   comes back" in outcome.trace


def test_the_same_seed_comes_back_at_the_same_moment() -> None:
    """How long a client waits that connects again is chance, too: it comes from the seed, unless the client is given its own."""

    async def play(world: World, **options: Any) -> None:
        await world.serve("calc", calculator())
        async with reconnecting(world.url("calc"), wireformat="json", **options) as client:
            world.cut("scenario", "calc")
            await world.sleep(1)
            assert await client.remote(calc).call(Add(1, 2)) == 3

    one, again, other = (simulate(play, seed, faults=Faults.NONE).trace for seed in (1, 1, 2))
    assert one == again
    assert moments(one) != moments(other)
    given = partial(play, random=lambda: 0.5)
    assert moments(simulate(given, 1, faults=Faults.NONE).trace) == ["0.000000", "0.100000"]


def moments(trace: str) -> list[str]:
    """When it connected."""
    return re.findall(r"([\d.]+)  scenario > calc +connects", trace)


def test_nobody_is_there() -> None:
    """A name that nobody serves refuses; a name is served once; a client that dies while it connects says so."""

    async def play(world: World) -> None:
        with pytest.raises(ConnectFailed, match="served are: none"):
            await world.connect("client", "calc")
        await world.serve("calc", calculator())
        with pytest.raises(ConnectFailed, match="choose another"):
            await world.serve("calc", calculator())
        world.faults = Faults(delay=1.0)
        world.loop.call_later(0.0, world.process("other").crash)
        with pytest.raises(ConnectFailed, match="died"):
            await world.connect("other", "calc")

    simulate(play, 0, faults=Faults.NONE)


def test_faults_by_the_scenario() -> None:
    """`stall` holds up what goes between two processes, `cut` breaks it, `freeze` keeps one from reading."""

    async def play(world: World) -> None:
        await world.serve("calc", calculator())
        peer = await world.connect("client", "calc")
        remote = peer.remote(calc)
        world.stall("client", "calc", 2.0)
        assert await remote.call(Add(1, 2)) == 3
        assert world.now == 2.0
        world.process("calc").freeze(3.0)
        assert await remote.call(Add(1, 2)) == 3
        assert world.now == 5.0
        world.cut("calc", "client")
        with pytest.raises(ConnectionLost):
            await remote.call(Add(1, 2))

    simulate(play, 0, faults=Faults.NONE)


def test_an_impatient_caller() -> None:
    """With the fault `cancel` some callers are cancelled, and their scope tells."""
    seen: set[bool] = set()

    async def play(world: World) -> None:
        world.faults = Faults(cancel=0.5, longest=1.0)
        await world.serve("calc", calculator(lambda: anyio.sleep(0.5)))
        peer = await world.connect("client", "calc")
        for _ in range(20):
            with world.impatient() as scope:
                await peer.remote(calc).call(Add(1, 2))
            seen.add(scope.cancelled_caught)

    simulate(play, 0, faults=Faults.NONE)
    assert seen == {True, False}


def test_handlers_that_fail_by_fault() -> None:
    """With `fail` a handler raises before it begins, with `hang` it waits until the faults stop; callers call back as ever."""
    counts = {"answered": 0, "failed": 0, "late": 0}

    async def play(world: World) -> None:
        world.faults = Faults(fail=0.4, hang=0.3, slow=0.5, longest=0.01)
        await world.serve("calc", calculator())
        peer = await world.connect("client", "calc")
        for _ in range(30):
            try:
                assert await peer.remote(calc).call(Add(1, 2), timeout=1.0) == 3
                counts["answered"] += 1
            except RemoteError:
                counts["failed"] += 1
            except CallTimeout:
                counts["late"] += 1

    simulate(play, 0, faults=Faults.NONE)
    assert min(counts.values()) > 3


def test_peers_call_back() -> None:
    """Clients serve as well, and what they do is in the trace, by the names of the services."""

    async def ask(message: Add, ctx: Context) -> int:
        return await ctx.peer.remote(calc).call(message)

    async def play(world: World) -> None:
        asking = Services(calc)
        asking.handler(Add, ask)
        await world.serve("asks", asking)
        peer = await world.connect("knows", "asks", calculator())
        assert await peer.remote(calc).call(Add(1, 2)) == 3

    trace = simulate(play, 0, faults=Faults.NONE).trace
    assert "knows > asks           sends call calc::Add #1" in trace
    assert "asks > knows           sends call calc::Add #1" in trace


# -- what is found ---------------------------------------------------------------------------------------------


def test_what_the_scenario_raises() -> None:
    """A failed assertion fails the seed, out of whatever group it comes; the text has the reason, the command and the trace."""

    async def play(world: World) -> None:
        world.note("so far so good")
        async with anyio.create_task_group() as group:
            group.start_soon(wrong)

    async def wrong() -> None:
        raise AssertionError("one and one is three")

    failed = failing(play, replay="pytest test_x.py --simulation-seed=0")
    assert "seed 0: AssertionError: one and one is three" in str(failed)
    assert "pytest test_x.py --simulation-seed=0" in str(failed)
    assert "so far so good" in str(failed)
    assert failed.digest == failing(play).digest  # by which one sees that it is the same course


def test_a_long_trace_is_cut() -> None:
    """Of a long trace the text shows the end."""

    async def play(world: World) -> None:
        for number in range(50):
            world.note(f"line {number}.")
        raise AssertionError

    text = str(failing(play, shown=10))
    assert "... 41 lines before these" in text
    assert "line 49." in text
    assert "line 39." not in text


def test_a_standstill() -> None:
    """If nothing will ever happen again the seed fails, and says which task waits where."""

    async def play(world: World) -> None:
        await anyio.Event().wait()

    failed = failing(play)
    assert isinstance(failed.cause, Standstill)
    assert "nothing will ever happen" in str(failed)
    assert re.search(r"scenario: .* > test_a_standstill.<locals>.play \(test_world.py:\d+\) > ", str(failed))


def test_two_that_wait_for_each_other() -> None:
    """Handlers that hold a lock and call each other, without a time-out: a standstill, though servers sleep for ever beside them."""

    def services() -> Services:
        lock = anyio.Lock()
        services = Services(calc)

        @services.handler
        async def add(message: Add, context: Context) -> int:
            async with lock:
                await anyio.sleep(0.1)
                return await context.peer.remote(calc).call(message, timeout=None)

        return services

    async def play(world: World) -> None:
        server = await world.serve("one", services())
        peer = await world.connect("other", "one", services())
        async with anyio.create_task_group() as group:
            for each in (peer, *server.peers):
                group.start_soon(partial(each.remote(calc).call, Add(1, 2), timeout=None))

    failed = failing(play)
    assert isinstance(failed.cause, Standstill)
    assert "nothing will ever happen" in str(failed)
    assert "of one: " in str(failed)
    assert "of other: " in str(failed)


def test_ten_years() -> None:
    """Timers come when they are due, however late it is, and a failure can be cleaned up after."""

    async def play(world: World) -> None:
        await world.sleep(3.2e8)
        begun = world.now
        with anyio.move_on_after(0):
            await anyio.sleep_forever()
        await world.sleep(30)
        assert world.now - begun == pytest.approx(30, abs=0.001)
        raise ValueError("here")

    assert isinstance(failing(play).cause, ValueError)


def test_whoever_waits_for_ever() -> None:
    """A call that still waits long after the faults have stopped fails the seed."""

    async def play(world: World) -> None:
        await world.serve("calc", calculator(anyio.sleep_forever))
        peer = await world.connect("client", "calc", limits=Limits(call_timeout=None))
        world.process("client").run(lambda: peer.remote(calc).call(Add(1, 2)))
        await world.sleep(1)

    failed = failing(play, patience=20.0)
    assert "40 s after the faults have stopped these still wait" in str(failed)
    assert "client to calc: 1 calls not answered" in str(failed)


def test_a_task_that_will_not_end() -> None:
    """A process whose task catches its cancellation and goes on fails the seed."""

    async def stubborn() -> None:
        for _ in range(100):
            try:
                await asyncio.sleep(10)
            except asyncio.CancelledError:
                pass

    async def play(world: World) -> None:
        world.process("stubborn").run(stubborn)

    failed = failing(play)
    assert "tasks still run" in str(failed)
    assert "stubborn: _run" in str(failed)


def test_a_task_that_a_handler_leaves_behind() -> None:
    """What a handler has begun and nobody ends fails the seed. It is named once, with its process, and in each run alike."""

    async def leak() -> None:
        leaked.append(asyncio.ensure_future(asyncio.sleep(1e9)))

    async def play(world: World) -> None:
        await world.serve("calc", calculator(leak))
        peer = await world.connect("client", "calc")
        await peer.remote(calc).call(Add(1, 2))

    leaked: list[asyncio.Task[None]] = []
    first, second = str(failing(play)), str(failing(play))
    assert len(re.findall(r"Task-\d+ of calc: sleep ", first)) == 1
    assert first == second


def test_what_is_raised_elsewhere() -> None:
    """What a process raises, a callback, or a task that nobody waits for, fails the seed too."""

    async def wrong() -> None:
        raise ValueError("in a process")

    async def in_process(world: World) -> None:
        world.process("other").run(wrong)
        await world.sleep(1)

    def raise_now() -> None:
        raise ValueError("in a callback")

    async def in_callback(world: World) -> None:
        world.loop.call_soon(raise_now)
        await world.sleep(1)

    assert "ValueError: in a process" in str(failing(in_process))
    assert "ValueError: in a callback" in str(failing(in_callback))


def test_logs_are_in_the_trace(caplog: pytest.LogCaptureFixture) -> None:
    """What the library logs of failed handlers stands in the trace, and nowhere else."""

    async def wrong() -> None:
        raise ValueError("as it was asked to")

    async def play(world: World) -> None:
        await world.serve("calc", calculator(wrong))
        peer = await world.connect("client", "calc")
        with pytest.raises(RemoteError):
            await peer.remote(calc).call(Add(1, 2))

    with caplog.at_level(logging.DEBUG, "duologue"):
        trace = simulate(play, 0, faults=Faults.NONE).trace
    assert "HandlerFailed (ValueError: as it was asked to)" in trace
    assert not caplog.records


# -- faults --------------------------------------------------------------------------------------------------


def test_faults_that_make_no_sense() -> None:
    """Probabilities over one, times below zero and kinds that there are not are refused."""
    for wrong in ({"cut": 1.5}, {"delay": -1.0}, {"longest": float("nan")}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            Faults(**wrong)
    with pytest.raises(ValueError, match="no such kind of fault: rain; there are delay, "):
        Faults.HARSH.only(["rain"])
    assert str(Faults.HARSH.only(["cut"])) == "cut 0.02"
    assert str(Faults.NONE) == "none"


def test_each_seed_has_its_own_faults() -> None:
    """Some kinds are left out of each seed, and no seed has more of one than was said."""
    drawn = [Faults.HARSH.drawn(random.Random(seed)) for seed in range(200)]
    assert sum(1 for each in drawn if not each.cut) in range(40, 80)
    assert all(0 <= each.cut <= Faults.HARSH.cut for each in drawn)


def test_what_is_violated_is_said_at_once() -> None:
    """What a scenario finds wrong by itself can be said in the same way."""

    async def play(world: World) -> None:
        world.violated("the moon is green")
        await world.sleep(1000)

    failed = failing(play)
    assert isinstance(failed.cause, Violation)
    assert "FAILED                 Violation: the moon is green" in failed.trace
