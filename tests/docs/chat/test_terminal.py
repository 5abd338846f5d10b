"""The client in a terminal, and with pipes, as a process beside the server's."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rooms import BURST
from tests.contrib.terminal import Terminal
from tests.docs.chat.processes import CHAT, ChatServer, running


@pytest.fixture(params=[("asyncio", {})], ids=["asyncio"])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    """Of the test alone: the processes have loops of their own."""
    return request.param


@pytest.fixture(params=["asyncio", "trio"])
def chat(request: pytest.FixtureRequest) -> ChatServer:
    return ChatServer(request.param)


async def test_a_conversation(chat: ChatServer) -> None:
    """Each sees what all say, who comes, who has another nick, and who goes."""
    async with chat.run(), chat.terminal("ada") as ada:
        assert await ada.line() == "-- #lobby: ada"
        async with chat.terminal("bert") as bert:
            assert await bert.line() == "-- #lobby: ada, bert"
            assert await ada.line() == "-- #lobby: bert has come"
            await ada.type("hello")
            await bert.until("#lobby ada: hello")
            await bert.type("/nick bertram", "hi", "/quit")
            assert await bert.rest() == ["-- you are bertram now", "#lobby bertram: hi"]
            assert await bert.process.wait() == 0
        assert [await ada.line() for _ in range(4)] == [
            "#lobby ada: hello",
            "-- #lobby: bert is bertram now",
            "#lobby bertram: hi",
            "-- #lobby: bertram has gone",
        ]


async def test_every_command(chat: ChatServer) -> None:
    """What each says, in the order in which it was typed."""
    commands = ["/who", "/join #Garden", "/rooms", "/leave", "/leave", "hello", "/who"]
    commands += ["/join lobby", "//slash", "/nick a b", "/join no room", "/nick", "/what now", "", "/help"]
    async with chat.run(), chat.terminal("ada") as ada:
        await ada.type(*commands)
        told = await ada.rest()
    rule = "it must be 1 to 20 characters without blanks, and no / or # at the start"
    assert told[:14] == [
        "-- #lobby: ada",
        "-- #lobby: ada",
        "-- #garden: ada",
        "-- #lobby (1), #garden (1)",
        "-- you have left #garden",
        "-- you have left #lobby",
        "-- not said: join the room first",
        "-- you are in no room",
        "-- #lobby: ada",
        "#lobby ada: /slash",
        f"-- not a b: {rule}",
        f"-- not in #no room: {rule}, and no capitals",
        "-- /nick: see /help",
        "-- /what: see /help",
    ]
    assert [line.split()[0] for line in told[14:]] == [
        *("/nick", "/join", "/leave", "/rooms", "/who", "/help", "/quit", "anything")
    ]


async def test_a_nick_that_is_taken(chat: ChatServer) -> None:
    """It says so, and goes on as soon as another is chosen."""
    async with chat.run(), chat.terminal("ada") as ada:
        await ada.line()
        async with chat.terminal("Ada") as other:
            assert await other.line() == "-- not Ada: somebody else has this nick, choose another"
            await other.type("hello", "/join garden", "/nick bert", "hello")
            assert await other.rest() == [
                "-- not said: join the room first",
                "-- #garden has to wait: choose a nick first",
                "-- you are bert now",
                "-- #lobby: ada, bert",
                "-- #garden: bert",
                "#garden bert: hello",
            ]


async def test_a_script_says_all_that_it_has(chat: ChatServer) -> None:
    """More lines than the server takes at once: each is said once, in order, and then it ends."""
    lines = [f"line {number}" for number in range(BURST + 2)]
    async with chat.run(), chat.terminal("ada") as ada:
        await ada.line()
        async with chat.terminal("script") as script:
            await ada.until("script has come")
            await script.type(*lines)
            assert (await script.rest())[1:] == [f"#lobby script: {line}" for line in lines]
            assert await script.process.wait() == 0
        assert [await ada.line() for _ in lines] == [f"#lobby script: {line}" for line in lines]
        assert await ada.line() == "-- #lobby: script has gone"


async def test_a_long_line_and_one_that_does_not_end(chat: ChatServer) -> None:
    """Neither is an end, nor lost in silence."""
    async with chat.run(), chat.terminal("ada") as ada:
        assert ada.process.stdin is not None
        await ada.type("x" * 3000)
        await ada.process.stdin.send(b"the end")
        assert (await ada.rest())[1:] == [
            "-- not said: it must be 1 to 500 characters",
            "#lobby ada: the end",
        ]


async def test_the_server_is_killed_and_comes_back(chat: ChatServer) -> None:
    """The client says so, is back in its rooms with its nick, and what was typed meanwhile is said then."""
    async with chat.terminal("early") as early:
        assert await early.process.wait() == 1  # at the beginning there must be a server
    async with chat.run() as server, chat.terminal("ada") as ada:
        await ada.type("/join garden")
        await ada.until("#garden: ada")
        await server.end(signal.SIGKILL)
        assert "the connection is lost" in await ada.line()
        await ada.type("still here")
        async with chat.run(), chat.terminal("bert", "--room", "garden") as bert:
            seen = [await ada.line() for _ in range(3)]
            # Bert may be there before.
            assert [line.replace("bert, ", "") for line in seen] == [
                "-- #lobby: ada",
                "-- #garden: ada",
                "-- connected again",
            ]
            await bert.until("#garden ada: still here")
            await bert.type("welcome")
            await ada.until("#garden bert: welcome")


async def test_a_client_that_is_killed_has_gone(chat: ChatServer) -> None:
    async with chat.run(), chat.terminal("ada") as ada:
        await ada.line()
        async with chat.terminal("bert") as bert:
            await ada.until("bert has come")
            await bert.end(signal.SIGKILL)
            assert await ada.line() == "-- #lobby: bert has gone"


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
def test_no_server(loop: str) -> None:
    """One line that says so, and no traceback."""
    command = [sys.executable, "-W", "error", str(CHAT / "terminal.py"), "tcp://127.0.0.1:1", "--loop", loop]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=60, stdin=subprocess.DEVNULL
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("chat: no connection at tcp://127.0.0.1:1: nobody listens there")
    assert done.stderr.count("\n") == 1


async def test_what_is_not_the_chat_s_server(chat: ChatServer) -> None:
    """It ends where it is useless to try again: at the port of the page nobody speaks its protocol."""
    async with (
        chat.run(),
        running("terminal.py", f"tcp://127.0.0.1:{chat.port}", "--nick", "ada") as terminal,
    ):
        assert await terminal.process.wait() == 1


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
async def test_in_a_real_terminal(loop: str, tmp_path: Path) -> None:
    """What is being typed stays in sight below what others say, and can be edited; at the end the terminal is as it was."""
    chat = ChatServer(loop)
    (tmp_path / "inputrc").write_text("set enable-bracketed-paste off\n", encoding="utf-8")
    command = [sys.executable, "-W", "error", str(CHAT / "terminal.py"), chat.url, "--nick", "ada"]
    async with chat.run(), chat.terminal("bert") as bert:
        await bert.line()
        with Terminal(
            [*command, "--loop", loop], 100, INPUTRC=str(tmp_path / "inputrc"), TERM="dumb"
        ) as screen:
            await bert.until("ada has come")
            screen.wait_for("#lobby> ")
            screen.press(b"half a lxne")
            screen.wait_for("half a lxne")
            await bert.type("I interrupt")
            screen.wait_for("I interrupt\r\n#lobby> half a lxne")
            screen.press(b"\x08\x08\x08ine\r")
            await bert.until("#lobby ada: half a line")
            screen.press(b"/join garden\r")
            screen.wait_for("#garden> ")
            screen.press(b"/quit\r")
            assert screen.wait_until_left() == 0
            assert screen.is_as_before()
        assert await bert.until("gone") == "-- #lobby: ada has gone"
