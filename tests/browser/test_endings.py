"""How the connection of a page ends: it is closed, goes elsewhere, comes back, or its server dies; and what each end learns of it."""

from __future__ import annotations

from contextlib import suppress

import anyio
import pytest
from tests.browser.pages import Page, PageGone, Pages
from tests.browser.programs import program
from tests.browser.talking import SOON, talking
from tests.contrib.browser.talk import Double, show

from duologue import CallError, CloseReason, ConnectionLost, Executed

HOLD_SID = "return `${duologue.serviceId('show', 'Hold')}`"


async def close(page: Page) -> None:
    await page.close()


async def leave(page: Page) -> None:
    await page.goto("about:blank")


async def reload(page: Page) -> None:
    await page.reload()


async def crash(page: Page) -> None:
    """The process that shows the page is gone, as when the memory runs out."""
    await page.crash()


@pytest.mark.parametrize("go", [close, leave, reload, crash])
@pytest.mark.fault(41)
async def test_a_page_that_goes(pages: Pages, go: object) -> None:
    """The server learns at once that a page has gone, kept by the browser or not: calls to it fail, and may have run; others go on."""
    async with talking() as there, pages.open(there.url) as page, pages.open(there.url) as other:
        await page.run("await peerOf('cbor'); void calc.call('Hold').catch(() => {})")
        await other.run("await peerOf('cbor')")
        hold = int(await page.run(HOLD_SID))
        peer = await there.peer()
        caught: list[CallError] = []

        async def call() -> None:
            with pytest.raises(CallError) as error:
                await peer.call_raw(hold, b"\xf6")
            caught.append(error.value)

        async with anyio.create_task_group() as group:
            group.start_soon(call)
            assert await peer.remote(show).call(Double(2)) == 4  # by now the other call is there
            await go(page)  # type: ignore[operator]
            with anyio.fail_after(SOON):
                reason = await peer.wait_closed()
        assert reason in (CloseReason.CLOSED_BY_REMOTE, CloseReason.TRUNCATED, CloseReason.TRANSPORT_FAILED)
        assert isinstance(caught[0], ConnectionLost)
        assert (caught[0].reason, caught[0].executed) == (reason, Executed.UNKNOWN)
        with pytest.raises(CallError) as late:
            await peer.remote(show).call(Double(2))
        assert late.value.executed is Executed.NO
        assert await (await there.peer(1)).remote(show).call(Double(4)) == 8


async def test_back_to_a_page(pages: Pages) -> None:
    """Away, and back by the browser's button: the browser has kept the page as it was, and the page connects again, at once."""
    async with talking() as there, pages.open(f"{there.url}again.html") as page:
        await page.run(
            "await client.connected(); globalThis.isKept = true; client.peer.closed.then((end) => (client.end = end))"
        )
        await page.goto(f"{there.url}free.html")
        with anyio.fail_after(SOON):
            await (await there.peer()).wait_closed()
        with suppress(PageGone):
            await page.run("history.back()")
        assert await page.until("client.remote('calc').call('Add', { a: 1, b: 2 })") == 3
        assert await page.run("return [isKept, client.end.reason, client.end.detail]") == [
            True,
            "cut short",
            "the page was left",
        ]
        assert len(there.peers) == 2


async def test_a_server_that_ends_and_comes_back(pages: Pages) -> None:
    """It says goodbye, and later serves at the same address: the client is back, with calls of both directions, and a call that waited goes out."""
    pages.allow("ERR_CONNECTION_REFUSED")
    async with talking() as first:
        async with pages.open(f"{first.url}again.html") as page:
            await page.until("client.peer?.isOpen")
            flying = "globalThis.flying = errorOf(client.remote('calc').call('Hold'))"
            await page.run(f"{flying}; await client.remote('calc').call('Add', {{ a: 1, b: 2 }})")
            await first.served.server.close()
            assert await page.run("return (await flying).executed") == "unknown"
            await page.run("globalThis.waits = client.remote('calc').call('Add', { a: 20, b: 3 })")
            async with talking(url=first.url) as second:
                assert await page.run("return waits") == 23
                assert await (await second.peer()).remote(show).call(Double(4)) == 8
                events = await page.run("return events")
                assert events[:3] == ["connecting", "connected", "disconnected"]
                assert events[-1] == "connected"


@pytest.mark.fault(53)
async def test_a_server_that_is_killed(pages: Pages) -> None:
    """`kill -9`, with a thousand calls out: each fails once, at once; the process is started again, and the page goes on."""
    pages.allow("ERR_CONNECTION_REFUSED")
    script = """
    const hold = () => errorOf(client.remote("calc").call("Hold"));
    globalThis.flying = Promise.all(Array.from({ length: 1000 }, hold));
    await client.remote("calc").send("Note", { number: 1 }); // behind them all
    """
    async with program("tests/browser/talking_program.py", "{port}") as server:
        async with pages.open(f"{server.url}again.html") as page:
            await page.until("client.peer?.isOpen")
            await page.run(script)
            await server.kill()
            ends = await page.run("return flying", timeout=SOON)
            assert {(end["name"], end["executed"]) for end in ends} == {("ConnectionLost", "unknown")}
            assert len(ends) == 1000
            await server.start()
            assert await page.run("return client.remote('calc').call('Add', { a: 20, b: 3 })") == 23
