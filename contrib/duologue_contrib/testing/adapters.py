"""The suite that an adapter must pass. Yours too: subclass it in a test module, and pytest runs all of it.

    from duologue_contrib.testing import AdapterSuite

    class TestPigeon(AdapterSuite):
        url = "pigeon://127.0.0.1:0"

It uses nothing but the public interface, so it asks what users see: messages arrive whole, once and in order, in both
directions and however large; senders wait for slow readers; however a connection ends, both ends are told in time; and
nothing is left of it. Each test runs on each engine, those about frames with each wire format. Nothing in it sleeps, and
a test that waits for too long fails.
"""

from __future__ import annotations

from duologue_contrib.testing.adapter_calls import CallTests
from duologue_contrib.testing.adapter_ends import EndTests
from duologue_contrib.testing.adapter_lives import LifeTests
from duologue_contrib.testing.adapter_pressure import PressureTests
from duologue_contrib.testing.adapter_processes import ProcessTests
from duologue_contrib.testing.needed import pytest


class AdapterSuite(CallTests, PressureTests, EndTests, LifeTests, ProcessTests):
    """The tests. Set `url`; `AdapterStage` says what else can be set, and which methods may be overridden."""

    pytestmark = pytest.mark.anyio
