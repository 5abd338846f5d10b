"""`exec:`: a command that is started, talked to, and waited for, however it ends."""

from __future__ import annotations

import os
import shlex
import signal
import sys
from collections import Counter
from pathlib import Path
from time import perf_counter
from typing import Any

import anyio
import pytest
from tests.adapters.common import (
    Add,
    Echo,
    Hold,
    State,
    Tools,
    children_now,
    collect,
    environment,
    tools,
    turn,
    until,
)
from tests.adapters.stdio_child import Do, deeds
from tests.adapters.test_leaks import Gauge

from duologue import (
    CallError,
    CloseReason,
    ConnectFailed,
    ConnectionLost,
    Executed,
    Limits,
    Peer,
    connect,
    serve,
)
from duologue.plugins import find_wireformat
from duologue_adapters import child as child_module

QUICK = Limits(close_timeout=0.05, discard_timeout=0.05)
"""For children that don't hang up when they are told goodbye."""


@pytest.fixture
def child(anyio_backend: tuple[str, Any], monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of a child that does what it is told, on the engine that the test itself runs on."""
    monkeypatch.setenv("PYTHONPATH", environment()["PYTHONPATH"])
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    loop = "uvloop" if anyio_backend[1].get("use_uvloop") else "plain"
    return f"exec:{shlex.join([sys.executable, '-m', 'tests.adapters.stdio_child', anyio_backend[0], loop, '0'])}"


async def do(peer: Peer, what: str, number: int = 0) -> str:
    return await peer.remote(deeds).call(Do(what=what, number=number))


def status_of(peer: Peer) -> Any:
    return peer.info.extra["exit_status"]


async def test_calls_in_both_directions(child: str) -> None:
    """A child answers, and calls back while it does; it ends by itself when the block is left, with status 0."""
    before = children_now()
    async with connect(child, Tools().services, wireformat="msgpack", name="the child") as peer:
        assert await peer.remote(tools).call(Add(a=1, b=2)) == 3
        assert await do(peer, "call back", 41) == "42"
        assert peer.info.address == child
        assert peer.info.extra == {"pid": peer.info.extra["pid"], "exit_status": None}
        assert children_now() - before == {peer.info.extra["pid"]}
    assert status_of(peer) == 0
    assert await peer.wait_closed() is CloseReason.CLOSED_LOCALLY
    assert children_now() <= before


async def test_frames_of_the_largest_size(child: str) -> None:
    """Frames of exactly 1 MiB, which no pipe takes at once, twenty at a time in each direction."""
    codec = find_wireformat("msgpack").codec(Echo)
    size = 2**20 - 24
    size -= len(codec.encode(Echo(data=bytes(size)))) - size
    payload = codec.encode(Echo(data=bytes(size)))
    assert 24 + len(payload) == 2**20
    here = Tools()
    async with (
        connect(child, here.services, wireformat="msgpack") as peer,
        anyio.create_task_group() as group,
    ):

        async def call() -> None:
            answer = await peer.call_raw(tools.sid(Echo), payload)
            assert answer == find_wireformat("msgpack").codec(bytes).encode(bytes(size))

        for _ in range(20):
            group.start_soon(call)


async def test_what_it_prints(child: str, capfd: pytest.CaptureFixture[str]) -> None:
    """What a child prints, before the block, in it and after it, and what its own children print, goes to the error
    output, which is ours, and not into the stream; and nobody there reads from the stream."""
    async with connect(child, wireformat="msgpack") as peer:
        assert await do(peer, "print") == ""
        assert await do(peer, "read") == "''''"
        assert await peer.remote(tools).call(Add(a=1, b=2)) == 3
    output = capfd.readouterr()
    assert output.out == ""
    assert output.err.splitlines() == [
        "printed before the block",
        "printed in the block",
        "printed by a child of it",
        "printed after the block: closed by remote",
    ]


@pytest.mark.fault(53)
async def test_a_child_is_killed_while_many_wait(child: str) -> None:
    """The child is killed with SIGKILL under 1,000 calls: each fails at once, exactly once, with `ConnectionLost`."""
    failed: Counter[Executed] = Counter()
    async with connect(child, wireformat="msgpack") as peer:
        async with anyio.create_task_group() as group:

            async def call() -> None:
                with pytest.raises(ConnectionLost) as caught:
                    await peer.remote(tools).call(Hold(), timeout=None)
                failed[caught.value.executed] += 1

            for _ in range(1000):
                group.start_soon(call)
            await until(lambda: State(peer).pending == 1000 and State(peer).queued == 0)
            os.kill(peer.info.extra["pid"], signal.SIGKILL)
            start = perf_counter()
        assert perf_counter() - start < 5, "0.1 s on a machine that has nothing else to do"
        assert failed == {Executed.UNKNOWN: 1000}
        await until(lambda: status_of(peer) is not None)  # it is waited for while the block goes on
        assert status_of(peer) == -signal.SIGKILL
        assert peer.info.extra["pid"] not in children_now()


async def test_a_child_that_exits(child: str) -> None:
    """A child that ends itself: its status can be had."""
    async with connect(child, wireformat="msgpack") as peer:
        with pytest.raises(ConnectionLost):
            await do(peer, "exit", 7)
    assert status_of(peer) == 7


@pytest.mark.parametrize(
    ("script", "detail"),
    [
        ("exit 0", "the command ended with exit status 0"),
        ("exit 1", "the command ended with exit status 1"),
        ("kill -9 $$", "the command was ended by signal 9"),
    ],
)
async def test_a_child_that_has_ended_says_how(script: str, detail: str) -> None:
    """Whether we write to it or only wait for it, the end is told in the same words."""
    for _ in range(5):
        for writes in (0, 1, 20):
            async with connect("exec:", wireformat="json", argv=["sh", "-c", script]) as peer:
                for _ in range(writes):
                    try:
                        await peer.remote(tools).send(Echo(data=b"x"))
                    except CallError as exc:
                        assert detail in str(exc)
                    await anyio.lowlevel.checkpoint()
                assert await peer.wait_closed() is CloseReason.CLOSED_BY_REMOTE
                with pytest.raises(CallError, match=detail):
                    await peer.remote(tools).call(Add(a=1, b=2))


async def test_a_child_that_reads_no_more() -> None:
    """It lives on, and has closed its input: nothing can be told to it, so the connection ends; no exception's name is in the text."""
    script = "exec <&-; echo ready >&2; exec sleep 1000"
    async with connect("exec:", wireformat="json", argv=["sh", "-c", script], limits=QUICK) as peer:
        with pytest.raises(CallError, match="the other end reads no more") as caught:
            while True:
                await peer.remote(tools).send(Echo(data=b"x"))
                await anyio.lowlevel.checkpoint()
        assert "Error" not in str(caught.value)


async def test_a_child_closes_with_grace(child: str) -> None:
    """A child that closes with grace answers what it has begun; then it ends, without being told to."""
    async with connect(child, wireformat="msgpack") as peer, anyio.create_task_group() as group:
        answers: list[str] = []

        async def hold() -> None:
            answers.append(await peer.remote(tools).call(Hold(name="held")))

        group.start_soon(hold)
        await do(peer, "close")
        assert await peer.wait_closed() is CloseReason.CLOSED_BY_REMOTE
    assert answers == ["held"]
    assert status_of(peer) == 0


async def test_we_close_with_grace(child: str) -> None:
    """We close with grace while the child waits for our answer: it gets it, and ends after that."""
    here = Tools()
    async with (
        connect(child, here.services, wireformat="msgpack") as peer,
        anyio.create_task_group() as group,
    ):

        async def asks() -> None:
            with pytest.raises(CallError):  # what we ask for ourselves ends at once
                await do(peer, "hold")

        group.start_soon(asks)
        await here.until(lambda: here.running == 1)
        group.start_soon(lambda: peer.close("enough", grace=30))
        await until(lambda: not peer.is_open)
        here.release.set()
    assert here.ended == ["from the child"]
    assert status_of(peer) == 0


async def test_any_command_will_do() -> None:
    """`cat` sends us our own calls, and our own answers to them."""
    async with connect("exec:cat", Tools().services, wireformat="json") as peer:
        assert await peer.remote(tools).call(Add(a=1, b=2)) == 3
        assert await peer.remote(tools).call(Echo(data=bytes(100_000))) == bytes(100_000)
    assert status_of(peer) == 0


async def test_how_it_is_started(tmp_path: Path) -> None:
    """Words are split as in a shell, and no shell sees them; `argv=`, `cwd=` and `env=` are as with `subprocess`."""
    script = 'printf "%s|" "$0" "$@" "$X" "$PWD" >&2; exec cat'
    marks = "a  b", "$HOME;*", "'"
    words = ["/bin/sh", "-c", script, *marks]
    options: dict[str, Any] = {"cwd": tmp_path, "env": {"X": "y", "PATH": os.environ["PATH"]}}
    for url, more in (
        (f"exec:{shlex.join(words)}", {}),
        ("exec:", {"argv": words}),
        ("EXEC:", {"argv": words}),
    ):
        errors = tmp_path / "errors"
        with errors.open("w") as file:
            saved = os.dup(2)
            os.dup2(file.fileno(), 2)
            try:
                async with connect(url, Tools().services, wireformat="json", **options, **more) as peer:
                    assert await peer.remote(tools).call(Add(a=1, b=2)) == 3
            finally:
                os.dup2(saved, 2)
                os.close(saved)
        assert errors.read_text() == "|".join([*marks, "y", str(tmp_path), ""])


async def test_commands_that_can_not_be_started(tmp_path: Path) -> None:
    """No such command, not to be executed, no such directory, nothing at all: `ConnectFailed`, and nothing is left."""
    before, children = Gauge(), children_now()
    (tmp_path / "file").touch()
    for url, options, text in (
        ("exec:", {}, "there is no command"),
        ("exec:  ", {}, "there is no command"),
        ("exec:", {"argv": []}, "there is no command"),
        ("exec:'cat", {}, "No closing quotation: quote as in a shell"),
        ("exec:no-such-command", {}, "'no-such-command' can't be started: .*No such file"),
        (f"exec:{tmp_path}/file", {}, "can't be started: .*Permission denied"),
        ("exec:cat", {"cwd": tmp_path / "none"}, "cwd='.*none' is no folder .*No such file"),
        ("exec:cat", {"cwd": tmp_path / "file"}, "cwd='.*file' is no folder .*Not a directory"),
        ("exec:cat a\0b", {}, "can't be started: embedded null byte"),
    ):
        with pytest.raises(ConnectFailed, match=text) as caught:
            async with connect(url, wireformat="json", **options):
                raise AssertionError
        assert caught.value.url == url
    assert Gauge() <= before
    assert children_now() == children


async def test_options() -> None:
    """What is not known, and what is said twice, is refused; and a command can't be served."""
    for url, options, text in (
        (
            "exec:cat",
            {"shell": True},
            "the exec adapter does not know the option shell: it takes argv, cwd, env",
        ),
        ("exec:cat", {"argv": ["cat"]}, "the command is given twice"),
        ("exec:", {"argv": "cat"}, "give a list"),
        ("exec:", {"argv": 5}, r"argv=5: give a list of texts"),
        ("exec:", {"argv": [5]}, r"argv=\[5\]: give a list of texts"),
        ("exec:cat", {"env": 5}, "env= is no dict of texts"),
        ("exec:cat", {"env": {"X": 5}}, "env= is no dict of texts"),
        ("exec:cat", {"cwd": 5}, "cwd=5: give the path of a folder"),
    ):
        with pytest.raises(TypeError, match=text):
            async with connect(url, wireformat="json", **options):
                raise AssertionError
    with pytest.raises(ConnectFailed, match=r"^can not serve exec:cat: .* use connect, which takes services"):
        async with serve("exec:cat", wireformat="json"):
            raise AssertionError


async def test_a_child_that_does_not_hear() -> None:
    """A child that does not end at the end of its input is told to, when `close_timeout` is over."""
    async with connect("exec:sleep 1000", wireformat="json", limits=QUICK) as peer:
        assert peer.is_open
    assert status_of(peer) == -signal.SIGTERM


async def test_a_child_that_stays(child: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child that doesn't even end when it is told to is killed."""
    monkeypatch.setattr(child_module, "TERMINATION", 0.05)
    async with connect(child, wireformat="msgpack", limits=QUICK) as peer:
        assert await do(peer, "stay") == ""
    assert status_of(peer) == -signal.SIGKILL


async def test_leaving_by_an_exception() -> None:
    """Left by an exception the child is not waited for long: it is told to end at once."""
    peers: list[Peer] = []
    with pytest.raises(KeyError):
        async with connect("exec:sleep 1000", wireformat="json") as peer:
            peers.append(peer)
            raise KeyError
    assert status_of(peers[0]) == -signal.SIGTERM


async def test_a_child_that_leaves_a_child_behind() -> None:
    """A process that the child has left behind holds the pipe open: the connection ends with the child all the same."""
    before = children_now()
    url = f"exec:{shlex.join(['sh', '-c', 'sleep 3 & exec cat'])}"
    async with connect(url, Tools().services, wireformat="json") as peer:
        assert await peer.remote(tools).call(Add(a=1, b=2)) == 3
        async with anyio.create_task_group() as group:

            async def call() -> None:
                with pytest.raises(ConnectionLost):
                    await peer.remote(tools).call(Add(a=1, b=2), timeout=None)

            os.kill(peer.info.extra["pid"], signal.SIGSTOP)
            group.start_soon(call)
            await until(lambda: State(peer).pending == 1 and State(peer).queued == 0)
            os.kill(peer.info.extra["pid"], signal.SIGKILL)
        assert await peer.wait_closed() is CloseReason.TRANSPORT_FAILED
    assert status_of(peer) == -signal.SIGKILL
    assert children_now() <= before


async def test_without_process_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system can't tell that a process has ended, we look again and again."""
    monkeypatch.delattr(os, "pidfd_open", raising=False)
    async with connect("exec:sleep 1000", wireformat="json", limits=QUICK) as peer:
        os.kill(peer.info.extra["pid"], signal.SIGKILL)
        await until(lambda: status_of(peer) is not None)
    assert status_of(peer) == -signal.SIGKILL


async def test_cancelled_at_any_point() -> None:
    """Cancelled in any pass of the loop, while it starts, runs or ends: no process, descriptor or task is left."""
    collect()
    before, children = Gauge(), children_now()
    ended = 0
    for passes in range(60):
        async with anyio.create_task_group() as group:

            async def talk() -> None:
                nonlocal ended
                async with connect("exec:cat", Tools().services, wireformat="json") as peer:
                    assert await peer.remote(tools).call(Add(a=1, b=2)) == 3
                ended += 1

            group.start_soon(talk)
            await turn(passes)
            group.cancel_scope.cancel()
        assert children_now() == children
    await until(lambda: Gauge() <= before)
    assert ended < 60


async def test_connections_opened_and_closed() -> None:
    """Two hundred children started and ended, ten at a time: no process, task, timer, descriptor or thread is left."""

    async def once() -> None:
        async with connect("exec:cat", Tools().services, wireformat="json") as peer:
            assert await peer.remote(tools).call(Add(a=1, b=2)) == 3
        assert status_of(peer) == 0

    await once()
    collect()
    before, children = Gauge(), children_now()
    for _ in range(20):
        async with anyio.create_task_group() as group:
            for _ in range(10):
                group.start_soon(once)
    assert children_now() == children
    await until(lambda: Gauge() <= before)
