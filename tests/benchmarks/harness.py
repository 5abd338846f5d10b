"""Runs the subjects: a server process and a client process for each, on a core each, round after round."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from benchmarks.cases import PROCESSOR_CASES
from benchmarks.load import BARRIER_SECONDS
from benchmarks.memory import is_measurable
from benchmarks.results import Figures, Results

_START_SECONDS = 30.0
"""How long a process may take to import its library, to listen or to connect."""

_IDLE_SECONDS = 90.0
"""How long the opening of the idle connections may take."""

_STOP_SECONDS = 5.0
"""How long a process may take to end after it was told to."""

_LAST_LINES = 25
"""How much of what a process wrote to its standard error is shown when it fails."""

_HOME = str(Path(__file__).resolve().parent.parent)
"""The folder that the children import this package from."""


class HarnessError(Exception):
    """A subject failed or hung; the text names it."""


@dataclass(frozen=True)
class Plan:
    """What to measure."""

    subjects: Sequence[str]
    cases: Sequence[str]
    rounds: int
    seconds: float
    """Seconds for each measurement."""
    wireformat: str
    tell: Callable[[str], None]
    """Where progress is told."""
    cores: tuple[int, int] | None = field(default_factory=lambda: _two_cores())
    """The server's and the client's; None where there are no two, or the system can't pin."""


def _two_cores() -> tuple[int, int] | None:
    if sys.platform != "linux":
        return None
    available = sorted(os.sched_getaffinity(0))
    return (available[0], available[1]) if len(available) > 1 else None


async def run(plan: Plan) -> Results:
    """Measure everything, round after round.

    In a round, the subjects take turns at each case, so that those which are compared run within seconds of each
    other: a slow minute of the machine slows them all. And each turn has processes of its own, so that none
    inherits the heap that another case has left behind.
    """
    results = Results()
    known = {subject: await _cases_of(subject, plan, results) for subject in plan.subjects}
    for number in range(1, plan.rounds + 1):
        measured: dict[str, dict[str, Figures]] = {}
        results.rounds.append(measured)
        for case in plan.cases:
            plan.tell(f"round {number} of {plan.rounds}: {case}")
            for subject in plan.subjects:
                if case in known[subject]:
                    measured.setdefault(subject, {})[case] = await _measure(subject, case, plan)
    return results


async def _cases_of(subject: str, plan: Plan, results: Results) -> set[str]:
    """The cases that a subject has; none, and a word why, if it can't be run."""
    async with _child(subject, "probe", plan, folder=None, life=_START_SECONDS) as child:
        try:
            cases = set((await child.next_message(_START_SECONDS))["cases"])
        except HarnessError:
            results.skipped[subject] = child.last_words(1) or "it did not start"
            plan.tell(f"{subject} is skipped: {results.skipped[subject]}")
            return set()
    return cases if is_measurable() else cases - PROCESSOR_CASES - {"idle"}


async def _measure(subject: str, case: str, plan: Plan) -> Figures:
    """One measurement, in a new server and a new client."""
    needed = _IDLE_SECONDS if case == "idle" else 2 * (BARRIER_SECONDS + plan.seconds)
    needed += _START_SECONDS
    with tempfile.TemporaryDirectory() as folder:
        async with _child(subject, "server", plan, folder=folder, life=needed + _START_SECONDS) as server:
            address = (await server.next_message(_START_SECONDS))["address"]
            arguments = [
                f"--address={address}",
                f"--server-pid={server.pid}",
                f"--case={case}",
                f"--seconds={plan.seconds}",
            ]
            async with _child(subject, "client", plan, *arguments, folder=folder, life=needed) as client:
                try:
                    figures: Figures = (await client.next_message(needed))["figures"]
                except HarnessError as error:
                    said = server.last_words()
                    also = f"\n{subject}'s server said:\n{said}" if said else ""
                    raise HarnessError(f"case {case}: {error}{also}") from None
    return figures


class _Child:
    """A process of ours that says things in lines of JSON."""

    def __init__(self, what: str, process: asyncio.subprocess.Process, errors: IO[bytes]) -> None:
        self._what = what
        self._process = process
        self._errors = errors

    @property
    def pid(self) -> int:
        return self._process.pid

    async def next_message(self, seconds: float) -> dict[str, Any]:
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(seconds):
                line = await self._process.stdout.readline()
        except TimeoutError:
            raise HarnessError(f"{self._what} has hung: nothing for {seconds:g} s") from None
        if not line:
            raise HarnessError(f"{self._what} has failed:\n{self.last_words() or 'no message'}")
        try:
            message: dict[str, Any] = json.loads(line)
        except ValueError:
            raise HarnessError(f"{self._what} says what is no message: {line!r}") from None
        return message

    def last_words(self, lines: int = _LAST_LINES) -> str:
        """The end of what it wrote to its standard error. The last line of a traceback says what happened, mostly."""
        self._errors.seek(0)
        written = self._errors.read().decode(errors="replace").strip().splitlines()
        return "\n".join(written[-lines:])

    async def stop(self) -> None:
        """End it, if it has not ended by itself."""
        for end in (self._process.terminate, self._process.kill):
            if self._process.returncode is not None:
                return
            end()
            try:
                async with asyncio.timeout(_STOP_SECONDS):
                    await self._process.wait()
            except TimeoutError:
                continue


@asynccontextmanager
async def _child(
    subject: str, role: str, plan: Plan, *arguments: str, folder: str | None, life: float
) -> AsyncIterator[_Child]:
    """Start a process in a role and in a folder, and end it in the end."""
    command = [sys.executable, "-m", "benchmarks.child", role, subject, *arguments]
    command += [f"--wireformat={plan.wireformat}", f"--life={int(life) + 1}"]
    if plan.cores is not None:
        server, client = plan.cores
        command.append(f"--core={client if role == 'client' else server}")
    path = os.pathsep.join(filter(None, (_HOME, os.environ.get("PYTHONPATH"))))
    with tempfile.TemporaryFile() as errors:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": path},
        )
        child = _Child(f"{subject}'s {role}", process, errors)
        try:
            yield child
        finally:
            await child.stop()
