"""Handlers that fail: who learns what of it, on the wire, in the log, and by the events of the peer."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import anyio
import pytest
from tests.adapters.common import (
    FAILURES,
    Add,
    Echo,
    Fail,
    Say,
    State,
    Tools,
    Unusual,
    connected,
    frame,
    next_event,
    raw_client,
    tools,
    turn,
    until,
)

from duologue import (
    ErrorKind,
    Executed,
    FailureKind,
    Limits,
    Message,
    Namespace,
    RemoteError,
    RequestFailed,
    Services,
    connect,
    serve,
)


class Raise(Message[None]):
    how: str


class Wrong(Message[int]):
    pass


class RaiseInThread(Message[None]):
    how: str


class RaiseInline(Message[None]):
    how: str


failing = Namespace("failing", [Raise, RaiseInThread, RaiseInline, Wrong])


def failing_services() -> Services:
    services = Services(failing)

    @services.handler
    async def raise_(msg: Raise) -> None:
        raise FAILURES[msg.how]()

    @services.handler
    def raise_in_thread(msg: RaiseInThread) -> None:
        raise FAILURES[msg.how]()

    @services.handler(inline=True)
    def raise_inline(msg: RaiseInline) -> None:
        raise FAILURES[msg.how]()

    async def wrong(msg: Wrong) -> Any:
        return "no number"

    services.handler(Wrong, wrong)
    return services


@pytest.mark.fault(59, 45)
@pytest.mark.parametrize("how", FAILURES)
async def test_a_handler_that_raises(how: str, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever a handler raises, in a task, a thread or in place: InternalServerError, and the connection goes on."""
    with caplog.at_level(logging.CRITICAL, "duologue"):
        async with connected("mem://failing", failing_services(), limits=Limits(calls=1)) as (client, server):
            remote = client.remote(failing)
            for message in (Raise(how=how), RaiseInThread(how=how), RaiseInline(how=how)):
                for _ in range(3):  # more often than there are permits
                    with pytest.raises(RemoteError) as caught:
                        await remote.call(message)
                    assert caught.value.kind is ErrorKind.INTERNAL_SERVER_ERROR
                    assert caught.value.executed is Executed.UNKNOWN
                await remote.send(message)
            await until(lambda: State(server).is_idle)
            assert client.is_open


@pytest.mark.fault(59)
@pytest.mark.parametrize("where", [Raise, RaiseInThread, RaiseInline])
async def test_what_observers_are_told(where: Any, caplog: pytest.LogCaptureFixture) -> None:
    """The exception itself is in the event, with its service and call; it stays on this side."""
    with caplog.at_level(logging.CRITICAL, "duologue"):
        async with connected("mem://told", failing_services()) as (client, server):
            events = server.events()
            with pytest.raises(RemoteError):
                await client.remote(failing).call(where(how="base"))
            event = await next_event(events)
            assert isinstance(event, RequestFailed)
            assert isinstance(event.error, Unusual)
            assert (event.kind, event.cid) == (FailureKind.HANDLER_FAILED, 1)
            assert event.service == f"failing::{where.__name__}"
            assert event.sid == failing.sid(where)


@pytest.mark.fault(24, 25)
async def test_what_goes_wrong_without_a_handler(url: str, caplog: pytest.LogCaptureFixture) -> None:
    """Unknown service, undecodable message, wrong answer: each is an event of its kind, for calls and for sends."""
    unknown, bad = frame(12345, 0), frame(tools.sid(Add), 0, b"\xff")
    there, services = Tools(), failing_services()
    async with (
        serve("tcp://127.0.0.1:0", there.services, wireformat="cbor") as server,
        raw_client(server.url) as raw,
    ):
        await until(lambda: bool(tuple(server.peers)))
        [peer] = server.peers
        events = peer.events()
        await raw.send(unknown + bad)
        kinds = []
        for _ in range(2):
            event = await next_event(events)
            assert isinstance(event, RequestFailed)
            kinds.append(event.kind)
        assert sorted(kinds) == [FailureKind.DESERIALIZE, FailureKind.UNKNOWN_SERVICE]
    with caplog.at_level(logging.CRITICAL, "duologue"):
        async with connected(url, services) as (client, remote_peer):
            events = remote_peer.events()
            with pytest.raises(RemoteError) as caught:
                await client.remote(failing).call(Wrong())
            assert caught.value.kind is ErrorKind.INTERNAL_SERVER_ERROR
            event = await next_event(events)
            assert isinstance(event, RequestFailed)
            assert event.kind is FailureKind.SERIALIZE


@pytest.mark.fault(80)
@pytest.mark.parametrize("wireformat", ["cbor", "msgpack", "json"])
async def test_nothing_of_an_exception_is_on_the_wire(
    wireformat: str, caplog: pytest.LogCaptureFixture
) -> None:
    """An error says kind and ids: no text, type, path or traceback of the exception, and no name of the peer."""
    there = Tools()
    with caplog.at_level(logging.CRITICAL, "duologue"):
        async with (
            serve("tcp://127.0.0.1:0", there.services, wireformat=wireformat, name="hush-hush") as server,
            connect(server.url, wireformat=wireformat) as peer,
            raw_client(server.url) as raw,
        ):
            encoded = {how: peer.wireformat.codec(Fail).encode(Fail(how=how)) for how in FAILURES}
            requests = [
                frame(tools.sid(Fail), number, data) for number, data in enumerate(encoded.values(), 1)
            ]
            requests.append(frame(tools.sid(Echo), 100, b"\xc1secret"))
            requests.append(frame(4711, 101, b"secret"))
            requests.append(
                frame(tools.sid(Fail), 102, peer.wireformat.codec(Fail).encode(Fail(how="KeyError")))
            )
            await raw.send(b"".join(requests))
            for _ in requests:
                sid, _, payload = await raw.frame()
                assert sid == 0
                assert len(payload) < 128
            await raw.send(frame(0, 0)[:23] + b"\xff" * 100)  # and the frames go out of step
            raw.end_writing()
            everything = await raw.read_to_end()
    for word in (
        b"secret",
        b"passwd",
        b"Error:",
        b"Unusual",
        b"Traceback",
        b".py",
        b"tests",
        b"hush",
        b"Tools",
    ):
        assert word not in everything


@pytest.mark.fault(81)
@pytest.mark.parametrize("count", [35])
async def test_the_log_is_no_flood(
    count: int, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failing handler is logged with its traceback, at most ten times a second for a peer; how many were not is said."""
    there = Tools()
    clock = Clock()
    async with connected("mem://log", there.services) as (client, server):
        monkeypatch.setattr(server, "_now", clock)  # stands still: all of it happens within one second
        for _ in range(count):
            with pytest.raises(RemoteError):
                await client.remote(tools).call(Fail())
        records = [each for each in caplog.records if each.name == "duologue"]
        assert len(records) == 10
        for record in records:
            assert record.levelno == logging.ERROR
            assert record.exc_info is not None
            assert isinstance(record.exc_info[1], ValueError)
            assert "tools::Fail" in record.getMessage()
            assert f"0x{tools.sid(Fail):016x}" in record.getMessage()
        clock.now += 1.0
        with pytest.raises(RemoteError):
            await client.remote(tools).call(Fail())
        assert f"{count - 10} more failures were not logged" in caplog.text


class Clock:
    """The time, when somebody turns it on."""

    def __init__(self) -> None:
        self.now = anyio.current_time()

    def __call__(self) -> float:
        return self.now


@pytest.mark.fault(81)
async def test_what_a_remote_sends_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Unknown services, bad payloads, bytes in the place of frames: a remote can't write a line, or its text, into our log."""
    there = Tools()
    with caplog.at_level(logging.DEBUG, "duologue"):
        async with (
            serve("tcp://127.0.0.1:0", there.services, wireformat="json") as server,
            raw_client(server.url) as raw,
        ):
            for number in range(1, 100):
                await raw.send(frame(1000 + number, number, b"forged\n"))
                await raw.send(frame(tools.sid(Say), number + 1000, b"forged\nERROR all is lost"))
            await raw.send(b"forged\n" * 20)
            await raw.read_to_end()
    assert [each for each in caplog.records if each.name.startswith("duologue")] == []


# -- what must not be swallowed ---------------------------------------------------------------------------------

ENDS: list[tuple[str, Callable[[], BaseException]]] = [
    ("KeyboardInterrupt", KeyboardInterrupt),
    ("SystemExit", lambda: SystemExit(3)),
    ("group", lambda: BaseExceptionGroup("both", [ValueError(), SystemExit(3)])),
]


@pytest.mark.fault(59)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("where", ["task", "task that has waited", "in place", "thread"])
@pytest.mark.parametrize(("name", "make"), ENDS, ids=[name for name, _ in ENDS])
@pytest.mark.parametrize("url", ["mem://end", "tcp://127.0.0.1:0"])
@pytest.mark.parametrize("backend", ["asyncio", "uvloop", "trio"])
def test_the_end_of_the_process(
    backend: str,
    url: str,
    name: str,
    make: Callable[[], BaseException],
    where: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """`KeyboardInterrupt` and `SystemExit` in a handler are no failure of a call: they end the loop, as anywhere else."""
    services = Services(failing)

    if not where.startswith("task"):

        @services.handler(inline=where == "in place")
        def raise_inline(msg: Raise) -> None:
            raise make()
    else:

        @services.handler
        async def raise_(msg: Raise) -> None:
            if where != "task":
                await turn(3)
            raise make()

    async def main() -> None:
        async with connected(url, services) as (client, _):
            await client.remote(failing).call(Raise(how=""))

    caplog.set_level(logging.CRITICAL + 1)
    expected = SystemExit if name == "group" else type(make())
    with pytest.raises(BaseException) as caught:
        if backend == "uvloop":
            pytest.importorskip("uvloop")
            anyio.run(main, backend="asyncio", backend_options={"use_uvloop": True})
        else:
            anyio.run(main, backend=backend)
    error: BaseException = caught.value
    while isinstance(error, BaseExceptionGroup):
        part = error.subgroup(expected)
        assert part is not None
        error = part.exceptions[0]
    assert isinstance(error, expected)
    if name != "group":
        assert error is caught.value, "it must come out as it is"
