"""`python tests/torture [options]`: do the worst, print what was held, and fail where a bound is broken."""

import sys
from pathlib import Path

if not __package__:
    # Run as a folder: Python put the folder itself on the path. What is needed there is the one that holds `tests`.
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from tests.torture.cli import main

if __name__ == "__main__":
    sys.exit(main())
