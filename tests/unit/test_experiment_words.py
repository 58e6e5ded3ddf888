"""The words of an experiment: what observations come to."""

from __future__ import annotations

import pytest

from pytest_k8sha.chaos.engine import Observation


@pytest.mark.parametrize(
    ("each", "all_"),
    [
        ([True, True], True),
        ([True, False], False),
        ([False, None], None),
        ([True, None, True], None),
        ([], None),
    ],
)
def test_one_that_does_not_hold_spoils_all(each: list[bool | None], all_: bool | None) -> None:
    """All targets must feel a fault; what was not measured, and no target at all, is never a yes."""
    found = Observation.all_of([Observation(one, f"{index} is {one}") for index, one in enumerate(each)])
    assert found.holds is all_
    if all_ is not True and each:
        assert found.seen == f"{each.index(all_)} is {all_}"
