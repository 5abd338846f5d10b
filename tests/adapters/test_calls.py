"""Calls and sends through the real driver, over sockets and in memory, on every engine."""

from __future__ import annotations

import math

import anyio
import pytest
from tests.adapters.common import (
    QUICK,
    RESPONSE_SID,
    Add,
    Echo,
    Fail,
    Hold,
    Say,
    State,
    Tools,
    connected,
    frame,
    raw_server,
    tools,
    turn,
    until,
)

from duologue import (
    AnswerUnreadable,
    CallTimeout,
    EncodeError,
    ErrorKind,
    Executed,
    FrameTooLarge,
    Limits,
    Message,
    Namespace,
    Overloaded,
    RegistrationError,
    RemoteError,
    SendTimeout,
    Services,
    connect,
)


async def test_calls_and_sends_in_both_directions(url: str, wireformat: str) -> None:
    """Both ends serve and call, in each wire format: a connection has no client and no server once it is there."""
    there, here = Tools(), Tools()
    async with connected(url, there.services, here.services, wireformat=wireformat) as (client, server):
        for peer, other in ((client, there), (server, here)):
            remote = peer.remote(tools)
            assert await remote.call(Add(a=1, b=2)) == 3
            assert await remote.call(Echo(data=bytes(range(256)))) == bytes(range(256))
            await remote.call(Say(text="called: äöü\0"))
            await remote.send(Say(text="sent"))
            await other.until(lambda other=other: len(other.said) == 2)  # type: ignore[misc]
            assert other.said == ["called: äöü\0", "sent"]
        await until(lambda: State(client).is_idle and State(server).is_idle)


async def test_frames_of_all_sizes(url: str) -> None:
    """Payloads from nothing up to the limit come back as they were: no size has a seam."""
    there = Tools()
    async with connected(url, there.services) as (client, _):
        remote = client.remote(tools)
        sizes = [0, 1, 24, 16_383, 16_384, 65_535, 65_537, 262_144, 2**20 - 64]
        answers: dict[int, bytes] = {}
        async with anyio.create_task_group() as group:

            async def call(size: int) -> None:
                answers[size] = await remote.call(Echo(data=bytes([size % 251]) * size))

            for size in sizes:
                group.start_soon(call, size)
        assert answers == {size: bytes([size % 251]) * size for size in sizes}


@pytest.mark.fault(37)
async def test_more_calls_than_the_budget(url: str) -> None:
    """Far more calls at once than there are permits: so many handlers run as there are permits, the rest wait, all end."""
    there = Tools()
    async with connected(url, there.services, limits=Limits(calls=10)) as (client, server):
        answers: list[str] = []
        async with anyio.create_task_group() as group:

            async def call(number: int) -> None:
                answers.append(await client.remote(tools).call(Hold(name=str(number))))

            for number in range(1100):
                group.start_soon(call, number)
            await there.until(lambda: there.running == 10)
            await turn(20)
            assert (there.running, State(server).permits) == (10, 10)
            there.release.set()
        assert there.most == 10
        assert sorted(map(int, answers)) == list(range(1100))
        await until(lambda: State(server).is_idle)


@pytest.mark.fault(61)
async def test_many_senders_at_once(url: str) -> None:
    """A hundred tasks write large and small messages at once: one writer writes, and no frame is cut by another."""
    there = Tools()
    async with connected(url, there.services) as (client, _):
        remote = client.remote(tools)

        async def chatter(number: int) -> None:
            size = (1, 1_000, 100_000)[number % 3]
            for _ in range(3):
                await remote.send(Say(text=str(number)))
                assert await remote.call(Echo(data=bytes([number]) * size)) == bytes([number]) * size

        async with anyio.create_task_group() as group:
            for number in range(100):
                group.start_soon(chatter, number)
        await there.until(lambda: len(there.said) == 300)
        assert sorted(there.said) == sorted(str(number) for number in range(100) for _ in range(3))


# -- timeouts ------------------------------------------------------------------------------------


@pytest.mark.fault(63)
async def test_a_timeout_of_zero(url: str) -> None:
    """A timeout of 0 does not wait: the call fails at once, nothing was sent; a send goes out if there is room."""
    there = Tools()
    async with connected(url, there.services) as (client, _):
        with pytest.raises(CallTimeout) as caught:
            await client.remote(tools).call(Hold(), timeout=0)
        assert caught.value.executed is Executed.NO
        await client.remote(tools).send(Say(text="there is room"), timeout=0)
        await there.until(lambda: bool(there.said))
        assert not there.began


@pytest.mark.fault(63)
@pytest.mark.parametrize("timeout", [-1, -1e-9, -math.inf, math.nan])
async def test_a_timeout_that_is_none(timeout: float) -> None:
    """A timeout below 0, or not a number: `ValueError` where it was given, nothing is sent, nothing is held."""
    there = Tools()
    async with connected("mem://timeouts", there.services) as (client, _):
        with pytest.raises(ValueError, match="timeout"):
            await client.remote(tools).call(Add(a=1, b=1), timeout=timeout)
        with pytest.raises(ValueError, match="timeout"):
            await client.remote(tools).send(Say(text=""), timeout=timeout)
        assert State(client).is_idle
        assert client.is_open


@pytest.mark.fault(63)
@pytest.mark.parametrize("timeout", [None, math.inf, 1e300, 10**12, 60])
async def test_a_timeout_that_never_comes(url: str, timeout: float | None) -> None:
    """No timeout, or one beyond all time: the call waits for its answer, and every clock bears the number."""
    there = Tools()
    async with connected(url, there.services) as (client, _), anyio.create_task_group() as group:
        answers: list[str] = []

        async def call() -> None:
            answers.append(await client.remote(tools).call(Hold(name="patience"), timeout=timeout))

        group.start_soon(call)
        await there.until(lambda: there.running == 1)
        assert await client.remote(tools).call(Add(a=1, b=1), timeout=timeout) == 2
        there.release.set()
        await until(lambda: answers == ["patience"])


@pytest.mark.fault(21, 44)
async def test_a_handler_that_does_not_return(url: str) -> None:
    """No answer in time: `CallTimeout`, and what ran may have run; the late answer is dropped, and the connection goes on."""
    there = Tools()
    async with connected(url, there.services, limits=Limits(calls=1)) as (client, server):
        remote = client.remote(tools)
        with pytest.raises(CallTimeout) as caught:
            await remote.call(Hold(name="slow"), timeout=0.05)
        assert caught.value.executed is Executed.UNKNOWN
        assert State(client).pending == 0
        assert State(server).permits == 1  # the handler still runs, and holds what it holds
        with pytest.raises(CallTimeout):
            await remote.call(Add(a=1, b=1), timeout=0.05)
        there.release.set()
        assert await remote.call(Add(a=1, b=1)) == 2
        assert there.ended == ["slow"]
        await until(lambda: State(server).is_idle)


async def test_many_short_timeouts_among_long_ones(url: str) -> None:
    """One timer for all calls: each ends at its own time, whatever the order in which they began."""
    there = Tools()
    async with connected(url, there.services) as (client, _):
        ended: list[float] = []

        async def call(timeout: float) -> None:
            with pytest.raises(CallTimeout):
                await client.remote(tools).call(Hold(), timeout=timeout)
            ended.append(timeout)

        async with anyio.create_task_group() as group:
            for timeout in (0.3, 0.1, 0.4, 0.2, 0.0):
                group.start_soon(call, timeout)
                await turn()
        assert ended == sorted(ended)


async def test_a_send_without_room() -> None:
    """The remote reads nothing: sends wait when the outbox is full, end with `SendTimeout`, and none of their bytes leaves."""
    async with raw_server() as (url, accept), connect(url, wireformat="msgpack", limits=QUICK) as peer:
        server = await accept()
        remote = peer.remote(tools)
        sent = 0

        async def fill() -> None:
            nonlocal sent
            while True:
                await remote.send(Say(text="x" * 100_000), timeout=0.2)
                sent += 1

        with pytest.raises(SendTimeout):
            await fill()
        with pytest.raises(SendTimeout):
            await remote.send(Say(text="y"), timeout=0)
        assert State(peer).waiting == 0
        for _ in range(sent):
            assert len((await server.frame())[2]) > 100_000
        await remote.send(Say(text="z"))
        assert b"z" in (await server.frame())[2]


# -- callers that give up ---------------------------------------------------------------------------


@pytest.mark.fault(58)
async def test_a_caller_that_is_cancelled(url: str) -> None:
    """A cancelled caller leaves nothing behind: no pending call, no timer; its late answer is dropped."""
    there = Tools()
    async with connected(url, there.services) as (client, server):
        async with anyio.create_task_group() as group:
            for number in range(10):
                group.start_soon(client.remote(tools).call, Hold(name=str(number)))
            await there.until(lambda: there.running == 10)
            assert State(client).pending == 10
            group.cancel_scope.cancel()
        assert State(client).pending == 0
        there.release.set()
        await until(lambda: State(server).is_idle)
        assert await client.remote(tools).call(Add(a=1, b=2)) == 3


@pytest.mark.fault(14, 58)
async def test_cancelled_at_every_await(url: str) -> None:
    """A call or a send, cancelled after any number of passes of the loop: the stream stays whole, and nothing is held."""
    there, here = Tools(), Tools()
    async with connected(url, there.services, here.services) as (client, server):
        for passes in range(25):
            async with anyio.create_task_group() as group:
                for peer in (client, server):
                    group.start_soon(peer.remote(tools).call, Echo(data=bytes(200_000)))
                    group.start_soon(peer.remote(tools).send, Say(text="x" * 200_000))
                    group.start_soon(peer.remote(tools).call, Add(a=1, b=1))
                await turn(passes)
                group.cancel_scope.cancel()
            assert await client.remote(tools).call(Add(a=passes, b=1)) == passes + 1
            assert await server.remote(tools).call(Add(a=passes, b=1)) == passes + 1
        await until(lambda: State(client).is_idle and State(server).is_idle)


@pytest.mark.fault(58)
async def test_a_queued_frame_goes_with_its_caller() -> None:
    """Cancelled before a byte of its frame has left: the frame never leaves."""
    async with raw_server() as (url, accept), connect(url, wireformat="json", limits=QUICK) as peer:
        server = await accept()
        remote = peer.remote(tools)
        async with anyio.create_task_group() as group:
            while State(peer).waiting < 3:  # until the outbox is full
                group.start_soon(remote.send, Say(text="x" * 100_000))
                await turn(3)
            group.start_soon(remote.call, Hold(name="never"))
            await turn(3)
            group.cancel_scope.cancel()
        async with anyio.create_task_group() as group:
            group.start_soon(remote.send, Say(text="last"))
            while b"last" not in (await server.frame())[2]:
                pass
        assert b"never" not in server.received


# -- what can be wrong with a call -----------------------------------------------------------------------


@pytest.mark.fault(13)
async def test_frames_that_are_too_large(url: str) -> None:
    """Our own request: `FrameTooLarge` before anything is sent. An answer: the caller learns of a failure at once."""
    there = Tools()
    async with connected(url, there.services, limits=Limits(max_frame=10_000)) as (client, _):
        remote = client.remote(tools)
        with pytest.raises(FrameTooLarge) as caught:
            await remote.call(Echo(data=bytes(10_000)))
        assert (caught.value.size > 10_000, caught.value.limit) == (True, 10_000)
        with pytest.raises(FrameTooLarge):
            await remote.send(Say(text="x" * 10_000))
        assert await remote.call(Echo(data=bytes(9_000))) == bytes(9_000)


class Grow(Message[bytes]):
    size: int


growing = Namespace("growing", [Grow])


@pytest.mark.fault(13, 45)
async def test_weak_point_11_an_answer_that_can_not_be_sent(url: str) -> None:
    """An answer over the limit: the caller is not left to its timeout, and the permit is given back."""
    services = Services(growing)

    @services.handler
    async def grow(msg: Grow) -> bytes:
        return bytes(msg.size)

    async with connected(url, services, limits=Limits(max_frame=10_000, calls=1)) as (client, server):
        remote = client.remote(growing)
        for _ in range(3):
            with pytest.raises(RemoteError) as caught:
                await remote.call(Grow(size=20_000), timeout=None)
            assert caught.value.kind is ErrorKind.INTERNAL_SERVER_ERROR
            assert await remote.call(Grow(size=100)) == bytes(100)
        await until(lambda: State(server).is_idle)


class AddWithText(Message[str]):
    a: int
    b: int


class AddOnly(Message[int]):
    a: int


async def test_ends_that_do_not_agree() -> None:
    """A wrong idea of a service: the answer can't be read, or the message, or nobody knows it; each says if it ran."""
    there = Tools()
    other = Namespace("tools", [AddWithText, AddOnly], names={AddWithText: "Add", AddOnly: "Nothing"})
    wrong = Namespace("tools", [AddOnly], names={AddOnly: "Add"})
    async with connected("mem://disagree", there.services) as (client, server):
        with pytest.raises(AnswerUnreadable) as unreadable:
            await client.remote(other).call(AddWithText(a=1, b=2))
        assert unreadable.value.executed is Executed.YES
        for namespace, kind in ((wrong, ErrorKind.DESERIALIZE), (other, ErrorKind.UNKNOWN_SERVICE)):
            with pytest.raises(RemoteError) as caught:
                await client.remote(namespace).call(AddOnly(a=1))
            assert (caught.value.kind, caught.value.executed) == (kind, Executed.NO)
        await until(lambda: State(server).is_idle)


async def test_messages_that_can_not_be_sent() -> None:
    """Not encodable, or of another namespace: refused here, before anything is sent."""
    there = Tools()
    async with connected("mem://refused", there.services) as (client, _):
        remote = client.remote(tools)
        with pytest.raises(EncodeError):
            await remote.call(Add(a=2**70, b=0))
        with pytest.raises(EncodeError):
            await remote.send(Say(text="\ud800"))
        with pytest.raises(RegistrationError):
            await remote.call(Grow(size=1))
        with pytest.raises(ValueError, match="reserved"):
            await client.call_raw(2**64 - 1, b"")
        assert State(client).is_idle


@pytest.mark.fault(23)
async def test_calls_that_are_never_answered() -> None:
    """A remote that answers nothing: a bounded number of calls goes out, a bounded number waits, further ones are refused."""
    limits = Limits(owed=5, waiting=10, discard_timeout=0.05)
    async with raw_server() as (url, accept), connect(url, wireformat="json", limits=limits) as peer:
        server = await accept()
        async with anyio.create_task_group() as group:
            for _ in range(15):
                group.start_soon(peer.remote(tools).call, Fail())
            await until(lambda: State(peer).pending == 5 and State(peer).waiting == 10)
            with pytest.raises(Overloaded) as caught:
                await peer.remote(tools).call(Fail())
            assert caught.value.executed is Executed.NO
            for _ in range(15):
                _, call_id, _ = await server.frame()
                await server.send(frame(RESPONSE_SID, call_id, b"7"))
