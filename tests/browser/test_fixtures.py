"""The fixtures themselves: that a page that breaks makes its test fail, and that waiting waits."""

from __future__ import annotations

from contextlib import suppress

import pytest
from tests.browser.chromium import find_browser
from tests.browser.pages import Page, PageError, PageGone, Pages
from tests.browser.programs import program
from tests.browser.talking import FOLDER

from duologue_contrib.browser import serve_page


def test_without_a_browser(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no Chromium the test is skipped, with a reason that the end of the run shows, and that says what to install."""
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(
        pytest.skip.Exception, match=r"^NOT .*chromium and chromedriver missing.*chromium-driver"
    ):
        find_browser()


EVENT = "new Promise((resolve) => addEventListener('{}', resolve, {{ once: true }}))"


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("console.error('broken')", "broken"),
        (f"setTimeout(() => {{ throw new Error('thrown') }}); await {EVENT.format('error')}", "thrown"),
        (f"rejectSomething(); await {EVENT.format('unhandledrejection')}", "nobody looked"),
        ("await fetch('/nothing')", "404"),
        (
            f"const seen = {EVENT.format('securitypolicyviolation')}; addScript(); await seen",
            "Content Security Policy",
        ),
    ],
    ids=["console.error", "error", "rejection", "404", "policy"],
)
async def test_errors_in_the_console(pages: Pages, script: str, said: str) -> None:
    """Whatever a page writes to the console as an error makes its test fail, unless the test allows it."""
    async with serve_page("http://127.0.0.1:0", FOLDER, wireformat="json") as served:
        with pytest.raises(AssertionError, match=said):
            async with pages.open(served.url) as page:
                await page.run(script)
        pages.allow(said)
        async with pages.open(served.url) as page:
            await page.run(script)


async def test_scripts_and_waiting(pages: Pages) -> None:
    """What a script returns and throws comes back; a wait ends when it is so, over a reload too, or at its deadline."""
    async with (
        serve_page("http://127.0.0.1:0", FOLDER, wireformat="json") as served,
        pages.open(served.url) as page,
    ):
        assert await page.run("return args.length + (await 2)", 1, 2) == 4
        with pytest.raises(PageError, match="no such thing"):
            await page.run("throw new Error('no such thing')")
        assert await page.until("document.title") == "Tests"
        for script in ("location.reload()", "setTimeout(() => location.reload())"):
            with suppress(PageGone):
                await page.run(f"document.title = ''; {script}")
            assert await page.until("document.title") == "Tests"
        with pytest.raises(TimeoutError, match="it was 0"):
            await page.until("0", timeout=0.2)
        with pytest.raises(TimeoutError):
            await page.run("await new Promise(() => {})", timeout=0.2)


async def test_people_have_profiles_of_their_own(pages: Pages) -> None:
    """What one has stored another has not, and a second window of the same person has it; all are in sight, so none is slowed down."""

    async def stored(page: Page) -> str:
        text: str = await page.run("return `${localStorage.getItem('name')} ${document.visibilityState}`")
        return text

    async with serve_page("http://127.0.0.1:0", FOLDER, wireformat="json") as served:
        async with pages.open(served.url) as ann, pages.open(served.url) as ben:
            await ann.run("localStorage.setItem('name', 'Ann')")
            async with pages.open(served.url, beside=ann) as second:
                assert await stored(second) == "Ann visible"
            assert await stored(ann) == "Ann visible"
            assert await stored(ben) == "null visible"
        async with pages.open(served.url) as later:
            assert await stored(later) == "null visible"


async def test_a_server_that_is_killed(pages: Pages) -> None:
    """A process is started, killed, and started again at the same address."""
    async with program(
        "-m", "http.server", "--bind", "127.0.0.1", "--directory", str(FOLDER), "{port}"
    ) as server:
        first, url = server.pid, server.url
        await server.kill()
        await server.start()
        assert (server.url, server.pid != first) == (url, True)
        pages.allow("/duologue/")  # it has only the page
        async with pages.open(url) as page:
            assert await page.until("document.title") == "Tests"
