"""One who does no harm, in a process of its own: `python -m tests.torture.healthy ENGINE URL OPTIONS`.

It opens one connection and says so. For each line of its input, a number of seconds, it calls for as long, one call at a time,
and prints how many there were and how long they took.
"""

from __future__ import annotations

import json
import sys
from time import perf_counter
from typing import Any

import anyio
import anyio.to_thread
from tests.torture.messages import Add, tools

from duologue import connect


def percentile(sorted_times: list[float], share: float) -> float:
    return sorted_times[min(len(sorted_times) - 1, int(len(sorted_times) * share))]


async def main(url: str, options: dict[str, Any]) -> None:
    async with connect(url, wireformat="msgpack", **options) as peer:
        print("open", flush=True)
        while line := await anyio.to_thread.run_sync(sys.stdin.readline):
            until = perf_counter() + float(line)
            times: list[float] = []
            while (begin := perf_counter()) < until or not times:
                assert await peer.remote(tools).call(Add(a=len(times), b=1), timeout=60) == len(times) + 1
                times.append(perf_counter() - begin)
            times.sort()
            print(
                json.dumps([len(times), percentile(times, 0.5), percentile(times, 0.99), times[-1]]),
                flush=True,
            )


if __name__ == "__main__":
    (_name, _backend), _url, _options = json.loads(sys.argv[1])
    anyio.run(main, _url, _options, backend=_name, backend_options=_backend)
