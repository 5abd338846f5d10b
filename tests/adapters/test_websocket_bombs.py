"""Compression over real sockets: it is never agreed to, and what comes compressed all the same is never unpacked."""

from __future__ import annotations

import base64
import hashlib
import zlib
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.adapters.common import Add, RawRemote, Tools, closed_event, raw_client, raw_server, tools
from tests.adapters.watched import watched
from tests.adapters.websocket_ends import close_code, message
from tests.adapters.websocket_sockets import raw, serving
from websockets.frames import Opcode

from duologue import CloseReason, ConnectFailed, connect

MIB = 1024 * 1024
OFFER = (
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n"
)


def bomb(size: int) -> bytes:
    """So many zeros, as small as they get."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    zeros = bytes(MIB)
    return b"".join([*(packer.compress(zeros) for _ in range(size // MIB)), packer.flush()])


async def head_of(remote: RawRemote) -> bytes:
    """What the other end says before the first empty line."""
    while b"\r\n\r\n" not in remote.received:
        assert await remote.receive(), remote.received
    return remote.received.partition(b"\r\n\r\n")[0]


async def throw(remote: RawRemote, payload: bytes) -> int:
    """Offer compression, use it as if it was agreed to, and return the code that this is answered with."""
    await remote.send(OFFER)
    head = await head_of(remote)
    assert head.startswith(b"HTTP/1.1 101 ")
    assert b"extensions" not in head.lower()
    await remote.send(message(Opcode.BINARY, payload, rsv1=True))
    return close_code((await remote.read_to_end()).partition(b"\r\n\r\n")[2])


@pytest.mark.fault(68)
async def test_a_bomb_for_a_server(anyio_backend: Any) -> None:
    """A client offers compression, is not answered, and compresses: closed with 1002, nothing is unpacked, others are served."""
    payload = bomb(64 * MIB)
    assert len(payload) < MIB // 2, "its size alone is no reason to refuse it"
    plan = [("serve", "ws", "ws://127.0.0.1:0", {"origins": "any"})]
    async with watched(anyio_backend, plan) as there:
        url = (await there.told(["ws"], "serving"))["ws"]
        async with connect(url, wireformat="msgpack") as peer:
            assert await peer.remote(tools).call(Add(a=1, b=1)) == 2
            before = most_memory(there.process.pid)
            for _ in range(3):
                async with raw_client(url.replace("ws:", "tcp:")) as remote:
                    assert await throw(remote, payload) == 1002
                assert await there.told(["ws"], "closed") == {"ws": "TRANSPORT_FAILED"}
            assert await peer.remote(tools).call(Add(a=1, b=1)) == 2
            assert most_memory(there.process.pid) - before < 8 * MIB


def most_memory(pid: int) -> int:
    """The most bytes of memory that a process has had so far."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


@pytest.mark.fault(68)
async def test_a_compressed_frame_runs_no_handler() -> None:
    """A call that was compressed is none: no handler sees it, and the peer tells what was wrong with it."""
    there = Tools()
    async with serving(there.services) as (server, peers), raw(server) as remote:
        packer = zlib.compressobj(9, zlib.DEFLATED, -15)
        data = packer.compress(b"x" * 100) + packer.flush()
        assert await throw(remote, data) == 1002
        event = await closed_event(peers[0])
        assert event.reason is CloseReason.TRANSPORT_FAILED
        assert "reserved bits" in event.detail


@pytest.mark.fault(68)
@pytest.mark.parametrize("when", ["in the handshake", "later"])
async def test_a_bomb_for_a_client(when: str) -> None:
    """A server that compresses though it was not asked to: no connection, or the end of it by 1002."""
    async with raw_server() as (url, accept), anyio.create_task_group() as group:
        codes: list[int] = []

        async def serve() -> None:
            remote = await accept()
            head = await head_of(remote)
            assert b"extensions" not in head.lower(), "we never ask for it"
            key = head.lower().partition(b"sec-websocket-key: ")[2]
            key = head[len(head) - len(key) :].partition(b"\r\n")[0]
            extra = b"Sec-WebSocket-Extensions: permessage-deflate\r\n" if when == "in the handshake" else b""
            await remote.send(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Accept: %b\r\n%b\r\n" % (accepted(key), extra)
            )
            if not extra:
                payload = bomb(4 * MIB)
                await remote.send(b"\xc2\x7e" + len(payload).to_bytes(2, "big") + payload)
                data = (await remote.read_to_end()).partition(b"\r\n\r\n")[2]
                codes.append(int.from_bytes(unmasked(data)[:2], "big"))

        group.start_soon(serve)
        if when == "later":
            async with connect(url.replace("tcp", "ws"), wireformat="json") as peer:
                event = await closed_event(peer)
                assert event.reason is CloseReason.TRANSPORT_FAILED
                assert "reserved bits" in event.detail
        else:
            with pytest.raises(ConnectFailed, match="extension"):
                async with connect(url.replace("tcp", "ws"), wireformat="json"):
                    raise AssertionError
    assert codes == ([1002] if when == "later" else [])


def accepted(key: bytes) -> bytes:
    """What a server must answer to a key (RFC 6455, section 4.2.2)."""
    return base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())


def unmasked(data: bytes) -> bytes:
    """What is in the one small frame of a client's."""
    assert data[0] == 0x80 | Opcode.CLOSE
    mask, body = data[2:6], data[6:]
    return bytes(byte ^ mask[index % 4] for index, byte in enumerate(body))
