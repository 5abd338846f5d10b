"""The link to a child: when the child's stream ends because the child has ended, it says how that was."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from duologue_adapters.pipe_ends import has_no_reader
from duologue_adapters.ports import Engine, Link, Receiver, Timer

STRAGGLERS = 0.1
"""Seconds from the end of a process's pipes until its link has ended, too: for its exit status, or for what a process of its own
that still holds a pipe open may have to say."""

HANGING_UP = 0.05
"""Seconds until a child that has closed its output, and not its input, has only hung up. One that ends closes both, in any order."""


class ChildLink(Link, Receiver):
    """Lies on a link of pipes. The end of a stream waits for the exit status, if the process is about to end."""

    def __init__(
        self, engine: Engine, below: Link, writer: int, address: str, extra: Mapping[str, Any]
    ) -> None:
        """`writer` is the descriptor that `below` writes to; `extra` has the `exit_status` as soon as it is known."""
        self.address, self.extra = address, extra
        self._engine = engine
        self._below = below
        self._writer = writer
        self._receiver: Receiver
        self._has_writer = True
        self._waits: Timer | None = None

    @property
    def end_detail(self) -> str:
        status = self.extra["exit_status"]
        if status is None:
            return ""
        return (
            f"the command was ended by signal {-status}"
            if status < 0
            else f"the command ended with exit status {status}"
        )

    def child_ended(self) -> None:
        """The exit status is known."""
        self._pass_on_end()

    # -- the link ---------------------------------------------------------------------------------

    def start(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._below.start(self)

    def write(self, buffers: list[bytes]) -> bool:
        return self._below.write(buffers)

    @property
    def unsent(self) -> int:
        return self._below.unsent

    def pause_reading(self) -> None:
        self._below.pause_reading()

    def resume_reading(self) -> None:
        self._below.resume_reading()

    def end_writing(self) -> None:
        self._has_writer = False
        self._below.end_writing()
        if self._waits is not None:
            self._engine.call_soon(self._pass_on_end)

    def abort(self) -> None:
        self._has_writer = False
        self._below.abort()

    # -- what the pipes call ----------------------------------------------------------------------

    def data_received(self, data: bytes | memoryview) -> None:
        self._receiver.data_received(data)

    def eof_received(self, cut_short: str = "") -> None:
        if self._has_writer and self.extra["exit_status"] is None:
            self._waits = self._engine.call_at(self._engine.now() + HANGING_UP, self._look)
        else:
            self._receiver.eof_received(cut_short)

    def connection_lost(self, detail: str) -> None:
        self._pass_on_end()
        self._receiver.connection_lost(self.end_detail or detail)

    def all_written(self) -> None:
        self._receiver.all_written()

    def _look(self) -> None:
        # A child that only hangs up still reads, and waits for our end. One whose pipes are both closed is as good as gone.
        if self._has_writer and has_no_reader(self._writer):
            self._waits = self._engine.call_at(self._engine.now() + STRAGGLERS, self._pass_on_end)
        else:
            self._pass_on_end()

    def _pass_on_end(self) -> None:
        if self._waits is not None:
            self._waits.cancel()
            self._waits = None
            self._receiver.eof_received()
