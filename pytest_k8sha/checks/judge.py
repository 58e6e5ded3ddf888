"""The judge: what was seen of each subject, and the verdict that follows from it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_k8sha.errors import Inconclusive, K8shaError, NotEvaluated
from pytest_k8sha.model import Finding, Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True)
class Measure:
    """A measured quantity; ``lo`` and ``hi`` are the ends of its error bar, in the same unit."""

    name: str
    value: float
    unit: str
    lo: float | None = None
    hi: float | None = None

    def as_dict(self) -> dict[str, Any]:
        return {k: v for k, v in vars(self).items() if v is not None and k != "name"}


@dataclass
class Judge:
    """Collects findings during one check and comes to its verdict.

    ``rule`` and ``remedy`` are taken from the check where a finding does not give its own.
    """

    rule: str = ""
    remedy: str = ""
    findings: list[Finding] = field(default_factory=list)
    measures: list[Measure] = field(default_factory=list)
    tables: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    timelines: list[dict[str, Any]] = field(default_factory=list)
    """What probes saw, summed up for the record (`pytest_k8sha.probes.timeline`)."""

    def ok(self, subject: object, seen: str = "") -> None:
        """The subject keeps the rule."""
        self.findings.append(Finding(str(subject), Verdict.PASSED, seen))

    def bad(self, subject: object, *, seen: str, rule: str = "", remedy: str = "") -> None:
        """The subject breaks the rule."""
        finding = Finding(str(subject), Verdict.FAILED, seen, rule or self.rule, remedy or self.remedy)
        self.findings.append(finding)

    def unsure(self, subject: object, seen: str) -> None:
        """Neither could be seen, and why."""
        self.findings.append(Finding(str(subject), Verdict.INCONCLUSIVE, seen))

    def skip(self, subject: object, reason: str) -> None:
        """The rule does not apply to this subject; it does not count as one."""
        self.findings.append(Finding(str(subject), Verdict.NOT_EVALUATED, reason))

    def that(self, condition: bool, subject: object, *, seen: str, rule: str = "", remedy: str = "") -> bool:  # noqa: FBT001
        """`ok` or `bad`, by ``condition``; returns it."""
        if condition:
            self.ok(subject, seen)
        else:
            self.bad(subject, seen=seen, rule=rule, remedy=remedy)
        return condition

    def control(self, condition: bool, what: str) -> bool:  # noqa: FBT001
        """The positive control: what must work for the check to mean anything. When false, nothing is proved."""
        if not condition:
            self.unsure("positive control", f"{what}: this should have worked and did not, so nothing is proved")
        return condition

    def measure(self, name: str, value: float, unit: str, lo: float | None = None, hi: float | None = None) -> None:
        """Records a figure for the report."""
        self.measures.append(Measure(name, value, unit, lo, hi))

    def table(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Keeps a table for the record and the report: flat rows of plain values, all with the same keys."""
        self.tables[name] = [dict(row) for row in rows]

    def count(self) -> Counter[str]:
        """Subjects by verdict."""
        return Counter(str(finding.verdict) for finding in self.findings)

    def conclude(self, error: BaseException | None = None) -> tuple[Verdict, str]:
        """The verdict and its reason, given how the check's body ended.

        A seen breach stays a failure whatever happened later. An error is never a denial: it leaves the check open.
        """
        count = self.count()
        failed = [f for f in self.findings if f.verdict is Verdict.FAILED]
        if failed:
            first = failed[0]
            more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
            return Verdict.FAILED, f"{first.subject}: {first.seen}{more}"
        if isinstance(error, NotEvaluated):
            return Verdict.NOT_EVALUATED, str(error)
        if isinstance(error, AssertionError):
            return Verdict.FAILED, str(error) or "an assertion without a message"
        if isinstance(error, Inconclusive):
            return Verdict.INCONCLUSIVE, str(error)
        if error is not None:
            name = "" if isinstance(error, K8shaError) else f"{type(error).__name__}: "
            return Verdict.INCONCLUSIVE, f"{name}{error}"
        unsure = next((f for f in self.findings if f.verdict is Verdict.INCONCLUSIVE), None)
        if unsure:
            return Verdict.INCONCLUSIVE, f"{unsure.subject}: {unsure.seen}"
        if not count[Verdict.PASSED]:
            if count[Verdict.NOT_EVALUATED]:
                return Verdict.NOT_EVALUATED, "the rule applies to none of the subjects"
            return Verdict.INCONCLUSIVE, "zero subjects: there was nothing to look at, and nothing is not a pass"
        return Verdict.PASSED, f"{count[Verdict.PASSED]} subjects keep the rule"
