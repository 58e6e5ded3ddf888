"""Object stores: what is judged of a listing, whatever store it comes from."""

from __future__ import annotations

import os
from pathlib import Path

from pytest_k8sha.checks.judge import Judge
from pytest_k8sha.model import Verdict
from pytest_k8sha.probes.interval import Interval
from pytest_k8sha.recovery.objects import judging
from pytest_k8sha.recovery.objects.bucket import Care, Folder, Item
from pytest_k8sha.recovery.objects.judging import DAY, Stock
from pytest_k8sha.recovery.plan import ObjectStorePlan

NOW = 1_000_000_000.0
PLAN = ObjectStorePlan(name="s", bucket="b", min_size=100)


def stock(ages: list[float], *, size: int = 1000, skew: float = 0.0, plan: ObjectStorePlan = PLAN) -> Stock:
    items = sorted((Item(f"{age}", size, NOW - age) for age in ages), key=lambda item: item.modified)
    return Stock(plan, items, Interval(NOW, NOW + 1), Interval(skew, skew + 1), Care(True, True, None, {"locked": "?"}))


def verdict(act: object, *stocks: Stock) -> Verdict:
    judge = Judge()
    act(judge, stocks)  # type: ignore[operator]
    return judge.conclude()[0]


def test_the_age_of_the_newest() -> None:
    """Young passes, old fails; at the edge the bar decides nothing; none and one from the future fail."""
    assert verdict(judging.fresh, stock([10, DAY])) is Verdict.PASSED
    assert verdict(judging.fresh, stock([2 * DAY])) is Verdict.FAILED
    assert verdict(judging.fresh, stock([DAY - 0.5])) is Verdict.INCONCLUSIVE
    assert verdict(judging.fresh, stock([])) is Verdict.FAILED
    assert verdict(judging.fresh, stock([-60])) is Verdict.FAILED


def test_clocks_that_are_too_far_apart_leave_it_open() -> None:
    """By more than the objective, either way; less is measured and does not matter, since ages are by one clock."""
    assert verdict(judging.fresh, stock([10], skew=2 * DAY)) is Verdict.INCONCLUSIVE
    assert verdict(judging.fresh, stock([10], skew=-2 * DAY)) is Verdict.INCONCLUSIVE
    assert verdict(judging.fresh, stock([10], skew=3600)) is Verdict.PASSED


def test_a_store_that_cannot_be_read_passes_nothing() -> None:
    """No rights is neither good nor bad, beside one that is good as well."""
    closed = Stock(PLAN, [], Interval(0, 0), Interval(0, 0), None, "AccessDenied")
    for act in (judging.fresh, judging.large, judging.kept, judging.cared):
        assert verdict(act, closed) is Verdict.INCONCLUSIVE
        assert verdict(act, closed, stock([day * DAY for day in range(31)])) is Verdict.INCONCLUSIVE


def test_sizes() -> None:
    """Below the plan's size, and below half of what is usual."""
    assert verdict(judging.large, stock([1, 2, 3])) is Verdict.PASSED
    assert verdict(judging.large, stock([1], size=99)) is Verdict.FAILED
    shrunk = stock([DAY, 2 * DAY, 3 * DAY])
    shrunk.items.append(Item("new", 400, NOW - 1))
    assert verdict(judging.large, shrunk) is Verdict.FAILED
    assert verdict(judging.large, stock([])) is Verdict.FAILED


def test_reach_and_gaps() -> None:
    """A month without a gap passes; a week does not reach; a hole of days is told."""
    month = [day * DAY for day in range(32)]
    assert verdict(judging.kept, stock(month)) is Verdict.PASSED
    assert verdict(judging.kept, stock(month[:8])) is Verdict.FAILED
    assert verdict(judging.kept, stock(month[:10] + month[14:])) is Verdict.FAILED


def test_what_the_plan_wants_of_a_bucket() -> None:
    """What a store does not say is open when it is wanted, and no matter when it is not."""
    assert verdict(judging.cared, stock([1])) is Verdict.PASSED
    locked = PLAN.model_copy(update={"locked": True})
    assert verdict(judging.cared, stock([1], plan=locked)) is Verdict.INCONCLUSIVE


def test_a_folder(tmp_path: Path) -> None:
    """Files by prefix, links left out, times as they stand."""
    for name in ("daily-1.tar", "weekly-1.tar"):
        (tmp_path / name).write_bytes(b"x" * 10)
        os.utime(tmp_path / name, (NOW, NOW))
    (tmp_path / "daily-link.tar").symlink_to(tmp_path / "weekly-1.tar")
    assert Folder(tmp_path, "daily-").items() == [Item("daily-1.tar", 10, NOW)]
    assert Folder(tmp_path).care().encrypted is None
