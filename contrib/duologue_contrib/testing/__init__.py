"""Help for testing: the suites that plug-ins must pass. They need pytest."""

from __future__ import annotations

from duologue_contrib.testing.adapter_child import play_child
from duologue_contrib.testing.adapters import AdapterSuite
from duologue_contrib.testing.wireformats import WireFormatSuite

__all__ = ["AdapterSuite", "WireFormatSuite", "play_child"]
