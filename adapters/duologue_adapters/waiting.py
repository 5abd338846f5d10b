"""Those who wait: for how long, and how they are told."""

from __future__ import annotations

from typing import Any, cast

from duologue import DEFAULT
from duologue.peer import Timeout
from duologue.protocol.pending import OutgoingCall, OutgoingSend
from duologue_adapters.ports import Waiter


def deadline_of(timeout: Timeout, default: float | None, now: float) -> float | None:
    """From what a user gave as a timeout to a time in the clock of `now`; None for never. Raises `ValueError`, `TypeError`."""
    if timeout is DEFAULT:
        return None if default is None else now + default
    seconds: Any = cast("Any", timeout)  # by callers without a type checker, anything
    if seconds is None:
        return None
    if not isinstance(seconds, int | float) or not seconds >= 0:
        wrong = ValueError if isinstance(seconds, int | float) else TypeError
        raise wrong(
            f"a timeout of {seconds!r}: give seconds, 0 for not waiting, or None for waiting for ever"
        )
    deadline: float = now + seconds
    return deadline


def seconds_of(timeout: Timeout, default: float | None) -> float | None:
    """What a user gave, or the default if that was nothing."""
    return default if timeout is DEFAULT else cast("float | None", timeout)


async def wait_among(waiters: list[Waiter], waiter: Waiter) -> None:
    """Wait together with others, and be none of them any more if the wait is cancelled."""
    waiters.append(waiter)
    try:
        await waiter
    finally:
        if waiter in waiters:
            waiters.remove(waiter)


def tell_all(waiters: list[Waiter]) -> None:
    """What they waited for has come."""
    for waiter in waiters:
        if not waiter.done():
            waiter.set_result(None)
    waiters.clear()


def resolve(item: OutgoingCall | OutgoingSend, outcome: Any) -> None:
    """Tell the one who waits. The core may know the item for a while yet, which must not keep its outcome alive."""
    waiter, item.waiter = item.waiter, None
    if waiter is not None and not waiter.done():
        waiter.set_result(outcome)
