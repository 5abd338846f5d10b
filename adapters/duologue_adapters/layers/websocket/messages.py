"""How bytes from above become messages: what leaves together is one, of at most 64 KiB or one frame of ours (docs/protocol.md, section 6)."""

from __future__ import annotations

from collections.abc import Iterator

LARGEST_JOINED = 64 * 1024
"""Small buffers are joined up to this size: a message costs some microseconds, and a frame in it nearly nothing."""

LARGEST_HEADER = 64
"""What may be the header of a frame that comes behind it."""

FRAGMENT = 64 * 1024
"""A larger message leaves in fragments of this size. For a client, who has to mask it, 1 MiB is 10 times as fast so as in one piece."""


Piece = bytes | bytearray | memoryview
"""What came in a message, as it was found."""

_WHOLE_BINARY = 0x82
"""The first byte of a binary message in one frame, without any extension (RFC 6455, section 5.2)."""
_LONG = 126
"""In the second byte: two bytes follow with the size. More is a larger one, or has a mask."""
_LONG_HEADER = 4
_LONGEST_HEADER = 10


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


def whole_messages(data: bytes | memoryview, found: list[Piece]) -> int:
    """Add the messages at the beginning of `data` to `found`, and say where the rest begins.

    Only those of a server, which have no mask, and of the kind that it sends nearly always: binary, in one frame, all there,
    1 to 65,535 bytes. A message must begin where `data` does.
    """
    begin, end = 0, len(data)
    while end - begin >= _LONG_HEADER and data[begin] == _WHOLE_BINARY:
        size, start = data[begin + 1], begin + 2
        if size == _LONG:
            size, start = data[begin + 2] << 8 | data[begin + 3], begin + _LONG_HEADER
        elif size > _LONG:
            break
        if not size or start + size > end:
            break
        begin = start + size
        found.append(data[start:begin])
    return begin


def least_size(length: int) -> int:
    """The bytes of a frame without a mask, if its length is written as short as can be."""
    header = 2 if length < _LONG else _LONG_HEADER if length < 1 << 16 else _LONGEST_HEADER
    return header + length


def fragments(message: list[bytes]) -> Iterator[tuple[bytes | memoryview, bool]]:
    """The fragments of a message, and for each whether it is the last. Of all but the first nothing is copied."""
    small = message[:-1]
    view = memoryview(message[-1])
    size = FRAGMENT - sum(map(len, small))
    first: bytes | memoryview = b"".join([*small, view[:size]]) if small else view[:size]
    yield first, len(view) <= size
    for start in range(size, len(view), FRAGMENT):
        yield view[start : start + FRAGMENT], start + FRAGMENT >= len(view)
