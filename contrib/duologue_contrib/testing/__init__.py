"""Help for testing: the suites that plug-ins must pass. They need pytest."""

from __future__ import annotations

from duologue_contrib.testing.wireformats import WireFormatSuite

__all__ = ["WireFormatSuite"]
