"""What runs in the child processes: a subject's server, its client, or only the question whether it can run."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Coroutine
from typing import Any

from benchmarks.cases import CASES, MIB
from benchmarks.load import measure
from benchmarks.memory import measure_idle, measure_processor
from benchmarks.subjects import make_subject
from benchmarks.subjects.base import Subject


def _say(**fields: object) -> None:
    """Tell the harness something: one line of JSON."""
    print(json.dumps(fields), flush=True)


async def _serve(subject: Subject) -> None:
    async with subject.surroundings():
        await subject.serve(lambda address: _say(address=address))


async def _load(subject: Subject, options: argparse.Namespace) -> None:
    async with subject.surroundings():
        if options.case == "idle":
            figures = await measure_idle(subject, options.address, options.server_pid)
        else:
            case = CASES[options.case]
            async with subject.connect(options.address) as client:
                if case.kind == "cpu":
                    figures = await measure_processor(client, case, options.seconds, options.server_pid)
                else:
                    figures = await measure(case, client, options.seconds)
        _say(figures=figures)


def _allow_files(count: int) -> None:
    """The `idle` case opens hundreds of connections, and some libraries several files for each."""
    try:
        import resource
    except ImportError:  # Windows, where there is no such limit.
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < count:
        limit = count if hard == resource.RLIM_INFINITY else min(count, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))


def _settle_malloc() -> None:
    """Free one large block.

    Until the first is freed, glibc maps and unmaps memory for each block over 128 KiB, of which asyncio's plain
    protocols allocate one for each `recv`. That halves their calls one at a time, in a fresh process, and not in
    one that has been running for a while: whether it does must not depend on what happened before the measurement.
    """
    block = bytearray(16 * MIB)
    del block


def _end_with_input() -> None:
    """A server that another one has started ends with it, however that ends."""
    sys.stdin.read()
    os._exit(0)


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("role", choices=["probe", "server", "client"])
    parser.add_argument("subject")
    parser.add_argument("--wireformat", required=True)
    parser.add_argument("--core", type=int)
    parser.add_argument("--life", type=int, default=0)
    parser.add_argument("--address")
    parser.add_argument("--server-pid", type=int)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--case")
    parser.add_argument("--ends-with-input", action="store_true")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Play the part that the harness asks for."""
    options = _parse(arguments)
    if options.core is not None and sys.platform == "linux":
        # First of all, because threads that a library starts when it is imported inherit it.
        os.sched_setaffinity(0, {options.core})
    if hasattr(signal, "alarm"):
        # If the harness is killed nobody ends its children: this does.
        signal.alarm(options.life)
    _allow_files(8192)
    _settle_malloc()
    if options.ends_with_input:
        threading.Thread(target=_end_with_input, daemon=True).start()
    subject = make_subject(options.subject, options.wireformat)
    if options.role == "probe":
        _say(cases=sorted(subject.cases))
        return
    part: Callable[[], Coroutine[Any, Any, None]]
    if options.role == "server":

        def part() -> Coroutine[Any, Any, None]:
            return _serve(subject)
    else:

        def part() -> Coroutine[Any, Any, None]:
            return _load(subject, options)

    subject.runtime.run(part)


if __name__ == "__main__":
    main()
