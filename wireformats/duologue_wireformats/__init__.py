"""The wire formats that come with duologue. Each is a module, loaded by its name, since its codec may not be installed."""

from __future__ import annotations

__all__: list[str] = []
