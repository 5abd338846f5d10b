"""Target `story`: three connections, a link that cuts anywhere and a remote that misbehaves, compared with the model at each step.

The stories are those of tests/core/story.py; here the fuzzer tells them. Input: the limits, then steps with their arguments.
"""

from __future__ import annotations

from tests.core.story import Story
from tests.core.story_tables import STEPS, small_limits
from tests.fuzz.choices import Choices

NAMES = [name for name, step in STEPS.items() for _ in range(step.weight)]
MOST_STEPS = 60
FIRST_IDS = (1, 1, 3, 2**64 - 2)
SHARED = (0, 2, 2, 3)


def run(data: bytes) -> None:
    choices = Choices(data)
    story = Story()
    told = "the beginning"
    try:
        limits = [small_limits(choices.integer(2)) for _ in range(3)]
        story.begin(limits, shared=choices.choice(SHARED), first_id=choices.choice(FIRST_IDS))
        for number in range(MOST_STEPS):
            if choices.is_empty:
                break
            name = choices.choice(NAMES)
            arguments = {argument: each.draw(choices) for argument, each in STEPS[name].arguments.items()}
            told = f"step {number}: {name}({arguments})"
            getattr(story, name)(**arguments)
            story.look()
        told = "the end"
        story.finish()
    except BaseException as error:
        error.add_note(told)
        raise
    finally:
        story.tear_down()
