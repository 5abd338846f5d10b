"""What it costs to refuse a payload: processor time, memory that Python counts, and memory that the system counts."""

from __future__ import annotations

import gc
import json
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.hostile.payloads import FORMATS, Hostile, hostile
from tests.wireformats.formats import peak_bytes

from duologue import DecodeError

ROOT = Path(__file__).resolve().parents[2]
MIB = 1 << 20
RUNS = 9
_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


@dataclass(frozen=True)
class Cost:
    """The most that any payload of a kind costs."""

    milliseconds: float
    counted: float
    """MiB more than before, as Python counts them. What a library in C takes by itself is not among them."""
    resident: float
    """MiB more than before, as the system counts them, in a process of its own."""
    slowest: str
    """Which payload took longest."""
    payloads: int


def refuse(each: Hostile) -> Callable[[], None]:
    """A call that has the payload refused. Fails if it is accepted, or ends in anything else."""
    codec = FORMATS[each.wireformat]().codec(each.type_)
    payload = each.payload

    def refused() -> None:
        try:
            codec.decode(payload)
        except DecodeError:
            return
        raise AssertionError(f"accepted: {each.name}")

    return refused


def resident_peak(function: Callable[[], None]) -> int:
    """Bytes more than before, at most, as the system counts. Only where it has /proc."""
    gc.collect()
    _CLEAR.write_text("5")  # forget the peak so far
    before = _kib("VmRSS")
    function()
    return max(0, _kib("VmHWM") - before) * 1024


def _kib(name: str) -> int:
    found = re.search(rf"{name}:\s*(\d+) kB", _STATUS.read_text())
    assert found is not None
    return int(found[1])


def milliseconds(function: Callable[[], None]) -> float:
    """Of processor time, the median of some runs."""
    times: list[float] = []
    for _ in range(RUNS):
        start = time.process_time()
        function()
        times.append(time.process_time() - start)
    return statistics.median(times) * 1000


def measure(wireformat: str, hazard: str) -> Cost | None:
    """The costs of all payloads of a kind; None if the format has nothing of it."""
    slowest, counted, times = "", 0, 0.0
    payloads = 0
    for each in hostile(wireformat, hazard):
        payloads += 1
        function = refuse(each)
        taken = milliseconds(function)
        if taken >= times:
            times, slowest = taken, each.what
        counted = max(counted, peak_bytes(function))
    if not payloads:
        return None
    return Cost(times, counted / MIB, resident(wireformat, hazard) / MIB, slowest, payloads)


def resident(wireformat: str, hazard: str) -> int:
    """`resident_peak` of all payloads of a kind, at most, in a process of its own."""
    program = "from tests.hostile.measure import print_resident; print_resident(*__import__('sys').argv[1:])"
    done = subprocess.run(
        [sys.executable, "-c", program, wireformat, hazard], cwd=ROOT, capture_output=True, check=True
    )
    return int(json.loads(done.stdout))


def print_resident(wireformat: str, hazard: str) -> None:
    peak = 0
    for each in hostile(wireformat, hazard):
        peak = max(peak, resident_peak(refuse(each)))
    print(peak)
