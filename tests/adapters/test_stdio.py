"""`stdio:`: a process speaks over what it was started with. Here its three descriptors are others, so that the test keeps its own."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any

import anyio
import pytest
from tests.adapters.common import (
    RESPONSE_SID,
    ROOT,
    Add,
    Hold,
    State,
    Tools,
    environment,
    frame,
    tools,
    until,
)
from tests.adapters.test_leaks import Gauge

from duologue import CloseReason, ConnectFailed, ConnectionLost, Limits, connect, serve
from duologue_adapters import stdio

CALL = frame(tools.sid(Add), 7, b'{"a":1,"b":2}')
ANSWER = frame(RESPONSE_SID, 7, b"3")


class Process:
    """What a process is started with, and the other ends of that. `stdin`, `stdout`, `stderr` stand for 0, 1 and 2."""

    def __init__(self, kind: str) -> None:
        self.opened: list[int] = []
        if kind == "socket":
            ours, its = socket.socketpair()
            self.stdin = self._keep(its.detach())
            self.stdout = self._keep(os.dup(self.stdin))
            self.input = self._keep(ours.detach())
            self.output = self._keep(os.dup(self.input))
        else:
            self.stdin, self.input = map(self._keep, os.pipe())
            self.output, self.stdout = map(self._keep, os.pipe())
        self.errors, self.stderr = map(self._keep, os.pipe())
        self.is_socket = kind == "socket"

    def _keep(self, descriptor: int) -> int:
        self.opened.append(descriptor)
        return descriptor

    def share(self, descriptor: int) -> int:
        """Another descriptor of the same description, as another process may have one."""
        return self._keep(os.dup(descriptor))

    def end_input(self) -> None:
        if self.is_socket:
            with socket.socket(fileno=os.dup(self.input)) as sock:
                sock.shutdown(socket.SHUT_WR)
        else:
            os.close(self.input)

    async def read(self) -> bytes:
        await anyio.wait_readable(self.output)
        return os.read(self.output, 65536)

    async def read_to_end(self) -> bytes:
        found = b""
        while data := await self.read():
            found += data
        return found


@pytest.fixture(params=["pipe", "socket"])
def process(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Process]:
    """A process that was started with pipes, or with one socket as input and output."""
    process = Process(request.param)
    for name in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(stdio, name.upper(), getattr(process, name))
    yield process
    for each in process.opened:
        with suppress(OSError):
            os.close(each)


def same(one: int, other: int | str) -> bool:
    return os.path.samestat(os.fstat(one), os.stat(other))


async def test_calls_in_both_directions(process: Process) -> None:
    """The process answers and calls; what it prints meanwhile goes to its error output, and its input is empty."""
    there = Tools()
    async with connect("stdio:", there.services, wireformat="json") as peer:
        assert peer.info.address == "stdio:"
        os.write(process.input, CALL)
        assert await process.read() == ANSWER
        async with anyio.create_task_group() as group:

            async def call() -> None:
                assert await peer.remote(tools).call(Add(a=1, b=2)) == 3

            group.start_soon(call)
            sent = await process.read()
            os.write(process.input, frame(RESPONSE_SID, int.from_bytes(sent[16:24], "little"), b"3"))
        os.write(process.stdout, b"printed")
        assert os.read(process.errors, 100) == b"printed"
        assert os.read(process.stdin, 100) == b""
        assert same(process.stdout, process.stderr)
        assert same(process.stdin, os.devnull)
        process.end_input()
        assert await peer.wait_closed() is CloseReason.CLOSED_BY_REMOTE


async def test_the_other_end_learns_the_end(process: Process) -> None:
    """When the block is left, the other end reads the end of the stream, though the process lives on: nothing of it
    holds the stream any more. So it can't be had a second time."""
    async with anyio.create_task_group() as group:

        async def hang_up() -> None:
            assert await process.read_to_end() == b""
            process.end_input()

        group.start_soon(hang_up)
        async with connect("stdio:", wireformat="json"):
            pass
    with pytest.raises(ConnectFailed, match="a connection has used it up"):
        async with connect("stdio:", wireformat="json"):
            raise AssertionError


async def test_left_by_an_exception(process: Process) -> None:
    """Then, too, and at once."""
    with pytest.raises(KeyError):
        async with connect("stdio:", wireformat="json"):
            raise KeyError
    assert await process.read_to_end() == b""


@pytest.mark.fault(52)
async def test_the_other_end_half_closes(process: Process) -> None:
    """The other end ends its half and reads on: with `eof_grace` the handlers' answers still arrive, then the end."""
    there = Tools()
    async with connect("stdio:", there.services, wireformat="json", limits=Limits(eof_grace=30)) as peer:
        os.write(process.input, frame(tools.sid(Hold), 7, b'{"name":"half"}'))
        await there.until(lambda: there.running == 1)
        process.end_input()
        await until(lambda: not peer.is_open)
        there.release.set()
        assert await process.read_to_end() == frame(RESPONSE_SID, 7, b'"half"')


async def test_the_other_end_does_not_read(process: Process) -> None:
    """The other end reads nothing for a while, and the loop is not blocked; then all arrives, however slowly it reads."""
    async with connect("stdio:", wireformat="json") as peer:
        payload = bytes(1_000_000)
        await peer.send_raw(4711, payload)
        await until(lambda: bool(written(peer)))
        received = b""
        while len(received) < 24 + len(payload):
            received += await process.read()
        assert received == frame(4711, 0, payload)
        await until(lambda: not written(peer) and State(peer).is_idle)
        await peer.send_raw(4711, payload)
        async with anyio.create_task_group() as group:

            async def call() -> None:
                with pytest.raises(ConnectionLost):
                    await peer.call_raw(4711, payload)

            group.start_soon(call)
            await until(lambda: State(peer).waiting == 1)
            break_off(process)
        assert not peer.is_open


async def test_the_other_end_vanishes(process: Process) -> None:
    """The other end is gone, and has not read what it was sent: the connection ends, as a socket or a pipe tells it."""
    async with connect("stdio:", wireformat="json") as peer:
        await peer.send_raw(4711, b"")
        await until(lambda: State(peer).is_idle)
        break_off(process)
        reason = await peer.wait_closed()
    assert reason is (CloseReason.TRANSPORT_FAILED if process.is_socket else CloseReason.CLOSED_BY_REMOTE)


async def test_services_that_can_not_be_made(process: Process) -> None:
    """What fails before the first byte ends the stream, too."""

    def services(_: object) -> Any:
        raise KeyError

    with pytest.raises(KeyError):
        async with connect("stdio:", services, wireformat="json"):
            raise AssertionError
    assert await process.read_to_end() == b""


def written(peer: Any) -> int:
    """Bytes that wait for room in the pipe."""
    unsent: int = peer._link.unsent
    return unsent


def break_off(process: Process) -> None:
    """The other end is gone, without having read what it was sent."""
    os.close(process.output)
    os.close(process.input)


@pytest.mark.parametrize("blocking", [True, False])
async def test_descriptors_that_others_share(process: Process, blocking: bool) -> None:
    """Whether a descriptor blocks counts for all processes that share it: it is set for the block, and then set back."""
    shared = process.share(process.stdin), process.share(process.stdout)
    for each in shared:
        os.set_blocking(each, blocking)
    async with connect("stdio:", wireformat="json"):
        assert [os.get_blocking(each) for each in shared] == [False, False]
        process.end_input()
    assert [os.get_blocking(each) for each in shared] == [blocking, blocking]


@pytest.mark.parametrize("standard", ["STDIN", "STDOUT"])
@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("closed", "is closed"),
        ("terminal", "is a terminal"),
        ("file", "is neither a pipe nor a socket"),
        ("nothing", "is neither a pipe nor a socket"),
    ],
)
async def test_what_can_not_carry_it(
    process: Process, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, standard: str, kind: str, text: str
) -> None:
    """A terminal, a file, nothing at all: `ConnectFailed`, which says what it is, and nothing is changed."""
    match kind:
        case "closed":
            found = 10_000
        case "terminal":
            found, other = os.openpty()
            process.opened += [found, other]
            found = other
        case "file":
            found = process._keep(os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT))
        case _:
            found = process._keep(os.open(os.devnull, os.O_RDWR))
    monkeypatch.setattr(stdio, standard, found)
    name = "standard input" if standard == "STDIN" else "standard output"
    with pytest.raises(ConnectFailed, match=f"{name} {text}"):
        async with connect("stdio:", wireformat="json"):
            raise AssertionError
    assert not same(process.stdin, os.devnull)


async def test_errors_that_would_get_into_the_stream(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Error output that goes the same way as standard output is refused; none at all is fine."""
    with monkeypatch.context() as patch:
        patch.setattr(stdio, "STDERR", process.share(process.stdout))
        with pytest.raises(ConnectFailed, match="error output goes the same way"):
            async with connect("stdio:", wireformat="json"):
                raise AssertionError
    os.close(process.stderr)
    async with connect("stdio:", Tools().services, wireformat="json"):
        os.write(process.input, CALL)
        assert await process.read() == ANSWER
        assert same(process.stdout, os.devnull)
        process.end_input()


async def test_no_descriptors_left(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the descriptors can't be had: `ConnectFailed`, and all is as before."""
    before = Gauge()
    real = stdio.fcntl.fcntl

    def fails(number: int) -> Any:
        def duplicate(descriptor: int, *rest: Any) -> int:
            nonlocal number
            number -= 1
            if number < 0:
                raise OSError(24, "Too many open files")
            found: int = real(descriptor, *rest)
            return found

        return duplicate

    def no_file(*_: object) -> int:
        raise OSError(24, "Too many open files")

    for module, name, replacement in (
        (stdio.fcntl, "fcntl", fails(0)),
        (stdio.fcntl, "fcntl", fails(1)),
        (stdio.os, "open", no_file),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, replacement)
            with pytest.raises(ConnectFailed, match="Too many open files"):
                async with connect("stdio:", wireformat="json"):
                    raise AssertionError
        assert not same(process.stdin, os.devnull)
    assert Gauge() <= before


async def test_what_is_refused() -> None:
    """More than the scheme, options, and to be served."""
    with pytest.raises(ConnectFailed, match="write stdio: and nothing after it"):
        async with connect("stdio://x", wireformat="json"):
            raise AssertionError
    with pytest.raises(TypeError, match="stdio adapter does not know the option stdin"):
        async with connect("stdio:", wireformat="json", stdin=0):
            raise AssertionError
    with pytest.raises(ConnectFailed, match="use connect, which takes services"):
        async with serve("stdio:", wireformat="json"):
            raise AssertionError


@pytest.mark.fault(53)
async def test_the_parent_is_killed(anyio_backend: tuple[str, Any]) -> None:
    """A process that has started a child is killed with SIGKILL: the child reads the end of its input, and ends, too."""
    loop = "uvloop" if anyio_backend[1].get("use_uvloop") else "plain"
    child = shlex.join([sys.executable, "-m", "tests.adapters.stdio_child", anyio_backend[0], loop, "0"])
    command = [sys.executable, "-m", "tests.adapters.exec_parent", anyio_backend[0], f"exec:{child}"]
    variables = {key: value for key, value in environment().items() if key != "PYTHONUNBUFFERED"}
    with Popen(command, stdout=PIPE, stderr=PIPE, env=variables, cwd=ROOT) as parent:  # noqa: ASYNC220 - it takes a moment
        assert parent.stdout is not None
        assert parent.stderr is not None
        try:
            assert parent.stdout.readline() == b"3\n"
        finally:
            parent.send_signal(signal.SIGKILL)
        said = b""
        while True:
            await anyio.wait_readable(parent.stderr.fileno())
            data = os.read(parent.stderr.fileno(), 65536)
            if not data:  # nobody has it any more
                break
            said += data
    assert said.endswith(b"printed after the block: closed by remote\n")
    assert parent.returncode == -signal.SIGKILL
