"""Rows about what goes wrong: each many times, always with the same ending, and the connection stays as good as before."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

from duologue import FrameTooLarge, Peer, RemoteError
from duologue_contrib.demo.messages import (
    SECRET,
    Add,
    Fail,
    Fill,
    Hang,
    Logged,
    Note,
    Unserved,
    nobodys,
    server_side,
)
from duologue_contrib.demo.parallel import Endings, in_parallel
from duologue_contrib.demo.rows import Outcome, Row, expect
from duologue_contrib.demo.stage import Stage

COUNT = 500
COUNT_LARGE = 50
"""Where each one costs a megabyte."""
COUNT_HANGING = 50
"""Half of the budget. In base mode a call that was given up goes on at the server, and keeps its permit."""
AT_ONCE = 64

MIB = 1024 * 1024
TIMEOUT = 0.25
LATE = 2.0
"""Seconds after a timeout's end when it would be called late, on a machine that is busy."""

Fault = Callable[[Peer], Awaitable[object]]


SECTION = "Faults, each many times: every one ends in the same way, and the connection is as good as before"


def fault_rows() -> list[Row]:
    """All of them."""
    return [
        Row("a handler that raises", handler_raises, SECTION),
        Row("a service that nobody serves", unknown_service, SECTION),
        Row("a payload of garbage", bad_payload, SECTION),
        Row("a message over the frame limit", message_too_large, SECTION),
        Row("an answer over the frame limit", answer_too_large, SECTION),
        Row(f"no answer within {TIMEOUT:g} s", no_answer, SECTION),
    ]


async def provoke(stage: Stage, peer: Peer, fault: Fault, count: int, expected: str) -> tuple[Endings, float]:
    """Make the same mistake `count` times. Each must end as expected, and the connection must work as before."""
    endings = Endings()

    async def once(number: int) -> None:
        await endings.note(fault(peer))

    stage.progress.begin("faults", count, endings)
    seconds = await in_parallel(count, AT_ONCE, once, stage.progress.step)
    expect(endings.counts == {expected: count}, f"{count:,} {expected}", str(endings))
    total = await peer.remote(server_side).call(Add(a=20, b=22))
    expect(
        total == 42 and peer.is_open, "the connection to stay as it was", f"20 + 22 = {total} from {peer!r}"
    )
    return endings, seconds


async def _fault(stage: Stage, fault: Fault, count: int, expected: str, remark: str = "") -> Outcome:
    async with stage.connection() as peer:
        endings, seconds = await provoke(stage, peer, fault, count, expected)
    return Outcome(f"{endings}{remark}; connection stays", count, seconds, "faults")


async def handler_raises(stage: Stage) -> Outcome:
    """The caller learns that it failed, and nothing else. The traceback is in the server's log."""
    async with stage.connection() as peer:
        remote = peer.remote(server_side)
        before = await remote.call(Logged())
        ending = "RemoteError InternalServerError (executed: unknown)"
        endings, seconds = await provoke(stage, peer, lambda _: remote.call(Fail()), COUNT, ending)
        logged = await remote.call(Logged()) - before
    error = endings.last
    assert isinstance(error, RemoteError)
    told = f"{error} {error.message} {error.details}"
    expect("swordfish" not in told and SECRET not in told, "no word of the exception's text", told)
    expect(logged > 0, "tracebacks in the server's log", logged)
    text = f"{endings}, no text of it; {logged} tracebacks in the server's log; connection stays"
    return Outcome(text, COUNT, seconds, "faults")


async def unknown_service(stage: Stage) -> Outcome:
    """It was certainly not executed: `executed` says so."""
    ending = "RemoteError UnknownService (executed: no)"
    return await _fault(stage, lambda peer: peer.remote(nobodys).call(Unserved()), COUNT, ending)


async def bad_payload(stage: Stage) -> Outcome:
    """Bytes that are not json, to a service that exists."""
    sid = server_side.sid(Add)
    ending = "RemoteError Deserialize (executed: no)"
    return await _fault(stage, lambda peer: peer.call_raw(sid, b"\xff\x00 not json"), COUNT, ending)


async def message_too_large(stage: Stage) -> Outcome:
    """Refused here, before a byte of it leaves."""
    text = "x" * MIB

    async def send(peer: Peer) -> None:
        try:
            await peer.remote(server_side).send(Note(text=text))
        except FrameTooLarge as error:
            expect(error.size > error.limit == MIB, f"a limit of {MIB} and a size over it", error)
            raise

    return await _fault(stage, send, COUNT_LARGE, "FrameTooLarge", " of this end; nothing sent")


async def answer_too_large(stage: Stage) -> Outcome:
    """The server can't send it, and says so at once: nobody waits for the timeout."""
    ending = "RemoteError InternalServerError (executed: unknown)"
    began = time.perf_counter()
    outcome = await _fault(
        stage, lambda peer: peer.remote(server_side).call(Fill(size=2 * MIB)), COUNT_LARGE, ending
    )
    seconds = time.perf_counter() - began
    expect(seconds < 10, "an end at once", f"{seconds:.1f} s")
    return outcome


async def no_answer(stage: Stage) -> Outcome:
    """The message has left, so the handler may have run."""
    ending = "CallTimeout (executed: unknown)"

    async def hang(peer: Peer) -> None:
        await peer.remote(server_side).call(Hang(), timeout=TIMEOUT)

    outcome = await _fault(stage, hang, COUNT_HANGING, ending)
    expect(
        TIMEOUT <= outcome.seconds < TIMEOUT + LATE, f"an end after {TIMEOUT:g} s", f"{outcome.seconds:.2f} s"
    )
    return outcome
