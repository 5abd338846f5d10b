"""pytest, or what to install for it."""

from __future__ import annotations

try:
    import pytest
except ModuleNotFoundError as exc:
    raise ImportError("duologue_contrib.testing needs pytest: pip install 'duologue[testing]'") from exc

__all__ = ["pytest"]
