"""How long the property tests look, and whether they look at the same cases each time.

CI looks briefly, and always at the same cases. `HYPOTHESIS_PROFILE=thorough` looks for minutes, at new ones each time.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

THOROUGH = os.environ.get("HYPOTHESIS_PROFILE") == "thorough"


def look(brief: int, thorough: int, steps: int = 50) -> settings:
    """Settings for a test that looks at so many cases, of so many steps each."""
    return settings(
        max_examples=thorough if THOROUGH else brief,
        stateful_step_count=steps,
        derandomize=not THOROUGH,
        database=None,
        deadline=None,
        print_blob=True,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
    )
