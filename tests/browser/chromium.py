"""One headless Chromium, through selenium: started once for all tests of a process, and ended by its id."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from selenium.webdriver.chrome.webdriver import WebDriver

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
LONGEST_SCRIPT = 30.0
"""Seconds for one step in the page. Whatever takes longer is done in many."""

FLAGS = (
    "--headless",
    "--no-sandbox",  # it refuses to run as root with it
    "--disable-gpu",
    "--disable-dev-shm-usage",  # which is small in a container
    "--no-first-run",
    "--disable-quic",
    # Nothing but what a test asks for goes over the network.
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-breakpad", "--disable-crash-reporter"),
    # People look at one window each. That only one can be in front must not make the timers of the others slow.
    *("--disable-background-timer-throttling", "--disable-renderer-backgrounding"),
    "--disable-backgrounding-occluded-windows",
)


LONGEST_ANSWER = 120.0
"""Seconds until the browser counts as dead: to end a busy page takes many on a busy machine."""


def find_browser() -> tuple[str, str]:
    """The paths of Chromium and of its driver. Where they are missing the test is skipped, and says what to install."""
    browser = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    driver = shutil.which("chromedriver")
    missing = [name for name, path in (("chromium", browser), ("chromedriver", driver)) if path is None]
    if browser is None or driver is None:
        pytest.skip(
            f"NOT SHOWN HERE, in a real browser: {' and '.join(missing)} missing "
            "(on Debian: apt-get install --no-install-recommends chromium chromium-driver fonts-dejavu-core)"
        )
    return browser, driver


class Chromium:
    """The browser. It does one thing at a time, for whichever thread asks, and each thing is short."""

    def __init__(self, driver: WebDriver) -> None:
        self._driver = driver
        self._lock = threading.Lock()
        self._errors: list[str] = []

    def new_window(self, beside: str | None = None) -> tuple[str, str]:
        """A window, with a profile of its own or that of another person: their ids."""
        with self._lock:
            profile = beside or self._driver.browser.create_user_context()
            window = self._driver.browsing_context.create(type="window", user_context=profile)
            return profile, window

    def forget(self, profile: str) -> None:
        """Close the windows of a person, and forget what they have stored. The window of the browser itself stays."""
        with self._lock:
            self._driver.browser.remove_user_context(profile)

    def do(self, window: str, what: str, *args: Any) -> Any:
        """Call a method of the driver with a window in front."""
        with self._lock:
            self._driver.switch_to.window(window)
            return getattr(self._driver, what)(*args)

    def find(self, window: str, selector: str, what: str, *args: Any) -> Any:
        """Call a method of an element, or look at an attribute, after the driver has scrolled to it as a person would."""
        with self._lock:
            self._driver.switch_to.window(window)
            found = getattr(self._driver.find_element("css selector", selector), what)
            return found(*args) if callable(found) else found

    def crash(self, window: str) -> None:
        """End the process that shows a page. The driver finds its window gone, and says so."""
        from selenium.common.exceptions import WebDriverException

        with self._lock, suppress(WebDriverException):
            self._driver.switch_to.window(window)
            self._driver.get("chrome://crash")

    def errors(self) -> list[str]:
        """What has gone to the consoles as an error since the last look, errors of the network and refusals of a policy included."""
        with self._lock:
            # The one for the last window that was in front; if that is closed there is none, and the driver says so.
            self._driver.switch_to.window(self._driver.window_handles[0])
            entries = self._driver.get_log("browser")
        return [entry["message"] for entry in entries if entry["level"] == "SEVERE"]


@contextmanager
def running(profile: Path) -> Iterator[Chromium]:
    """Start it, and end it with all that it has started."""
    browser, chromedriver = find_browser()
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    options.set_capability("webSocketUrl", True)  # profiles come by WebDriver BiDi
    service = webdriver.ChromeService(chromedriver, env={**os.environ, "SE_OFFLINE": "true"})
    driver = webdriver.Chrome(options=options, service=service)
    try:
        config = driver.command_executor.client_config
        config.websocket_interval = 0.01  # it looks so often, in seconds, for an answer
        config.websocket_timeout = LONGEST_ANSWER
        driver.set_script_timeout(LONGEST_SCRIPT)
        driver.set_page_load_timeout(LONGEST_SCRIPT)
        yield Chromium(driver)
    finally:
        driver.quit()
