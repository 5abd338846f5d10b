"""Pages in a real browser, for tests that run on any event loop: the browser is asked in a thread, in steps that are short."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
from tests.browser.chromium import Chromium

DEADLINE = 20.0
"""Seconds that a page has for what a test waits for, if the test does not say so. A busy machine takes long to draw."""

# A script is started, and then looked at again and again, each time until it is done or for a while: meanwhile other pages get their turn.
_LOOK = """
const run = globalThis.runsOfTests?.get(arguments[0]);
return run && Promise.race([run, new Promise((resolve) => setTimeout(() => resolve({}), 100))]);
"""
_START = (
    """
const [, ...args] = arguments;
(globalThis.runsOfTests ??= new Map()).set(arguments[0], (async (...args) => {
%s
})(...args).then(
  (value) => ({ value: value ?? null }),
  (error) => ({ error: `${error?.stack ?? error}` }),
));
"""
    + _LOOK
)
_WENT = re.compile("navigat|Promise was collected|execution context")
"""What the driver says in several ways about a script whose page goes elsewhere under it."""
_UNTIL = """
const entry = globalThis.waitsOfTests ??= {};
const look = async () => (%s);
for (;;) {
  try {
    const found = await look();
    if (found) {
      return found;
    }
    entry.last = found;
  } catch (error) {
    entry.last = error;
  }
  await new Promise((resolve) => setTimeout(resolve, 10));
}
"""
_numbers = itertools.count(1)


class PageError(Exception):
    """What a script threw in the page, with where it did."""


class PageGone(Exception):
    """The page has gone elsewhere, with the script that ran in it."""


class Page:
    """A window with a page in it."""

    def __init__(self, browser: Chromium, profile: str, window: str) -> None:
        self._browser = browser
        self.profile = profile
        self.window = window

    async def goto(self, url: str) -> None:
        """Go there, and return when the page has loaded, its modules included."""
        await self._do("get", url)

    async def reload(self) -> None:
        await self._do("refresh")

    async def run(self, body: str, *args: Any, timeout: float = DEADLINE) -> Any:
        """Run the body of an async function in the page: what it returns, as far as JSON can say it. `args` are its `args`.

        What it throws is raised as `PageError`; `PageGone` if the page goes elsewhere meanwhile; `TimeoutError` after the timeout.
        """
        ends, number = time.monotonic() + timeout, next(_numbers)
        looked = await self._step(_START % body, number, *args)
        while True:
            match looked:
                case None:
                    raise PageGone(body)
                case {"value": value}:
                    return value
                case {"error": error}:
                    raise PageError(error)
            if time.monotonic() > ends:
                raise TimeoutError(f"not done after {timeout:g} s: {body}")
            looked = await self._step(_LOOK, number)

    async def until(self, expression: str, timeout: float = DEADLINE) -> Any:
        """Wait until an expression is true in the page, and return what it is. As long as it throws it is not true; it may `await`."""
        ends = time.monotonic() + timeout
        while True:
            left = ends - time.monotonic()
            try:
                return await self.run(_UNTIL % expression, timeout=left)
            except PageGone:
                continue  # the next page, or the same one again, is looked at
            except TimeoutError:
                last = await self._do("execute_script", "return `${globalThis.waitsOfTests?.last}`")
                raise TimeoutError(f"not so after {timeout:g} s: {expression}; it was {last}") from None

    async def click(self, selector: str) -> None:
        """Click on the first element that fits, as a person does: it must be there, in sight and not covered."""
        await self._find(selector, "click")

    async def type(self, selector: str, *keys: str) -> None:
        """Type into an element. `selenium.webdriver.Keys` are keys, too."""
        await self._find(selector, "send_keys", *keys)

    async def text(self, selector: str) -> str:
        """The text of the first element that fits, as it is to be seen."""
        text: str = await self._find(selector, "text")
        return text

    async def resize(self, width: int, height: int) -> None:
        await self._do("set_window_size", width, height)

    async def screenshot(self) -> bytes:
        """What is to be seen, as PNG."""
        png: bytes = await self._do("get_screenshot_as_png")
        return png

    async def close(self) -> None:
        """Close the window, as a person does: the page is not asked."""
        await self._do("close")

    async def crash(self) -> None:
        """End the process that shows the page, as when the memory runs out."""
        await anyio.to_thread.run_sync(self._browser.crash, self.window)

    async def emulate(self, command: str, **options: Any) -> None:
        """A command of the browser's own protocol, such as `Emulation.setEmulatedMedia`."""
        await self._do("execute_cdp_cmd", command, options)

    async def _do(self, what: str, *args: Any) -> Any:
        return await anyio.to_thread.run_sync(self._browser.do, self.window, what, *args)

    async def _step(self, script: str, *args: Any) -> Any:
        from selenium.common.exceptions import WebDriverException

        try:
            return await self._do("execute_script", script, *args)
        except WebDriverException as exc:
            if _WENT.search(exc.msg or ""):
                return None
            raise

    async def _find(self, selector: str, what: str, *args: Any) -> Any:
        return await anyio.to_thread.run_sync(self._browser.find, self.window, selector, what, *args)


class Pages:
    """The pages of one test. What they write to the console as an error makes it fail."""

    def __init__(self, browser: Chromium) -> None:
        self._browser = browser
        self._allowed: list[re.Pattern[str]] = []

    def allow(self, pattern: str) -> None:
        """Errors in the console with this in them are part of the test."""
        self._allowed.append(re.compile(pattern))

    @asynccontextmanager
    async def open(self, url: str, *, beside: Page | None = None) -> AsyncIterator[Page]:
        """A window with the page at the URL, of a new person with a profile of their own: no storage, no cookies.

        `beside` a page it is a further window of the same person. Leave the block while the server still runs: a page that loses it says so in the console.
        """
        made = await anyio.to_thread.run_sync(self._browser.new_window, beside and beside.profile)
        page = Page(self._browser, *made)
        try:
            await page.goto(url)
            yield page
        except BaseException as exc:
            with anyio.CancelScope(shield=True):
                exc.add_note("\n".join(["in the console:", *await self._errors()]))
            raise
        else:
            await self.check()
        finally:
            if beside is None:
                with anyio.CancelScope(shield=True):
                    await anyio.to_thread.run_sync(self._browser.forget, page.profile)

    async def check(self) -> None:
        """Fails if there are errors in a console that nobody allowed."""
        errors = await self._errors()
        wrong = [error for error in errors if not any(pattern.search(error) for pattern in self._allowed)]
        assert not wrong, "in the console: " + "\n".join(wrong)

    async def _errors(self) -> list[str]:
        return await anyio.to_thread.run_sync(self._browser.errors)
