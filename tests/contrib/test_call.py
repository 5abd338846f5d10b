"""`duologue call`, as a user runs it: what is on its output, on its error output, and in its exit code."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.adapters.certificates import Certificates
from tests.contrib.command_runs import (
    HERE,
    LONG_ENOUGH,
    MODULE,
    NOBODY,
    SCRIPT,
    Serving,
    run,
    serving,
    started,
)
from typer.testing import CliRunner, Result

import duologue
from duologue_contrib.command_line.endings import OF_CALL, Exit
from duologue_contrib.commands import app

TRANSPORTS = ("tcp", "unix", "ws")
LOOPS = {"cbor": "asyncio", "msgpack": "uvloop", "json": "trio"}
"""A server for each wire format, each on another event loop, at all three transports."""


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Serving]]:
    """They hold out for all tests: whatever comes."""
    folder = tmp_path_factory.mktemp("sockets")

    def listen(wireformat: str) -> tuple[str, ...]:
        return "tcp://127.0.0.1:0", f"unix://{folder}/{wireformat}", "ws://127.0.0.1:0"

    def options(wireformat: str) -> tuple[str, ...]:
        return "--wireformat", wireformat, "--loop", LOOPS[wireformat], "--option", "ws:origins=[]"

    with (
        serving(*options("cbor"), listen=listen("cbor")) as one,
        serving(*options("msgpack"), listen=listen("msgpack")) as two,
        serving(*options("json"), listen=listen("json")) as three,
    ):
        yield {"cbor": one, "msgpack": two, "json": three}


@pytest.fixture
def cbor(servers: dict[str, Serving]) -> Serving:
    return servers["cbor"]


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("wireformat", LOOPS)
@pytest.mark.parametrize("types", [[], ["--types", "shop:shop"]], ids=["untyped", "typed"])
def test_the_answer_alone_is_on_the_output(
    servers: dict[str, Serving], wireformat: str, transport: str, types: list[str]
) -> None:
    """In each wire format, over each transport, with types and without: the sum, and nothing else."""
    url = servers[wireformat].urls[TRANSPORTS.index(transport)]
    done = run("call", url, "shop.Add", '{"a": 1, "b": 2}', "--wireformat", wireformat, *types)
    assert (done.returncode, done.stdout, done.stderr) == (0, "3\n", "")


@pytest.mark.parametrize(
    ("service", "text", "untyped", "typed"),
    [
        ("Add", '{"a": 1}', "1", "1"),
        ("Fill", '{"data": {"$bytes": "AAEC"}}', "3", None),
        ("Fill", '{"data": "AAEC"}', None, "3"),
        ("Floats", None, '[0.5,"NaN","-Infinity"]', '[0.5,"NaN","-Infinity"]'),
        ("Named", "-5", '{"-5":{"$bytes":"AP8="}}', '{"-5":"AP8="}'),
        ("Nothing", None, "null", "null"),
        ("Nothing", "null", "null", "null"),
        ("Put", '{"data": {"$bytes": "/w=="}}', '{"$bytes":"/w=="}', None),
        # What is a default, and so is left out when it is written, is no unknown field. Nor is what is twice in a set.
        ("Put", '{"data": "/w==", "place": {"x": 0}, "tags": ["b", "a", "b"]}', None, '"/w=="'),
        ("Swap", "[1, 2]", "[2,1]", "[2,1]"),
    ],
)
@pytest.mark.parametrize("wireformat", ["cbor", "msgpack"])
def test_what_json_says(
    servers: dict[str, Serving],
    wireformat: str,
    service: str,
    text: str | None,
    untyped: str | None,
    typed: str | None,
) -> None:
    """Every shape of a message; bytes, integer keys and what is no number, each with a form in JSON."""
    args = [servers[wireformat].url, f"shop.{service}", "--wireformat", wireformat]
    rest = [] if text is None else ["--", text]
    if untyped is not None:
        done = run("call", *args, *rest)
        assert (done.stderr, done.stdout, done.returncode) == ("", f"{untyped}\n", 0)
    if typed is not None:
        done = run("call", *args, "--types", "shop:services", *rest)
        assert (done.stderr, done.stdout, done.returncode) == ("", f"{typed}\n", 0)


@pytest.mark.parametrize("command", [MODULE, SCRIPT], ids=["python -m duologue_contrib", "duologue"])
def test_the_script_and_the_module_are_the_same(command: list[str], cbor: Serving) -> None:
    """Both find modules of the folder that one is in, and both read the message from standard input."""
    args = ["call", cbor.url, "shop.Add", "-", "--wireformat", "cbor", "--types", "shop:shop"]
    done = run(*args, stdin='{"a": 40,\n "b": 2}\n', command=command)
    assert (done.returncode, done.stdout, done.stderr) == (0, "42\n", "")


@pytest.mark.parametrize("service", ["shop.Add", "shop::Add", "shop :: Add", "ID"])
@pytest.mark.parametrize("types", [[], ["--types", "shop:shop"]], ids=["untyped", "typed"])
def test_the_ways_to_write_a_service(cbor: Serving, service: str, types: list[str]) -> None:
    """With a dot, as people write it, as it is hashed, or by its id."""
    name = f"0x{duologue.service_id('shop', 'Add'):016x}" if service == "ID" else service
    done = run("call", cbor.url, name, '{"a": 7}', "--wireformat", "cbor", *types)
    assert (done.returncode, done.stdout, done.stderr) == (0, "7\n", "")


TYPED = ("--types", "shop:shop")


@pytest.fixture
def call_here(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """`duologue call` within this process: many mistakes are found in the time that one process takes to start."""
    monkeypatch.chdir(HERE)
    monkeypatch.syspath_prepend(HERE)
    return lambda *args: CliRunner().invoke(app, ["call", *args])


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("shop.Add", '{"a": 1'), "the JSON can't be used: Input data was truncated"),
        (("shop.Add", ""), "the JSON can't be used"),
        (("shop.Add", "\udcff"), "the JSON can't be used"),
        (("shop.Add", '{"a": 1, "a": 2}'), "the same key twice"),
        (("shop.Add", '{"a": [1, {"$bytes": "?"}]}'), "$bytes needs a text in base64 - at `$.a[1]`"),
        (("shop.Add", '{"a": [1, {"$bytes": 1}]}'), "at `$.a[1]`"),
        (("shop.Add", str(2**64)), "the JSON can't be used: Integers must be"),
        (("shop.Add", "--wireformat", "msgpack", "--", str(-(2**64))), "msgpack can't carry it"),
        (("Add",), "'Add' is no service: write namespace.Name"),
        (("shop.",), "'shop.' is no service"),
        (("0xffffffffffffffff",), "an id that the protocol keeps for itself"),
        (("shop.Add", '{"a": 1', *TYPED), "shop::Add: Input data was truncated"),
        (("shop.Add", '{"a": "x"}', *TYPED), "shop::Add: Expected `int`, got `str` - at `$.a`"),
        (("shop.Add", '{"a": 1, "bb": 2}', *TYPED), "shop::Add: it has no such field - at `$.bb`"),
        (("shop.Add", '{"a": 1, "a": 2}', *TYPED), "shop::Add: An object has the same key twice"),
        (("shop.Add", *TYPED), "shop::Add needs a JSON: Object missing required field `a`"),
        (("shop.Put", '{"data": "", "place": {"x": 1, "z": 2}}', *TYPED), "no such field - at `$.place.z`"),
        (("shop.Put", '{"data": "?"}', *TYPED), "shop::Put: Invalid base64 encoded string - at `$.data`"),
        (("shop.Swap", "[1, 2, 3]", *TYPED), "shop::Swap: it has no such field - at `$[2]`"),
        (("shop.Named", *TYPED), "shop::Named needs a JSON: Expected `int`"),
        (("shop.Nothing", "{}", *TYPED), "Expected `null`, since there are no fields"),
        (("shop.Adder", *TYPED), "shop.Adder is not there: --types has shop.Add, shop.Count"),
        (("0x1", *TYPED), "0x1 is not there"),
        (("shop.Add", "--types", "shop:Add"), "shop:Add is the class Add: give a Namespace, or Services"),
        (("shop.Add", "--types", "shop:nothing"), "shop:nothing is of the type int"),
        (("shop.Add", "--types", "shop:shopp"), "shop has no shopp: it has shop, services, wrong"),
        (("shop.Add", "--types", "shop"), "'shop' is not module:name"),
        (("shop.Add", "--types", "shop.py:shop"), "'shop.py:shop' names a file: write the module, as in shop:services"),
        (("shop.Add", "--types", "no_such_module:shop"), "there is no module no_such_module in this folder"),
        (("shop.Add", "--wireformat", "xml"), "no wire format named 'xml': known are cbor, json, msgpack"),
        (("shop.Add", "--timeout", "-1"), "--timeout -1: give seconds"),
        (("shop.Add", "--timeout", "nan"), "--timeout nan: give seconds"),
        (("shop.Add", "--linger", "-1"), "--linger -1: give seconds"),
        (("shop.Add", "--option", "color=red"), "the tcp adapter does not know the option color: it takes heartbeat"),
        (("shop.Add", "--option", "color"), "--option color: write key=value"),
        (("shop.Add", "--option", "limits=1"), "--option limits: that is no option of an adapter"),
        (("shop.Add", "--option", "ws:origins=any"), "--option ws:origins: no URL here has the scheme ws"),
        (("shop.Add", "--option", "a=1", "--option", "tcp:a=2"), "--option tcp:a: it is given twice"),
    ],
    ids=lambda value: " ".join(value).encode("ascii", "replace").decode() if isinstance(value, tuple) else "",
)  # fmt: skip
def test_a_mistake_is_found_before_anything_is_done(
    call_here: Callable[..., Result], args: tuple[str, ...], said: str
) -> None:
    """Exit code 2 and one line, where the field has its path. Nobody listens there: it has not even tried to connect."""
    done = call_here(NOBODY, *args)
    assert (done.exit_code, done.stdout) == (Exit.MISTAKE, "")
    assert said in done.stderr
    assert done.stderr.startswith("duologue call: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("127.0.0.1:7000", "is not a URL with a scheme"),
        ("carrier-pigeon://coop", "no adapter for 'carrier-pigeon' URLs: known are exec, mem"),
        ("tcp://127.0.0.1", "host or port is missing"),
        ("tcp://127.0.0.1:70000", "Port out of range"),
        ("unix://relative", "write unix:///path"),
        ("zmq+tcp://127.0.0.1", "host or port is missing"),
        ("exec:", "there is no command"),
        ("exec:'", "No closing quotation"),
    ],
)
def test_a_url_that_nobody_understands_is_a_mistake(
    call_here: Callable[..., Result], url: str, said: str
) -> None:
    """Exit code 2, too: there is nothing to try again."""
    done = call_here(url, "shop.Add")
    assert (done.exit_code, done.stdout, done.stderr.count("\n")) == (Exit.MISTAKE, "", 1)
    assert said in done.stderr


def test_standard_input_can_not_be_both(call_here: Callable[..., Result]) -> None:
    """With `stdio:` it is the connection."""
    done = call_here("stdio:", "shop.Add", "-")
    assert done.exit_code == Exit.MISTAKE
    assert "can't come from standard input" in done.stderr


def test_a_message_that_is_too_large_is_not_sent(cbor: Serving) -> None:
    """Exit code 2, and the connection of others is none the wiser."""
    text = json.dumps({"data": {"$bytes": "AAAA" * 400_000}})
    done = run("call", cbor.url, "shop.Fill", "-", "--wireformat", "cbor", stdin=text)
    assert (done.returncode, done.stdout) == (Exit.MISTAKE, "")
    assert "is over the limit of 1048576" in done.stderr


@pytest.mark.parametrize("url", [NOBODY, "unix:///nowhere/socket", "exec:/nowhere/command"])
def test_nobody_is_there(url: str) -> None:
    """Exit code 3, whatever the transport calls it."""
    done = run("call", url, "shop.Add", "--timeout", "5")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (Exit.NOT_CONNECTED, "", 1)
    assert f"no connection at {url}: " in done.stderr


def test_a_handshake_that_takes_longer_than_the_timeout() -> None:
    """Connecting counts, too: exit code 3, since nothing was sent."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        done = run("call", f"ws://127.0.0.1:{silent.getsockname()[1]}", "shop.Add", "--timeout", "0.2")
    assert (done.returncode, done.stdout) == (Exit.NOT_CONNECTED, "")
    assert "not ready after 0.2 s" in done.stderr


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (("shop.Nowhere",), Exit.REFUSED, "shop::Nowhere: the remote answered UnknownService; does it serve that namespace? (executed: no); is it"),
        (("shop.Add", '{"a": "x"}'), Exit.REFUSED, "shop::Add: the remote answered Deserialize; have both ends the same message class? (executed: no); is it"),
        (("shop.Add", "--wireformat", "msgpack"), Exit.FAILED, "do both ends use the same wire format? (executed: unknown)"),
        (("shop.Fail",), Exit.FAILED, "shop::Fail: the remote answered InternalServerError; its log may say more (executed: unknown)"),
        (("shop.Hang", "--timeout", "0.3"), Exit.TIMED_OUT, "shop::Hang: no answer within the timeout (executed: unknown)"),
        (("shop.Hang", "--timeout", "0"), Exit.NOT_CONNECTED, "not ready after 0 s"),
        (("shop.Add", '{"a": 1}', "--types", "shop:wrong"), Exit.UNREADABLE,
         "shop::Add: the answer can't be read: Expected `array`, got `int` (executed: yes)"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)  # fmt: skip
def test_what_comes_back_decides_the_exit_code(
    cbor: Serving, args: tuple[str, ...], code: Exit, said: str
) -> None:
    """One line says what happened, and whether the handler may have run."""
    done = run("call", cbor.url, "--wireformat", "cbor", *args)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (code, "", 1)
    assert said in done.stderr


def test_a_service_id_of_nobody_is_shown_in_full(cbor: Serving) -> None:
    """All its digits, as logs have it."""
    done = run("call", cbor.url, "0xAB", "--wireformat", "cbor")
    assert done.returncode == Exit.REFUSED
    assert "0x00000000000000ab: the remote answered UnknownService" in done.stderr


def test_a_one_way_message_is_handled_to_its_end(servers: dict[str, Serving]) -> None:
    """We leave at once, and it is handled though we have. Nothing is on the output."""
    for wireformat, server in servers.items():
        for url in server.urls:
            text = f"{wireformat} by {url}"
            done = run(
                *("call", url, "shop.Note", json.dumps({"text": text}), "--send", "--wireformat", wireformat),
            )
            assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
            server.says(text)


def test_a_server_that_is_killed_while_it_works() -> None:
    """Exit code 7, and nobody knows how far it came."""
    with serving() as server:
        done = run("call", server.url, "shop.Kill", "--timeout", "inf")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (Exit.LOST, "", 1)
    assert "shop::Kill: the connection was lost: " in done.stderr
    assert "(executed: unknown)" in done.stderr


def test_a_one_way_message_whose_connection_is_cut() -> None:
    """The server is killed while we stay. A WebSocket that ends without goodbye is no end in peace: exit code 7."""
    with serving("--option", "origins=any", listen=("ws://127.0.0.1:0",)) as server:
        done = run("call", server.url, "shop.Kill", "--send", "--linger", "600")
    assert (done.returncode, done.stdout) == (Exit.LOST, "")
    assert "shop::Kill: the connection was lost: cut short" in done.stderr
    assert "(executed: unknown)" in done.stderr


def test_the_options_of_tls(tmp_path: Path) -> None:
    """A server shows its certificate, and a client trusts our own authority, and nobody else's."""
    certificates = Certificates(tmp_path)
    files = certificates.server
    options = ("--option", f"certificate={files['certificate']}", "--option", f"key={files['key']}")
    with serving(*options, listen=("tls://127.0.0.1:0",)) as server:
        args = ("call", server.url, "shop.Add", '{"a": 1}')
        trusting = run(*args, "--option", f"ca={certificates.ca_file}")
        assert (trusting.returncode, trusting.stdout, trusting.stderr) == (0, "1\n", "")
        doubting = run(*args)
        assert (doubting.returncode, doubting.stdout) == (Exit.NOT_CONNECTED, "")
        assert doubting.stderr.count("\n") == 1


def test_a_program_that_is_started_for_the_call(tmp_path: Path) -> None:
    """`exec:` finds services in a child, whose error output stays to be seen."""
    child = tmp_path / "child.py"
    child.write_text(
        "import anyio, duologue, shop\n"
        "async def main():\n"
        "    async with duologue.connect('stdio:', shop.services, wireformat='json') as peer:\n"
        "        await peer.wait_closed()\n"
        "anyio.run(main)\n",
        encoding="utf-8",
    )
    options = ("--option", f"cwd={HERE}", "--option", f"env={{'PYTHONPATH': '{HERE}'}}")
    done = run("call", f"exec:{MODULE[0]} {child}", "shop.Add", '{"a": 4}', *options, folder=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "4\n", "")


def test_a_module_with_a_bug_shows_it(tmp_path: Path) -> None:
    """Its own traceback, from its own first line on, and none of ours; exit code 1."""
    (tmp_path / "buggy.py").write_text("import no_such_library\n", encoding="utf-8")
    done = run("call", NOBODY, "shop.Add", "--types", "buggy:shop", folder=tmp_path)
    assert (done.returncode, done.stdout) == (Exit.BROKEN, "")
    assert done.stderr.endswith("ModuleNotFoundError: No module named 'no_such_library'\n")
    assert re.findall(r'File ".*/(.*)"', done.stderr) == ["buggy.py"]


def test_nobody_reads_the_answer(cbor: Serving) -> None:
    """As with `| head -0`: no traceback, and no word."""
    reader, writer = os.pipe()
    os.close(reader)
    with subprocess.Popen(
        [*MODULE, "call", cbor.url, "shop.Add", '{"a": 1}', "--wireformat", "cbor"],
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        os.close(writer)
        _, errors = process.communicate(timeout=LONG_ENOUGH)
    assert (process.returncode, errors) == (Exit.BROKEN, "")


def test_a_call_is_interrupted(servers: dict[str, Serving]) -> None:
    """Ctrl-C while it waits: one line, and the code that shells know."""
    server = servers["msgpack"]
    args = ("call", server.url, "shop.Hang", "--timeout", "inf", "--wireformat", "msgpack")
    with started(*args) as process:
        server.says("hanging")
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=LONG_ENOUGH)
    assert (process.returncode, output, errors) == (130, "", "duologue call: interrupted\n")


def test_help_and_docs_list_every_exit_code() -> None:
    """Whoever writes a script finds them in both places, with the same words."""
    done = run("call", "--help")
    shown = " ".join(re.sub(r"[│╭╰─╮╯]", " ", done.stdout).split())
    page = (HERE.parents[1] / "docs" / "command-line.md").read_text(encoding="utf-8")
    assert set(OF_CALL) == set(Exit)
    for code, meaning in OF_CALL.items():
        assert f"{code.value}: {meaning}" in shown
        assert f"| {code.value} | {meaning} |" in page
