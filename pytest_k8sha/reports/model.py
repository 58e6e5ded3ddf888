"""What a report is about: results by check and cluster, totals, clusters, runs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pytest_k8sha.model import Finding, Severity, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

SEVERITIES = ("critical", "high", "medium", "low", "")
"""From the worst on. Tests that are no checks have none and stand last."""
WORST_FIRST = (Verdict.FAILED, Verdict.INCONCLUSIVE, Verdict.PASSED, Verdict.NOT_EVALUATED)
"""The verdict of several results together is the first of these that occurs."""


def severity_rank(severity: str) -> int:
    """4 for critical down to 1 for low, 0 for none."""
    return int(Severity[severity.upper()]) if severity else 0


@dataclass(frozen=True)
class Measure:
    """A measured quantity. ``lo`` and ``hi``, in the same unit, are the ends of its error bar where it has one."""

    name: str
    value: float | str
    unit: str
    lo: float | str | None = None
    hi: float | str | None = None


@dataclass(frozen=True)
class Earlier:
    """A result that a later one of the same check, cluster and test replaced."""

    verdict: Verdict
    started: str
    run: str


@dataclass
class Result:
    """What one test concluded on one cluster. ``duration`` is in seconds, ``started`` ISO 8601."""

    check: str
    title: str
    suite: str
    severity: str
    impact: str
    controls: tuple[str, ...]
    why: str
    remedy: str
    cluster: str
    nodeid: str
    verdict: Verdict
    reason: str
    duration: float
    started: str
    run: str
    findings: tuple[Finding, ...] = ()
    subjects: dict[str, int] = field(default_factory=dict)
    measures: tuple[Measure, ...] = ()
    diagnostics: dict[str, Any] = field(default_factory=dict)
    tables: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    timelines: tuple[dict[str, Any], ...] = ()
    """What probes saw, as the record has it (see `pytest_k8sha.reports.timeline`)."""
    history: tuple[Earlier, ...] = ()

    @property
    def name(self) -> str:
        """The check's id, or the node id of a test that is no check."""
        return self.check or self.nodeid

    def with_verdict(self, verdict: Verdict) -> list[Finding]:
        """The findings of one verdict."""
        return [finding for finding in self.findings if finding.verdict is verdict]

    @property
    def failed_subjects(self) -> int:
        """How many subjects broke the rule; at least 1 for a failure, which may name none."""
        if self.verdict is not Verdict.FAILED:
            return 0
        return max(self.subjects.get(Verdict.FAILED, 0), len(self.with_verdict(Verdict.FAILED)), 1)


@dataclass
class Totals:
    """Results by verdict, and what follows from them."""

    counts: Counter[Verdict] = field(default_factory=Counter)

    @classmethod
    def of(cls, results: Iterable[Result]) -> Totals:
        return cls(Counter(result.verdict for result in results))

    @property
    def total(self) -> int:
        return self.counts.total()

    @property
    def passed(self) -> int:
        return self.counts[Verdict.PASSED]

    @property
    def failed(self) -> int:
        return self.counts[Verdict.FAILED]

    @property
    def inconclusive(self) -> int:
        return self.counts[Verdict.INCONCLUSIVE]

    @property
    def not_evaluated(self) -> int:
        return self.counts[Verdict.NOT_EVALUATED]

    @property
    def rated(self) -> int:
        """What the pass rate is a share of: everything that was evaluated. What was inconclusive is not passed."""
        return self.passed + self.failed + self.inconclusive

    @property
    def permille(self) -> int | None:
        """The pass rate in tenths of a per cent, rounded down so that 94.99 never reads as 95; None without results."""
        return self.passed * 1000 // self.rated if self.rated else None

    @property
    def pass_rate(self) -> float | None:
        """The pass rate in per cent, with one decimal, rounded down."""
        return None if self.permille is None else self.permille / 10

    @property
    def band(self) -> str:
        """``low`` below 80 per cent, ``middle`` below 95, ``high`` from 95 on, ``none`` without results."""
        if self.permille is None:
            return "none"
        return "low" if self.permille < 800 else "middle" if self.permille < 950 else "high"


@dataclass
class Group:
    """One check, or one test that is none, with its results on all clusters. The texts are those of the newest."""

    name: str
    results: list[Result]

    @cached_property
    def newest(self) -> Result:
        return max(self.results, key=lambda result: result.started)

    @cached_property
    def by_cluster(self) -> dict[str, list[Result]]:
        clusters: dict[str, list[Result]] = {}
        for result in self.results:
            clusters.setdefault(result.cluster, []).append(result)
        return clusters

    @property
    def severity(self) -> str:
        return self.newest.severity

    @property
    def suite(self) -> str:
        return self.newest.suite

    @cached_property
    def verdict(self) -> Verdict:
        return together(self.results)

    def of(self, verdict: Verdict) -> list[Result]:
        """Its results with one verdict."""
        return [result for result in self.results if result.verdict is verdict]

    @cached_property
    def failed_subjects(self) -> int:
        return sum(result.failed_subjects for result in self.results)


def together(results: Iterable[Result]) -> Verdict:
    """The verdict of several results: one failure fails, one open question leaves all open."""
    verdicts = {result.verdict for result in results}
    return next((verdict for verdict in WORST_FIRST if verdict in verdicts), Verdict.NOT_EVALUATED)


@dataclass
class ClusterView:
    """One cluster: its results, and what was recorded about it. ``facts`` is empty when no line described it."""

    name: str
    results: list[Result]
    facts: dict[str, Any] = field(default_factory=dict)
    uids: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        return self.name or "no single cluster"

    @cached_property
    def totals(self) -> Totals:
        return Totals.of(self.results)

    @cached_property
    def suites(self) -> dict[str, Totals]:
        suites: dict[str, list[Result]] = {}
        for result in self.results:
            suites.setdefault(result.suite, []).append(result)
        return {suite: Totals.of(suites[suite]) for suite in sorted(suites)}

    @cached_property
    def failed_by_severity(self) -> dict[str, int]:
        """Failed results by severity, the worst first."""
        count = Counter(result.severity for result in self.results if result.verdict is Verdict.FAILED)
        return {severity: count[severity] for severity in SEVERITIES if count[severity]}


@dataclass
class RunView:
    """One run, or one shard of it, as its record tells it. ``duration`` is in seconds, None when it did not end."""

    id: str
    owner: str = ""
    shard: str = ""
    tool_version: str = ""
    python: str = ""
    argv: tuple[str, ...] = ()
    clusters: tuple[str, ...] = ()
    started: str = ""
    ended: str = ""
    exitstatus: int | None = None
    duration: float | None = None
    interrupted: bool = False
    crashed: bool = False
    results: int = 0


@dataclass(frozen=True)
class Digest:
    """What identifies a record. ``verified`` when its chain is whole; a cut last line shows in the crash alone."""

    path: Path
    head: str
    length: int
    verified: bool
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class Teardown:
    """Something that could not be removed."""

    what: str
    cluster: str
    problem: str
    remedy: str
    run: str


@dataclass
class ReportModel:
    """All that a report shows. ``results`` holds the newest of each check, cluster and test."""

    results: list[Result]
    clusters: list[ClusterView]
    runs: list[RunView]
    digests: list[Digest]
    teardowns: list[Teardown] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @cached_property
    def totals(self) -> Totals:
        return Totals.of(self.results)

    @cached_property
    def suites(self) -> dict[str, Totals]:
        return ClusterView("", self.results).suites

    @cached_property
    def groups(self) -> list[Group]:
        """The checks by suite and name."""
        groups: dict[str, list[Result]] = {}
        for result in self.results:
            groups.setdefault(result.name, []).append(result)
        made = [Group(name, results) for name, results in groups.items()]
        return sorted(made, key=lambda group: (group.suite, not group.newest.check, group.name))

    @cached_property
    def failures(self) -> list[Group]:
        """Checks with a failure, the worst first: by severity, then by the number of subjects."""
        failed = [group for group in self.groups if group.verdict is Verdict.FAILED]
        return sorted(failed, key=lambda g: (-severity_rank(g.severity), -g.failed_subjects, g.name))

    def with_verdict(self, verdict: Verdict) -> list[Result]:
        """Results with one verdict, the most severe first."""
        found = [result for result in self.results if result.verdict is verdict]
        return sorted(found, key=lambda r: (-severity_rank(r.severity), r.name, r.cluster, r.nodeid))

    @property
    def crashed(self) -> bool:
        return any(run.crashed for run in self.runs)

    @property
    def interrupted(self) -> bool:
        return any(run.interrupted for run in self.runs)

    @property
    def verified(self) -> bool:
        return all(digest.verified for digest in self.digests)
