"""What is measured: the cases, the figures that each gives, and their units."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True)
class Metric:
    """One figure of a case."""

    name: str
    unit: str
    digits: int = 0
    """Digits after the point when it is printed."""


@dataclass(frozen=True)
class Case:
    """One kind of load."""

    name: str
    title: str
    kind: Literal["one", "calls", "sends", "echoes", "idle", "cpu"]
    metrics: tuple[Metric, ...]
    """The first is the one that is compared between subjects."""
    outstanding: int = 1
    """How many calls are on their way at any time."""
    size: int = 0
    """Bytes of one echo: of the whole frame where the subject has frames of a known size, else of the payload."""
    encoded: bool = True
    """Echoes of messages, which are encoded and decoded at both ends; else of frames, whose payload nobody looks into."""

    @property
    def main(self) -> Metric:
        return self.metrics[0]


_CALLS = Metric("rate", "calls/s")
_ECHOES = Metric("mb_per_s", "MB/s", 1)
_MEMORY = (
    Metric("server_rss_kib", "KiB", 1),
    Metric("server_pss_kib", "KiB", 1),
    Metric("client_rss_kib", "KiB", 1),
    Metric("client_pss_kib", "KiB", 1),
)

_PROCESSOR = Metric("cpu_us", "us", 2)

_ALL = (
    Case("one", "one call at a time", "one", (_CALLS, Metric("p50_us", "us"))),
    Case("c64", "64 calls outstanding", "calls", (_CALLS,), outstanding=64),
    Case("c1024", "1,024 calls outstanding", "calls", (_CALLS,), outstanding=1024),
    Case("sends", "one-way sends, until all are handled", "sends", (Metric("rate", "sends/s"),)),
    # MB are 10^6 bytes, counted once: an echo of n bytes is n, though they travel both ways.
    Case("echo64k", "echoes of 64 KiB, 8 outstanding", "echoes", (_ECHOES,), outstanding=8, size=64 * KIB),
    Case("echo1m", "echoes of 1 MiB, 4 outstanding", "echoes", (_ECHOES,), outstanding=4, size=MIB),
    Case(
        "frame1m",
        "echoes of bare frames of 1 MiB",
        "echoes",
        (_ECHOES,),
        outstanding=4,
        size=MIB,
        encoded=False,
    ),
    Case("idle", "memory of one idle connection", "idle", _MEMORY),
    Case(
        "cpu64",
        "processor time of the server for a call, 64 outstanding",
        "cpu",
        (_PROCESSOR,),
        outstanding=64,
    ),
    Case(
        "cpu256",
        "processor time of the server for a call, 256 outstanding",
        "cpu",
        (_PROCESSOR,),
        outstanding=256,
    ),
)

CASES = {case.name: case for case in _ALL}

PROCESSOR_CASES = frozenset(case.name for case in _ALL if case.kind == "cpu")

FOR_ANY = frozenset(CASES) - PROCESSOR_CASES - {"frame1m"}
"""The cases that every RPC library has: few let one send a frame as it is, and processor time is for what is in between."""

FOR_TRANSPORTS = frozenset({"one", "c64", "sends", "echo1m"})
"""The cases in which transports differ. How many calls are outstanding, or how large a frame is beyond that, matters to all alike."""

IDLE_CONNECTIONS = 500
