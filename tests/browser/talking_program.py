"""The server of the tests as a program: `python talking_program.py PORT`."""

from __future__ import annotations

import sys
from pathlib import Path

import anyio

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.browser.talking import talking


async def main(port: str) -> None:
    async with talking(url=f"http://127.0.0.1:{port}") as there:
        print(there.url)
        await anyio.sleep_forever()


anyio.run(main, sys.argv[1])
