"""Several effects that must all be felt."""

from __future__ import annotations

import pytest

from pytest_k8sha.chaos.engine import Observation
from pytest_k8sha.chaos.meters import Gated, Identities, InTurn, Together, felt, unfelt, unknown


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


class Changing(Fixed):
    """A meter that sees one thing after the other."""

    def __init__(self, *looks: Observation) -> None:
        self.looks = list(looks)

    def look(self) -> Observation:
        return self.looks.pop(0)


def test_effects_in_turn_need_not_be_felt_together() -> None:
    """Each is felt once, in any order of time; one that could not be measured, or none at all, is not enough."""
    meter = InTurn([Changing(felt("failing")), Changing(unfelt("cut"), unknown("cut"), felt("cut off"))])
    meter.before()
    assert [meter.look().holds for _ in range(3)] == [False, None, True]
    assert meter.look().seen == "failing; cut off"
    assert InTurn([]).look().holds is None


def test_no_pod_is_no_effect() -> None:
    """Zero pods never count as pods that are gone."""
    assert Identities(None, []).look().holds is None  # type: ignore[arg-type]


def test_an_effect_counts_only_when_its_fault_is_there() -> None:
    """What one fault does is not taken for the effect of the next one, which has not begun."""
    closed = Gated(Fixed(felt("silent")), lambda: "it has not begun")
    assert (closed.look().holds, closed.look().seen) == (False, "it has not begun")
    assert Gated(Fixed(felt("silent")), lambda: "").look().holds is True
