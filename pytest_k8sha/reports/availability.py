"""The availability section: how long each fault hurt, by what was promised, and what to do next."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pytest_k8sha.reports.model import WORST_FIRST, ReportModel, Totals
from pytest_k8sha.reports.summary import Worst, worst
from pytest_k8sha.reports.timeline import Picture, Timeline, draw
from pytest_k8sha.reports.words import plural

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_k8sha.model import Verdict
    from pytest_k8sha.reports.model import Result

SUITE = "availability"
DRAWN = 120
"""So many timelines are drawn, those with failures first; of the others the figures are shown."""
LISTED = 1_000
WINDOWS_SHOWN = 12


@dataclass
class Course:
    """One probe of one result. ``picture`` is None where the report had no more room."""

    result: Result
    line: Timeline
    verdict: Verdict
    picture: Picture | None = None

    @property
    def what(self) -> str:
        """The faults in a few words."""
        names = list(dict.fromkeys(fault.name for fault in self.line.faults if fault.name))
        if not names:
            return "traffic without a fault"
        return ", then ".join(names[:3]) + (f" and {plural(len(names) - 3, 'further fault')}" if len(names) > 3 else "")

    @property
    def windows(self) -> list[object]:
        return list(self.line.by_begin[:WINDOWS_SHOWN])

    @property
    def more_windows(self) -> int:
        return max(self.line.windows_all, len(self.line.windows)) - len(self.windows)


@dataclass
class Section:
    """``worst`` are the three worst findings; ``advice`` follows from the band of the pass rate."""

    totals: Totals
    advice: str
    worst: list[Worst] = field(default_factory=list)
    courses: list[Course] = field(default_factory=list)
    omitted: int = 0


def section(results: Iterable[Result]) -> Section | None:
    """Everything about availability: the suite's results and any other that a probe belongs to; None without one."""
    mine = [result for result in results if result.suite == SUITE or result.timelines]
    if not mine:
        return None
    courses = [_course(result, Timeline.read(data)) for result in mine for data in result.timelines]
    courses.sort(key=lambda c: (WORST_FIRST.index(c.verdict), c.result.name, c.result.cluster, c.line.subject))
    for course in courses[:DRAWN]:
        course.picture = draw(course.line)
    totals = Totals.of(mine)
    return Section(
        totals=totals,
        advice=advice(totals),
        worst=worst(ReportModel(mine, [], [], []), 3),
        courses=courses[:LISTED],
        omitted=max(0, len(courses) - LISTED),
    )


def _course(result: Result, line: Timeline) -> Course:
    verdicts = {demand.verdict for demand in line.demands} or {result.verdict}
    return Course(result, line, next(v for v in WORST_FIRST if v in verdicts))


def advice(totals: Totals) -> str:
    """What to do next, by the band of the pass rate: below 80, below 95, from 95 on (scope H12)."""
    match totals.band:
        case "none":
            return "Nothing was evaluated: no statement about availability can be made."
        case "low":
            return (
                "Fewer than 80 per cent passed: do not count on this set-up to survive a failure. Repair what stands "
                "here first, from above, before anything else is built on it."
            )
        case "middle":
            return (
                "Fewer than 95 per cent passed: most failures are survived, not all. Plan the repair of what stands "
                "here, and run the checks again after each step."
            )
        case _:
            if totals.failed == 0 and totals.inconclusive == 0:
                return "All that was evaluated passed. Keep it so: run the checks on a schedule, and after each change."
            return "95 per cent or more passed: repair the few that did not, the worst first, and keep a schedule."
