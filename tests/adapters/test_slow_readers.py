"""Remotes that stop reading, over every transport: those who wait for them wait, what is kept is bounded, others don't notice."""

from __future__ import annotations

from collections import Counter

import anyio
import pytest
from tests.adapters.common import Add, Echo, Say, State, Tools, first_peer, frame, tools, until
from tests.adapters.proxies import proxy_for
from tests.adapters.transports import Transport, over
from tests.adapters.transports import transport as transport

from duologue import (
    CallTimeout,
    CloseReason,
    ConnectionLost,
    Executed,
    Limits,
    Message,
    Namespace,
    Peer,
    PeerSettings,
    SendTimeout,
    Services,
)
from duologue.plugins import find_wireformat
from duologue_adapters import Link
from duologue_adapters.engines import engine_here
from duologue_adapters.ports import Receiver
from duologue_adapters.server import running_peer

SIZE = 200_000
LIMITS = Limits(calls=4, answers_stalled=0.25)
MOST = LIMITS.outbox_high + LIMITS.calls * (SIZE + 1000)
"""Bytes of answers that can be kept: up to the mark, and what the handlers that ran had to say by then."""


class Give(Message[bytes]):
    """A small question with a large answer: ZeroMQ's credit for our requests comes the way that is held up."""

    size: int


gifts = Namespace("gifts", [Give])


class Giving(Tools):
    def __init__(self) -> None:
        super().__init__()
        self.both = Services(tools, gifts)
        self.both.handler(self.add)
        self.both.handler(self.give)

    async def give(self, msg: Give) -> bytes:
        return bytes(msg.size)


async def ask_until_lost(peer: Peer) -> None:
    with pytest.raises(ConnectionLost):
        while True:
            await peer.remote(gifts).call(Give(size=SIZE))


@pytest.mark.fault(42)
@over()
async def test_answers_that_are_not_read(transport: Transport) -> None:
    """Answers are held up: a bounded amount is kept, then the one who does not read is cut off as stalled; others are served."""
    async with (
        transport.serve(Giving().both, limits=LIMITS) as server,
        proxy_for(server.url) as proxy,
        anyio.create_task_group() as group,
        transport.connect(proxy.url) as deaf,
    ):
        victim = await first_peer(server)
        proxy.connections[0].to_client.stall()
        for _ in range(50):
            group.start_soon(ask_until_lost, deaf)
        async with transport.connect(server.url) as other:
            await until(lambda: State(victim).queued > LIMITS.outbox_high)
            answered = 0
            while victim.is_open:
                assert await other.remote(tools).call(Add(a=answered, b=1)) == answered + 1
                answered += 1
                assert State(victim).queued <= MOST
        assert answered >= 3
        assert await victim.wait_closed() is CloseReason.WRITE_STALLED
        await until(lambda: State(victim).is_idle)
        proxy.connections[0].reset()
        await deaf.wait_closed()


@pytest.mark.fault(42)
@over()
async def test_callers_of_one_who_does_not_read(transport: Transport) -> None:
    """Requests are held up: callers and senders wait, each for its own timeout, and a bounded amount is kept; it may read on."""
    there = Tools()
    ended: Counter[object] = Counter()
    most = 0

    async def call(peer: Peer) -> None:
        nonlocal most
        with pytest.raises(CallTimeout) as caught:
            await peer.remote(tools).call(Echo(data=bytes(SIZE)), timeout=0.2)
        ended[caught.value.executed] += 1
        most = max(most, State(peer).queued)

    async def send(peer: Peer) -> None:
        with pytest.raises(SendTimeout):
            await peer.remote(tools).send(Say(text="x" * SIZE), timeout=0.2)
        ended["send"] += 1

    async with (
        transport.serve(there.services) as server,
        proxy_for(server.url) as proxy,
        transport.connect(proxy.url) as peer,
    ):
        await first_peer(server)
        proxy.connections[0].to_server.stall()
        async with anyio.create_task_group() as group:
            for _ in range(60):
                group.start_soon(call, peer)
            await until(lambda: State(peer).waiting > 0)
            for _ in range(20):
                group.start_soon(send, peer)
        assert ended["send"] == 20
        assert ended[Executed.NO] > 0
        assert ended[Executed.NO] + ended[Executed.UNKNOWN] == 60
        assert most <= Limits().outbox_high + SIZE + 1000
        assert peer.is_open
        assert there.said == []
        proxy.connections[0].to_server.go_on()
        assert await peer.remote(tools).call(Add(a=1, b=1)) == 2


class Half(Link):
    """It takes a part of what it is given, a little later, and then nothing any more."""

    def __init__(self) -> None:
        self.receiver: Receiver
        self.given = 0
        self.asked = 0

    def start(self, receiver: Receiver) -> None:
        self.receiver = receiver

    def write(self, buffers: list[bytes]) -> bool:
        self.given += sum(map(len, buffers))
        return False

    @property
    def unsent(self) -> int:
        self.asked += 1
        return self.given // 2

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def end_writing(self) -> None:
        pass

    def abort(self) -> None:
        self.receiver.connection_lost("")


@pytest.mark.fault(40, 42)
async def test_a_stall_is_counted_from_when_it_began() -> None:
    """The transport takes half of the answers, and nobody tells: it is asked again and again in the time in which it may stall, so that
    the half counts as taken when it was, and not twice the time goes by before the remote is cut."""
    link = Half()
    limits = Limits(answers_stalled=2.0)
    settings = PeerSettings(wireformat=find_wireformat("msgpack"), services=Giving().both, limits=limits)
    async with engine_here() as engine, running_peer(engine, link, settings) as peer:
        for cid in range(1, 9):
            link.receiver.data_received(
                frame(gifts.sid(Give), cid, b"\x81\xa4size\xce" + SIZE.to_bytes(4, "big"))
            )
        assert await peer.wait_closed() is CloseReason.WRITE_STALLED
        assert link.asked >= 5
