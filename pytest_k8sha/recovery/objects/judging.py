"""The backups of a store, put before the judge."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING

from pytest_k8sha import _clock
from pytest_k8sha.errors import Inconclusive, NotEvaluated
from pytest_k8sha.probes.interval import Interval
from pytest_k8sha.recovery.objective import within
from pytest_k8sha.recovery.objects.bucket import opened

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_k8sha.checks.judge import Judge
    from pytest_k8sha.recovery.objects.bucket import Care, Item
    from pytest_k8sha.recovery.plan import ObjectStorePlan

DAY = 86400.0
RECENT = 10
"""So many backups before the newest one say what size is usual."""


@dataclass
class Stock:
    """What one store holds. ``now`` is its own clock, ``skew`` that clock less ours; ``problem`` is why it could not be
    looked at."""

    plan: ObjectStorePlan
    items: list[Item]
    now: Interval
    skew: Interval
    care: Care | None
    problem: str = ""


def look(plans: Iterable[ObjectStorePlan]) -> list[Stock]:
    """Reads every store of the plan. Raises `NotEvaluated` when it names none."""
    found = []
    for plan in plans:
        try:
            bucket = opened(plan)
            items = sorted(bucket.items(), key=lambda item: (item.modified, item.key))
            before = _clock.epoch()
            now = bucket.clock()
            skew = Interval(now.lo - _clock.epoch(), now.hi - before)
            found.append(Stock(plan, items, now, skew, bucket.care()))
        except Inconclusive as error:
            found.append(Stock(plan, [], Interval(0, 0), Interval(0, 0), None, str(error)))
    if not found:
        raise NotEvaluated("no object store is named by a restore plan", remedy="objectStores: [{name: …, bucket: …}]")
    return found


def fresh(judge: Judge, stocks: Iterable[Stock]) -> None:
    """The newest backup of each store is young enough, by the store's own clock."""
    for stock in _readable(judge, stocks):
        plan = stock.plan
        apart = max(0.0, stock.skew.lo, -stock.skew.hi)
        judge.measure(f"{plan.name}: clock of the store less ours", stock.skew.hi, "s", stock.skew.lo, stock.skew.hi)
        if not stock.items:
            judge.bad(
                plan.name, seen="it holds no backup", remedy="see whether the backup job runs, and where it writes"
            )
            continue
        if apart > plan.max_age:
            judge.unsure(plan.name, f"the clocks are {apart:.0f} s apart, more than the objective: no age can be told")
            continue
        newest = stock.items[-1]
        if newest.modified > stock.now.hi:
            ahead = newest.modified - stock.now.hi
            judge.bad(plan.name, seen=f"{newest.key} is {ahead:.0f} s newer than now", remedy="set the clocks by NTP")
            continue
        age = Interval(max(0.0, stock.now.lo - newest.modified), stock.now.hi - newest.modified)
        within(judge, f"{plan.name}: age of {newest.key}", age, plan.max_age, "see why the backup job stopped")


def large(judge: Judge, stocks: Iterable[Stock]) -> None:
    """The newest backup is no stump: at least the size of the plan, and not much less than usual."""
    for stock in _readable(judge, stocks):
        if not stock.items:
            judge.bad(stock.plan.name, seen="it holds no backup")
            continue
        newest, plan = stock.items[-1], stock.plan
        judge.that(
            newest.size >= plan.min_size,
            f"{plan.name}: size of {newest.key}",
            seen=f"{newest.size} bytes, at least {plan.min_size} are wanted",
            remedy="look into the backup: a job that fails often leaves an empty file",
        )
        usual = [item.size for item in stock.items[-1 - RECENT : -1]]
        if not usual:
            judge.skip(f"{plan.name}: trend", "there is one backup only")
            continue
        middle = median(usual)
        judge.that(
            newest.size >= middle * plan.shrink,
            f"{plan.name}: trend",
            seen=f"{newest.size} bytes, and {middle:.0f} in the middle of the {len(usual)} before",
            remedy="look what is missing in the newest backup",
        )


def kept(judge: Judge, stocks: Iterable[Stock]) -> None:
    """The backups reach back as far as the plan says, without a gap."""
    for stock in _readable(judge, stocks):
        if not stock.items:
            judge.bad(stock.plan.name, seen="it holds no backup")
            continue
        plan, since = stock.plan, stock.now.lo - stock.plan.retention
        oldest = stock.items[0]
        reach = (stock.now.hi - oldest.modified) / DAY
        judge.that(
            oldest.modified <= since + plan.max_age,
            f"{plan.name}: reach",
            seen=f"back to {reach:.1f} days ago, {plan.retention / DAY:g} are wanted",
            remedy="keep backups longer, or say since when there are any in the plan (retention)",
        )
        gaps = [(b.modified - a.modified, b) for a, b in pairwise(stock.items) if b.modified >= since]
        gap, after = max(gaps, default=(0.0, oldest), key=lambda pair: pair[0])
        judge.that(
            gap <= 2 * plan.max_age,
            f"{plan.name}: gaps",
            seen=f"the longest is {gap / DAY:.1f} days, before {after.key}",
            remedy="see why the backup job did not run then",
        )


def cared(judge: Judge, stocks: Iterable[Stock]) -> None:
    """Encryption, versions and lock, as far as the plan wants them."""
    for stock in _readable(judge, stocks):
        plan, care = stock.plan, stock.care
        assert care is not None  # noqa: S101 - set where the store could be read
        wanted = {"encrypted": plan.encrypted, "versioned": plan.versioned, "locked": plan.locked}
        for name, want in wanted.items():
            have, said = getattr(care, name), care.said.get(name, "")
            subject = f"{plan.name}: {name}"
            if not want:
                judge.skip(subject, f"the plan does not want it ({said})")
            elif have is None:
                judge.unsure(subject, said)
            else:
                judge.that(have, subject, seen=said, remedy="switch it on for the bucket")


def table(judge: Judge, stocks: Iterable[Stock]) -> None:
    """The report: one row a store."""
    judge.table(
        "object stores",
        [
            {
                "store": stock.plan.name,
                "backups": len(stock.items),
                "bytes": sum(item.size for item in stock.items),
                "newest": stock.items[-1].key if stock.items else "",
                "problem": stock.problem,
            }
            for stock in stocks
        ],
    )


def _readable(judge: Judge, stocks: Iterable[Stock]) -> list[Stock]:
    found = []
    for stock in stocks:
        if stock.problem:
            judge.unsure(stock.plan.name, stock.problem)
        else:
            found.append(stock)
    return found
