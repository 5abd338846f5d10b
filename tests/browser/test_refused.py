"""What a server refuses to a page, and that other pages are not disturbed by it."""

from __future__ import annotations

import logging
import random
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
from tests.browser.pages import Page, Pages
from tests.browser.talking import SOON, Talking, talking
from tests.contrib.browser.talk import Add, Hold, calc

from duologue import CloseReason, Limits
from duologue_contrib.browser import serve_page

MIB = 1024 * 1024
RESPONSE = 2**64 - 1


@asynccontextmanager
async def undisturbed(there: Talking, page: Page) -> AsyncIterator[None]:
    """The page calls and calls meanwhile, and every answer is the right one, before, during and afterwards."""
    await page.run("await peerOf('cbor'); globalThis.calling = keepCalling()")
    await page.until("calling.counts.right > 10")
    before = await page.run("return calling.counts.right")
    yield
    await page.until(f"calling.counts.right > {before + 10} || calling.counts.wrong")
    counts = await page.run("return calling.stop()")
    assert counts["wrong"] == 0
    assert (await there.peer()).is_open


@pytest.mark.fault(69)
async def test_a_page_of_another_origin(pages: Pages, caplog: pytest.LogCaptureFixture) -> None:
    """A browser says where a page came from: one from elsewhere gets 403, the log has it, no peer is made of it, and the server's own page goes on."""
    caplog.set_level(logging.DEBUG, "duologue")
    pages.allow("Unexpected response code: 403")
    async with talking() as there, pages.open(there.url) as own, undisturbed(there, own):
        async with serve_page("http://127.0.0.1:0", there.folder, wireformat="cbor") as elsewhere:
            async with pages.open(f"{elsewhere.url}free.html") as foreign:
                told = await foreign.run("return errorOf(peerOf('cbor', { url: args[0] }))", there.url)
        assert (told["name"], told["kind"]) == ("ConnectFailed", "ConnectFailed")
        assert len(there.peers) == 1
    assert any("403" in record.getMessage() for record in caplog.records)


async def test_a_policy_keeps_a_page_at_home(pages: Pages) -> None:
    """With `connect-src 'self'` a page can't connect elsewhere: the browser refuses, and the other server never hears of it."""
    pages.allow("Content Security Policy")
    async with talking() as there, talking() as elsewhere, pages.open(there.url) as page:
        told = await page.run("return errorOf(peerOf('cbor', { url: args[0] }))", elsewhere.url)
        assert told["kind"] == "ConnectFailed"
        assert elsewhere.peers == []


def frame(sid: int, cid: int, payload: bytes = b"", length: int | None = None) -> bytes:
    return struct.pack("<QQQ", 24 + len(payload) if length is None else length, sid, cid) + payload


GOOD = frame(calc.sid(Add), 6, b"\xa2aa\x01ab\x02")
BREAKS = {
    "no room for a header": (frame(7, 1, length=23), "of 23 bytes"),
    "a frame over the limit": (frame(7, 1, length=MIB + 1), "over the size limit"),
    "random bytes": (random.Random(7).randbytes(4096), "over the size limit"),
    "behind a good frame": (GOOD + frame(7, 1, length=2**63), "over the size limit"),
    "an id twice": (frame(calc.sid(Hold), 5, b"\xf6") * 2, "id"),
}
"""What a page may write to its WebSocket by itself, and what the server says of it."""


@pytest.mark.fault(1, 2, 9, 19)
async def test_what_closes_a_connection(pages: Pages) -> None:
    """A script writes bytes of its own to a WebSocket: it is told what is wrong, that connection is closed, and no other is disturbed."""
    script = "const { received, ended } = await sendRaw(args[0]); return [received, await ended]"
    async with talking() as there, pages.open(there.url) as own, undisturbed(there, own):
        async with pages.open(there.url) as bad:
            for number, (what, (data, text)) in enumerate(BREAKS.items(), start=1):
                received, ended = await bad.run(script, list(data))
                last = bytes(received).rpartition(bytes(16))[
                    2
                ]  # behind a service id and a connection id of 0
                assert b"DeserializeWireFormat" in last, what
                assert text.encode() in last, what
                assert ended["code"] == 1000, what
                with anyio.fail_after(SOON):
                    assert await (await there.peer(number)).wait_closed() is CloseReason.PROTOCOL_ERROR, what


@pytest.mark.fault(2, 67)
async def test_messages_that_are_none(pages: Pages) -> None:
    """A message of text, and one that is too long though its frames are not: closed with a code for that, and no other is disturbed."""
    messages = {"'hello'": 1003, "[...args[0], ...new Uint8Array(2 ** 20)]": 1009}
    async with talking() as there, pages.open(there.url) as own, undisturbed(there, own):
        async with pages.open(there.url) as bad:
            for number, (message, code) in enumerate(messages.items(), start=1):
                start = list(frame(calc.sid(Add), 0, length=MIB))
                ended = await bad.run(f"return (await sendRaw({message})).ended", start)
                assert ended["code"] == code
                with anyio.fail_after(SOON):
                    reason = await (await there.peer(number)).wait_closed()
                assert reason in (CloseReason.PROTOCOL_ERROR, CloseReason.TRANSPORT_FAILED)


ANSWERED = {
    "an unknown service": (frame(7, 5, b"\xf6"), b"UnknownService"),
    "no CBOR": (frame(calc.sid(Add), 5, b"\xff"), b"Deserialize"),
    "nothing": (frame(calc.sid(Add), 5), b"Deserialize"),
    "bytes behind the value": (frame(calc.sid(Add), 5, b"\xa2aa\x01ab\x02\x00"), b"Deserialize"),
    "nested without end": (frame(calc.sid(Add), 5, b"\x81" * 100_000), b"Deserialize"),
}
"""Calls that can't be served, and what kind of error they get."""


@pytest.mark.fault(3, 24, 26, 31, 83)
async def test_what_gets_an_answer(pages: Pages) -> None:
    """A call that can't be served is answered with an error of its id, and its connection goes on, as do all others."""
    script = """
    const { socket, received } = await sendRaw(args[0]);
    await until(() => received.length > 24);
    const first = received.splice(0);
    socket.send(Uint8Array.from(args[1]));
    await until(() => received.length > 24);
    return [first, received];
    """
    async with talking() as there, pages.open(there.url) as own, undisturbed(there, own):
        async with pages.open(there.url) as bad:
            for what, (data, kind) in ANSWERED.items():
                first, second = await bad.run(script, list(data), list(GOOD))
                assert bytes(first[8:24]) == struct.pack("<QQ", 0, 5), what
                assert kind in bytes(first), what
                assert bytes(second) == frame(RESPONSE, 6, b"\x03"), what


async def test_a_frame_in_pieces(pages: Pages) -> None:
    """A call cut anywhere into messages is the same call: a WebSocket is a stream here."""
    script = """
    const { socket, received } = await sendRaw(args[0].slice(0, 1));
    for (let at = 1; at < args[0].length; at += 5) {
      socket.send(Uint8Array.from(args[0].slice(at, at + 5)));
    }
    await until(() => received.length > 24);
    return received;
    """
    async with talking() as there, pages.open(there.url) as page:
        received = await page.run(script, list(frame(calc.sid(Add), 9, b"\xa2aa\x14ab\x16")))
        assert bytes(received) == frame(RESPONSE, 9, b"\x18\x2a")


@pytest.mark.fault(4)
async def test_a_frame_that_does_not_end(pages: Pages) -> None:
    """A large frame is announced, and nothing follows: closed after the frame's timeout, and only that connection."""
    async with (
        talking(limits=Limits(frame_timeout=1)) as there,
        pages.open(there.url) as own,
        undisturbed(there, own),
        pages.open(there.url) as bad,
    ):
        await bad.run("return (await sendRaw(args[0])).ended", list(frame(7, 1, length=MIB)))
        assert await (await there.peer(1)).wait_closed() is CloseReason.FRAME_TIMEOUT
