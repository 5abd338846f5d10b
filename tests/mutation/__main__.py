"""`python tests/mutation [FILE ...]`: small defects are built into the state machine, one at a time; does a test fail?"""

import sys
from pathlib import Path

# Run as a folder: Python put the folder itself on the path, where its files would be found as top-level modules.
sys.path[0] = str(Path(__file__).resolve().parents[2])

from tests.mutation.cli import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
