"""The function that a program begins with: `async with reconnecting(...) as client`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import anyio

from duologue import CallBudget, Limits, Peer, ServiceMap, WireFormat, connect, find_wireformat
from duologue_contrib.reconnect.backoff import Attempts, Backoff, dice
from duologue_contrib.reconnect.client import ReconnectingClient
from duologue_contrib.reconnect.errors import is_permanent
from duologue_contrib.reconnect.events import Audience, ClientEvent
from duologue_contrib.reconnect.keeper import Clock, First, Hook, Keeper, Plan
from duologue_contrib.reconnect.waiting import Gate

_LIMITS, _BACKOFF, _CLOCK = Limits(), Backoff(), Clock()


def reconnecting(
    url: str,
    services: ServiceMap | Sequence[ServiceMap] | Callable[[Peer], ServiceMap | None] | None = None,
    *,
    wireformat: str | WireFormat,
    on_connect: Hook | None = None,
    on_event: Callable[[ClientEvent], None] | None = None,
    first: First = "now",
    waits: bool = True,
    backoff: Backoff = _BACKOFF,
    gives_up: Callable[[Exception], bool] = is_permanent,
    limits: Limits = _LIMITS,
    budget: CallBudget | None = None,
    name: str = "",
    clock: Clock = _CLOCK,
    random: Callable[[], float] | None = None,
    **options: Any,
) -> AbstractAsyncContextManager[ReconnectingClient]:
    """Connect, and connect again when the connection has ended: `async with reconnecting(url, wireformat="cbor") as client`.

    `url`, `services`, `wireformat`, `limits`, `budget`, `name` and `options` are those of `duologue.connect`, for each connection.

    `on_connect` is called with each new peer before waiting calls go out: to log in, to subscribe. If it raises, the
    connection is cut, and the attempt has failed. `on_event` is called with each event, from the first attempt on.
    `first`: entering makes one attempt, and raises if it fails ("now"); tries until there is a connection, and raises
    only if it gives up ("wait"); or returns at once, and the calls wait ("later"). With `waits=False` calls raise
    `NotConnected` where there is no connection. `backoff` says how long to wait between attempts, and how often to
    try. `gives_up` is asked about the error of each attempt, and of each connection's end, whether trying again is useless.

    Raises `UnknownScheme`, `UnknownWireFormat`, `PluginError` and `TypeError` here; entering raises what `connect` and `on_connect` raise.
    """
    if first not in ("now", "wait", "later"):
        raise ValueError(f"first={first!r}: give 'now', 'wait' or 'later'")
    _check(on_connect, on_event, gives_up, backoff)
    codecs = find_wireformat(wireformat) if isinstance(wireformat, str) else wireformat

    def attempt() -> AbstractAsyncContextManager[Peer]:
        return connect(url, services, wireformat=codecs, limits=limits, budget=budget, name=name, **options)

    chance = dice.get() if random is None else random
    attempt()  # what can't be meant is told here
    plan = Plan(connect=attempt, on_connect=on_connect, gives_up=gives_up, first=first, clock=clock)

    @asynccontextmanager
    async def running() -> AsyncGenerator[ReconnectingClient, None]:
        # Without what is behind the question mark, which may be for nobody to read.
        audience = Audience(limits.observer_queue, on_event, name or url.partition("?")[0])
        gate = Gate(limits.waiting)
        keeper = Keeper(plan, Attempts(backoff, chance), audience, gate)
        client = ReconnectingClient(
            keeper, gate, audience, wireformat=codecs, limits=limits, name=name, waits=waits
        )
        async with _beside(keeper):
            if first != "later":
                await keeper.settled.wait()
                if keeper.has_given_up and keeper.peer is None and keeper.last_error is not None:
                    raise keeper.last_error
            yield client

    return running()


def _check(on_connect: object, on_event: object, gives_up: object, backoff: object) -> None:
    """Refuse here what would else fail each attempt, and be tried again for ever."""
    for name, given in (("on_connect", on_connect), ("on_event", on_event)):
        if given is not None and not callable(given):
            raise TypeError(f"{name}={given!r}: give a function")
    if not callable(gives_up):
        raise TypeError(f"gives_up={gives_up!r}: give a function of an error, such as is_permanent")
    if not isinstance(backoff, Backoff):
        raise TypeError(
            f"backoff={backoff!r}: give Backoff(...), with what is to be different from its defaults"
        )


@asynccontextmanager
async def _beside(keeper: Keeper) -> AsyncGenerator[None, None]:
    """A block with a keeper at work beside it. Left normally its connection is closed in good order, else it is cut.

    An exception of the block goes on as it is: that a task group runs here is nobody's business.
    """
    cancelled = anyio.get_cancelled_exc_class()
    failure: BaseException | None = None
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(keeper.run)
            try:
                yield
            except cancelled:
                keeper.cut()
                raise
            except BaseException as exc:
                failure = exc
                # A cancellation that comes meanwhile does not take its place.
                group.cancel_scope.shield = True
                keeper.cut()
            else:
                keeper.stop()
    except BaseExceptionGroup as exc:
        if len(exc.exceptions) == 1:
            raise exc.exceptions[0] from None
        raise
    if failure is not None:
        raise failure
