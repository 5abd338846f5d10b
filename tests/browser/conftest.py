"""Tests in a real browser: Chromium, headless, through selenium. How to write one:

    from tests.browser.pages import Pages
    from tests.browser.programs import program

    async def test_two_people(pages: Pages) -> None:
        \"\"\"What one says the other sees.\"\"\"
        async with program("docs/examples/chat/server.py", "--port", "{port}") as server:
            async with pages.open(server.url) as ann, pages.open(server.url) as ben:
                await ann.type("#text", "hello", Keys.ENTER)
                await ben.until("document.querySelector('#said').textContent.includes('hello')")

- `pages.open(url)` is a window with a profile of its own; `beside=ann` makes a further one of the same person.
- `page.until(expression)` waits in the page until it is true, with a deadline. `page.run(body, *args)` runs the body of an async function there, and
  gives what it returns. Both let other pages and the event loop of the test go on meanwhile. `click`, `type` and `text` take a CSS selector.
- An error in a page's console makes the test fail, a refused policy and a 404 included; `pages.allow("403")` is for those that belong to the test.
  Close pages before their server, as above: a page that loses its server says so in the console.
- The server is one in the test's own event loop (`serve_page`), or a process: `program(*args)` runs `python *args` from the repository's root, with
  `{port}` replaced; it must print its address. `await server.kill()` is `kill -9`, `await server.start()` starts it again at the same port.
- Each test runs on asyncio, uvloop and trio. Where the server is a process, give it the loop, too: the fixture `loop` is its name.

One browser is started for all tests of a process, with the first that needs it, so few processes should run these: `make test` gives them
two. Where there is no Chromium they are skipped, and the end of the run says what to install.
"""

from __future__ import annotations

import functools
import importlib.util
import inspect
import os
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.browser.chromium import Chromium, running
from tests.browser.pages import Pages

HERE = Path(__file__).parent
LONGEST = float(os.environ.get("DUOLOGUE_LONGEST", "120"))
"""Seconds after which a test hangs for sure. Most take a second or two."""

_HAS_UVLOOP = importlib.util.find_spec("uvloop") is not None


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(("asyncio", {"use_uvloop": False}), id="asyncio"),
        pytest.param(
            ("asyncio", {"use_uvloop": True}),
            id="uvloop",
            marks=pytest.mark.skipif(not _HAS_UVLOOP, reason="uvloop is not installed"),
        ),
        pytest.param(("trio", {}), id="trio"),
    ],
)
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def loop(anyio_backend: tuple[str, dict[str, bool]]) -> str:
    """The name of the event loop of this test, for a server that is a process: asyncio, uvloop or trio."""
    name, options = anyio_backend
    return "uvloop" if options.get("use_uvloop") else name


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    """The browser of this process."""
    with running(tmp_path_factory.mktemp("chromium")) as browser:
        yield browser


@pytest.fixture
def pages(chromium: Chromium) -> Pages:
    """What opens pages, and looks at their consoles."""
    chromium.errors()  # whatever the last test left behind is not ours
    return Pages(chromium)


def pytest_itemcollected(item: pytest.Item) -> None:
    """A test that hangs fails: on each loop, by its own cancellation."""
    if (
        isinstance(item, pytest.Function)
        and HERE in item.path.parents
        and inspect.iscoroutinefunction(item.obj)
    ):
        item.obj = _bounded(item.obj)


def _bounded(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., Coroutine[Any, Any, None]]:
    @functools.wraps(test)
    async def bounded(*args: Any, **kwargs: Any) -> None:
        with anyio.fail_after(LONGEST):
            await test(*args, **kwargs)

    return bounded
