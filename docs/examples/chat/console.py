"""Standard input and output: lines that are read, and others that are shown meanwhile.

On a terminal what is being typed stays in sight, below what is shown. With pipes there is no prompt and no colour.
"""

from __future__ import annotations

import os
import sys
import termios
from queue import SimpleQueue
from threading import Thread
from types import TracebackType
from typing import Self

import anyio
from anyio.lowlevel import current_token

try:
    from readline import get_line_buffer  # `input` edits with it, and remembers earlier lines
except ImportError:  # some Pythons are built without

    def get_line_buffer() -> str:
        """Nothing is known of what is being typed."""
        return ""


LONGEST_LINE = 4096
"""In bytes. A longer one from a pipe is several."""

_CLEAR_LINE = "\r\x1b[2K"


class Console:
    """`with Console() as console: await console.line()`."""

    def __init__(self) -> None:
        self.is_terminal = sys.stdin.isatty() and sys.stdout.isatty()
        self._prompt = ""
        self._is_reading = False
        self._bytes = b""
        self._modes = termios.tcgetattr(0) if self.is_terminal else None
        self._token = current_token()
        self._questions = SimpleQueue[str]()
        self._send, self._receive = anyio.create_memory_object_stream[str | None](1)

    def __enter__(self) -> Self:
        # A thread, as reading a terminal or a file blocks. A daemon, as nothing can wake it up at the end.
        Thread(target=self._read_lines, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._send.close()
        self._receive.close()
        if self._modes is not None:
            termios.tcsetattr(0, termios.TCSADRAIN, self._modes)  # readline had no time to do it
            if self._is_reading:
                print()

    async def line(self, prompt: str) -> str | None:
        """The next line; None at the end."""
        self._prompt = prompt
        self._is_reading = True
        self._questions.put(prompt)
        try:
            return await self._receive.receive()
        finally:
            self._is_reading = False

    def show(self, line: str) -> None:
        """Write a line."""
        if not self.is_terminal:
            print(line, flush=True)
        elif not self._is_reading:
            print(f"{_CLEAR_LINE}{line}", flush=True)
        else:
            print(f"{_CLEAR_LINE}{line}\n{self._prompt}{get_line_buffer()}", end="", flush=True)

    # -- the thread ------------------------------------------------------------------------------

    def _read_lines(self) -> None:
        line: str | None = ""
        while line is not None:
            prompt = self._questions.get()
            try:
                line = self._edited_line(prompt) if self.is_terminal else self._piped_line()
            except EOFError:
                line = None
            try:
                anyio.from_thread.run_sync(self._send.send_nowait, line, token=self._token)
            except (RuntimeError, anyio.ClosedResourceError, anyio.BrokenResourceError):
                return  # nobody waits any more

    def _edited_line(self, prompt: str) -> str:
        # What is between the two marks takes no room on the screen.
        return input(f"\x01{_CLEAR_LINE}\x02{prompt}")

    def _piped_line(self) -> str:
        # `sys.stdin` is locked while it reads, and a process can't end so.
        while b"\n" not in self._bytes and len(self._bytes) < LONGEST_LINE:
            more = os.read(0, LONGEST_LINE)
            if not more:
                break
            self._bytes += more
        if not self._bytes:
            raise EOFError
        line, _, self._bytes = self._bytes.partition(b"\n")
        return line.decode(errors="replace")
