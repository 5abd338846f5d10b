"""A folder of files for a page's sake: its HTML, its scripts and styles. No web server."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

CONTENT_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".gif": "image/gif",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/vnd.microsoft.icon",
    ".jpeg": "image/jpeg",
    ".jpg": "image/jpeg",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".map": "application/json",
    ".mjs": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".wasm": "application/wasm",
    ".webp": "image/webp",
    ".woff2": "font/woff2",
}
"""A list of our own: the system's differ from machine to machine, and some don't know that `.mjs` is a script."""

PIECE = 64 * 1024
"""So much of a file is in memory at once for each who asks."""


@dataclass(frozen=True, slots=True)
class Page:
    """What is at a path."""

    content_type: str
    size: int
    """In bytes."""
    tag: str
    """Another one when the content is another."""
    read: Callable[[int], bytes]
    """The next piece of the content from an offset on. Empty where it ends, or can't be had any more."""


class StaticFiles:
    """The files of a folder, by the path of a URL. Nothing outside of it, whatever the path or a symbolic link says."""

    def __init__(self, folder: Path) -> None:
        """Raises `OSError` if there is no such folder."""
        self._root = folder.resolve(strict=True)
        if not self._root.is_dir():
            raise NotADirectoryError(f"{folder} is no folder")

    def find(self, path: str) -> Page | None:
        """The file at a path, or None; `index.html` for a path that ends in a slash."""
        file = self._file_at(path)
        if file is None:
            return None
        try:
            with file.open("rb") as stream:
                state = _state(stream.fileno())
        except OSError:
            return None

        def read(offset: int) -> bytes:
            # Opened for each piece: so who does not read on holds no file open.
            try:
                with file.open("rb") as stream:
                    if _state(stream.fileno()) != state:
                        return b""  # of another file, half of this one would be worse than its end
                    stream.seek(offset)
                    return stream.read(PIECE)
            except OSError:
                return b""

        content_type = CONTENT_TYPES.get(file.suffix.lower(), "application/octet-stream")
        return Page(content_type, state[0], "-".join(f"{number:x}" for number in state), read)

    def _file_at(self, path: str) -> Path | None:
        if not path.startswith("/"):
            return None
        try:
            names = unquote(path, errors="strict").split("/")[1:]
        except UnicodeDecodeError:
            return None
        if not names[-1]:
            names[-1] = "index.html"
        # A name with a dot in front is hidden, or leads upwards; an empty one, a separator or a null byte has no meaning here.
        if any(not name or name.startswith(".") or set(name) & set("\\\0:") for name in names):
            return None
        try:
            file = self._root.joinpath(*names).resolve(strict=True)
        except (OSError, RuntimeError):  # a circle of symbolic links
            return None
        # Only a regular file: to open a pipe would wait for ever.
        return file if file.is_relative_to(self._root) and file.is_file() else None


def _state(fd: int) -> tuple[int, int, int]:
    """What is another when the content of a file is another; its size first."""
    stat = os.fstat(fd)
    return stat.st_size, stat.st_mtime_ns, stat.st_ino


class StaticFolders:
    """Several folders, each under a path of its own that begins and ends with a slash. The longest path that fits is the one."""

    def __init__(self, folders: Mapping[str, Path]) -> None:
        """Raises `OSError` if one is not there, `ValueError` for what is no such path."""
        for path in folders:
            if not (path.startswith("/") and path.endswith("/")):
                raise ValueError(f"static= has the path {path!r}: it must begin and end with a slash")
        longest_first = sorted(folders, key=len, reverse=True)
        self._folders = {path: StaticFiles(folders[path]) for path in longest_first}

    def find(self, path: str) -> Page | None:
        """As that of `StaticFiles`."""
        for prefix, files in self._folders.items():
            if path.startswith(prefix):
                return files.find(path[len(prefix) - 1 :])
        return None
