"""Stories of connections (story.py), told by Hypothesis, and at random for long; each step is compared with the model."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import Phase as Stage
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from tests.core.defects import close_twice, keep_the_permit, promise_too_much
from tests.core.profiles import THOROUGH, look
from tests.core.story import Story
from tests.core.story_tables import STEPS, Choice, small_limits

from duologue.protocol.budget import CallBudget
from duologue.protocol.ending import Ending
from duologue.protocol.intake import Intake
from duologue.protocol.outbox import Outbox
from duologue.protocol.running import Running

FIRST_IDS = (1, 1, 3, 2**64 - 2)
SHARED = (0, 2, 2, 3)


def drawn_from(choice: Choice) -> st.SearchStrategy[Any]:
    values = st.sampled_from(choice.values)
    return st.lists(values, min_size=1, max_size=choice.most) if choice.most else values


def told(name: str) -> Any:
    """The step of this name as a rule."""
    arguments: dict[str, Any] = {
        argument: drawn_from(choice) for argument, choice in STEPS[name].arguments.items()
    }
    make: Any = rule(**arguments)
    return make(getattr(Story, name))


class ToldByHypothesis(Story, RuleBasedStateMachine):
    @initialize(
        limits=st.lists(st.integers(0, 2**20).map(small_limits), min_size=3, max_size=3),
        shared=st.sampled_from(SHARED),
        first_id=st.sampled_from(FIRST_IDS),
    )
    def start(self, **chosen: Any) -> None:
        self.begin(**chosen)

    @invariant()
    def looked(self) -> None:
        self.look()

    def teardown(self) -> None:
        try:
            self.finish()
        finally:
            self.tear_down()


for name in STEPS:
    setattr(ToldByHypothesis, name, told(name))


@pytest.mark.fault(15, 16, 17, 19, 45, 55, 56, 58)
def test_whatever_happens_happens_as_the_model_says() -> None:
    """Anything, in any order: each call has one outcome, each permit comes back, the end is told once, and nothing is left."""
    run_state_machine_as_test(ToldByHypothesis, settings=look(brief=100, thorough=5_000, steps=50))


def walk(seed: int, steps: int, story_class: Callable[[], Story] = Story) -> None:
    """A story told at random: longer than what Hypothesis tells, but not cut down to what matters when it goes wrong."""
    chance = random.Random(seed)
    story = story_class()
    names, weights = list(STEPS), [step.weight for step in STEPS.values()]
    told = ""
    try:
        limits = [small_limits(chance.randrange(2**20)) for _ in range(3)]
        story.begin(limits, shared=chance.choice(SHARED), first_id=chance.choice(FIRST_IDS))
        for step in range(steps):
            name = chance.choices(names, weights)[0]
            arguments = {argument: choice.draw(chance) for argument, choice in STEPS[name].arguments.items()}
            told = f"seed {seed}, step {step}: {name}({arguments})"
            getattr(story, name)(**arguments)
            story.look()
        story.finish()
    except BaseException as error:
        error.add_note(told)
        raise
    finally:
        story.tear_down()


def walks(count: int, steps: int, first: int = 0) -> None:
    for seed in range(first, first + count):
        walk(seed, steps)


@pytest.mark.fault(15, 16, 17, 19, 45, 55, 56, 58)
def test_long_stories_go_as_the_model_says() -> None:
    """Anything, in any order and for long: each call has one outcome, each permit comes back, and the end is told once."""
    walks(120, 150)
    if THOROUGH:
        walks(3000, 300, first=random.randrange(2**40))


# -- can it fail? ----------------------------------------------------------------------------------------


def keep_the_frame(patch: pytest.MonkeyPatch) -> None:
    """The frame of a cancelled call leaves nevertheless."""
    patch.setattr(Outbox, "remove_calls", lambda self, call_ids: None)


def wake_nobody(patch: pytest.MonkeyPatch) -> None:
    """A permit becomes free, and the connection that waits for it is not told."""
    patch.setattr(CallBudget, "_wake", lambda self: None)


def forget_the_pause(patch: pytest.MonkeyPatch) -> None:
    """Reading never goes on: weak point 4."""
    patch.setattr(Intake, "read_on", lambda self, now: None)


def pass_each_other(patch: pytest.MonkeyPatch) -> None:
    """A frame overtakes another in the outbox."""
    take = Outbox.take
    patch.setattr(Outbox, "take", lambda self: take(self)[::-1])


def never_drained(patch: pytest.MonkeyPatch) -> None:
    """Draining goes on though nothing is under way any more."""
    patch.setattr(Ending, "_is_idle", False)


def cancel_the_last_messages(patch: pytest.MonkeyPatch) -> None:
    """Messages that came before the end of the stream are cancelled by it."""
    patch.setattr(Running, "goes_on", False)


DEFECTS = [
    never_drained,
    cancel_the_last_messages,
    keep_the_permit,
    keep_the_frame,
    close_twice,
    promise_too_much,
    wake_nobody,
    forget_the_pause,
    pass_each_other,
]


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_defect_is_found(
    defect: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a mistake built in, the stories fail: so they would tell."""
    defect(monkeypatch)
    with pytest.raises((AssertionError, BaseExceptionGroup)):
        walks(120, 150)


@pytest.mark.parametrize("defect", DEFECTS[:5])
def test_hypothesis_finds_a_defect(
    defect: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """So would Hypothesis."""
    defect(monkeypatch)
    with pytest.raises((AssertionError, BaseExceptionGroup)):
        run_state_machine_as_test(
            ToldByHypothesis,
            settings=settings(look(brief=1000, thorough=1000), derandomize=True, phases=[Stage.generate]),
        )
