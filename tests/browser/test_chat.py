"""The chat of docs/examples/chat as people have it: in browsers, beside a terminal, and without a mouse."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.browser.pages import Page, Pages
from tests.docs.chat.processes import ChatServer

FOCUS = ":focus, body:not(:has(:focus))"
"""Whatever has it: what is typed here goes where it would go if a person typed it."""

LINES = "[...document.querySelectorAll('.log:not([hidden]) .text')].map((each) => each.textContent)"
NOTES = "[...document.querySelectorAll('.log:not([hidden]) .note')].map((each) => each.textContent)"
MEMBERS = "[...document.querySelectorAll('#members li span:not(.face)')].map((each) => each.textContent)"
ROOMS = "[...document.querySelectorAll('#rooms .name')].map((each) => each.textContent)"

OUTLINE = """
const it = document.activeElement;
return [it.id || it.className || it.tagName, it.matches(":focus-visible") && getComputedStyle(it).outlineStyle];
"""


@pytest.fixture(
    scope="module", params=[("asyncio", {"use_uvloop": False}), ("trio", {})], ids=["asyncio", "trio"]
)
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def chat(anyio_backend_name: str) -> ChatServer:
    """A server whose process has the loop of the test."""
    return ChatServer(anyio_backend_name)


async def shows(page: Page, expression: str, *texts: str) -> None:
    """Wait until all of these are there."""
    await page.until(f"{list(texts)}.every((text) => ({expression}).includes(text))")


async def press(page: Page, *keys: str) -> None:
    await page.type(FOCUS, *keys)


async def press_alt(page: Page, key: str) -> None:
    from selenium.webdriver import Keys

    await press(page, Keys.ALT, key, Keys.NULL)


async def enter(page: Page, text: str) -> None:
    from selenium.webdriver import Keys

    await press(page, text, Keys.ENTER)


async def sit_down(page: Page, nick: str) -> None:
    """Answer the question of who one is, and be in the lobby."""
    await page.until("document.activeElement.id === 'nick'")
    await enter(page, nick)
    await page.until("document.activeElement.id === 'text'")
    await shows(page, MEMBERS, nick)


@asynccontextmanager
async def seated(pages: Pages, url: str, nick: str) -> AsyncIterator[Page]:
    async with pages.open(url) as page:
        await sit_down(page, nick)
        yield page


async def test_two_pages_and_a_terminal(chat: ChatServer, pages: Pages) -> None:
    """Each sees who is there, and what the others say, as text whatever it is; and who has gone."""
    markup = "<img src=x onerror=alert(1)> & <b>"
    async with chat.run(), seated(pages, chat.page, "ada") as ada, seated(pages, chat.page, "bert") as bert:
        async with chat.terminal("carl") as carl:
            assert await carl.line() == "-- #lobby: ada, bert, carl"
            await carl.type("from the terminal")
            for page in (ada, bert):
                await shows(page, LINES, "from the terminal")
                await shows(page, MEMBERS, "ada", "bert", "carl")
            await enter(ada, "from a page")
            await enter(bert, markup)
            for page in (ada, bert):
                await shows(page, LINES, "from the terminal", "from a page", markup)
            await carl.until("#lobby ada: from a page")
            await carl.until(f"#lobby bert: {markup}")
            await enter(ada, "/nick anna")
            await carl.until("ada is anna now")
            await shows(bert, NOTES, "ada is anna now")
            colors = "new Set([...document.querySelectorAll('.line b')].map((each) => getComputedStyle(each).color)).size"
            assert await bert.run(f"return {colors}") == 3
        for page in (ada, bert):
            await shows(page, NOTES, "carl has gone")
            assert await page.run(f"return {MEMBERS}") == ["anna", "bert"]


async def test_a_nick_that_is_taken(chat: ChatServer, pages: Pages) -> None:
    """The page says so where it asks, for the first nick and for the next; the nick stays what it was."""
    async with chat.run(), seated(pages, chat.page, "ada") as ada, pages.open(chat.page) as other:
        await enter(other, "Ada")
        await other.until(
            "document.querySelector('#nick-problem').textContent === 'Somebody else has this nick.'"
        )
        await enter(other, "b b")
        await other.until(
            "document.querySelector('#nick-problem').textContent.startsWith('It must be 1 to 20')"
        )
        await sit_down(other, "bert")
        await enter(ada, "/nick bert")
        await ada.until(
            "document.querySelector('#nick-problem').textContent === 'Somebody else has this nick.'"
        )
        assert await ada.text("#you span:last-child") == "ada"


async def test_the_server_is_killed_and_comes_back(chat: ChatServer, pages: Pages) -> None:
    """The pages say that the connection is lost, keep what is written, and are back by themselves, in all rooms and with their nicks."""
    pages.allow("ERR_CONNECTION_REFUSED|Error during WebSocket handshake|ERR_CONNECTION_RESET")
    status = "document.querySelector('#connection').textContent"
    async with pages.open("about:blank") as ada, pages.open("about:blank") as bert:
        async with chat.run() as server:
            for page, nick in ((ada, "ada"), (bert, "bert")):
                await page.goto(chat.page)
                await sit_down(page, nick)
                await enter(page, "/join garden")
                await shows(page, ROOMS, "#lobby", "#garden")
            await enter(ada, "before")
            await shows(bert, LINES, "before")
            await server.end(signal.SIGKILL)
        for page in (ada, bert):
            await page.until(f"{status}.includes('lost, trying again')")
            await shows(page, NOTES, "The connection is lost.")
        await enter(ada, "meanwhile")
        await ada.until(
            "document.querySelector('#problem').textContent === 'Not sent: there is no connection.'"
        )
        assert await ada.run("return document.querySelector('#text').value") == "meanwhile"
        async with chat.run():
            for page in (ada, bert):
                await page.until(f"{status} === 'Connected again.'")
                await shows(page, NOTES, "You are back.")
                await shows(page, MEMBERS, "ada", "bert")
            await ada.until(f"{status} === ''")  # it is no news any more
            await enter(ada, " and after")
            await shows(bert, LINES, "before", "meanwhile and after")
            async with chat.terminal("carl", "--room", "garden") as carl:
                here = (await carl.line()).removeprefix("-- #garden: ").split(", ")
                assert sorted(here) == ["ada", "bert", "carl"]
            await press_alt(bert, "\ue013")  # up, to the lobby
            await shows(bert, MEMBERS, "ada", "bert")
            await ada.goto("about:blank")
            await bert.goto("about:blank")


@pytest.mark.fault(54)
async def test_the_server_is_stopped_and_goes_on(chat: ChatServer, pages: Pages) -> None:
    """Row 54: nothing tells a page that nothing comes any more. It asks when somebody looks at it, and gives the connection up.

    When the server goes on the page gets its nick back from its own old connection, which the server has not seen end.
    """
    async with chat.run() as server, seated(pages, chat.page, "ada") as ada:
        server.process.send_signal(signal.SIGSTOP)
        await ada.run("document.dispatchEvent(new Event('visibilitychange'))")
        await shows(ada, NOTES, "The connection is lost.")
        server.process.send_signal(signal.SIGCONT)
        await shows(ada, NOTES, "You are back.")
        await enter(ada, "hello")
        await shows(ada, LINES, "hello")
        assert await ada.run(f"return {MEMBERS}") == ["ada"]


async def test_a_command_that_is_none(chat: ChatServer, pages: Pages) -> None:
    """It is not taken for a command in silence: the whole line stays in the box, and the page says what is wrong."""
    async with chat.run(), seated(pages, chat.page, "ada") as ada:
        await enter(ada, "/shrug a long line")
        await ada.until("document.querySelector('#problem').textContent.includes('no command /shrug')")
        assert await ada.run("return document.querySelector('#text').value") == "/shrug a long line"
        await ada.run("document.querySelector('#text').value = ''")
        await enter(ada, "/rooms")
        await ada.until("document.activeElement.id === 'room'")


async def test_without_a_mouse(chat: ChatServer, pages: Pages) -> None:
    """Every thing that one can do: each by a key that the page shows, with the focus always to be seen."""
    from selenium.webdriver import Keys

    async with chat.run(), seated(pages, chat.page, "ada") as ada, chat.terminal("bert") as bert:
        await bert.line()
        hints = await ada.text("#hints")
        assert [key in hints for key in ("Alt+↑", "Alt+↓", "Alt+J", "Alt+N", "Alt+H")] == [True] * 5
        await press_alt(ada, "j")
        await ada.until("document.activeElement.id === 'room'")
        await enter(ada, "Garden")
        await ada.until("document.querySelector('#title h2').textContent === '#garden'")
        await press_alt(ada, "j")
        await ada.until("document.activeElement.id === 'room'")
        await press(ada, Keys.ESCAPE)
        await ada.until("document.activeElement.id === 'text'")
        await press(ada, "a draft")
        await press_alt(ada, Keys.ARROW_UP)
        await ada.until("document.querySelector('#title h2').textContent === '#lobby'")
        await enter(ada, "hello")
        await bert.until("#lobby ada: hello")
        await press_alt(ada, Keys.ARROW_DOWN)
        await ada.until("document.querySelector('#text').value === 'a draft'")
        await press_alt(ada, "w")
        await ada.until(f"({ROOMS}).join() === '#lobby'")
        await press_alt(ada, "n")
        await ada.until("document.activeElement.id === 'nick'")
        await enter(ada, "anna")
        await bert.until("ada is anna now")
        await press_alt(ada, "h")
        await ada.until("document.querySelector('#help-dialog').open")
        await press(ada, Keys.ESCAPE)
        await ada.until("document.activeElement.id === 'text'")
        seen = set[str]()
        for _ in range(20):  # around the page once
            await press(ada, Keys.TAB)
            name, outline = await ada.run(OUTLINE)
            assert name == "BODY" or outline == "solid", name
            seen.add(name)
            if name == "text":
                break
        assert seen >= {"you", "theme", "help", "join", "leave", "log", "text"}
        await press_alt(ada, "m")
        await ada.until("document.activeElement.id === 'text'")


async def test_unread_lines_are_counted(chat: ChatServer, pages: Pages) -> None:
    """For each room that is not to be seen, and in the title; until one looks."""
    from selenium.webdriver import Keys

    badge = "document.querySelector('#rooms li .unread').textContent"
    async with chat.run(), seated(pages, chat.page, "ada") as ada, chat.terminal("bert") as bert:
        await enter(ada, "/join garden")
        await ada.until("document.querySelector('#title h2').textContent === '#garden'")
        await bert.type("one", "two")
        await ada.until(f"{badge} === '2 unread'")
        await ada.until("document.title === '(2) #garden Chat'")
        await press_alt(ada, Keys.ARROW_UP)
        await ada.until(f"{badge} === ''")
        await ada.until("document.title === '#lobby Chat'")
        await shows(ada, LINES, "one", "two")
        await bert.type("three")  # in the room that is to be seen
        await shows(ada, LINES, "three")
        assert await ada.run(f"return {badge}") == ""


async def test_loaded_anew(chat: ChatServer, pages: Pages) -> None:
    """The window is the same member in the same rooms, and sees what was said lately."""
    async with chat.run(), seated(pages, chat.page, "ada") as ada:
        await enter(ada, "/join garden")
        await ada.until("document.querySelector('#title h2').textContent === '#garden'")
        await enter(ada, "hello")
        await shows(ada, LINES, "hello")
        await ada.reload()
        await shows(ada, ROOMS, "#lobby", "#garden")
        await shows(ada, LINES, "hello")
        assert await ada.text("#you span:last-child") == "ada"


async def test_an_address_that_names_no_room(chat: ChatServer, pages: Pages) -> None:
    """A link that is broken, or was meant to break the page, leads to the lobby."""
    async with chat.run(), seated(pages, f"{chat.page}#%", "ada") as ada:
        assert await ada.run(f"return {ROOMS}") == ["#lobby"]


async def test_small_and_large_light_and_dark(chat: ChatServer, pages: Pages) -> None:
    """On a phone nothing is beside the screen, and who is here opens by a key. Dark as the system has it, until one says otherwise."""
    from selenium.webdriver import Keys

    paper = "getComputedStyle(document.documentElement).backgroundColor"
    fits = "document.documentElement.scrollWidth <= innerWidth"
    async with chat.run(), seated(pages, chat.page, "a" * 20) as ada:
        for room in ("garden", "cellar", "attic", "b" * 20):
            await enter(ada, f"/join {room}")
            await shows(ada, ROOMS, f"#{room}")
        await enter(ada, "x" * 500)
        await shows(ada, LINES, "x" * 500)
        is_shown = "document.querySelector('#members').checkVisibility()"
        for width, shown in ((1200, True), (800, False), (360, False)):
            await ada.emulate(
                "Emulation.setDeviceMetricsOverride",
                width=width,
                height=700,
                deviceScaleFactor=1,
                mobile=False,
            )
            await ada.until(f"innerWidth === {width} && {fits} && {is_shown} === {str(shown).lower()}")
        await ada.run("document.querySelector('#count').focus()")
        await press(ada, Keys.ENTER)
        await ada.until(is_shown)
        await press(ada, Keys.ESCAPE)
        await ada.until(f"!{is_shown}")
        for scheme, color in (("light", "rgb(255, 255, 255)"), ("dark", "rgb(23, 23, 28)")):
            await ada.emulate(
                "Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}]
            )
            await ada.until(f"{paper} === '{color}'")
        await press_alt(ada, "t")
        await ada.until(f"{paper} === 'rgb(255, 255, 255)'")
        await ada.reload()
        await shows(ada, ROOMS, "#lobby")
        assert await ada.run(f"return {paper}") == "rgb(255, 255, 255)"
