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

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.browser.chromium import Chromium, running
from tests.browser.pages import Pages
from tests.engines import anyio_backend as anyio_backend
from tests.engines import end_if_it_hangs, longest

HERE = Path(__file__).parent
LONGEST = longest(120)
"""Seconds after which a test hangs for sure. Most take a second or two."""


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
    end_if_it_hangs(item, HERE, LONGEST)
