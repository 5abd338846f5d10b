"""`duologue serve`, as a user runs it: where it listens, how it ends, and what it says about what fails."""

from __future__ import annotations

import os
import re
import select
import signal
import socket
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import anyio
import pytest
from tests.contrib import shop
from tests.contrib.command_runs import HERE, LONG_ENOUGH, MODULE, SCRIPT, run, serving, started
from typer.testing import CliRunner

import duologue
from duologue_contrib.command_line import logs
from duologue_contrib.command_line.endings import OF_SERVE, Exit
from duologue_contrib.commands import app

LOOPS = pytest.mark.parametrize("loop", ["asyncio", "uvloop", "trio"])


def idle_connection(url: str) -> socket.socket:
    """A connection without a word. It ends when the server begins to close."""
    address = urlsplit(url)
    sock = socket.create_connection((address.hostname, address.port), timeout=LONG_ENOUGH)
    sock.settimeout(LONG_ENOUGH)
    return sock


@LOOPS
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_the_first_signal_lets_handlers_finish(loop: str, number: signal.Signals) -> None:
    """What runs gets its grace, and its answer still goes out; then it ends well, without a word."""
    with serving("--loop", loop, "--grace", "600") as server:
        with started("call", server.url, "shop.Wait", "--timeout", "inf") as client:
            server.says("waiting")
            assert server.end(number) == (0, "")
            assert client.communicate(timeout=LONG_ENOUGH) == ('"and yet"\n', "")
            assert client.returncode == 0


@LOOPS
def test_the_grace_is_over(loop: str) -> None:
    """A handler without an end is cancelled, and its caller told. The server has ended well all the same."""
    with serving("--loop", loop, "--grace", "0") as server:
        with started("call", server.url, "shop.Hang", "--timeout", "inf") as client:
            server.says("hanging")
            assert server.end() == (0, "")
            _, errors = client.communicate(timeout=LONG_ENOUGH)
            assert client.returncode in (Exit.FAILED, Exit.LOST)
            assert "(executed: unknown)" in errors


@LOOPS
def test_a_second_signal_ends_at_once(loop: str) -> None:
    """Whatever the grace: it dies by the signal, as a shell expects."""
    with serving("--loop", loop, "--grace", "600") as server:
        with started("call", server.url, "shop.Hang", "--timeout", "inf") as client:
            server.says("hanging")
            with idle_connection(server.url) as idle:
                server.process.send_signal(signal.SIGINT)
                assert idle.recv(1) == b"", "the first has been taken"
            assert server.end() == (-signal.SIGTERM, "")
            client.communicate(timeout=LONG_ENOUGH)
            assert client.returncode == Exit.LOST


@LOOPS
def test_signals_reach_a_server_whose_event_loop_is_blocked(loop: str) -> None:
    """A handler that blocks it for ten minutes holds up nobody who sends a second signal."""
    with serving("--loop", loop) as server:
        with started("call", server.url, "shop.Freeze", "--timeout", "inf") as client:
            server.says("freezing")
            # Two signals that come at the same moment may be one to the system: so, until it ends.
            while server.process.poll() is None:
                server.process.send_signal(signal.SIGTERM)
                select.select([], [], [], 0.01)
            assert server.ended()[0] == -signal.SIGTERM
            client.communicate(timeout=LONG_ENOUGH)
            assert client.returncode == Exit.LOST


@pytest.mark.parametrize("command", [MODULE, SCRIPT], ids=["python -m duologue_contrib", "duologue"])
def test_it_prints_where_it_really_listens(command: list[str], tmp_path: Path) -> None:
    """A line for each, in their order, with the port that the system chose. All of them serve, and all end with it."""
    listen = ("tcp://127.0.0.1:0", f"unix://{tmp_path}/socket", "ws://127.0.0.1:0/shop")
    options = ("--option", "ws:origins=['https://example.org']", "--option", "unix:mode=0o660")
    with serving(*options, listen=listen, command=command) as server:
        tcp, unix, ws = server.urls
        assert re.fullmatch(r"tcp://127\.0\.0\.1:[1-9]\d*", tcp)
        assert unix == listen[1]
        assert re.fullmatch(r"ws://127\.0\.0\.1:[1-9]\d*/shop", ws)
        assert (tmp_path / "socket").stat().st_mode & 0o777 == 0o660
        for url in server.urls:
            assert run("call", url, "shop.Add", '{"a": 5}').stdout == "5\n"
        assert server.end() == (0, "")
    assert not (tmp_path / "socket").exists()


async def test_each_connection_has_its_own_services() -> None:
    """A function of the new peer makes them, as for `duologue.serve`."""
    with serving(services="shop:for_peer") as server:
        for _ in range(2):
            async with duologue.connect(server.url, wireformat="json") as peer:
                remote = peer.remote(shop.shop)
                assert [await remote.call(shop.Count()), await remote.call(shop.Count())] == [1, 2]
        assert server.end() == (0, "")


@LOOPS
def test_what_fails_is_told_readably(loop: str) -> None:
    """A failed handler with its traceback, from the handler on; what never came to one in a line. All is on stderr."""
    with serving("--loop", loop) as server:
        for args in (("shop.Fail",), ("shop.Add", '{"a": "x"}'), ("elsewhere.Add",)):
            assert run("call", server.url, *args).returncode in (Exit.FAILED, Exit.REFUSED)
        code, errors = server.end()
    assert code == 0
    first, *traceback = errors.partition("\n")[0], *re.findall(r'File "(.*)", line \d+, in (\w+)', errors)
    assert re.search(
        r" ERROR shop::Fail \(0x[0-9a-f]{16}, call 1\) of 127\.0\.0\.1:\d+ failed: HandlerFailed$", first
    )
    assert traceback == [(f"{HERE}/shop.py", "fail"), (f"{HERE}/shop.py", "inside")]
    assert "\nRuntimeError: as it happens\n" in errors
    refused = [line for line in errors.splitlines() if " WARNING " in line]
    assert len(refused) == 2
    assert re.search(
        r" 127\.0\.0\.1:\d+: shop::Add: Deserialize: Expected `int`, got `str` - at `\$\.a`$", refused[0]
    )
    assert re.search(r" 127\.0\.0\.1:\d+: 0x[0-9a-f]{16}: UnknownService$", refused[1])  # fmt: skip


@pytest.mark.fault(81)
async def test_a_remote_can_not_flood_the_log() -> None:
    """A thousand requests that nobody serves, and each refused: of a connection ten lines a second are written, the rest is counted."""
    calls = 1000
    with serving() as server:
        async with duologue.connect(server.url, wireformat="json") as peer:

            async def ask() -> None:
                with pytest.raises(duologue.RemoteError):
                    await peer.call_raw(0xAB, b"null")

            began = anyio.current_time()
            async with anyio.create_task_group() as group:
                for _ in range(calls):
                    group.start_soon(ask)
            seconds = anyio.current_time() - began
        code, errors = server.end()
    lines = errors.splitlines()
    assert code == 0
    # The server's clock may begin a new second before each of ours ends.
    assert 1 <= len(lines) <= (logs.PER_SECOND + 2) * (2 + seconds)
    assert all("0x00000000000000ab: UnknownService" in line or "were not" in line for line in lines)


def test_an_address_in_use(tmp_path: Path) -> None:
    """Exit code 3 and one line, on whatever loop; what it had begun to listen at is free again."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        for loop in ("asyncio", "uvloop", "trio"):
            done = run(
                *("serve", "shop:services", "--loop", loop),
                *("--listen", f"unix://{tmp_path}/socket", "--listen", url),
            )
            assert (done.returncode, done.stdout) == (Exit.NOT_CONNECTED, "")
            assert re.fullmatch(rf"duologue serve: no connection at {url}: .*in use.*\n", done.stderr)
            assert not (tmp_path / "socket").exists()


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("shop:shop",), "shop:shop is a namespace, which has no handlers: give Services"),
        (("shop:Add",), "shop:Add is the class Add"),
        (("shop:nothing",), "shop:nothing is of the type int"),
        (("shop:for_peer_later",), "shop:for_peer_later is an async function"),
        (("shop:servces",), "shop has no servces: it has shop, services, wrong"),
        (("shop:services.x",), "shop has no services.x"),
        (("shop",), "'shop' is not module:name"),
        (("./shop.py:services",), "'./shop.py:services' names a file: write the module, as in shop:services"),
        (("no_such_module:services",), "there is no module no_such_module in this folder"),
        (("shop:services", "--wireformat", "xml"), "no wire format named 'xml'"),
        (("shop:services", "--grace", "-1"), "--grace -1: give seconds"),
        (("shop:services", "--option", "color=red"), "the tcp adapter does not know the option color"),
        (("shop:services", "--listen", "stdio:"), "it is one connection, which can't be served"),
        (("shop:services", "--listen", "ws://127.0.0.1:0"), "origins= is missing: whose pages may connect?"),
        (("shop:services", "--listen", "unix:///s", "--option", "unix:mode=rw"), "mode='rw': give permissions"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)  # fmt: skip
def test_a_mistake_is_one_line(args: tuple[str, ...], said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 2, and nothing on the output. (Within this process, since most of the time of one is its start.)"""
    monkeypatch.chdir(HERE)
    monkeypatch.syspath_prepend(HERE)
    done = CliRunner().invoke(app, ["serve", "--listen", "tcp://127.0.0.1:0", *args])
    assert (done.exit_code, done.stdout) == (Exit.MISTAKE, "")
    assert said in done.stderr
    assert done.stderr.startswith("duologue serve: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("def make():\n    return 1 / 0\nmake()\n", "ZeroDivisionError: division by zero"),
        ("def make(:\n", "SyntaxError: invalid syntax"),
    ],
    ids=["error", "syntax"],
)
def test_a_module_with_a_bug_shows_it(tmp_path: Path, source: str, error: str) -> None:
    """The bug's own traceback, from the module's first line on; exit code 1."""
    (tmp_path / "buggy.py").write_text(source, encoding="utf-8")
    done = run("serve", "buggy:services", "--listen", "tcp://127.0.0.1:0", folder=tmp_path)
    assert (done.returncode, done.stdout) == (Exit.BROKEN, "")
    assert done.stderr.endswith(f"{error}\n")
    assert set(re.findall(r'File ".*/(.*)"', done.stderr)) == {"buggy.py"}


@LOOPS
def test_nobody_reads_where_it_listens(loop: str) -> None:
    """A server that can't say where it is ends: no traceback, and no word."""
    reader, writer = os.pipe()
    os.close(reader)
    with subprocess.Popen(
        [*MODULE, "serve", "shop:services", "--listen", "tcp://127.0.0.1:0", "--loop", loop],
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        cwd=HERE,
    ) as process:
        os.close(writer)
        _, errors = process.communicate(timeout=LONG_ENOUGH)
    assert (process.returncode, errors) == (Exit.BROKEN, "")


def test_help_and_docs_list_its_exit_codes() -> None:
    """In both places, with the same words."""
    done = run("serve", "--help")
    shown = " ".join(done.stdout.split())
    page = (HERE.parents[1] / "docs" / "command-line.md").read_text(encoding="utf-8")
    for code, meaning in OF_SERVE.items():
        assert f"{code.value}: {meaning}" in shown
        assert f"| {code.value} | {meaning} |" in page
