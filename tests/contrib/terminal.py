"""A program on a terminal, and what the terminal shows of it."""

from __future__ import annotations

import fcntl
import os
import re
import select
import struct
import subprocess
import termios
from collections.abc import Mapping, Sequence
from types import TracebackType

LONG_ENOUGH = 120.0
"""Seconds without a sign of life after which a program hangs for sure."""

CTRL_C = b"\x03"

_TOKEN = re.compile(r"\x1b\[([?0-9;]*)([A-Za-z])|([\r\n])|([^\x1b\r\n]+)")


class Screen:
    """What a terminal makes of what is written to it. It knows what the demo uses; anything else is an error."""

    def __init__(self, columns: int) -> None:
        self._columns = columns
        self._lines: list[list[str]] = [[]]
        self._row = self._column = 0
        self.has_cursor = True
        self.colours: set[str] = set()
        """The codes for style and colour that there were."""

    @property
    def lines(self) -> list[str]:
        """What stands there, from the first line that was ever written."""
        return ["".join(line).rstrip() for line in self._lines]

    @property
    def text(self) -> str:
        """The same with single blanks only, as if nothing had been wrapped."""
        return " ".join(" ".join(self.lines).split())

    @property
    def column(self) -> int:
        """Of the cursor."""
        return self._column

    def write(self, text: str) -> None:
        end = 0
        for token in _TOKEN.finditer(text):
            assert token.start() == end, f"unknown: {text[end : token.start()]!r}"
            end = token.end()
            codes, command, control, plain = token.groups()
            if plain:
                self._print(plain)
            elif control == "\r":
                self._column = 0
            elif control == "\n":
                self._go_down()
            else:
                self._obey(codes, command)
        assert end == len(text), f"unknown: {text[end:]!r}"

    def _print(self, text: str) -> None:
        for character in text:
            if self._column == self._columns:
                self._go_down()
                self._column = 0
            line = self._lines[self._row]
            line.extend(" " * (self._column + 1 - len(line)))
            line[self._column] = character
            self._column += 1

    def _go_down(self) -> None:
        self._row += 1
        if self._row == len(self._lines):
            self._lines.append([])

    def _obey(self, codes: str, command: str) -> None:
        match command, codes:
            case "A", _:
                self._row -= int(codes or 1)
                assert self._row >= 0
            case "K", "2":
                self._lines[self._row] = []
            case "h", "?25":
                self.has_cursor = True
            case "l", "?25":
                self.has_cursor = False
            case "m", _:
                self.colours.update(codes.split(";"))
            case _:
                raise AssertionError(f"unknown: {codes} {command}")


class Terminal:
    """A terminal with one program on it, which leads its session. `with` kills it if it still runs at the end."""

    def __init__(self, command: Sequence[str], columns: int = 80, **environment: str | None) -> None:
        """Variables of the environment that are None are not set."""
        self.screen = Screen(columns)
        self.written = ""
        self._incomplete = b""
        self._master, slave = os.openpty()
        try:
            fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
            self._before = termios.tcgetattr(slave)
            self.process = subprocess.Popen(
                command,
                stdin=slave,
                stdout=slave,
                stderr=slave,
                start_new_session=True,
                env=_environment(environment),
            )
        finally:
            os.close(slave)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._master)

    def press(self, keys: bytes) -> None:
        os.write(self._master, keys)

    def wait_for(self, text: str) -> None:
        """Until this has been written, at whatever time."""
        while text not in self.written:
            assert self._read(), f"it ended without {text!r}:\n{self.written}"

    def wait_until_left(self) -> int:
        """Until nobody holds the terminal any more. Returns the exit code of the program."""
        while self._read():
            pass
        return self.process.wait(LONG_ENOUGH)

    def is_as_before(self) -> bool:
        """Whether the terminal's modes are those that it had, the cursor is shown, and stands at the begin of a line."""
        modes = termios.tcgetattr(self._master) == self._before
        return modes and self.screen.has_cursor and self.screen.column == 0

    def _read(self) -> bool:
        ready, _, _ = select.select([self._master], [], [], LONG_ENOUGH)
        assert ready, f"it hangs:\n{self.written}"
        try:
            data = os.read(self._master, 65536)
        except OSError:  # so the system says that nobody holds the other side
            data = b""
        if not data:
            return False
        # A piece may end within a character or a command.
        data = self._incomplete + data
        whole = re.fullmatch(rb"(.*?)((?:\x1b(?:\[[?0-9;]*)?|[\xc0-\xff][\x80-\xbf]{0,2})?)", data, re.DOTALL)
        assert whole is not None
        text, self._incomplete = whole[1].decode(), whole[2]
        self.written += text
        self.screen.write(text)
        return True


def _environment(changes: Mapping[str, str | None]) -> dict[str, str]:
    # What a user may have set, and what would slow the program down to look at its coverage.
    unwanted = [name for name in os.environ if name.startswith("COVERAGE_")]
    unwanted += ["COLUMNS", "FORCE_COLOR", "LINES", "NO_COLOR"]
    environment = {**os.environ, "TERM": "xterm-256color", **dict.fromkeys(unwanted), **changes}
    return {name: value for name, value in environment.items() if value is not None}
