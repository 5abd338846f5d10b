"""Two machines with a network between them that can fail: network namespaces, in which this thread makes its sockets.

What a proxy can't show is what the system does by itself, as a proxy's own system answers for it. Here nobody answers.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

_NEW_NETWORK = 0x40000000
_REPAIR = 19
"""The numbers of CLONE_NEWNET and TCP_REPAIR, which Python does not name in all its versions."""

_NOBODY = "02:00:00:00:de:ad"
"""An address that no interface has: what goes there is lost, and nobody is told."""

_libc = ctypes.CDLL(None, use_errno=True)


class Machine:
    """A namespace with an interface."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._home = _this_namespace()
        _call("unshare", _NEW_NETWORK)
        self.namespace = _this_namespace()
        _enter(self._home)

    @contextmanager
    def here(self) -> Iterator[None]:
        """Sockets that this thread makes in the block are that machine's, for ever. Don't wait for others in it."""
        _enter(self.namespace)
        try:
            yield
        finally:
            _enter(self._home)

    def ip(self, *words: str, descriptors: tuple[int, ...] = ()) -> None:
        """Run the command `ip` there."""
        with self.here():
            done = subprocess.run(["ip", *words], capture_output=True, text=True, pass_fds=descriptors)
        if done.returncode:
            raise OSError(f"ip {' '.join(words)}: {done.stderr.strip()}")

    def close(self) -> None:
        """It, and its interface, are gone when its last socket is."""
        os.close(self.namespace)
        os.close(self._home)


class Network:
    """Two machines, and a wire."""

    def __init__(self) -> None:
        self.one, self.other = self._machines = Machine("10.99.0.1"), Machine("10.99.0.2")

    def lay(self) -> None:
        """Lay the wire. Raises `OSError`."""
        self.one.ip(
            *("link", "add", "wire", "type", "veth", "peer", "name", "wire"),
            *("netns", f"/proc/self/fd/{self.other.namespace}"),
            descriptors=(self.other.namespace,),
        )
        for machine in self._machines:
            machine.ip("address", "add", f"{machine.address}/24", "dev", "wire")
            machine.ip("link", "set", "lo", "up")
            machine.ip("link", "set", "wire", "up")
        self._wait_for_wire()

    def _wait_for_wire(self) -> None:
        # What is sent at once may be lost, and TCP would remember that: it is slow on a connection that began with a loss.
        with self.other.here():
            listener = socket.socket(type=socket.SOCK_DGRAM)
            listener.bind((self.other.address, 0))
        with self.one.here():
            sender = socket.socket(type=socket.SOCK_DGRAM)
        with listener, sender:
            listener.settimeout(0.02)
            for _ in range(500):
                sender.sendto(b"?", listener.getsockname())
                with suppress(TimeoutError):
                    listener.recv(1)
                    return
        raise OSError("nothing comes through")

    def part(self) -> None:
        """From now on everything is lost, in both directions, and neither machine is told."""
        for machine, there in ((self.one, self.other), (self.other, self.one)):
            machine.ip(
                *("neigh", "replace", there.address, "lladdr", _NOBODY),
                *("dev", "wire", "nud", "permanent"),
            )

    def mend(self) -> None:
        """Whatever is sent from now on arrives."""
        for machine, there in ((self.one, self.other), (self.other, self.one)):
            machine.ip("neigh", "delete", there.address, "dev", "wire")

    def close(self) -> None:
        for machine in self._machines:
            machine.close()


def _this_namespace() -> int:
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY)


def _enter(namespace: int) -> None:
    _call("setns", namespace, _NEW_NETWORK)


def _call(name: str, *arguments: int) -> None:
    if getattr(_libc, name)(*arguments):
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


@pytest.fixture
def network() -> Iterator[Network]:
    """Two machines with a wire. Where there can't be any the test is skipped, and says what is missing."""
    if not sys.platform.startswith("linux"):
        pytest.skip("NOT SHOWN HERE: network namespaces are a thing of Linux")
    if shutil.which("ip") is None:
        pytest.skip("NOT SHOWN HERE: the command `ip` is missing (on Debian it is in iproute2)")
    try:
        made = Network()
    except OSError as exc:
        pytest.skip(
            f"NOT SHOWN HERE: no network namespaces can be made, which takes root (CAP_SYS_ADMIN): {exc}"
        )
    try:
        try:
            made.lay()
        except OSError as exc:
            pytest.skip(
                f"NOT SHOWN HERE: no wire between network namespaces, which takes veth in the kernel: {exc}"
            )
        yield made
    finally:
        made.close()


def forget(sock: socket.socket) -> None:
    """Close a TCP socket as a machine does that loses its power: the other end is not told, and here nobody remembers it."""
    sock.setsockopt(socket.IPPROTO_TCP, _REPAIR, 1)
    sock.close()


@pytest.fixture
def can_forget() -> None:
    """Where connections can't be forgotten the test is skipped, and says what is missing."""
    with socket.socket() as sock:
        try:
            sock.setsockopt(socket.IPPROTO_TCP, _REPAIR, 1)
        except OSError as exc:
            pytest.skip(
                f"NOT SHOWN HERE: a connection can't be forgotten, which takes Linux and root (CAP_NET_ADMIN): {exc}"
            )
