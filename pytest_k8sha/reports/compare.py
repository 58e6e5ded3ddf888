"""Two reports side by side: which verdicts changed, and which figures are worse for certain."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pytest_k8sha.model import Verdict
from pytest_k8sha.reports.model import severity_rank, together
from pytest_k8sha.reports.timeline import Timeline, interval

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_k8sha.reports.model import ReportModel, Result
    from pytest_k8sha.reports.timeline import Pair

LISTED = 200

_GOOD = {Verdict.PASSED: 2, Verdict.INCONCLUSIVE: 1, Verdict.NOT_EVALUATED: 1, Verdict.FAILED: 0}
"""What is open or left out is worse than passed and better than failed."""

_UNITS = {"error_rate": "%", "budget": ""}

Key = tuple[str, str]


@dataclass(frozen=True)
class Change:
    """One check on one cluster. A verdict is None where that report has no result of it."""

    check: str
    title: str
    cluster: str
    severity: str
    before: Verdict | None
    now: Verdict | None


@dataclass(frozen=True)
class Moved:
    """A figure whose intervals do not meet, so that it changed whatever the error."""

    check: str
    cluster: str
    subject: str
    figure: str
    before: Pair
    now: Pair

    @property
    def unit(self) -> str:
        return _UNITS.get(self.figure, "s")

    @property
    def was(self) -> str:
        return interval(self.before, self.unit)

    @property
    def is_now(self) -> str:
        return interval(self.now, self.unit)


@dataclass
class Comparison:
    """``worse`` and ``better`` are verdicts; ``same`` counts those that did not change."""

    earlier: list[tuple[str, str]]
    """The earlier runs: id and beginning."""
    trusted: bool
    """The earlier record is whole and unchanged."""
    worse: list[Change] = field(default_factory=list)
    better: list[Change] = field(default_factory=list)
    other: list[Change] = field(default_factory=list)
    """From inconclusive to not evaluated, or back."""
    gone: list[Change] = field(default_factory=list)
    new: list[Change] = field(default_factory=list)
    figures_worse: list[Moved] = field(default_factory=list)
    figures_better: list[Moved] = field(default_factory=list)
    same: int = 0
    compared: int = 0
    """Figures that both reports have."""


def compare(now: ReportModel, before: ReportModel) -> Comparison:
    """What changed since ``before``. Results are matched by check and cluster, figures by their probe's subject too."""
    earlier = [(run.id, run.started) for run in before.runs]
    found = Comparison(earlier, trusted=before.verified and not before.crashed)
    old, new = _by_key(before), _by_key(now)
    for key in dict.fromkeys([*new, *old]):
        _verdicts(found, old.get(key, []), new.get(key, []))
    for group in (found.worse, found.better, found.other, found.gone, found.new):
        group.sort(key=lambda change: (-severity_rank(change.severity), change.check, change.cluster))
    then, today = dict(_figures(before)), dict(_figures(now))
    for name, value in today.items():
        if name in then:
            found.compared += 1
            _figure(found, name, then[name], value)
    return found


def _by_key(model: ReportModel) -> dict[Key, list[Result]]:
    groups: dict[Key, list[Result]] = {}
    for result in model.results:
        groups.setdefault((result.name, result.cluster), []).append(result)
    return groups


def _verdicts(found: Comparison, old: list[Result], new: list[Result]) -> None:
    one = (new or old)[0]
    before, now = together(old) if old else None, together(new) if new else None
    change = Change(one.name, one.title, one.cluster, one.severity, before, now)
    if before is None:
        found.new.append(change)
    elif now is None:
        found.gone.append(change)
    elif before is now:
        found.same += 1
    elif _GOOD[now] < _GOOD[before]:
        found.worse.append(change)
    elif _GOOD[now] > _GOOD[before]:
        found.better.append(change)
    else:
        found.other.append(change)


def _figures(model: ReportModel) -> Iterator[tuple[tuple[str, str, str, str], Pair]]:
    """Figures of probes, all of which are better when they are smaller."""
    for result in model.results:
        for data in result.timelines:
            line = Timeline.read(data)
            for figure, value in line.figures.items():
                yield (result.name, result.cluster, line.subject, figure), value


def _figure(found: Comparison, name: tuple[str, str, str, str], before: Pair, now: Pair) -> None:
    moved = Moved(*name, before, now)
    if _ends(now)[0] > _ends(before)[1]:
        found.figures_worse.append(moved)
    elif _ends(before)[0] > _ends(now)[1]:
        found.figures_better.append(moved)


def _ends(value: Pair) -> tuple[float, float]:
    """None is infinity: a figure without a lower end is that of requests that were never answered."""
    return math.inf if value[0] is None else value[0], math.inf if value[1] is None else value[1]
