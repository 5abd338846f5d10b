"""One subscriber of a thousand does not read: the others get everything, in order, and in time."""

from __future__ import annotations

import socket
import struct
from time import monotonic

import anyio
import anyio.lowlevel
from tests.torture.attackers import crowd
from tests.torture.messages import Tick, news
from tests.torture.processes import mib, victim
from tests.torture.setting import Finding, Setting, exactly

from duologue import Peer, connect

BATCH = 25
SIZE = 8_000
FEED = 2.0
"""MiB that one stalled subscriber may cost: a feed of 1 MiB, and what is on its way."""


async def stalled_subscriber(setting: Setting) -> list[Finding]:
    """For the first half of what is published all of them read, and then one stops."""
    count = setting.pick(1_000, 100)
    batches = setting.pick(40, 20)
    url = f"unix://{setting.folder}/subscribers"  # whose buffers are small, and stay so
    async with victim(setting, url, subscribes=True, limits={"requests_stalled": 3600.0}) as server:
        with crowd(server.url, count - 1) as readers, crowd(server.url, 1) as (sleeper,):
            await server.until(peers=count)
            async with connect(server.url, wireformat="msgpack") as publisher:
                await server.until(peers=count + 1)
                readings = {sock: Reading() for sock in (*readers, sleeper)}
                stopped = Reading()
                base = 0
                start = monotonic()
                for batch in range(batches):
                    if batch == batches // 2:
                        base = await server.trimmed()
                        stopped = readings.pop(sleeper)
                    await _publish(publisher, batch)
                    await _read(readings, (batch + 1) * BATCH)
                took = monotonic() - start
                # Between two bursts: how high it rises in one depends on who of a thousand readers comes when.
                grown = await server.trimmed() - base
                subscribed = (await server.held())["subscriptions"]
            # It has slept through much of it, and is served on.
            last = batches * BATCH
            while stopped.last < last - 1:
                stopped.read(sleeper)
                await anyio.lowlevel.checkpoint()
        left = await server.settled(peers=0)
        return [
            *exactly(
                "subscribers that got everything",
                sum(each.count == last for each in readings.values()),
                count - 1,
            ),
            *exactly("of them in order", sum(each.is_in_order for each in readings.values()), count - 1),
            Finding("messages delivered in a second", round(last * (count - 1) / took)),
            Finding("memory for the one who does not read", mib(grown), FEED, "MiB"),
            Finding("published meanwhile", mib(last // 2 * SIZE), unit="MiB"),
            Finding("messages that it missed", last - stopped.count, 1, is_least=True),
            *exactly("subscribed in the end", subscribed, count + 1),
            *exactly("subscriptions left", left["subscriptions"], 0),
        ]


async def _publish(publisher: Peer, batch: int) -> None:
    for number in range(batch * BATCH, (batch + 1) * BATCH):
        await publisher.remote(news).send(Tick(number=number, data=bytes(SIZE)))


async def _read(readings: dict[socket.socket, Reading], expected: int) -> None:
    """Until each of them has got so many."""
    while any(reading.count < expected for reading in readings.values()):
        for sock, reading in readings.items():
            reading.read(sock)
        await anyio.lowlevel.checkpoint()


class Reading:
    """What one of them has read, frame by frame, without the library."""

    def __init__(self) -> None:
        self.count = 0
        self.last = -1
        self.is_in_order = True
        self._rest = b""

    def read(self, sock: socket.socket) -> None:
        try:
            data = self._rest + sock.recv(262_144)
        except BlockingIOError:
            return
        offset = 0
        while len(data) - offset >= 24:
            size = struct.unpack_from("<Q", data, offset)[0]
            if offset + size > len(data):
                break
            number = _number(data, offset + 24)
            self.is_in_order = self.is_in_order and number > self.last
            self.last = number
            self.count += 1
            offset += size
        self._rest = data[offset:]


def _number(data: bytes, offset: int) -> int:
    """The value of `number`, the first field of a map in MessagePack."""
    begin = data.index(b"number", offset) + 6
    kind = data[begin]
    if kind < 0x80:
        return kind
    return int.from_bytes(data[begin + 1 : begin + 1 + {0xCC: 1, 0xCD: 2, 0xCE: 4}[kind]], "big")
