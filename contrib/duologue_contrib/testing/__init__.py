"""Help for testing: the suites that plug-ins must pass. They need pytest."""

from __future__ import annotations

try:
    from duologue_contrib.testing.adapter_child import play_child
    from duologue_contrib.testing.adapters import AdapterSuite
    from duologue_contrib.testing.wireformats import WireFormatSuite
except ModuleNotFoundError as exc:
    if exc.name != "pytest":
        raise
    raise ImportError("duologue_contrib.testing needs pytest: pip install 'duologue[testing]'") from exc

__all__ = ["AdapterSuite", "WireFormatSuite", "play_child"]
