"""Actors: state with a mailbox, which handles one message at a time, here or behind a connection.

`async with actor_scope() as actors` and `await actors.start(Counter)` give an address, to call and send to as to the remote
that `peer.remote(namespace)` gives. docs/actors.md tells all of it.
"""

from __future__ import annotations

from duologue_contrib.actors.actor import Actor
from duologue_contrib.actors.address import Address
from duologue_contrib.actors.clock import Clock
from duologue_contrib.actors.errors import ActorDeadlock, ActorFailed, ActorStopped, StopReason
from duologue_contrib.actors.handlers import handles
from duologue_contrib.actors.keyed import Keyed
from duologue_contrib.actors.local import LocalAddress
from duologue_contrib.actors.scope import ActorScope, actor_scope
from duologue_contrib.actors.serving import forward, services
from duologue_contrib.actors.supervision import Escalate, FailurePolicy, Restart, Resume, Stop

__all__ = [
    "Actor",
    "ActorDeadlock",
    "ActorFailed",
    "ActorScope",
    "ActorStopped",
    "Address",
    "Clock",
    "Escalate",
    "FailurePolicy",
    "Keyed",
    "LocalAddress",
    "Restart",
    "Resume",
    "Stop",
    "StopReason",
    "actor_scope",
    "forward",
    "handles",
    "services",
]
