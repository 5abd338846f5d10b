"""Ctrl-C and its like: what runs is cancelled, so that it can clean up, and the process ends as it was told to."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import ExitStack
from typing import Any

import anyio

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""By which a person, a supervisor and a terminal that is closed end a program."""

Job = Callable[[], Coroutine[Any, Any, None]]


async def until_signal(job: Job, beside: Job) -> signal.Signals | None:
    """Run a job, and another beside it for as long. A signal cancels the job. Returns the signal, or None if there was none.

    While the job cleans up further signals do nothing. Raises what the job raises, as it is. A signal in the very moment in which
    all is done may come out as it would without this.
    """
    caught: signal.Signals | None = None
    failed: Exception | None = None
    work = anyio.CancelScope()

    async def listen(received: AsyncIterator[signal.Signals]) -> None:
        nonlocal caught
        async for each in received:
            caught = caught or each
            work.cancel()

    with ExitStack() as stack:
        async with anyio.create_task_group() as group:
            # Whoever started us may have decided that a signal is not for us: nohup does so.
            if wanted := [each for each in SIGNALS if signal.getsignal(each) is not signal.SIG_IGN]:
                group.start_soon(listen, stack.enter_context(anyio.open_signal_receiver(*wanted)))
            group.start_soon(beside)
            with work:
                try:
                    await job()
                except Exception as exc:  # in a group it would come out as a group
                    failed = exc
            group.cancel_scope.cancel()
    if failed is not None:
        raise failed
    return caught
