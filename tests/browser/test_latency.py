"""The page of docs/examples/latency: both sides call, both are measured and drawn, and a server that dies is not its end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from selenium.webdriver import Keys
from tests.browser.pages import Page, Pages
from tests.browser.programs import Program, program

CARDS = ("page-to-python", "python-to-page")


@asynccontextmanager
async def latency(pages: Pages, loop: str) -> AsyncIterator[tuple[Program, Page]]:
    """The server in a process of its own, and its page, which is connected."""
    args = ("docs/examples/latency/server.py", "--port", "{port}", "--loop", loop)
    async with program(*args) as server, pages.open(server.url) as page:
        await page.until("document.querySelector('#state').dataset.state === 'connected'")
        yield server, page


async def numbers(page: Page) -> list[int]:
    """How many calls there were in each direction."""
    found: list[int] = await page.run(
        """return args.map((id) => Number(document.querySelector(`#${id} [data-what=calls]`).textContent.replaceAll(",", "")))""",
        *CARDS,
    )
    return found


async def grow(page: Page, by: int = 10) -> None:
    """Wait until there were more calls in each direction."""
    for card, before in zip(CARDS, await numbers(page), strict=True):
        calls = f"Number(document.querySelector('#{card} [data-what=calls]').textContent.replaceAll(',', ''))"
        await page.until(f"{calls} >= {before + by}")


REPORTS = """
return Promise.all(args.map((id) => new Promise((resolve) => {
  const calls = document.querySelector(`#${id} [data-what=calls]`);
  const seen = [];
  const observer = new MutationObserver(() => {
    seen.push(calls.textContent);
    if (seen.length === 4) {
      observer.disconnect();
      resolve(seen);
    }
  });
  observer.observe(calls, { childList: true });
})));
"""


async def test_both_directions_are_measured_and_drawn(pages: Pages, loop: str) -> None:
    """The page calls Python while Python calls the page; the numbers of both grow, and the chart has points and lines in the colours of both."""
    async with latency(pages, loop) as (_, page):
        await grow(page)
        await grow(page)
        chart = "document.querySelector('#chart')"
        await page.until(f"Number({chart}.dataset.out) > 2 && Number({chart}.dataset.in) > 2")
        colours = await page.run(
            f"""
            const canvas = {chart};
            const {{ data }} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
            const seen = new Set();
            for (let at = 0; at < data.length; at += 4) {{
              seen.add(`rgb(${{data[at]}}, ${{data[at + 1]}}, ${{data[at + 2]}})`);
            }}
            return ["out", "in"].map((name) => {{
              const swatch = getComputedStyle(document.querySelector(`.${{name}} .swatch`)).backgroundColor;
              return [swatch, seen.has(swatch)];
            }});
            """
        )
        assert [is_there for _, is_there in colours] == [True, True], colours
        assert "page to Python" in await page.run(f"return {chart}.ariaLabel")
        for card in CARDS:
            p50, p99 = [
                float((await page.text(f"#{card} [data-what={what}]")).removesuffix(" ms"))
                for what in ("p50", "p99")
            ]
            assert 0 <= p50 <= p99
            assert await page.text(f"#{card} [data-what=failed]") == "0"


async def test_it_stops_and_starts_by_the_keyboard(pages: Pages, loop: str) -> None:
    """Stopped, both sides report that there were no more calls; started again, there are."""
    async with latency(pages, loop) as (_, page):
        await grow(page)
        await page.type("#run", Keys.SPACE)
        assert await page.text("#run") == "Start"
        for seen in await page.run(REPORTS, *CARDS):
            assert len(set(seen[1:])) == 1, seen  # the first may have some that were under way
        await page.type("#run", Keys.ENTER)
        assert await page.text("#run") == "Stop"
        await grow(page)


@pytest.mark.parametrize(("wireformat", "name"), [("MessagePack", "msgpack"), ("JSON", "json")])
async def test_another_wire_format(pages: Pages, loop: str, wireformat: str, name: str) -> None:
    """It is another server, at the next port: both sides go on, and no call fails by the change."""
    async with latency(pages, loop) as (_, page):
        await grow(page)
        await page.type("#wireformat", wireformat)
        await page.until(f"document.querySelector('#state').textContent === 'connected, {name}'")
        await grow(page)
        for card in CARDS:
            assert await page.text(f"#{card} [data-what=failed]") == "0"


async def test_a_larger_load(pages: Pages, loop: str) -> None:
    """Sixteen calls of 16 KiB at a time, in both directions: neither keeps the other from going on."""
    async with latency(pages, loop) as (_, page):
        await page.type("#size", "16 K")
        await page.type("#outstanding", "16")
        await grow(page, 50)
        await grow(page, 50)
        for card in CARDS:
            assert await page.text(f"#{card} [data-what=failed]") == "0"


async def test_a_server_that_is_killed(pages: Pages, loop: str) -> None:
    """The page says so, shows it in the chart, and goes on by itself when the server is there again. Nothing moves by what it says."""
    pages.allow("ERR_CONNECTION_REFUSED|ERR_CONNECTION_RESET")
    top = "document.querySelector('main').getBoundingClientRect().top"
    async with latency(pages, loop) as (server, page):
        await page.resize(1100, 800)
        await grow(page)
        before = await page.run(f"return {top}")
        await server.kill()
        await page.until("document.querySelector('#state').textContent.startsWith('no connection after')")
        assert await page.run(f"return {top}") == before
        await page.until(
            "!document.querySelector('#python-to-page [data-what=p50]').textContent.includes('ms')"
        )
        await server.start()
        await page.until("document.querySelector('#state').textContent === 'connected, cbor (lost once)'")
        await grow(page)


async def test_it_fits_a_phone(pages: Pages, loop: str) -> None:
    """Nothing is wider than a narrow screen, in the light and in the dark, and the colours are not the same."""
    async with latency(pages, loop) as (_, page):
        await page.emulate(
            "Emulation.setDeviceMetricsOverride", width=360, height=740, deviceScaleFactor=2, mobile=True
        )
        papers = []
        for scheme in ("light", "dark"):
            feature = {"name": "prefers-color-scheme", "value": scheme}
            await page.emulate("Emulation.setEmulatedMedia", features=[feature])
            papers.append(await page.run("return getComputedStyle(document.documentElement).backgroundColor"))
            assert await page.run("return document.documentElement.scrollWidth") <= 360
        assert papers[0] != papers[1]
