"""The test's handlers, for `duologue serve`."""

from __future__ import annotations

from tests.contrib.browser.talk import Talker

services = Talker().services
