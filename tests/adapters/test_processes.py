"""Real processes that are killed."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

import anyio
import pytest
from tests.adapters.common import ROOT, Add, Hold, State, Tools, environment, tools, until

from duologue import CallBudget, CallError, CloseReason, Executed, connect, serve

OWED, CALLERS = 1024, 9000
"""Calls that can be out, and callers: 8,192 of them could wait for room."""


@pytest.fixture
def server_process(anyio_backend: tuple[str, object]) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server in another process, and its URL."""
    with running("tests.adapters.hanging_server", anyio_backend[0]) as process:
        assert process.stdout is not None
        yield process, process.stdout.readline().strip()


@contextmanager
def running(module: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Another process, which ends with the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
        cwd=ROOT,
    )
    assert process.stdout is not None
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.mark.fault(53)
async def test_a_server_is_killed_while_thousands_wait(
    server_process: tuple[subprocess.Popen[str], str],
) -> None:
    """The other process is killed with SIGKILL under 9,000 callers: each gets exactly one error, at once, and `executed`
    is unknown for the 1,024 calls that were sent, and no for those that still waited for room."""
    process, url = server_process
    failed: Counter[Executed] = Counter()
    async with connect(url, wireformat="msgpack") as peer:
        remote = peer.remote(tools)

        async def call() -> None:
            with pytest.raises(CallError) as caught:
                await remote.call(Hold(name="x"), timeout=None)
            failed[caught.value.executed] += 1

        async with anyio.create_task_group() as group:
            for _ in range(CALLERS):
                group.start_soon(call)
            # All that can leave has left: the calls that could be sent, to the last byte.
            await until(lambda: State(peer).pending == OWED and State(peer).queued == 0)
            process.send_signal(signal.SIGKILL)
            start = perf_counter()
        took = perf_counter() - start
    assert failed == {Executed.UNKNOWN: OWED, Executed.NO: CALLERS - OWED}
    assert took < 5, "a second on a machine that has nothing else to do"


@pytest.mark.fault(41, 46, 53)
async def test_a_client_is_killed_while_its_calls_run(anyio_backend: tuple[str, object]) -> None:
    """A client that holds all permits of a shared budget is killed with SIGKILL: its handlers are cancelled, others go on."""
    there, budget = Tools(), CallBudget(20)
    async with serve("tcp://127.0.0.1:0", there.services, wireformat="msgpack", budget=budget) as server:
        with running("tests.adapters.hanging_client", anyio_backend[0], server.url) as process:
            await there.until(lambda: there.running == 20)
            [victim] = server.peers
            async with connect(server.url, wireformat="msgpack") as other, anyio.create_task_group() as group:
                answers: list[int] = []

                async def call() -> None:
                    answers.append(await other.remote(tools).call(Add(a=1, b=1)))

                group.start_soon(call)
                await until(lambda: budget.waiting == 2)
                assert answers == []
                start = perf_counter()
                process.send_signal(signal.SIGKILL)
                await until(lambda: answers == [2])
                assert perf_counter() - start < 5, "0.1 s on a machine that has nothing else to do"
            reason = await victim.wait_closed()
        assert reason in (CloseReason.CLOSED_BY_REMOTE, CloseReason.TRANSPORT_FAILED)
        await until(lambda: len(there.cancelled) == 20 and budget.in_use == budget.waiting == 0)


async def test_two_processes_talk(server_process: tuple[subprocess.Popen[str], str]) -> None:
    """Nothing but a URL between them: typed calls to another process, which then ends politely or not."""
    process, url = server_process
    async with connect(url, wireformat="msgpack") as peer:
        assert [await peer.remote(tools).call(Add(a=n, b=1)) for n in range(100)] == list(range(1, 101))
        process.terminate()
        reason = await peer.wait_closed()
    assert reason in (CloseReason.CLOSED_BY_REMOTE, CloseReason.TRANSPORT_FAILED)
