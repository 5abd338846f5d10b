"""A child process with a pipe to it and a pipe from it. However it ends, it is waited for: no zombie stays."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import anyio

from duologue_adapters.child_link import STRAGGLERS, ChildLink
from duologue_adapters.pipe_ends import has_no_writer

TERMINATION = 1.0
"""Seconds that a process has to end when it is asked to, before it is killed."""

POLLING = 0.01
"""Seconds between two looks whether it has ended, where the system has nothing to wait for."""


class Child:
    """A process that runs. `input` and `output` are the descriptors of our ends of its pipes, for someone else to close."""

    def __init__(
        self, argv: Sequence[str], env: Mapping[str, str] | None, cwd: str | os.PathLike[str] | None
    ) -> None:
        """Start it. Raises `OSError` and `ValueError` if that can't be."""
        with ExitStack() as ours, ExitStack() as its:
            its_input, self.input = os.pipe()
            its.callback(os.close, its_input)
            ours.callback(os.close, self.input)
            self.output, its_output = os.pipe()
            its.callback(os.close, its_output)
            ours.callback(os.close, self.output)
            self._process = subprocess.Popen(argv, stdin=its_input, stdout=its_output, env=env, cwd=cwd)
            ours.pop_all()
        self.extra: dict[str, Any] = {"pid": self._process.pid, "exit_status": None}
        """For `PeerInfo`. The status is as `subprocess` has it: of a process that a signal ended it is below 0."""

    async def watch(self, link: ChildLink) -> None:
        """When the process ends, see to it that its link ends, too."""
        await self._wait()
        link.child_ended()
        # The link ends by itself when all that was written has been read, unless somebody is left who might write.
        if not has_no_writer(self.output):
            await anyio.sleep(STRAGGLERS)
            link.abort()

    async def end(self, patience: float) -> None:
        """Its input has ended: wait until it ends, too. After `patience` seconds it is told to, then it is killed."""
        for seconds, insist in ((patience, self._process.terminate), (TERMINATION, self._process.kill)):
            with anyio.move_on_after(seconds):
                await self._wait()
                return
            insist()
        await self._wait()

    async def _wait(self) -> None:
        process = self._process
        while process.poll() is None:  # so the process with this number is still ours
            try:
                descriptor = os.pidfd_open(process.pid)
            except (AttributeError, OSError):  # not on this system, or not now
                await anyio.sleep(POLLING)
                continue
            try:
                await anyio.wait_readable(descriptor)
            finally:
                os.close(descriptor)
        self.extra["exit_status"] = process.returncode
