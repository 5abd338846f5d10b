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

from tests.core.profiles import THOROUGH, look
from tests.core.story import STEPS, Choice, Story, small_limits

FIRST_IDS = (1, 1, 3, 2**64 - 2)


def drawn_from(choice: Choice) -> st.SearchStrategy[Any]:
    values = st.sampled_from(choice.values)
    return st.lists(values, min_size=1, max_size=choice.most) if choice.most else values


def told(name: str) -> Any:
    """The step of this name as a rule."""
    arguments = {argument: drawn_from(choice) for argument, choice in STEPS[name].arguments.items()}
    return rule(**arguments)(getattr(Story, name))


class ToldByHypothesis(Story, RuleBasedStateMachine):
    @initialize(
        limits=st.lists(st.integers(0, 2**20).map(small_limits), min_size=3, max_size=3),
        shared=st.booleans(),
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

ToldByHypothesis.TestCase.settings = look(brief=100, thorough=15_000, steps=50)


class TestStory(ToldByHypothesis.TestCase):
    """Whatever happens, in any order: each connection does what the model says, and the invariants hold after each step."""


def walk(seed: int, steps: int, story_class: Callable[[], Story] = Story) -> None:
    """A story told at random: longer than what Hypothesis tells, but not cut down to what matters when it goes wrong."""
    chance = random.Random(seed)
    story = story_class()
    names, weights = list(STEPS), [step.weight for step in STEPS.values()]
    told = ""
    try:
        limits = [small_limits(chance.randrange(2**20)) for _ in range(3)]
        story.begin(limits, shared=chance.random() < 0.5, first_id=chance.choice(FIRST_IDS))
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


def test_long_walks_find_nothing() -> None:
    """The same stories, told at random and for long, find every connection in the state that the model is in."""
    for seed in range(4000 if THOROUGH else 60):
        walk(seed if not THOROUGH else random.randrange(2**40), 200)
