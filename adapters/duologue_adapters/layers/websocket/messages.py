"""How bytes from above become messages: what leaves together is one, of at most 64 KiB or one frame of ours (docs/protocol.md, section 6)."""

from __future__ import annotations

from collections.abc import Iterator

LARGEST_JOINED = 64 * 1024
"""Small buffers are joined up to this size: a message costs some microseconds, and a frame in it nearly nothing."""

LARGEST_HEADER = 64
"""What may be the header of a frame that comes behind it."""

FRAGMENT = 64 * 1024
"""A larger message leaves in fragments of this size. For a client, who has to mask it, 1 MiB is 10 times as fast so as in one piece."""


def messages(buffers: list[bytes], largest: int) -> Iterator[list[bytes]]:
    """Group buffers into messages of at most `largest` bytes, as long as no buffer alone is larger.

    Where frames begin is not known here, nor need it be: the other end takes messages for a stream cut anywhere. But
    whoever writes a large frame gives its header by itself, in front, and that goes with it.
    """
    if sum(map(len, buffers)) <= LARGEST_JOINED:
        if buffers:
            yield buffers  # nearly always, so that is found out first
        return
    message: list[bytes] = []
    size = 0
    for buffer in buffers:
        if message and size + len(buffer) > LARGEST_JOINED:
            last = len(message[-1])
            goes_along = last <= LARGEST_HEADER and last + len(buffer) <= largest
            if done := message[:-1] if goes_along else message:
                yield done
            message = message[-1:] if goes_along else []
            size = last if goes_along else 0
        message.append(buffer)
        size += len(buffer)
        if size > LARGEST_JOINED:
            yield message
            message, size = [], 0
    if message:
        yield message


def fragments(message: list[bytes]) -> Iterator[tuple[bytes | memoryview, bool]]:
    """The fragments of a message, and for each whether it is the last. Of all but the first nothing is copied."""
    small = message[:-1]
    view = memoryview(message[-1])
    size = FRAGMENT - sum(map(len, small))
    first: bytes | memoryview = b"".join([*small, view[:size]]) if small else view[:size]
    yield first, len(view) <= size
    for start in range(size, len(view), FRAGMENT):
        yield view[start : start + FRAGMENT], start + FRAGMENT >= len(view)
