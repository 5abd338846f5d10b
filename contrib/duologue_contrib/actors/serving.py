"""Actors for remotes: ordinary `Services` that hand every message on to an address."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

from duologue import Context, Namespace, RegistrationError, Remote, Services
from duologue_contrib.actors.address import Address
from duologue_contrib.actors.keyed import Keyed
from duologue_contrib.actors.local import LocalAddress

ROOM_TIMEOUT = 10.0
"""Seconds that a one-way message of a remote's waits for room: as long as a relayed one does (docs/flow.md, F5)."""


def services(
    namespace: Namespace,
    address: Address,
    *,
    ordered: bool = False,
    lend: bool = True,
    call_timeout: float | None = None,
    room_timeout: float | None = ROOM_TIMEOUT,
) -> Services:
    """Services that hand every message of a namespace on to an address: `serve(url, services(calc, counter), ...)`.

    For what else the arguments mean see `forward`, which does the same for services that there are already.
    """
    made = Services(namespace)
    forward(
        made,
        namespace,
        address,
        ordered=ordered,
        lend=lend,
        call_timeout=call_timeout,
        room_timeout=room_timeout,
    )
    return made


def forward(
    services: Services,
    namespace: Namespace,
    address: Address,
    *,
    ordered: bool = False,
    lend: bool = True,
    call_timeout: float | None = None,
    room_timeout: float | None = ROOM_TIMEOUT,
) -> None:
    """Register handlers for every message of a namespace: each hands it on to the address, and gives the answer back.

    A call waits in the actor's mailbox. Meanwhile it lends its permit, since the actor may wait for a remote whose
    handlers need one; with `lend=False` it keeps it, which is right where the actor waits for none: then what is too
    much is parked and not refused. A one-way message keeps its slot while it waits for room, for `room_timeout` seconds
    at most, and is dropped then, with an event. `call_timeout` bounds the same for calls, and what their handlers take;
    None: as long as the caller's connection lasts. `ordered=True`: messages of one connection reach the actor in the
    order in which they came.

    Raises `RegistrationError` if the address is none, or is known not to handle one of the messages.
    """
    _check(namespace, address)

    async def hand_on(message: Any, ctx: Context) -> Any:
        if not ctx.call_id:
            await address.send(message, timeout=room_timeout)
            return None
        async with ctx.waiting() if lend else nullcontext():
            return await address.call(message, timeout=call_timeout)

    for message in namespace:
        services.handler(message, hand_on, ordered=ordered)


def _check(namespace: Namespace, address: Address) -> None:
    match address:
        case LocalAddress() | Keyed():
            known: Any = address.messages
        case Remote():
            known = address.namespace
        case Address():
            return
        case _:
            raise RegistrationError(
                f"{address!r} is no address: give what `await actors.start(...)`, `actors.keyed(...)` or "
                "`peer.remote(namespace)` gives"
            )
    if missing := [message.__name__ for message in namespace if message not in known]:
        raise RegistrationError(
            f"{address!r} does not handle {', '.join(missing)}, of the namespace {namespace.name!r}: add a handler, or "
            "take a namespace without"
        )
