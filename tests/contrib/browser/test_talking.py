"""A page, played by Node.js, and a server over a real WebSocket, in every wire format."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from tests.contrib.browser.nodes import Node, every_node, installed_nodes, npm_package, page
from tests.contrib.browser.talk import (
    Blob,
    Broken,
    Deep,
    Double,
    Note,
    Talker,
    Unserved,
    show,
)

from duologue import (
    CloseReason,
    ErrorKind,
    Executed,
    FrameTooLarge,
    Peer,
    RemoteError,
    Server,
    serve,
)

MIB = 1024 * 1024


@asynccontextmanager
async def talking(wireformat: str) -> AsyncIterator[tuple[Server, list[Peer], Talker]]:
    """A server for pages, the peers that it has had, and what its handlers saw."""
    talker, peers = Talker(), list[Peer]()
    async with serve(
        "ws://127.0.0.1:0", talker.services, wireformat=wireformat, on_peer=peers.append, origins=[]
    ) as server:
        yield server, peers, talker


async def test_calls_in_both_directions(wireformat: str) -> None:
    """A thousand calls and a thousand one-way messages each way, all at once: each answer is the right one, none is missing."""
    async with (
        talking(wireformat) as (server, peers, talker),
        page("bothWays", server.url, wireformat) as there,
    ):
        assert await there.lines("right", "sent", "added") == [1000, True, 42]
        assert sorted(talker.notes) == list(range(1000))
        remote = peers[0].remote(show)
        answers: dict[int, int] = {}

        async def call(number: int) -> None:
            answers[number] = await remote.call(Double(number))

        async with anyio.create_task_group() as group:
            for number in range(1000):
                group.start_soon(call, number)
        assert answers == {number: 2 * number for number in range(1000)}
        for number in range(1000):
            await remote.send(Note(number))
        assert await remote.call(Double(2**52 - 1)) == 2**53 - 2
        await there.go_on()
        assert await there.lines("notes", "sum") == [1000, 499_500]
        assert await peers[0].wait_closed() is CloseReason.CLOSED_BY_REMOTE
        assert await there.lines("reason", "code") == ["closed locally", 1000]


async def test_frames_of_exactly_the_limit(wireformat: str) -> None:
    """A mebibyte each way passes; a byte more is refused where it would be sent, and the connection goes on."""
    async with talking(wireformat) as (server, peers, _), page("mebibyte", server.url, wireformat) as there:
        assert await there.line() == {"same": True}
        assert await there.line() == {"name": "FrameTooLarge", "kind": "FrameTooLarge", "executed": "no"}
        assert await there.line() == {"still": 1}
        largest = MIB - 24 - (2 if wireformat == "json" else 5)
        remote = peers[0].remote(show)
        assert await remote.call(Blob(largest)) == "x" * largest
        with pytest.raises(RemoteError) as caught:
            await remote.call(Blob(largest + 1))
        assert caught.value.kind is ErrorKind.INTERNAL_SERVER_ERROR
        with pytest.raises(FrameTooLarge):
            await peers[0].call_raw(7, bytes(MIB - 24 + 1))
        await there.go_on()
        assert await there.line() == {"open": True}


async def test_how_calls_end(wireformat: str) -> None:
    """Timeout, abort, errors of every kind and a connection that is lost: each says whether the handler may have run."""
    async with talking(wireformat) as (server, peers, _), page("outcomes", server.url, wireformat) as there:
        timeout, aborted, unknown, unread, failed, deep = await there.lines(
            "timeout", "aborted", "unknown", "unread", "failed", "deep"
        )
        assert timeout == {
            "name": "CallTimeout",
            "kind": "Timeout",
            "executed": "unknown",
            "service": "calc::Hold",
        }
        assert (aborted["name"], aborted["executed"]) == ("AbortError", "unknown")
        assert [
            (each["name"], each["kind"], each["executed"], each["service"])
            for each in (unknown, unread, failed)
        ] == [
            ("RemoteError", "UnknownService", "no", "calc::Nothing"),
            ("RemoteError", "Deserialize", "no", "calc::Add"),
            ("RemoteError", "InternalServerError", "unknown", "calc::Fail"),
        ]
        assert deep == 19
        remote = peers[0].remote(show)
        assert await remote.call(Deep(20)) == 20
        for message, kind, executed in (
            (Broken(), ErrorKind.INTERNAL_SERVER_ERROR, Executed.UNKNOWN),
            (Unserved(), ErrorKind.UNKNOWN_SERVICE, Executed.NO),
        ):
            with pytest.raises(RemoteError) as caught:
                await remote.call(message)
            assert (caught.value.kind, caught.value.executed) == (kind, executed)
            assert "secret" not in str(caught.value)
        with pytest.raises(RemoteError) as caught:
            await peers[0].call_raw(show.sid(Double), b"\xc1")
        assert caught.value.kind is ErrorKind.DESERIALIZE
        await there.go_on()
        assert await there.line() == {"events": ["HandlerFailed", "UnknownService", "Deserialize"]}


async def test_values_come_back_as_they_went(wireformat: str) -> None:
    """Integers up to 64 bits exactly, floats, texts, bytes, nested things, maps with integer keys."""
    async with talking(wireformat) as (server, _, _), page("values", server.url, wireformat) as there:
        assert await there.line() == {
            "sum": sum(index % 256 for index in range(1000)),
            "values": 19 if wireformat == "json" else 22,
        }


@every_node
async def test_every_node(node: Node, wireformat: str) -> None:
    """The same in each version of Node.js that there is, with the WebSocket that it has."""
    async with (
        talking(wireformat) as (server, _, _),
        page("values", server.url, wireformat, node=node) as there,
    ):
        assert "sum" in await there.line()


async def test_a_websocket_that_is_brought_along(npm_folder: Path) -> None:
    """The package `ws`, for a Node.js without a WebSocket: calls, and a 403 that it is told, so that it gives up at once."""
    npm_package("ws@8", npm_folder)
    async with talking("cbor") as (server, peers, _):
        async with page("injected", server.url, "cbor", str(npm_folder)) as there:
            assert await there.line() == {"right": 100}
            assert await peers[0].remote(show).call(Double(21)) == 42
            await there.go_on()
            (gave_up,) = await there.lines("gaveUp")
            assert gave_up["name"] == "ReconnectFailed"
            assert len(peers) == 1


def test_there_is_a_node() -> None:
    """Node.js comes as a wheel with the type checkers, so these tests are never left out silently."""
    assert installed_nodes()
