"""The scripts of docs/browser.md run as they stand there, against a server with the messages that the page shows."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import anyio
import pytest
from tests.contrib.browser.nodes import installed_nodes

from duologue import Message, Namespace, Peer, Services, serve
from duologue_contrib.browser import CLIENT_FILES, CLIENT_PATH

PAGE = Path(__file__).parents[3] / "docs" / "browser.md"
SCRIPTS = re.findall(r"^```js\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


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


@pytest.mark.parametrize("script", SCRIPTS, ids=range(len(SCRIPTS)))
def test_all_scripts_are_scripts(script: str, tmp_path: Path) -> None:
    """At least their grammar is right."""
    if not installed_nodes():
        pytest.skip("NOT TESTED in Node.js, which is not there")
    (tmp_path / "page.mjs").write_text(script, encoding="utf-8")
    subprocess.run([installed_nodes()[0].path, "--check", str(tmp_path / "page.mjs")], check=True, timeout=60)
