"""`python -m duologue_contrib` is the command `duologue`."""

from __future__ import annotations

from duologue_contrib.cli import main

if __name__ == "__main__":
    main()
