"""What is urgent does not stand behind everything that is large: pings, on links that take next to nothing."""

from __future__ import annotations

import anyio
import anyio.lowlevel
import pytest
from tests.adapters.common import Echo, tools, until
from tests.adapters.websocket_ends import MIB, REQUEST

from duologue import Limits, PeerSettings
from duologue.plugins import find_wireformat
from duologue_adapters import LayeredLink, Link
from duologue_adapters.engines import engine_here
from duologue_adapters.layers.websocket import WebSocketServer
from duologue_adapters.ports import Receiver
from duologue_adapters.server import running_peer
from duologue_adapters.zeromq.messages import HEADER_SIZE, WINDOW, Kind, parse
from duologue_adapters.zeromq.session import HEARTBEAT, Session

PING = 0x89
BINARY = 0x02


class Full(Link):
    """A link that has taken what it was given only when the test says so."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.receiver: Receiver
        self._holds = 0

    def start(self, receiver: Receiver) -> None:
        self.receiver = receiver

    def write(self, buffers: list[bytes]) -> bool:
        self.writes.append(b"".join(buffers))
        self._holds = len(self.writes[-1])
        return False

    def take(self) -> None:
        self._holds = 0
        self.receiver.all_written()

    @property
    def unsent(self) -> int:
        return self._holds

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def end_writing(self) -> None:
        pass

    def abort(self) -> None:
        self.receiver.connection_lost("")


@pytest.mark.fault(49)
async def test_a_ping_is_behind_one_frame_at_most() -> None:
    """Five frames of 1 MiB are to be sent over WebSocket, and the link has the first and takes no more: a ping that becomes due is
    the very next, before the other four."""
    below = Full()
    layer = WebSocketServer(origins=[], path="", find_page=None, limits=Limits(), heartbeat=HEARTBEAT)
    async with engine_here() as engine, anyio.create_task_group() as group:
        link = LayeredLink(engine, below, layer)
        group.start_soon(link.open)
        await until(lambda: hasattr(below, "receiver"))
        below.receiver.data_received(REQUEST % b"")
        below.take()
        await until(lambda: layer.is_open)
        async with running_peer(
            engine,
            link,
            PeerSettings(wireformat=find_wireformat("msgpack"), limits=Limits(close_timeout=0.1)),
        ) as peer:
            for _ in range(5):
                group.start_soon(peer.remote(tools).send, Echo(data=bytes(MIB - 100)))
            await until(lambda: len(below.writes[-1]) > MIB // 2)
            assert len(below.writes[-1]) < MIB + 1000
            layer.handle_timer(engine.now() + HEARTBEAT)
            below.take()
            await until(lambda: len(below.writes) > 2)
            assert below.writes[2][0] == PING
            while not any(write[0] == BINARY for write in below.writes[3:]):
                below.take()
                await anyio.lowlevel.checkpoint()
            group.cancel_scope.cancel()


@pytest.mark.fault(49)
def test_a_ping_is_behind_one_window_at_most() -> None:
    """ZeroMQ's link protocol: 5 MiB are to be sent, and before a ping not more leaves than there is credit for, which is 1 MiB."""
    now = 100.0
    client = Session(b"abcdefgh", now)
    client.open()
    server = Session(b"abcdefgh", now)
    server.set_window(parse(client.messages_to_send()[0]))
    server.confirm(now)
    assert server.messages_to_send()
    server.send_data([bytes(MIB)] * 5)
    before = server.messages_to_send()
    server.handle_timer(now + HEARTBEAT)
    after = server.messages_to_send()
    assert MIB // 2 < sum(len(each) - HEADER_SIZE for each in before) <= WINDOW == MIB
    assert parse(after[0]).kind is Kind.PING
    assert len(after[0]) == HEADER_SIZE
