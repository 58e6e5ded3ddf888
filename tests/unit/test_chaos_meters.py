"""Several effects that must all be felt."""

from __future__ import annotations

import pytest

from pytest_k8sha.chaos.engine import Observation
from pytest_k8sha.chaos.meters import Together, felt, unfelt, unknown


class Fixed:
    """A meter that always sees the same."""

    def __init__(self, seen: Observation) -> None:
        self.seen = seen

    def before(self) -> None:
        """There is nothing to take."""

    def look(self) -> Observation:
        return self.seen


@pytest.mark.parametrize(
    ("looks", "holds"),
    [
        ([felt("cpu"), felt("memory")], True),
        ([felt("cpu"), unfelt("memory")], False),
        ([unfelt("cpu"), unknown("memory")], None),
        ([felt("cpu"), unknown("memory")], None),
        ([], None),
    ],
)
def test_all_effects_must_be_felt(looks: list[Observation], holds: bool | None) -> None:
    """One that is not felt, or not measured, is enough for the whole not to hold; without a meter nothing is known."""
    assert Together([Fixed(one) for one in looks]).look().holds is holds
