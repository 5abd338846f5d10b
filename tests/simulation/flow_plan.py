"""What is to happen in a run of a flow simulation; at random, it belongs to a seed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from tests.simulation.flow_scripts import MAX_FRAME, Forest, Links, Script

from duologue.protocol.limits import MIB, Limits


@dataclass(frozen=True, slots=True)
class LinkPlan:
    """What a link is like, in one direction."""

    capacity: int
    """Bytes in the pipe."""
    takes_at_once: bool = False
    """What fits into the pipe when it is written is in it at once, as with a socket; else it takes a while."""


@dataclass(slots=True)
class Plan:
    """What is to happen in a run."""

    links: Links
    limits: Sequence[Limits]
    """Of each node."""
    scripts: Sequence[Script] = ()
    roots: Sequence[tuple[int, Script]] = ()
    """What is called and sent from outside of all handlers, by which node."""
    shares_budget: bool = False
    """Whether the connections of a node share their permits."""
    link: LinkPlan = field(default_factory=lambda: LinkPlan(4096))
    deadline: float | None = None
    """Of every call and send; so late that it never comes."""
    starts_at_once: bool = False
    """Whether a handler takes its first step in place, like an eager task."""
    cancels: float = 0.0
    """How likely a step is to be the cancellation of someone who waits."""
    pieces: float = 0.7
    """How likely it is that a link moves less than it could."""
    weights: tuple[float, float, float, float] = (1, 1, 1, 1)
    """How likely links write, links read, drivers drive, handlers step."""


def random_links(rng: Random) -> Links:
    """2 to 4 nodes in one piece, fully or partly linked; now and then two links between the same two."""
    nodes = rng.randint(2, 4)
    pairs = [(rng.randrange(node), node) for node in range(1, nodes)]
    rest = [(one, other) for other in range(nodes) for one in range(other) if (one, other) not in pairs]
    density = rng.choice((0.0, 0.5, 1.0))
    pairs += [pair for pair in rest if rng.random() < density]
    if rng.random() < 0.1:
        pairs.append(rng.choice(pairs))
    return Links(nodes, tuple(pairs))


def random_tree(rng: Random) -> Links:
    """3 to 6 nodes that relay: a line, a star, or a tree of any shape.

    Never a ring. What goes round in one ends only by time-outs, and so may what crosses in one: each call holds what the
    next of them waits for. Here nothing ever times out.
    """
    nodes = rng.randint(3, 6)
    shape = rng.choice(("line", "star", "tree"))
    places = {"line": lambda node: node - 1, "star": lambda node: 0, "tree": rng.randrange}
    return Links(nodes, tuple((places[shape](node), node) for node in range(1, nodes)), relays=True)


def random_limits(rng: Random) -> Limits:
    """Limits so tiny that each of them is hit, and no timeout at all: nothing may depend on one."""
    high = int(2 ** rng.uniform(7.7, 12.3))  # 200 to 5,000
    return Limits(
        max_frame=MAX_FRAME,
        calls=rng.choice((1, 1, 2, 4)),
        lent=rng.choice((1, 2, 5, 1024, 1024)),
        parked=rng.choice((1, 1, 2, 5)),
        parked_bytes=rng.choice((300, 3000, 8 * MIB)),
        sends=rng.choice((1, 1, 2, 5)),
        sends_bytes=rng.choice((300, 3000, 4 * MIB)),
        sends_policy="drop" if rng.random() < 0.1 else "pause",
        owed=rng.randint(1, 6),
        waiting=rng.choice((3, 8192, 8192, 8192)),
        outbox_high=high,
        outbox_low=rng.randint(0, high),
        call_timeout=None,
        send_timeout=None,
        frame_timeout=math.inf,
        answers_stalled=math.inf,
        requests_stalled=math.inf,
        given_up=math.inf,
    )


def random_plan(seed: int) -> Plan:
    """The plan that belongs to a seed."""
    rng = Random(f"plan {seed}")
    # From another source, so that the runs without relays are what they were before there were any.
    has_relays = Random(f"relays {seed}").random() < 0.4
    links = random_tree(rng) if has_relays else random_links(rng)
    capacity = int(2 ** rng.uniform(6, 12))
    forest = Forest(rng, links, rng.choice((10, 40, 120)), volume=500 * capacity)
    roots: list[tuple[int, Script]] = []
    while not forest.is_grown:
        node = rng.randrange(links.nodes)
        roots.append((node, forest.grow(node)))
    common = random_limits(rng)
    return Plan(
        links,
        [common if rng.random() < 0.5 else random_limits(rng) for _ in range(links.nodes)],
        forest.scripts,
        roots,
        shares_budget=rng.random() < 0.5,
        link=LinkPlan(capacity, takes_at_once=rng.random() < 0.5),
        deadline=rng.choice((None, 1e9)),
        starts_at_once=rng.random() < 0.5,
        cancels=rng.choice((0.0, 0.0, 0.0, 0.02)),
        weights=tuple(rng.choice((1, 1, 5, 50)) for _ in range(4)),  # type: ignore[arg-type]
    )
