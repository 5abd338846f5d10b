"""Whether somebody is at the other end of a pipe, by the descriptor of this one."""

from __future__ import annotations

import select


def has_no_writer(descriptor: int) -> bool:
    """Whether the end of the stream comes after what is in the pipe. Of one that is closed already that may be wrong."""
    return _tells(descriptor, select.POLLIN, select.POLLHUP | select.POLLNVAL)


def has_no_reader(descriptor: int) -> bool:
    """Whether what is written to a pipe can't be read by anyone. Some systems don't tell."""
    return _tells(descriptor, select.POLLOUT, select.POLLERR)


def _tells(descriptor: int, asked: int, wanted: int) -> bool:
    poll = select.poll()
    poll.register(descriptor, asked)
    return any(event & wanted for _, event in poll.poll(0))
