"""What the kernel tells of the two processes: by how much they grow for each idle connection, and what a call costs the server."""

from __future__ import annotations

import os
from contextlib import AsyncExitStack
from pathlib import Path

from benchmarks.cases import IDLE_CONNECTIONS, Case
from benchmarks.load import WARM_UP, Client
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


def processor_seconds(pid: int) -> float:
    """What a process has used so far, in all of its threads, from the kernel."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def is_measurable() -> bool:
    """Whether this system tells the memory of a process in the way it is read here (Linux does)."""
    return Path("/proc/self/smaps_rollup").exists()


async def measure_processor(client: Client, case: Case, seconds: float, server_pid: int) -> dict[str, float]:
    """Keep calls on their way, and return what one has cost the server."""
    await client.calls(case.outstanding, min(WARM_UP, seconds))
    before = processor_seconds(server_pid)
    tally = await client.calls(case.outstanding, seconds)
    return {"cpu_us": (processor_seconds(server_pid) - before) / tally.count * 1e6}


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
