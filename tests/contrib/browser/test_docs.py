"""The scripts of docs/browser.md run as they stand there, against a server with the messages that the page shows."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import anyio
import pytest
from tests.contrib.browser.nodes import installed_nodes

from duologue import Message, Namespace, Peer, PubSub, Services, serve
from duologue_contrib.browser import CLIENT_FILES, CLIENT_PATH

PAGE = Path(__file__).parents[3] / "docs" / "browser.md"
SCRIPTS = re.findall(r"^```js\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
LIST = next(script for script in SCRIPTS if "todo.changes" in script)


class Add(Message[int]):
    a: int
    b: int


class Show(Message[int]):
    text: str


calc = Namespace("calc", [Add])
screen = Namespace("screen", [Show])
services = Services(calc)


@services.handler
async def add(msg: Add) -> int:
    return msg.a + msg.b


def test_the_first_script_is_short() -> None:
    assert SCRIPTS[0].count("\n") <= 15


async def test_the_first_script(tmp_path: Path) -> None:
    """It prints 3, and the server can show something in the page."""
    if not installed_nodes():
        pytest.skip("NOT TESTED in Node.js, which is not there")
    peers = list[Peer]()
    shown = anyio.Event()

    async def show(peer: Peer) -> None:
        peers.append(peer)
        assert await peer.remote(screen).call(Show(text="hello")) == 5
        shown.set()

    async with anyio.create_task_group() as group:
        async with serve(
            "ws://127.0.0.1:0",
            services,
            wireformat="cbor",
            origins=[],
            on_peer=lambda peer: group.start_soon(show, peer),
        ) as server:
            script = (
                SCRIPTS[0].replace(CLIENT_PATH, f"{CLIENT_FILES.as_uri()}/").replace('"/"', f'"{server.url}"')
            )
            page = (
                f"globalThis.document = {{ body: {{ append: console.log }} }};\n{script}await peer.closed;\n"
            )
            (tmp_path / "page.mjs").write_text(page, encoding="utf-8")
            command = [*installed_nodes()[0].command, str(tmp_path / "page.mjs")]
            async with await anyio.open_process(command, stderr=None) as process:
                await shown.wait()
                assert process.stdout is not None
                text = b""
                while text.count(b"\n") < 2:
                    text += await process.stdout.receive()
                await peers[0].close()
                assert await process.wait() == 0
    assert sorted(text.decode().split()) == ["3", "hello"]


class Watch(Message[list[str]]):
    pass


class AddText(Message[None]):
    text: str


class Added(Message[None]):
    text: str


async def test_the_list(tmp_path: Path) -> None:
    """Each page shows what there is and what comes, also what comes with the answer, before the page has looked at that."""
    if not installed_nodes():
        pytest.skip("NOT TESTED in Node.js, which is not there")
    feed = PubSub(Namespace("todo.changes", [Added]))
    todo = Namespace("todo", [Watch, AddText], names={AddText: "Add"})
    texts = ["sleep"]

    def put(text: str) -> None:
        texts.append(text)
        feed.publish(Added(text=text))

    def services_of(peer: Peer) -> Services:
        services = Services(todo)

        @services.handler(inline=True)
        def watch(msg: Watch) -> list[str]:
            feed.subscribe(peer)
            known = list(texts)
            put("eat")  # leaves with the answer
            return known

        @services.handler(inline=True)
        def add(msg: AddText) -> None:
            put(msg.text)

        return services

    async with serve("ws://127.0.0.1:0", services_of, wireformat="cbor", origins=[]) as server:
        script = LIST.replace(CLIENT_PATH, f"{CLIENT_FILES.as_uri()}/").replace('"/"', f'"{server.url}"')
        page = f"globalThis.document = {{ body: {{ replaceChildren: console.log }} }};\n{script}"
        (tmp_path / "page.mjs").write_text(page, encoding="utf-8")
        command = [*installed_nodes()[0].command, str(tmp_path / "page.mjs")]
        async with await anyio.open_process(command, stderr=None) as process:
            assert process.stdout is not None
            text = b""
            while b"buy milk\n" not in text:
                text += await process.stdout.receive()
            process.kill()
    assert text.decode().splitlines()[-1] == "sleep, eat, buy milk"


@pytest.mark.parametrize("script", SCRIPTS, ids=range(len(SCRIPTS)))
def test_all_scripts_are_scripts(script: str, tmp_path: Path) -> None:
    """At least their grammar is right."""
    if not installed_nodes():
        pytest.skip("NOT TESTED in Node.js, which is not there")
    (tmp_path / "page.mjs").write_text(script, encoding="utf-8")
    subprocess.run([installed_nodes()[0].path, "--check", str(tmp_path / "page.mjs")], check=True, timeout=60)
