"""`python tests/benchmarks [options]`: measure, print the tables, write JSON, check the floors."""

import sys
from pathlib import Path

if not __package__:
    # Run as a folder: Python put the folder itself on the path, where the package's files would be found as
    # top-level modules. What is needed there is the folder that holds the package.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from benchmarks.cli import main

if __name__ == "__main__":
    sys.exit(main())
