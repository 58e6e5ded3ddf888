"""How many examples hypothesis makes."""

from __future__ import annotations

import os

from hypothesis import settings

THOROUGH = os.environ.get("K8SHA_HYPOTHESIS") == "thorough"
"""Whether many examples are wanted, for minutes instead of seconds."""


def examples(few: int, many: int) -> settings:
    """As many examples as fit into a run of all tests, or ``many`` with ``K8SHA_HYPOTHESIS=thorough``."""
    return settings(max_examples=many if THOROUGH else few)
