"""What may go wrong, and how often."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, fields, replace
from random import Random
from typing import ClassVar

LEFT_OUT = 0.3
"""So often a kind of fault is not in a seed at all: with all of them in all seeds, each would hide what another does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """For each kind of fault the most of it that a seed may have. Each seed draws: some kinds not at all, the others up to this.

    `delay` and `longest` are seconds, `crash` and `cancel` and those of handlers are probabilities for one call, all others
    for one piece of bytes on its way.
    """

    GENTLE: ClassVar[Faults]
    """Everything is late and in pieces, and now and then something stands still for a while; nothing is lost."""
    HARSH: ClassVar[Faults]
    """All of them."""
    NONE: ClassVar[Faults]
    """Everything arrives at once, whole."""

    delay: float = 0.0
    """The longest that bytes are on their way."""
    split: float = 0.0
    """Bytes arrive in pieces, cut anywhere."""
    stall: float = 0.0
    """For a while nothing more arrives in that direction."""
    freeze: float = 0.0
    """The process that would get them reads nothing for a while, from nobody."""
    cut: float = 0.0
    """The connection breaks after any byte, for both ends, with or without an end of stream."""
    corrupt: float = 0.0
    """Bytes change: some bits, a length, the ids of a frame, or its payload."""
    crash: float = 0.0
    """The process that gets them dies, and comes back later. Only those that may: servers, unless they were told otherwise."""
    slow: float = 0.0
    """A handler takes its time before it begins."""
    fail: float = 0.0
    """A handler raises."""
    hang: float = 0.0
    """A handler hangs, until it is cancelled or the faults stop."""
    cancel: float = 0.0
    """A caller in a `with world.impatient():` is cancelled, sometime within `longest`."""
    longest: float = 10.0
    """How long anything takes that takes a while."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not value >= 0 or (field.name not in _SECONDS and value > 1):
                raise ValueError(
                    f"Faults.{field.name} is {value!r}: give a probability, or seconds, 0 or more"
                )

    def drawn(self, random: Random) -> Faults:
        """What one seed has of it."""
        # Always the same numbers are drawn, so that a seed stays the same but for the kinds that are left out on purpose.
        draws = {name: (random.random(), random.random()) for name in KINDS}
        rates = {
            name: 0.0 if off < LEFT_OUT else getattr(self, name) * much for name, (off, much) in draws.items()
        }
        return replace(self, **rates)

    def only(self, kinds: Collection[str]) -> Faults:
        """Without all kinds but these. Raises `ValueError` for one that there is not."""
        unknown = sorted(set(kinds) - set(KINDS))
        if unknown:
            raise ValueError(f"no such kind of fault: {', '.join(unknown)}; there are {', '.join(KINDS)}")
        return replace(self, **{name: 0.0 for name in KINDS if name not in kinds})

    def __str__(self) -> str:
        """Those that there are."""
        return ", ".join(f"{name} {value:.3g}" for name in KINDS if (value := getattr(self, name))) or "none"


_SECONDS = ("delay", "longest")
KINDS = tuple(field.name for field in fields(Faults) if field.name != "longest")
"""Their names."""

Faults.NONE = Faults()
Faults.GENTLE = Faults(delay=0.05, split=0.5, stall=0.01, freeze=0.01, slow=0.1, cancel=0.1)
Faults.HARSH = replace(
    Faults.GENTLE,
    cut=0.02,
    corrupt=0.03,
    crash=0.01,
    fail=0.1,
    hang=0.05,
    cancel=0.2,
    stall=0.02,
    freeze=0.02,
)
