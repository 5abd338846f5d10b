"""Those who do harm: bare sockets, which know nothing of the library and keep none of its rules."""

from __future__ import annotations

import select
import socket
import struct
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic

import anyio
import anyio.lowlevel
from tests.adapters.common import frame
from tests.torture.messages import tools

from duologue import Message
from duologue.plugins import find_wireformat


def message_frame(message: Message[object], cid: int = 0) -> bytes:
    """A frame of one of the tools' messages: a call, or one way without an id."""
    codec = find_wireformat("msgpack").codec(type(message))
    return frame(tools.sid(type(message)), cid, codec.encode(message))


def connect_to(url: str, buffer: int = 0) -> socket.socket:
    """A socket that does not block, and takes in so many bytes at most; 0 for what the system thinks fit."""
    scheme, _, place = url.partition("://")
    if scheme == "unix":
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(place)
    else:
        host, port = place.rsplit(":", 1)
        sock = socket.socket()
        if buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        sock.connect((host, int(port)))
    sock.setblocking(False)
    return sock


@contextmanager
def crowd(url: str, count: int, buffer: int = 0) -> Iterator[list[socket.socket]]:
    """So many connections. They end with a reset, so that nothing of what was sent is still to be read then."""
    socks: list[socket.socket] = []
    try:
        for _ in range(count):
            socks.append(connect_to(url, buffer))
        yield socks
    finally:
        for sock in socks:
            reset(sock)


def reset(sock: socket.socket) -> None:
    """Vanish in the rudest way."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def is_cut(sock: socket.socket) -> bool:
    """Whether the other end has ended it. What it has sent is thrown away."""
    try:
        while data := sock.recv(65536):
            del data
        return True
    except BlockingIOError:
        return False
    except OSError:
        return True


def push(sock: socket.socket, data: bytes | memoryview) -> int:
    """Send what can be sent now. Says how many bytes; -1 if the connection is gone."""
    try:
        return sock.send(data)
    except BlockingIOError:
        return 0
    except OSError:
        return -1


@dataclass
class Flood:
    """What came of it."""

    sent: int = 0
    """Bytes."""
    stalled: float = 0.0
    """Of those that were cut: the most seconds that went by from the last byte that was taken to the cut."""
    cut: int = 0


async def flood(socks: list[socket.socket], block: bytes, until: Callable[[], bool]) -> Flood:
    """Send a block of frames again and again by all of them, as fast as it is taken, and read nothing; until all are cut, or else."""
    found = Flood()
    poll = select.poll()
    where = {sock.fileno(): 0 for sock in socks}
    taken = {sock.fileno(): monotonic() for sock in socks}
    by_number = {sock.fileno(): sock for sock in socks}
    for number in where:
        poll.register(number, select.POLLOUT)
    view = memoryview(block)
    while where and not until():
        for number, _ in poll.poll(0):
            sent = push(by_number[number], view[where[number] :])
            if sent < 0:
                poll.unregister(number)
                del where[number]
                found.cut += 1
                found.stalled = max(found.stalled, monotonic() - taken[number])
                continue
            found.sent += sent
            taken[number] = monotonic()
            where[number] = (where[number] + sent) % len(block)
        await anyio.sleep(0.002)
    return found


async def send_all(socks: Iterable[socket.socket], data: bytes) -> None:
    """Send the same by each, as far as it is taken, without waiting for those who don't."""
    for number, sock in enumerate(socks):
        push(sock, data)
        if number % 100 == 99:
            await anyio.lowlevel.checkpoint()


async def cut_times(
    socks: list[socket.socket], start: float, longest: float, dribble: bool = False
) -> list[float]:
    """When each of them was cut by the other end, in seconds from the start; those that were not, in `longest`, are left out.

    With `dribble` each sends a byte a second meanwhile.
    """
    left = list(socks)
    times: list[float] = []
    next_byte = monotonic() + 1
    while left and monotonic() - start < longest:
        gone = [sock for sock in left if is_cut(sock)]
        times += [monotonic() - start] * len(gone)
        if gone:
            known = set(gone)
            left = [sock for sock in left if sock not in known]
        if dribble and monotonic() >= next_byte:
            next_byte += 1
            await send_all(left, b"\0")
        await anyio.sleep(0.05)
    return times
