"""Which failures to connect are worth another attempt: `ConnectFailed.is_permanent`, of every adapter."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest
from tests.adapters.certificates import Certificates, read_to_end, server_in_thread

from duologue import ConnectFailed, HandshakeTimeout, Limits, connect, serve

SOON = Limits(handshake_timeout=0.2)


async def failure(url: str, *, limits: Limits = Limits(), **options: Any) -> ConnectFailed:
    """What connecting there fails with."""
    with pytest.raises(ConnectFailed) as caught:
        async with connect(url, wireformat="json", limits=limits, **options):
            raise AssertionError
    return caught.value


@pytest.mark.parametrize(
    "url",
    [
        "tcp://127.0.0.1",
        "tcp://127.0.0.1:port",
        "tcp://:7",
        "tcp://127.0.0.1:7/path",
        "tcp://.example:7",
        "tls://127.0.0.1",
        "ws://",
        "ws://user@127.0.0.1/",
        "ws://127.0.0.1:99999/",
        "unix:relative",
        "unix:///" + 200 * "x",
        "mem://",
        "exec:",
        "exec:'",
        "exec:/no/such/command",
        "stdio:x",
        "zmq+tcp://127.0.0.1",
        "zmq+tcp://127.0.0.1:0",
        "zmq+tcp://192.0.2.1:7",
        "zmq+ipc://relative",
    ],
)
async def test_what_means_nothing(url: str) -> None:
    """A URL that can't be meant, a command that is not there, an address that must not be used so: they stay what they are."""
    assert (await failure(url)).is_permanent


@pytest.mark.parametrize("scheme", ["tcp", "tls", "ws", "wss"])
async def test_nobody_listens(scheme: str) -> None:
    """Somebody may, a moment later."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        assert not (await failure(f"{scheme}://127.0.0.1:{sock.getsockname()[1]}")).is_permanent


@pytest.mark.parametrize("url", ["tcp://no-such-host.invalid:7", "zmq+tcp://no-such-host.invalid:7"])
async def test_a_name_that_is_not_found(
    url: str, monkeypatch: pytest.MonkeyPatch, anyio_backend: Any
) -> None:
    """Name servers fail, and learn."""
    if anyio_backend[1].get("use_uvloop"):
        pytest.skip(
            "uvloop asks the system in its own way, and nobody outside of this machine is to be asked"
        )

    def not_found(*args: Any, **kwargs: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", not_found)
    assert not (await failure(url)).is_permanent


async def test_nobody_serves_a_name_or_a_file(tmp_path: Path) -> None:
    """In memory, and at a path where there is nothing, or a socket that nobody listens at."""
    assert not (await failure("mem://nobody")).is_permanent
    assert not (await failure(f"unix://{tmp_path}/socket")).is_permanent
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(f"{tmp_path}/socket")
    assert not (await failure(f"unix://{tmp_path}/socket")).is_permanent


@pytest.mark.skipif(os.geteuid() == 0, reason="root may open every file")
async def test_a_file_that_is_forbidden(tmp_path: Path) -> None:
    """The system does not let this user in."""
    async with serve(f"unix://{tmp_path}/socket", wireformat="json", mode=0):
        assert (await failure(f"unix://{tmp_path}/socket")).is_permanent


def test_what_the_system_forbids() -> None:
    """The same, for those who run the tests as root."""
    from duologue_adapters import unix

    assert unix._is_permanent(PermissionError(13, "forbidden"))
    assert not unix._is_permanent(ConnectionRefusedError(111, "refused"))


async def test_a_server_that_does_not_answer() -> None:
    """`HandshakeTimeout`: it may be busy."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        for scheme in ("tls", "ws", "zmq+tcp"):
            error = await failure(f"{scheme}://127.0.0.1:{port}", limits=SOON)
            assert isinstance(error, HandshakeTimeout)
            assert not error.is_permanent


@pytest.mark.parametrize(
    ("shown", "is_permanent"),
    [("elsewhere", True), ("stranger", True), ("expired", True), ("early", False)],
)
async def test_a_certificate(certificates: Certificates, shown: str, is_permanent: bool) -> None:
    """It is not trusted the next time either; but one that is not valid yet will be, or a clock is put right."""
    async with serve("tls://127.0.0.1:0", wireformat="json", **getattr(certificates, shown)) as server:
        error = await failure(server.url, ca=certificates.ca_file)
        assert error.is_permanent is is_permanent
    async with serve(
        "wss://127.0.0.1:0", wireformat="json", origins=[], **getattr(certificates, shown)
    ) as server:
        error = await failure(server.url, ca=certificates.ca_file)
        assert error.is_permanent is is_permanent


@pytest.mark.parametrize(
    ("answer", "is_permanent"),
    [
        pytest.param(b"\x15\x03\x02\x00\x02\x02\x46", True, id="TLS 1.1"),
        pytest.param(b"\x15\x03\x03\x00\x02\x02\x28", True, id="handshake refused"),
        pytest.param(b"\x15\x03\x03\x00\x02\x02\x70", True, id="name refused"),
        pytest.param(b"\x15\x03\x03\x00\x02\x02\x50", False, id="an internal error there"),
        pytest.param(b"HTTP/1.1 400 Bad Request\r\n\r\n", True, id="no TLS"),
        pytest.param(b"", False, id="it hangs up"),
    ],
)
async def test_an_answer_to_the_tls_handshake(
    certificates: Certificates, answer: bytes, is_permanent: bool
) -> None:
    """A refusal comes again, and so does another protocol. Who hangs up may be starting, or ending."""

    def talk(sock: socket.socket) -> None:
        sock.recv(65536)
        sock.sendall(answer)
        sock.shutdown(socket.SHUT_WR)
        read_to_end(sock)

    async with server_in_thread(talk) as url:
        assert (await failure(url, ca=certificates.ca_file)).is_permanent is is_permanent


ANSWER = b"HTTP/1.1 %d Said\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize(
    ("answer", "is_permanent"),
    [
        *((ANSWER % status, True) for status in (301, 400, 401, 403, 405, 407, 410, 426, 501, 505)),
        *((ANSWER % status, False) for status in (200, 404, 408, 425, 429, 500, 502, 503, 504)),
        (b"SSH-2.0-OpenSSH_9.9\r\n\r\n", True),
        (b"HTTP/1.1 101 Other\r\nUpgrade: other\r\nConnection: Upgrade\r\n\r\n", True),
        (b"", False),
        (b"HTTP/1.1 101 Swit", False),
    ],
    ids=lambda value: value.decode()[:17].strip() if isinstance(value, bytes) else "",
)
async def test_an_answer_to_the_websocket_handshake(answer: bytes, is_permanent: bool) -> None:
    """Who refuses this end, or speaks another protocol, does so again. A proxy whose server is away says so in many ways."""

    def talk(sock: socket.socket) -> None:
        sock.recv(65536)
        sock.sendall(answer)
        sock.shutdown(socket.SHUT_WR)
        read_to_end(sock)

    async with server_in_thread(talk) as url:
        assert (await failure(url.replace("tls", "ws"))).is_permanent is is_permanent


async def test_a_command_that_is_no_program(tmp_path: Path) -> None:
    """It can't be started today, nor tomorrow."""
    file = tmp_path / "text"
    file.write_text("no program")
    assert (await failure("exec:", argv=[str(file)])).is_permanent
