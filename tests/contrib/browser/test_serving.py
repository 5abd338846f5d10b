"""`serve_page`: a page, the client that it imports and its WebSocket on one port, and who may connect."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.abc
import pytest
from tests.adapters.certificates import Certificates
from tests.adapters.websocket_sockets import raw
from tests.contrib.browser.nodes import page as played
from tests.contrib.browser.talk import Double, Talker, show

from duologue import ConnectFailed, Peer, serve
from duologue_contrib.browser import CLIENT_FILES, CLIENT_PATH, PageServer, serve_page


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A page, and a secret beside its folder."""
    folder = tmp_path / "page"
    (folder / "duologue").mkdir(parents=True)
    (folder / "index.html").write_text("<title>hello</title>")
    (folder / "duologue" / "mine.mjs").write_text("never served: the path is the client's")
    (tmp_path / "secret").write_text("secret")
    return folder


@asynccontextmanager
async def serving(
    folder: Path, url: str = "http://127.0.0.1:0", **options: object
) -> AsyncIterator[tuple[PageServer, list[Peer]]]:
    """A served page, and the peers that it has had."""
    peers: list[Peer] = []
    services = Talker().services
    async with serve_page(
        url,
        folder,
        services,
        wireformat="cbor",
        on_peer=peers.append,
        **options,  # type: ignore[arg-type]
    ) as server:
        yield server, peers


async def get(
    server: PageServer, path: str, more: str = "", method: str = "GET"
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of the answer to a plain request."""
    async with raw(server.server) as remote:
        await remote.send(f"{method} {path} HTTP/1.1\r\nHost: x\r\n{more}\r\n".encode())
        head, _, body = (await remote.read_to_end()).partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    return int(first.split(" ")[1]), headers, body


async def test_a_page_and_its_client(folder: Path) -> None:
    """The page at `/`, every file of the client under `/duologue/`, scripts as scripts; and the peer through the same port."""
    async with serving(folder) as (server, peers):
        assert server.url.startswith("http://127.0.0.1:")
        assert server.url.endswith("/")
        status, headers, body = await get(server, "/")
        assert (status, body) == (200, b"<title>hello</title>")
        assert headers["content-type"] == "text/html; charset=utf-8"
        for file in CLIENT_FILES.rglob("*js"):
            path = CLIENT_PATH + file.relative_to(CLIENT_FILES).as_posix()
            status, headers, body = await get(server, path)
            assert (status, body) == (200, file.read_bytes()), path
            assert headers["content-type"] == "text/javascript; charset=utf-8"
            assert headers["x-content-type-options"] == "nosniff"
        async with played("bothWays", server.server.url, "cbor") as there:
            await there.lines("added")
            assert await peers[0].remote(show).call(Double(4)) == 8


@pytest.mark.parametrize(
    "path",
    [
        *(
            "/secret",
            "/../secret",
            "/duologue/../../secret",
            "/duologue/..%2f..%2fsecret",
            "/duologue//duologue.mjs",
        ),
        *(
            "/duologue/../serving.py",
            "/duologue/%2e%2e/serving.py",
            "/duologue",
            "/duologue/",
            "/duologue/mine.mjs",
        ),
        *("/duologue/packages", "/%64uologue/duologue.mjs", "/nothing"),
    ],
)
async def test_what_is_not_there(folder: Path, path: str) -> None:
    """Nothing outside of the two folders, and nothing of the page's own under the client's path."""
    async with serving(folder) as (server, _):
        assert (await get(server, path))[0] == 404


async def test_files_are_asked_for_each_time_and_sent_once(folder: Path) -> None:
    """A browser that has a file already is told so; one that has an older one gets the new one."""
    async with serving(folder) as (server, _):
        _, headers, _ = await get(server, "/")
        etag = headers["etag"]
        assert headers["cache-control"] == "no-cache"
        for known in (etag, f'"other", {etag}', f'"other"\r\nIf-None-Match: {etag}'):
            status, headers, body = await get(server, "/", f"If-None-Match: {known}\r\n")
            assert (status, body, headers["etag"]) == (304, b"", etag)
            assert "content-length" not in headers
        status, headers, body = await get(server, "/", method="HEAD")
        assert (status, body, headers["etag"], headers["content-length"]) == (200, b"", etag, "20")
        (folder / "index.html").write_text("<title>bye</title>")
        status, headers, body = await get(server, "/", f"If-None-Match: {etag}\r\n")
        assert (status, body) == (200, b"<title>bye</title>")
        assert headers["etag"] != etag


async def opened(stream: anyio.abc.ByteStream, origin: str, *hosts: str) -> int:
    """The status that a page of that origin gets for its WebSocket. The stream is closed then."""
    lines = [
        "GET / HTTP/1.1",
        *(f"Host: {host}" for host in hosts),
        f"Origin: {origin}",
        "Upgrade: websocket",
    ]
    lines += [
        "Connection: Upgrade",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13",
    ]
    async with stream:
        await stream.send("\r\n".join([*lines, "", ""]).encode())
        return int((await stream.receive(100)).split(b" ")[1])


@pytest.mark.fault(69)
async def test_whose_pages_may_connect(folder: Path) -> None:
    """The page itself, by any address of the server, and those that are listed; no other, and none that only says it came from here."""
    async with serving(folder, origins=["https://example.org"]) as (server, _):
        port = int(server.server.url.rpartition(":")[2])

        async def status(origin: str, *hosts: str) -> int:
            return await opened(await anyio.connect_tcp("127.0.0.1", port), origin, *hosts)

        here = f"127.0.0.1:{port}"
        for host in (
            here,
            f"localhost:{port}",
            f"LOCALHOST:{port}",
            f"[::1]:{port}",
            f"192.168.0.7:{port}",
            "localhost",
        ):
            assert await status(f"http://{host.lower()}", host) == 101, host
        assert await status("http://localhost", "localhost:80") == 101
        assert await status("https://example.org", here) == 101
        for origin, host in (
            (f"http://localhost:{port}", here),  # the same machine, but not where the page says it is
            ("http://127.0.0.1:1", here),
            (f"https://{here}", here),
            (f"http://evil.example:{port}", f"evil.example:{port}"),  # a name that somebody lets point here
            (f"http://localhost.evil.example:{port}", f"localhost.evil.example:{port}"),
            (f"http://127.0.0.1.evil.example:{port}", f"127.0.0.1.evil.example:{port}"),
            ("http://", ""),
            ("http://a b", "a b"),
            ("null", here),
            ("null", "null"),
        ):
            assert await status(origin, host) in (400, 403), (origin, host)
        assert await status(f"http://{here}", here, here) == 403
        assert await status(f"http://{here}") == 403


async def test_with_tls(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """`https` and `wss`: the page's own origin is then one with `https`."""
    certificates = Certificates(tmp_path_factory.mktemp("certificates"))
    context = ssl.create_default_context(cafile=certificates.ca_file)
    async with serving(folder, "https://localhost:0", **certificates.server) as (server, _):
        assert server.url.startswith("https://")
        port = int(server.server.url.rpartition(":")[2])
        for scheme, expected in (("https", 101), ("http", 403)):
            stream = await anyio.connect_tcp(
                "localhost", port, ssl_context=context, tls_standard_compatible=False
            )
            assert await opened(stream, f"{scheme}://localhost:{port}", f"localhost:{port}") == expected


@pytest.mark.parametrize(
    "url", ["ws://127.0.0.1:0", "127.0.0.1:0", "http://127.0.0.1:0/path", "http:127.0.0.1", "ftp://x"]
)
async def test_urls_that_make_no_sense(folder: Path, url: str) -> None:
    with pytest.raises(ConnectFailed):
        async with serve_page(url, folder, wireformat="cbor"):
            raise AssertionError


async def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConnectFailed, match="can't be served"):
        async with serve_page("http://127.0.0.1:0", tmp_path / "nothing", wireformat="cbor"):
            raise AssertionError


@pytest.mark.parametrize("static", [5, {"/": 5}, {5: "page"}, ["page"]], ids=repr)
async def test_folders_that_are_none(static: object) -> None:
    with pytest.raises(TypeError, match="give the path of a folder"):
        async with serve("ws://127.0.0.1:0", wireformat="json", origins="self", static=static):
            raise AssertionError
