"""The worst of a report as plain data: for the terminal summary of pytest and of the command line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_k8sha.model import Verdict
from pytest_k8sha.reports.compare import compare
from pytest_k8sha.reports.model import severity_rank
from pytest_k8sha.reports.words import first_seen, headline, plural

if TYPE_CHECKING:
    from pytest_k8sha.reports.model import ReportModel, Result


@dataclass(frozen=True)
class Worst:
    """One failed check on one cluster. ``more`` is the number of further subjects that broke the same rule."""

    severity: str
    check: str
    title: str
    cluster: str
    subject: str
    seen: str
    more: int

    def __str__(self) -> str:
        what = f"{self.subject}: {self.seen}" if self.subject else self.seen
        more = f" (and {self.more} more)" if self.more else ""
        parts = [self.severity or "unrated", self.check, self.cluster, " ".join(what.split()) + more]
        return "  ".join(part for part in parts if part)


def worst(model: ReportModel, n: int = 10) -> list[Worst]:
    """The ``n`` worst failures, one a check and cluster: by severity, then by the number of subjects."""
    found: dict[tuple[str, str], list[Result]] = {}
    for group in model.failures:
        for result in group.of(Verdict.FAILED):
            found.setdefault((group.name, result.cluster), []).append(result)
    rows: list[tuple[int, int, Worst]] = []
    for (name, cluster), results in found.items():
        subject, seen = first_seen(results[0])
        count = sum(result.failed_subjects for result in results)
        severity = max((result.severity for result in results), key=severity_rank)
        row = Worst(severity, name, results[0].title, cluster, subject, seen, count - 1)
        rows.append((-severity_rank(severity), -count, row))
    rows.sort(key=lambda row: (row[0], row[1], row[2].check, row[2].cluster))
    return [row for _, _, row in rows[:n]]


def lines(model: ReportModel, n: int = 5, *, earlier: ReportModel | None = None) -> list[str]:
    """A short text for a terminal: the headline, totals of each cluster, the ``n`` worst failures, and what changed
    since an ``earlier`` report."""
    text = [headline(model).text + "."]
    for cluster in model.clusters:
        totals = cluster.totals
        rate = "no rate" if totals.pass_rate is None else f"{totals.pass_rate:g} per cent"
        text.append(
            f"{cluster.label}: {totals.passed} passed, {totals.failed} failed, {totals.inconclusive} inconclusive,"
            f" {totals.not_evaluated} not evaluated ({rate})"
        )
    shown = worst(model, n)
    text += [str(row) for row in shown]
    rest = len(worst(model, 1_000_000)) - len(shown) if shown else 0
    if rest:
        text.append(f"and {plural(rest, 'further failure')} in the report")
    if earlier:
        text += _changes(model, earlier, n)
    if model.teardowns:
        text.append(f"{plural(len(model.teardowns), 'thing')} could not be removed: see the report, or k8sha recover")
    return text


def _changes(model: ReportModel, earlier: ReportModel, n: int) -> list[str]:
    found = compare(model, earlier)
    verdicts = f"{plural(len(found.worse), 'verdict')} worse, {len(found.better)} better, {len(found.gone)} gone"
    text = [f"since the earlier run: {verdicts}; {plural(len(found.figures_worse), 'figure')} worse for certain"]
    if not found.trusted:
        text.append("the earlier record was changed, or has no end: what is compared with it proves nothing")
    text += [f"worse: {c.check} on {c.cluster or 'no cluster'}: {c.before}, now {c.now}" for c in found.worse[:n]]
    text += [f"worse: {m.figure} of {m.subject}: {m.was}, now {m.is_now}" for m in found.figures_worse[:n]]
    return text
