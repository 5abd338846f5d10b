"""The golden bytes of the original, in both directions, between a real peer and a socket that knows nothing of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.adapters.common import QUICK, RawRemote, first_peer, frame, next_event, raw_client, raw_server

from duologue import (
    CallError,
    ErrorKind,
    ErrorReported,
    Executed,
    Message,
    Namespace,
    RemoteError,
    Services,
    connect,
    serve,
    service_id,
)

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "base_frames.json").read_text(encoding="utf-8"))


class Add(Message[None], newtype=True):
    value: int


class Show(Message[int]):
    pass


class Sub(Message[None], newtype=True):
    value: int


remotes = Namespace("remotes", [Add, Show, Sub])


def golden(what: str) -> bytes:
    """The frame whose description begins so."""
    [found] = [each["frame"] for each in VECTORS["frames"] if each["what"].startswith(what)]
    return bytes.fromhex(found)


class Counter:
    """What the original's example serves: `Add` adds, `Show` tells the sum."""

    def __init__(self) -> None:
        self.sum = 0
        self.added = anyio.Event()
        self.services = Services(remotes)
        self.services.handler(self.add)
        self.services.handler(self.show)

    async def add(self, msg: Add) -> None:
        self.sum += msg.value
        self.added.set()

    async def show(self, msg: Show) -> int:
        return self.sum


@pytest.mark.parametrize("vector", VECTORS["service_ids"], ids=lambda vector: vector["name"])
def test_service_ids(vector: dict[str, str]) -> None:
    """The names of the original's services give its ids."""
    assert service_id(vector["namespace"], vector["name"]) == int(vector["sid"], 16)
    assert remotes.sid(globals()[vector["name"]]) == int(vector["sid"], 16)


@pytest.mark.parametrize("vector", VECTORS["frames"], ids=lambda vector: vector["what"])
def test_the_vectors_are_frames(vector: dict[str, Any]) -> None:
    """Each is made of the ids and the payload that it is said to have: the tests below can trust them."""
    payload = bytes.fromhex(vector["payload"])
    assert frame(int(vector["sid"], 16), vector["cid"], payload).hex() == vector["frame"]


@pytest.mark.parametrize("size", [1, 7, 1000])
async def test_a_server_reads_and_writes_them(size: int) -> None:
    """A bare socket sends golden requests, cut into pieces of any size, and receives golden answers, byte for byte."""
    counter = Counter()
    async with (
        serve("tcp://127.0.0.1:0", counter.services, wireformat="cbor") as server,
        raw_client(server.url) as remote,
    ):
        await send_in_pieces(remote, golden("send Add(5)"), size)
        await counter.added.wait()
        assert counter.sum == 5
        await send_in_pieces(remote, golden("call Add(5)"), size)
        assert await remote.frame() == (2**64 - 1, 1, b"\xf6")
        await send_in_pieces(remote, golden("call Show"), size)
        await remote.frame()
        assert remote.received == golden("response ()") + golden("response 10")
        await send_in_pieces(remote, frame(1, 2, b"\x05"), size)
        await remote.frame()
        assert remote.received.endswith(golden("error UnknownService"))


async def test_a_server_reads_errors() -> None:
    """An error about the connection is an event of the server's peer, and nothing is said to it."""
    async with serve("tcp://127.0.0.1:0", wireformat="cbor") as server, raw_client(server.url) as remote:
        events = (await first_peer(server)).events()
        await remote.send(golden("error DeserializeWireFormat"))
        event = await next_event(events)
        assert isinstance(event, ErrorReported)
        assert (event.kind, event.cid, event.text) == (ErrorKind.DESERIALIZE_WIREFORMAT, 0, "x")
        remote.end_writing()
        assert await remote.read_to_end() == b""


async def test_a_client_writes_and_reads_them() -> None:
    """The client's bytes are the golden ones, in the order of the calls, and golden answers are what its calls return."""
    async with raw_server() as (url, accept), connect(url, wireformat="cbor", limits=QUICK) as peer:
        server = await accept()
        remote = peer.remote(remotes)
        await remote.send(Add(5))
        await server.frame()
        assert server.received == golden("send Add(5)")
        answers: dict[str, object] = {}
        async with anyio.create_task_group() as group:

            async def call(message: Message[Any]) -> None:
                answers[type(message).__name__] = await remote.call(message)

            group.start_soon(call, Add(5))
            await server.frame()
            group.start_soon(call, Show())
            await server.frame()
            expected = golden("send Add(5)") + golden("call Add(5)") + golden("call Show")
            assert server.received == expected
            # Out of order, and in pieces that fit to nothing.
            answer = golden("response 10") + golden("response ()")
            await server.send(answer[:30])
            await server.send(answer[30:])
        assert answers == {"Add": None, "Show": 10}


@pytest.mark.parametrize(
    ("what", "call_id", "kind", "executed"),
    [
        ("error InternalServerError", 1, ErrorKind.INTERNAL_SERVER_ERROR, Executed.UNKNOWN),
        ("error UnknownService", 2, ErrorKind.UNKNOWN_SERVICE, Executed.NO),
    ],
)
async def test_a_client_reads_errors(what: str, call_id: int, kind: ErrorKind, executed: Executed) -> None:
    """A golden error ends the call that it names, with its kind, and the connection goes on."""
    async with raw_server() as (url, accept), connect(url, wireformat="cbor", limits=QUICK) as peer:
        server = await accept()
        remote = peer.remote(remotes)

        async def answer_with(data: bytes) -> None:
            await server.frame()
            await server.send(data)

        async with anyio.create_task_group() as group:
            for _ in range(call_id - 1):  # so that the next call has the id of the vector
                group.start_soon(answer_with, golden("response ()"))
                await remote.call(Add(5))
            group.start_soon(answer_with, golden(what))
            with pytest.raises(RemoteError) as caught:
                await remote.call(Add(5))
        assert isinstance(caught.value, CallError)
        assert (caught.value.kind, caught.value.executed) == (kind, executed)
        assert peer.is_open


async def send_in_pieces(remote: RawRemote, data: bytes, size: int) -> None:
    for start in range(0, len(data), size):
        await remote.send(data[start : start + size])
