"""The `idle` case: by how much the two processes grow for each connection that is open and does nothing."""

from __future__ import annotations

import os
from contextlib import AsyncExitStack
from pathlib import Path

from benchmarks.cases import IDLE_CONNECTIONS
from benchmarks.subjects.base import Subject

_WARM_UP_CONNECTIONS = 10
"""Opened first, and left open: what is made once in a process isn't a connection's."""


def _read(pid: int) -> dict[str, int]:
    """Resident and proportional size of a process, in KiB, from the kernel."""
    sizes: dict[str, int] = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        name, _, value = line.partition(":")
        if name in ("Rss", "Pss"):
            sizes[name.lower()] = int(value.split()[0])
    return sizes


def is_measurable() -> bool:
    """Whether this system tells the memory of a process in the way it is read here (Linux does)."""
    return Path("/proc/self/smaps_rollup").exists()


async def measure_idle(subject: Subject, address: str, server_pid: int) -> dict[str, float]:
    """Open the connections, make one call on each, and return what each has cost both processes."""
    processes = {"server": server_pid, "client": os.getpid()}
    async with AsyncExitStack() as stack:

        async def connect(count: int) -> None:
            for _ in range(count):
                client = await stack.enter_async_context(subject.connect(address))
                await client.touch()

        await connect(_WARM_UP_CONNECTIONS)
        before = {name: _read(pid) for name, pid in processes.items()}
        await connect(IDLE_CONNECTIONS)
        after = {name: _read(pid) for name, pid in processes.items()}
    return {
        f"{name}_{kind}_kib": (after[name][kind] - before[name][kind]) / IDLE_CONNECTIONS
        for name in processes
        for kind in ("rss", "pss")
    }
