"""What is built on the public interface of duologue: the command line, and help for testing."""

from __future__ import annotations

__all__: list[str] = []
