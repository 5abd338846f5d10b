"""Unix sockets: paths, what lies there already, who may connect, and who is at the other end."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import pytest
from tests.adapters.common import Add, Tools, first_peer, tools, until
from tests.adapters.test_processes import running

from duologue import ConnectFailed, HandshakeTimeout, Limits, connect, serve
from duologue_adapters import Credentials, socket_file


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a socket may be."""
    return tmp_path / "socket"


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def leave_stale(path: Path) -> None:
    """The file of a server that has ended without removing it."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))


async def serves(url: str) -> bool:
    """Whether somebody answers there."""
    async with connect(url, wireformat="json") as peer:
        return await peer.remote(tools).call(Add(a=1, b=1)) == 2


@pytest.mark.parametrize(
    "url", ["unix:", "unix://", "unix:/tmp/s", "unix://s", "unix://host/s", "unix://\0name", "unix:///s\0t"]
)
async def test_urls_that_are_none(url: str) -> None:
    """A whole path or nothing; and no abstract names, which every user of the machine could connect to."""
    for enter in (connect, serve):
        with pytest.raises(ConnectFailed, match="write unix:///path") as caught:
            async with enter(url, wireformat="json"):
                raise AssertionError
        assert caught.value.url == url


@pytest.mark.parametrize("name", ["socket", "a b", "a%20b", "a?b#c", "ü"])
async def test_the_path_is_taken_as_it_is(tmp_path: Path, name: str) -> None:
    """`unix://` and a path are a URL, whatever the path; `server.url` is where it listens; afterwards the file is gone."""
    url = f"unix://{tmp_path}/{name}"
    async with serve(url, Tools().services, wireformat="json") as server:
        assert server.url == url
        assert [each.name for each in tmp_path.iterdir()] == [name]
        assert await serves(url)
    assert list(tmp_path.iterdir()) == []


async def test_options(path: Path) -> None:
    """`mode=` of a server is checked, 660 in decimal too, and anything else is refused."""
    with pytest.raises(TypeError, match="does not know the option mode: it takes none"):
        async with connect(f"unix://{path}", wireformat="json", mode=0o600):
            raise AssertionError
    wrong: list[tuple[dict[str, Any], type[Exception], str]] = [
        ({"umask": 0}, TypeError, "it takes mode"),
        ({"mode": "660"}, TypeError, "such as 0o660"),
        ({"mode": 660}, ValueError, "in octal"),
        ({"mode": -1}, ValueError, "in octal"),
    ]
    for options, error, text in wrong:
        with pytest.raises(error, match=text):
            async with serve(f"unix://{path}", wireformat="json", **options):
                raise AssertionError
    assert not path.exists()


@pytest.mark.fault(74)
@pytest.mark.parametrize(
    ("options", "mask", "mode"),
    [
        ({}, 0, 0o600),
        ({}, 0o077, 0o600),
        ({"mode": 0o660}, 0o077, 0o660),
        ({"mode": 0o666}, 0o022, 0o666),
        ({"mode": 0o200}, 0, 0o200),
    ],
)
async def test_who_may_connect(
    path: Path, options: dict[str, Any], mask: int, mode: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the own user, from the first moment of the file, or whom `mode=` lets; whatever the umask, which is left alone."""
    first: list[int] = []
    identity = socket_file._identity

    def looked_at(name: str) -> tuple[int, int]:
        first.append(mode_of(Path(name)))
        return identity(name)

    monkeypatch.setattr(socket_file, "_identity", looked_at)
    with umask(mask):
        with monkeypatch.context() as patch:
            patch.setattr(os, "umask", lambda _: pytest.fail("it belongs to all threads"))
            async with serve(f"unix://{path}", Tools().services, wireformat="json", **options):
                assert mode_of(path) == mode
                if mode != 0o200:
                    assert await serves(f"unix://{path}")
    assert first[0] == 0o600, "as soon as it was bound"


@pytest.mark.fault(74)
async def test_a_system_without_modes_of_sockets(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the file does not take over the mode of the socket, the umask is set for a moment, and set back."""
    monkeypatch.setattr(socket_file, "sys", SimpleNamespace(platform="another"))
    with umask(0o022):
        async with serve(f"unix://{path}", Tools().services, wireformat="json"):
            assert mode_of(path) == 0o600
            assert await serves(f"unix://{path}")
        before = os.umask(0o022)
    assert before == 0o022


@pytest.mark.fault(74)
async def test_a_mode_that_can_not_be_set(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the last step fails the file is removed again."""

    def denied(*_: object) -> None:
        raise PermissionError("not this one")

    with monkeypatch.context() as patch:
        patch.setattr(socket_file.os, "chmod", denied)
        with pytest.raises(ConnectFailed, match="not this one"):
            async with serve(f"unix://{path}", wireformat="json", mode=0o666):
                raise AssertionError
    assert not path.exists()


@pytest.mark.fault(74)
async def test_no_permission(path: Path) -> None:
    """Another user can neither connect nor listen: `ConnectFailed`, and it says why."""
    async with serve(f"unix://{path}", Tools().services, wireformat="json"):
        with somebody_else(path.parent):
            with pytest.raises(ConnectFailed, match="no permission") as caught:
                await serves(f"unix://{path}")
            assert isinstance(caught.value.__cause__, PermissionError)
            with pytest.raises(ConnectFailed, match="can't listen there: no permission"):
                async with serve(f"unix://{path}2", wireformat="json"):
                    raise AssertionError
        assert await serves(f"unix://{path}")


@contextmanager
def somebody_else(directory: Path) -> Iterator[None]:
    """Someone who may not look into a directory."""
    user, mode = os.geteuid(), mode_of(directory)
    directory.chmod(0)
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)
        directory.chmod(mode)


@pytest.mark.fault(74)
async def test_a_directory_that_can_only_be_written(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers keep out of each other's way by a lock of the directory. Where it can't be had, for want of permission
    or since the file system has none, they do without."""

    def denied(*_: object) -> int:
        raise PermissionError

    def unknown(*_: object) -> None:
        raise OSError("no locks here")

    for module, name, replacement in (
        (socket_file.os, "open", denied),
        (socket_file.fcntl, "flock", unknown),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, replacement)
            async with serve(f"unix://{path}", Tools().services, wireformat="json"):
                assert await serves(f"unix://{path}")


async def test_places_that_are_none(tmp_path: Path) -> None:
    """No such directory, a file for a directory, a path that is too long: `ConnectFailed`, with a text that says it."""
    (tmp_path / "file").touch()
    for name, text in (
        ("none/socket", "no such file or directory"),
        ("file/socket", "Not a directory"),
        ("x" * 120, "too long: the system allows about 100 bytes"),
    ):
        for enter in (connect, serve):
            with pytest.raises(ConnectFailed, match=text) as caught:
                async with enter(f"unix://{tmp_path}/{name}", wireformat="json"):
                    raise AssertionError
            assert isinstance(caught.value.__cause__, OSError)
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


@pytest.mark.fault(74)
async def test_a_stale_file(path: Path) -> None:
    """Where nobody listens any more: a client is told so, and a server replaces it."""
    leave_stale(path)
    with pytest.raises(ConnectFailed, match="nobody listens there"):
        await serves(f"unix://{path}")
    async with serve(f"unix://{path}", Tools().services, wireformat="json"):
        assert await serves(f"unix://{path}")
    assert not path.exists()


@pytest.mark.fault(53, 74)
async def test_a_server_that_was_killed(path: Path, anyio_backend: tuple[str, Any]) -> None:
    """A server of its own process is killed with SIGKILL: its clients learn it, and another server can take its place."""
    url = f"unix://{path}"
    with running("tests.adapters.hanging_server", anyio_backend[0], url) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == url
        async with connect(url, wireformat="msgpack") as peer:
            assert await peer.remote(tools).call(Add(a=1, b=1)) == 2
            assert peer.info.extra["credentials"].pid == process.pid
            process.send_signal(signal.SIGKILL)
            await peer.wait_closed()
    assert path.is_socket()
    async with serve(url, Tools().services, wireformat="json"):
        assert await serves(url)


@pytest.mark.fault(74)
async def test_somebody_serves_there(path: Path) -> None:
    """A server that lives is not pushed aside, and neither is one that is too busy to accept, or no server of streams."""
    async with serve(f"unix://{path}", Tools().services, wireformat="json"):
        with pytest.raises(ConnectFailed, match="somebody serves there already"):
            async with serve(f"unix://{path}", wireformat="json"):
                raise AssertionError
        assert await serves(f"unix://{path}")
    with socket.socket(socket.AF_UNIX) as busy, socket.socket(socket.AF_UNIX) as waiting:
        busy.bind(str(path))
        busy.listen(0)
        waiting.connect(str(path))
        with pytest.raises(ConnectFailed, match="somebody serves there already"):
            async with serve(f"unix://{path}", wireformat="json"):
                raise AssertionError
    path.unlink()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.bind(str(path))
        with pytest.raises(ConnectFailed, match="can't listen there"):
            async with serve(f"unix://{path}", wireformat="json"):
                raise AssertionError
    assert path.is_socket()


@pytest.mark.fault(74)
async def test_what_else_is_there(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file, a directory, a symbolic link, even to a stale socket, and another user's socket are never touched."""
    stale = tmp_path / "stale"
    leave_stale(stale)

    async def refused(text: str) -> None:
        before = path.lstat()
        with pytest.raises(ConnectFailed, match=text):
            async with serve(f"unix://{path}", wireformat="json"):
                raise AssertionError
        assert path.lstat() == before
        assert stale.is_socket()

    path.write_text("precious")
    await refused("a file or directory is there, which is no socket")
    assert path.read_text() == "precious"
    path.unlink()
    path.mkdir()
    await refused("a file or directory is there, which is no socket")
    path.rmdir()
    for target in (stale, tmp_path / "nothing"):
        path.symlink_to(target)
        await refused("a symbolic link is there, which is no socket")
        path.unlink()
    leave_stale(path)
    other = os.geteuid() + 1
    with monkeypatch.context() as patch:
        patch.setattr(os, "geteuid", lambda: other)
        await refused("a socket of another user is there")


@pytest.mark.fault(74)
async def test_the_file_is_ours_or_it_stays(path: Path) -> None:
    """What has taken the file's place while we served is not ours to remove; that it is gone already does no harm."""
    async with serve(f"unix://{path}", wireformat="json"):
        path.unlink()
    async with serve(f"unix://{path}", wireformat="json"):
        path.unlink()
        path.write_text("precious")
    assert path.read_text() == "precious"
    path.unlink()
    async with serve(f"unix://{path}", wireformat="json"):
        path.unlink()
        async with serve(f"unix://{path}", Tools().services, wireformat="json"):
            pass
        leave_stale(path)
    assert path.is_socket()


@pytest.mark.fault(74)
async def test_many_servers_want_one_place(path: Path) -> None:
    """Twenty servers start at the place of a stale one, all at once: one gets it and keeps it, the others are told."""
    leave_stale(path)
    failed: list[ConnectFailed] = []
    release = anyio.Event()

    async def one() -> None:
        try:
            async with serve(f"unix://{path}", Tools().services, wireformat="json"):
                await release.wait()
        except ConnectFailed as exc:
            failed.append(exc)

    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(one)
        await until(lambda: len(failed) == 19)
        assert await serves(f"unix://{path}")
        release.set()
    assert all("somebody serves there already" in str(each) for each in failed)


@pytest.mark.fault(74)
async def test_another_server_is_just_starting(path: Path) -> None:
    """While another server makes its file, we wait; but not for ever."""
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        with pytest.raises(ConnectFailed, match=r"locked for 0\.05 s"):
            async with serve(f"unix://{path}", wireformat="json", limits=Limits(handshake_timeout=0.05)):
                raise AssertionError
        assert not path.exists()
    finally:
        os.close(directory)


async def test_who_is_there(path: Path) -> None:
    """Each end knows the other's process, user and group, from the system itself."""
    if not hasattr(socket, "SO_PEERCRED"):
        pytest.skip("this system does not tell")
    me = Credentials(os.getpid(), os.geteuid(), os.getegid())
    async with serve(f"unix://{path}", wireformat="json") as server:
        async with connect(f"unix://{path}", wireformat="json") as client:
            for peer in (client, await first_peer(server)):
                assert peer.info.extra["credentials"] == me
                assert peer.info.address == f"unix://{path}"
    assert (me.pid, me.uid, me.gid) == tuple(me)


@pytest.mark.fault(65)
async def test_a_server_whose_queue_is_full(path: Path) -> None:
    """Nobody accepts: `HandshakeTimeout`, after its time; or the connection, as soon as there is room."""
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as waiting:
        listener.bind(str(path))
        listener.listen(0)
        waiting.connect(str(path))
        with pytest.raises(HandshakeTimeout):
            async with connect(f"unix://{path}", wireformat="json", limits=Limits(handshake_timeout=0.05)):
                raise AssertionError
        async with anyio.create_task_group() as group:

            async def connecting() -> None:
                async with connect(f"unix://{path}", wireformat="json") as peer:
                    await peer.wait_closed()

            group.start_soon(connecting)
            for _ in range(2):
                await anyio.wait_readable(listener)
                with suppress(BlockingIOError):
                    listener.accept()[0].close()
