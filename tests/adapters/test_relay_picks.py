"""Who is asked: functions that pick a peer, in every way in which they can, policies of load balancing, and strange peers."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, cast

import anyio
import pytest
from tests.adapters.common import (
    QUICK,
    Add,
    Hold,
    Say,
    State,
    Tools,
    Unusual,
    collect,
    connected,
    first_peer,
    frame,
    raw_client,
    tools,
    turn,
    until,
)
from tests.adapters.relays import TCP, Told, core_of, relaying
from tests.services.subscribers import NotingPeer

from duologue import (
    DEFAULT,
    Balancer,
    CallTimeout,
    ConsistentHash,
    Context,
    ErrorKind,
    Executed,
    FailureKind,
    FrameTooLarge,
    LeastOutstanding,
    Limits,
    Message,
    Namespace,
    Peer,
    RelayMap,
    RelayRequest,
    RemoteError,
    RoundRobin,
    Server,
    Services,
    connect,
    serve,
)
from duologue.peer import Timeout
from duologue.plugins import find_wireformat
from duologue_adapters.peer import DriverPeer

# -- functions --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_async", [False, True], ids=["in place", "in its time"])
async def test_a_function_picks_for_each_message(is_async: bool, url: str) -> None:
    """It sees who asks, for what, with which bytes, and whether an answer is awaited."""
    seen: list[tuple[Peer, int, str, bool]] = []
    targets: list[Peer] = []

    def pick(request: RelayRequest) -> Peer:
        assert request.payload
        seen.append((request.peer, request.sid, request.name, request.is_call))
        return targets[0]

    async def pick_later(request: RelayRequest) -> Peer:
        await turn(3)
        return pick(request)

    def make(target: Peer) -> RelayMap:
        targets.append(target)
        return RelayMap(pick_later if is_async else pick, tools)

    there = Tools()
    async with relaying(make, there=there) as stage:
        assert await stage.client.remote(tools).call(Add(a=1, b=2)) == 3
        await stage.client.remote(tools).send(Say(text="x"))
        await there.until(lambda: there.said == ["x"])
        assert seen == [
            (stage.asking, tools.sid(Add), "tools::Add", True),
            (stage.asking, tools.sid(Say), "tools::Say", False),
        ]
        await stage.until_idle()


def raises(error: Callable[[], BaseException]) -> Callable[[RelayRequest], Any]:
    def pick(request: RelayRequest) -> Peer:
        raise error()

    return pick


def timeout_of_its_own(request: RelayRequest) -> Any:
    """It asks somebody, who does not answer in time."""
    raise CallTimeout(Executed.UNKNOWN)


FAILING: dict[str, tuple[Callable[[RelayRequest], Any], FailureKind]] = {
    "raises": (raises(lambda: ValueError("secret")), FailureKind.HANDLER_FAILED),
    "raises a group": (raises(lambda: ExceptionGroup("secret", [KeyError()])), FailureKind.HANDLER_FAILED),
    "raises what is no Exception": (raises(lambda: Unusual("secret")), FailureKind.HANDLER_FAILED),
    "raises StopIteration": (raises(StopIteration), FailureKind.HANDLER_FAILED),
    "its own call times out": (timeout_of_its_own, FailureKind.HANDLER_FAILED),
    "picks none": (lambda request: None, FailureKind.NO_HANDLER),
    "picks no peer": (lambda request: 17, FailureKind.HANDLER_FAILED),
    "picks who asked": (lambda request: request.peer, FailureKind.RELAY_REFUSED),
}


@pytest.mark.fault(77)
@pytest.mark.parametrize("is_async", [False, True], ids=["in place", "in its time"])
@pytest.mark.parametrize("how", FAILING)
async def test_a_function_that_picks_nobody(
    how: str, is_async: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """A function picks nobody, or who asked: that one request fails, with an event that says why. A caller learns
    no more than that it failed, and all else goes on."""
    function, kind = FAILING[how]
    fails = True
    targets: list[Peer] = []
    caplog.set_level(logging.CRITICAL, "duologue")

    def pick(request: RelayRequest) -> Any:
        return function(request) if fails else targets[0]

    async def pick_later(request: RelayRequest) -> Any:
        await turn(2)
        return pick(request)

    def make(target: Peer) -> RelayMap:
        targets.append(target)
        return RelayMap(pick_later if is_async else pick, tools)

    async with relaying(make) as stage:
        told = Told(stage.asking)
        with pytest.raises(RemoteError) as caught:
            await stage.client.remote(tools).call(Add(a=1, b=2))
        assert caught.value.kind is ErrorKind.INTERNAL_SERVER_ERROR
        assert "secret" not in str(caught.value)
        await stage.client.remote(tools).send(Say(text="x"))
        assert [each.kind for each in await told.failures(2)] == [kind] * 2
        fails = False
        assert await stage.client.remote(tools).call(Add(a=1, b=2)) == 3
        await stage.until_idle()


@pytest.mark.parametrize("is_foreign", [False, True])
async def test_a_peer_of_another_wire_format(is_foreign: bool, caplog: pytest.LogCaptureFixture) -> None:
    """It could not read the payloads: the request is refused, and the event says what to do, as does the log."""
    there = Tools()
    async with serve(TCP, there.services, wireformat="json") as server:
        async with connect(server.url, wireformat="json", name="speaks json") as other:
            target = Foreign(other) if is_foreign else other
            async with relaying(lambda _: RelayMap(target, tools)) as stage:
                told = Told(stage.asking)
                with pytest.raises(RemoteError):
                    await stage.client.remote(tools).call(Add(a=1, b=2))
                [failure] = await told.failures(1)
                assert failure.kind is FailureKind.RELAY_REFUSED
                assert "speaks json speaks json: a relay passes payloads on as they are" in str(failure.error)
    assert "RelayRefused" in caplog.text  # whoever set the relay up may look at nothing else


# -- functions that take their time -----------------------------------------------------------------------


@pytest.mark.fault(79)
@pytest.mark.parametrize("is_call", [True, False])
@pytest.mark.parametrize("when", ["at once", "while it picks", "and it does not mind"])
async def test_the_caller_disconnects_while_it_is_looked_for_a_peer(when: str, is_call: bool) -> None:
    """The caller disconnects while a function picks: that is cancelled, or never begins; whatever it picks nevertheless gets nothing, and nothing is left."""
    began, go_on = anyio.Event(), anyio.Event()
    cancelled: list[str] = []
    targets: list[Peer] = []

    async def pick(request: RelayRequest) -> Peer:
        began.set()
        try:
            await go_on.wait()
        except BaseException:
            cancelled.append(request.name)
            if when != "and it does not mind":
                raise
        return targets[0]

    def make(target: Peer) -> RelayMap:
        targets.append(target)
        return RelayMap(pick, tools)

    there = Tools()
    async with relaying(make, there=there, limits=QUICK) as stage:
        payload = stage.client.wireformat.codec(Hold).encode(Hold(name="x"))
        async with raw_client(stage.relay.url) as raw:
            await until(lambda: len(tuple(stage.relay.peers)) == 2)
            [gone] = [peer for peer in stage.relay.peers if peer is not stage.asking]
            await raw.send(frame(tools.sid(Hold), int(is_call), payload))
            if when != "at once":
                await began.wait()
            raw.reset()
        await gone.wait_closed()
        await until(lambda: State(gone).is_idle)
        assert core_of(gone).incoming.parking.held == 0
        await turn(5)
        assert (there.began, State(stage.target).pending) == ([], 0)
        assert began.is_set() == bool(cancelled)
        go_on.set()
        assert await stage.client.remote(tools).call(Add(a=1, b=1)) == 2
        await stage.until_idle()


class Abort(Message[None]):
    """Its handler cuts the connection, in place."""


aborting = Namespace("aborting", [Abort])


@pytest.mark.filterwarnings("error")
async def test_the_connection_ends_before_a_function_has_begun() -> None:
    """It was called, and its coroutine is to be run soon: it never is, and nobody complains about that."""
    services = Services(aborting)

    @services.handler(inline=True)
    def abort(msg: Abort, ctx: Context) -> None:
        cast("DriverPeer", ctx.peer).abort()

    called: list[str] = []

    def pick(request: RelayRequest) -> Any:
        called.append(request.name)
        return later()

    async def later() -> None:
        await anyio.sleep_forever()

    limits = Limits(discard_timeout=0.05)
    async with serve(TCP, [RelayMap(pick, tools), services], wireformat="json", limits=limits) as server:
        async with raw_client(server.url) as raw:
            peer = await first_peer(server)
            await raw.send(frame(tools.sid(Hold), 1, b"{}") + frame(aborting.sid(Abort), 0, b"null"))
            await peer.wait_closed()
            await until(lambda: State(peer).is_idle)
    collect()
    assert called == ["tools::Hold"]


@pytest.mark.fault(37)
async def test_a_flood_while_functions_take_their_time() -> None:
    """Calls whose peer is looked for count as parked: over the bound reading pauses, and then all of them are answered."""
    go_on = anyio.Event()
    targets: list[Peer] = []
    looking = most = 0

    async def pick(request: RelayRequest) -> Peer:
        nonlocal looking, most
        looking += 1
        most = max(most, looking)
        await go_on.wait()
        looking -= 1
        return targets[0]

    def make(target: Peer) -> RelayMap:
        targets.append(target)
        return RelayMap(pick, tools)

    async with relaying(make, limits=Limits(parked=10)) as stage, anyio.create_task_group() as group:
        answers: list[int] = []

        async def call(number: int) -> None:
            answers.append(await stage.client.remote(tools).call(Add(a=number, b=0)))

        for number in range(200):
            group.start_soon(call, number)
        await until(lambda: looking == 10 and not core_of(stage.asking).wants_read)
        go_on.set()
        await until(lambda: len(answers) == 200)
        assert sorted(answers) == list(range(200))
        assert most <= 20, "those that were looked for at first, and as many behind them"
        await stage.until_idle()


async def test_a_function_that_asks_the_one_who_asked() -> None:
    """It calls back over the connection that the request came by, which goes on reading for that."""
    here = Tools()
    targets: list[Peer] = []

    async def pick(request: RelayRequest) -> Peer:
        assert await request.peer.remote(tools).call(Add(a=1, b=1)) == 2
        return targets[0]

    there = Tools()
    async with AsyncExitStack() as stack:
        provider = await stack.enter_async_context(serve(TCP, there.services, wireformat="cbor"))
        targets.append(await stack.enter_async_context(connect(provider.url, wireformat="cbor")))
        limits = Limits(parked=2)
        relay = await stack.enter_async_context(
            serve(TCP, RelayMap(pick, tools), wireformat="cbor", limits=limits)
        )
        client = await stack.enter_async_context(connect(relay.url, here.services, wireformat="cbor"))
        answers: list[int] = []
        refused: list[RemoteError] = []

        async def call(number: int) -> None:
            try:
                answers.append(await client.remote(tools).call(Add(a=number, b=0)))
            except RemoteError as exc:
                refused.append(exc)

        async with anyio.create_task_group() as group:
            for number in range(50):
                group.start_soon(call, number)
        # It is owed an answer, so it can't stop reading: what is over the bound is refused (docs/flow.md, F3).
        assert len(answers) + len(refused) == 50
        assert len(answers) >= 2
        await client.remote(tools).send(Say(text="x"))
        await there.until(lambda: there.said == ["x"])


ENDS: list[Callable[[], BaseException]] = [KeyboardInterrupt, lambda: SystemExit(3)]


@pytest.mark.fault(59)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("make", ENDS, ids=["KeyboardInterrupt", "SystemExit"])
@pytest.mark.parametrize("where", ["in place", "in its time", "after a while", "in a policy"])
@pytest.mark.parametrize("backend", ["asyncio", "uvloop", "trio"])
def test_the_end_of_the_process(
    backend: str, where: str, make: Callable[[], BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    """`KeyboardInterrupt` and `SystemExit` are no failure of a pick: they end the loop, as anywhere else."""

    def pick(request: RelayRequest) -> Peer:
        raise make()

    async def pick_later(request: RelayRequest) -> Peer:
        if where == "after a while":
            await turn(3)
        raise make()

    class Policy(RoundRobin):
        def choose(self, peers: list[Peer], request: Any) -> Peer:
            raise make()

    def map_of(target: Peer) -> RelayMap:
        if where == "in a policy":
            return RelayMap(Policy([target]), tools)
        return RelayMap(pick if where == "in place" else pick_later, tools)

    async def main() -> None:
        with anyio.fail_after(30):
            async with relaying(map_of) as stage:
                await stage.client.remote(tools).call(Add(a=1, b=1))

    caplog.set_level(logging.CRITICAL + 1)
    expected = type(make())
    with pytest.raises(BaseException) as caught:
        if backend == "uvloop":
            pytest.importorskip("uvloop")
            anyio.run(main, backend="asyncio", backend_options={"use_uvloop": True})
        else:
            anyio.run(main, backend=backend)
    assert isinstance(caught.value, expected)


# -- peers that are none of ours ---------------------------------------------------------------------------


class Foreign(NotingPeer):
    """A peer of someone's own, which can be called and nothing else: here it asks one of ours."""

    def __init__(self, peer: Peer) -> None:
        super().__init__("foreign", peer.wireformat)
        self.peer = peer
        self.name = peer.info.name
        self.asked = 0

    async def call_raw(self, sid: int, payload: bytes, *, timeout: Timeout = DEFAULT) -> bytes:
        self.asked += 1
        return await self.peer.call_raw(sid, payload, timeout=timeout)

    async def send_raw(self, sid: int, payload: bytes, *, timeout: Timeout = DEFAULT) -> None:
        self.asked += 1
        await self.peer.send_raw(sid, payload, timeout=timeout)


async def test_a_peer_of_someones_own() -> None:
    """It is called like by anybody: answers, errors, one-way messages, and its end, all arrive as from one of ours."""
    foreign: list[Foreign] = []

    def make(target: Peer) -> RelayMap:
        foreign.append(Foreign(target))
        return RelayMap(foreign[0], tools, timeout=0.2)

    async with relaying(make) as stage:
        remote = stage.client.remote(tools)
        assert await remote.call(Add(a=1, b=2)) == 3
        await remote.send(Say(text="x"))
        await stage.there.until(lambda: stage.there.said == ["x"])
        told = Told(stage.asking)
        with pytest.raises(RemoteError) as caught:
            await stage.client.call_raw(tools.sid(Add), b"\xc1")
        assert caught.value.kind is ErrorKind.DESERIALIZE
        with pytest.raises(CallTimeout):
            await remote.call(Hold(), timeout=None)
        await stage.target.close()
        with pytest.raises(RemoteError) as caught:
            await remote.call(Add(a=1, b=2))
        assert caught.value.kind is ErrorKind.INTERNAL_SERVER_ERROR
        assert [each.kind for each in await told.failures(3)] == [
            FailureKind.DESERIALIZE,
            FailureKind.TIMEOUT,
            FailureKind.RELAY_GONE,
        ]
        await until(lambda: State(stage.asking).is_idle)


async def test_a_flood_to_a_peer_of_someones_own() -> None:
    """Each call to it has a task. So they are bounded like what is parked, and reading pauses."""
    foreign: list[Foreign] = []

    def make(target: Peer) -> RelayMap:
        foreign.append(Foreign(target))
        return RelayMap(foreign[0], tools)

    async with relaying(make, limits=Limits(parked=10)) as stage, anyio.create_task_group() as group:
        for number in range(100):
            group.start_soon(stage.client.remote(tools).call, Hold(name=str(number)))
        await stage.there.until(lambda: stage.there.running == 10)
        await until(lambda: not core_of(stage.asking).wants_read)
        assert foreign[0].asked == 10
        stage.there.release.set()


async def test_someones_own_and_ours_take_turns() -> None:
    """Whoever is picked gets the call, whatever kind of peer it is."""
    there = Tools()
    foreign: list[Foreign] = []

    def make(target: Peer) -> RelayMap:
        foreign.extend(Foreign(target) for _ in range(2))
        return RelayMap(RoundRobin([foreign[0], target, foreign[1]]), tools)

    async with relaying(make, there=there) as stage:
        for number in range(12):
            assert await stage.client.remote(tools).call(Add(a=number, b=0)) == number
        assert [each.asked for each in foreign] == [4, 4]


# -- load balancing ---------------------------------------------------------------------------------------


class Who(Message[str]):
    """Asks a provider for its name."""

    key: str = ""
    holds: bool = False


who = Namespace("who", [Who])


class Providers:
    """Providers that come and go. Each tells its name, and may be told to wait with it."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self.servers: dict[str, Server] = {}
        self.targets: dict[str, Peer] = {}
        self.release = anyio.Event()
        self.held = 0

    async def add(self, name: str) -> Peer:
        services = Services(who)

        async def tell(msg: Who) -> str:
            if msg.holds:
                self.held += 1
                await self.release.wait()
            return name

        services.handler(Who, tell)
        server = await self._stack.enter_async_context(serve(TCP, services, wireformat="msgpack"))
        peer = await self._stack.enter_async_context(connect(server.url, wireformat="msgpack", name=name))
        self.servers[name], self.targets[name] = server, peer
        return peer


@asynccontextmanager
async def balanced(policy: Balancer, *names: str) -> AsyncIterator[tuple[Peer, Providers]]:
    """A client of a relay to these providers."""
    async with AsyncExitStack() as stack:
        providers = Providers(stack)
        for name in names:
            policy.add(await providers.add(name))
        relay = await stack.enter_async_context(serve(TCP, RelayMap(policy, who), wireformat="msgpack"))
        yield await stack.enter_async_context(connect(relay.url, wireformat="msgpack")), providers


async def ask(client: Peer, count: int, **fields: Any) -> list[str]:
    return [await client.remote(who).call(Who(**fields)) for _ in range(count)]


async def test_round_robin() -> None:
    """Each in turn. One that is killed is left out from then on, one that comes is asked, one that is removed is not."""
    policy = RoundRobin()
    async with balanced(policy, "a", "b", "c") as (client, providers):
        assert await ask(client, 9) == ["a", "b", "c"] * 3
        await providers.servers["b"].close()
        await providers.targets["b"].wait_closed()
        assert Counter(await ask(client, 8)) == {"a": 4, "c": 4}
        policy.add(await providers.add("d"))
        assert Counter(await ask(client, 9)) == {"a": 3, "c": 3, "d": 3}
        policy.remove(providers.targets["a"])
        policy.remove(providers.targets["b"])
        assert Counter(await ask(client, 8)) == {"c": 4, "d": 4}
        for name in "cd":
            policy.remove(providers.targets[name])
        with pytest.raises(RemoteError) as caught:
            await ask(client, 1)
        assert caught.value.kind is ErrorKind.INTERNAL_SERVER_ERROR


async def test_a_provider_that_is_removed_still_answers_what_it_was_asked() -> None:
    """Removing ends nothing: only what comes from now on goes elsewhere."""
    policy = RoundRobin()
    async with balanced(policy, "a", "b") as (client, providers), anyio.create_task_group() as group:
        answers: list[str] = []

        async def call() -> None:
            answers.append(await client.remote(who).call(Who(holds=True)))

        group.start_soon(call)
        await until(lambda: providers.held == 1)
        policy.remove(providers.targets["a"])
        assert await ask(client, 4) == ["b"] * 4
        providers.release.set()
        await until(lambda: answers == ["a"])


async def test_least_outstanding() -> None:
    """A provider that is busy gets less: who owes the fewest answers is asked."""
    policy = LeastOutstanding()
    async with balanced(policy, "a", "b", "c") as (client, providers):
        free = await providers.add("free")
        async with anyio.create_task_group() as group:
            for number in range(1, 7):
                group.start_soon(client.remote(who).call, Who(holds=True))
                await until(lambda number=number: providers.held == number)  # type: ignore[misc]
            assert [peer.outstanding for peer in providers.targets.values()] == [2, 2, 2, 0]
            policy.remove(providers.targets["a"])
            policy.add(free)
            assert await ask(client, 5) == ["free"] * 5
            providers.release.set()


async def test_consistent_hash() -> None:
    """The same key goes to the same provider; when one dies only its keys move, and they come back with its name."""
    codec = find_wireformat("msgpack").codec(Who)
    policy = ConsistentHash(key=lambda request: codec.decode(request.payload).key)
    async with balanced(policy, "a", "b", "c") as (client, providers):
        keys = [f"user {number}" for number in range(60)]

        async def places() -> dict[str, str]:
            return {key: (await ask(client, 1, key=key))[0] for key in keys}

        before = await places()
        assert set(before.values()) == {"a", "b", "c"}
        assert await places() == before
        await providers.servers["b"].close()
        await providers.targets["b"].wait_closed()
        without = await places()
        assert "b" not in without.values()
        assert all(without[key] == place for key, place in before.items() if place != "b")
        policy.add(await providers.add("b"))
        assert await places() == before


async def test_providers_come_and_go_while_calls_run() -> None:
    """Hundreds of calls while providers are added and removed all the time: each is answered, by someone who was there."""
    policy = RoundRobin()
    async with balanced(policy, "always") as (client, providers):
        answers: Counter[str] = Counter()
        others = [await providers.add(str(number)) for number in range(5)]
        async with anyio.create_task_group() as group:

            async def call() -> None:
                for _ in range(50):
                    answers.update(await ask(client, 1))

            for _ in range(10):
                group.start_soon(call)
            for peer in others:
                policy.add(peer)
                await until(lambda name=peer.info.name: answers[name] or answers.total() == 500)  # type: ignore[misc]
                policy.remove(peer)
        assert answers.total() == 500
        assert len(answers) > 1


# -- services that come and go --------------------------------------------------------------------------------


async def test_services_of_a_live_peer_come_and_go(url: str) -> None:
    """A map is served from the next request on, and no more after it is removed; calls that run then are answered."""
    there = Tools()
    async with connected(url) as (client, serving):
        remote = client.remote(tools)
        for _ in range(3):
            with pytest.raises(RemoteError) as caught:
                await remote.call(Add(a=1, b=2))
            assert caught.value.kind is ErrorKind.UNKNOWN_SERVICE
            serving.add_services(there.services)
            assert await remote.call(Add(a=1, b=2)) == 3
            async with anyio.create_task_group() as group:
                group.start_soon(remote.call, Hold(name="x"))
                await there.until(lambda: there.running == 1)
                serving.remove_services(there.services)
                with pytest.raises(RemoteError):
                    await remote.call(Add(a=1, b=2))
                there.release.set()
            there.release = anyio.Event()
        assert there.ended == ["x"] * 3
        await until(lambda: State(client).is_idle and State(serving).is_idle)


async def test_a_handler_of_a_live_peer_comes_and_goes() -> None:
    """One handler of a map that is served: while it is away its callers get an error, and those that run are answered."""
    there = Tools()
    async with connected(TCP, there.services) as (client, serving):
        told = Told(serving)
        remote = client.remote(tools)
        async with anyio.create_task_group() as group:
            group.start_soon(remote.call, Hold(name="x"))
            await there.until(lambda: there.running == 1)
            there.services.remove(Hold)
            with pytest.raises(RemoteError) as caught:
                await remote.call(Hold())
            assert caught.value.kind is ErrorKind.INTERNAL_SERVER_ERROR
            assert [each.kind for each in await told.failures(1)] == [FailureKind.NO_HANDLER]
            there.services.handler(Hold, there.hold)
            group.start_soon(remote.call, Hold(name="y"))
            await there.until(lambda: there.running == 2)
            there.release.set()
        assert sorted(there.ended) == ["x", "y"]


async def test_a_relay_of_a_live_peer_comes_and_goes() -> None:
    """The same for a relay, beside handlers of the peer's own: what was passed on is answered after it is removed."""
    there, own = Tools(), Services(who)

    async def tell(msg: Who) -> str:
        return "own"

    own.handler(Who, tell)
    async with serve(TCP, there.services, wireformat="msgpack") as provider:
        async with (
            connect(provider.url, wireformat="msgpack") as target,
            connected(TCP, own) as (client, serving),
            anyio.create_task_group() as group,
        ):
            relay = RelayMap(target, tools)
            serving.add_services(relay)
            group.start_soon(client.remote(tools).call, Hold(name="x"))
            await there.until(lambda: there.running == 1)
            serving.remove_services(relay)
            with pytest.raises(RemoteError) as caught:
                await client.remote(tools).call(Add(a=1, b=2))
            assert caught.value.kind is ErrorKind.UNKNOWN_SERVICE
            assert await ask(client, 1) == ["own"]
            there.release.set()
            await until(lambda: State(client).is_idle and State(serving).is_idle and State(target).is_idle)
        assert there.ended == ["x"]


async def test_too_large_for_a_peer_of_someones_own() -> None:
    """What its `call_raw` raises is told as of one of ours."""

    class Small(Foreign):
        async def call_raw(self, sid: int, payload: bytes, *, timeout: Timeout = DEFAULT) -> bytes:
            raise FrameTooLarge(1000, 10)

    async with relaying(lambda target: RelayMap(Small(target), tools)) as stage:
        told = Told(stage.asking)
        with pytest.raises(RemoteError):
            await stage.client.remote(tools).call(Add(a=1, b=2))
        assert [each.kind for each in await told.failures(1)] == [FailureKind.FRAME_TOO_LARGE]
