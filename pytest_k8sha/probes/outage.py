"""What the samples of a probe come to: windows, figures with error bars, verdicts."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from pytest_k8sha.errors import UsageError
from pytest_k8sha.model import Verdict
from pytest_k8sha.probes.interval import Interval
from pytest_k8sha.probes.objective import Objective
from pytest_k8sha.probes.sample import Outcome
from pytest_k8sha.probes.windows import course, quantile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_k8sha.probes.objective import Clause
    from pytest_k8sha.probes.sample import Sample
    from pytest_k8sha.probes.windows import Course, Window

MISSED_ALLOWED = 0.1
"""With more samples missed than this share, rates and percentiles are not judged: too much was not asked."""

STEADY_COUNT = 5
STEADY_SECONDS = 1.0
"""A service has recovered when so many successes in a row, over at least so many seconds, follow its last failure."""


@dataclass
class Fault:
    """What was done to the system, on the samples' clock. The injection lies within [``start``, ``end``].

    ``undone`` is when the fault was taken back, None where that is not marked.
    """

    name: str
    start: float
    end: float | None = None
    undone: float | None = None


@dataclass(frozen=True)
class Judgement:
    """One clause of an objective and what the samples say of it. ``value`` is in seconds, or a share of 1."""

    clause: Clause
    value: Interval
    verdict: Verdict
    reason: str = ""
    """Why it is inconclusive, where the interval alone does not say."""

    def __str__(self) -> str:
        shown = Interval(self.value.lo * 100, self.value.hi * 100) if self.clause.unit == "%" else self.value
        figure = f"{self.clause.figure} in {shown} {self.clause.unit}"
        if math.isinf(shown.lo):
            figure = f"{self.clause.figure} without bound, as too many requests were never answered"
        elif shown.width == 0:
            figure = f"{self.clause.figure} {shown.lo:.4g} {self.clause.unit}"
        return f"{figure}, wanted {self.clause.text}" + (f": {self.reason}" if self.reason else "")


@dataclass
class Outage:
    """All figures come from the samples alone. Seconds everywhere; rates are shares of 1.

    ``broken`` says why the probe did not come to its end; then what followed is not known, and nothing is passed.
    """

    samples: Sequence[Sample]
    faults: Sequence[Fault] = ()
    objective: Objective | None = None
    broken: str = ""
    began: float = 0.0
    """The moment, on the monotonic clock, from which times in a report are counted."""
    notes: list[str] = field(default_factory=list)

    @cached_property
    def _course(self) -> Course:
        return course(self.samples)

    @property
    def windows(self) -> tuple[Window, ...]:
        """Each time without a success; flaps are separate windows."""
        return self._course.windows

    @cached_property
    def longest(self) -> Interval:
        """Seconds of the longest downtime, an outage that fell between two samples included."""
        return self._unless_broken(self._course.longest)

    @cached_property
    def total(self) -> Interval:
        """Seconds of downtime in all."""
        return self._unless_broken(self._course.total)

    @cached_property
    def outcomes(self) -> Counter[Outcome]:
        return Counter(sample.outcome for sample in self.samples)

    @cached_property
    def instances(self) -> Counter[str]:
        """Successes by the instance that answered, where answers say which."""
        return Counter(sample.instance for sample in self.samples if sample.ok and sample.instance)

    @property
    def missed(self) -> int:
        """Samples that this machine did not send in time. They count for neither side."""
        return self.outcomes[Outcome.MISSED]

    @property
    def sent(self) -> int:
        return len(self.samples) - self.missed

    @property
    def failed(self) -> int:
        return self.sent - self.outcomes[Outcome.OK]

    @property
    def never_up(self) -> bool:
        """No request succeeded, so that nothing can be said of an outage."""
        return not self.outcomes[Outcome.OK]

    @cached_property
    def error_rate(self) -> Interval:
        """The share of the requests sent that failed; [0, 1] when none was sent."""
        return Interval.exactly(self.failed / self.sent) if self.sent else Interval(0.0, 1.0)

    @cached_property
    def availability(self) -> Interval:
        """The share of the requests sent that succeeded; [0, 1] when none was sent."""
        return Interval(1 - self.error_rate.hi, 1 - self.error_rate.lo)

    @cached_property
    def _latencies(self) -> tuple[list[float], list[float]]:
        least, most = [], []
        for sample in self.samples:
            if sample.outcome is Outcome.MISSED:
                continue
            # A request that failed was never answered, however quickly it was refused.
            least.append(sample.done - sample.sent if sample.ok else math.inf)
            most.append(sample.done - sample.scheduled if sample.ok else math.inf)
        return sorted(least), sorted(most)

    def latency(self, share: float) -> Interval:
        """Seconds within which ``share`` (such as 0.99) of the requests sent were answered.

        The lower end counts from the sending, the upper one from the moment for which it was scheduled. Infinite where
        more requests than the rest failed.
        """
        if not 0 < share < 1:
            raise UsageError("a share of requests lies between 0 and 1", value=share, remedy="latency(0.99)")
        least, most = self._latencies
        if not least:
            return Interval(0.0, math.inf)
        return Interval(quantile(least, share), quantile(most, share))

    @property
    def budget_used(self) -> Interval | None:
        """How much of the error budget was used, 1 for all of it; None where the objective grants none.

        The budget is what ``availability`` or ``error_rate`` allow to fail.
        """
        budget = self.objective.budget if self.objective else None
        if budget is None:
            return None
        if budget == 0:
            return Interval.exactly(0.0) if self.sent and not self.failed else Interval(1.0, math.inf)
        return self.error_rate / budget

    @cached_property
    def recovery(self) -> Interval | None:
        """The longest recovery of all faults (see `recovery_of`); None where no fault was marked."""
        found = [self.recovery_of(fault) for fault in self.faults]
        if not found:
            return None
        return Interval(max(i.lo for i in found), max(i.hi for i in found))

    def recovery_of(self, fault: Fault) -> Interval:
        """Seconds from a fault until the service was there again for good.

        With s = sent and d = done: [s(last failure) - inject_end, d(first OK after it) - inject_start]. Every failure
        until the next fault belongs to this one, since effects may come late; [0, 0] when there is none. Unbounded
        while the last failure is not followed by `STEADY_COUNT` successes over `STEADY_SECONDS`.
        """
        until = min((other.start for other in self.faults if other.start > fault.start), default=math.inf)
        # A request that was under way when the fault began may fail by it.
        touched = [s for s in self.samples if s.outcome is not Outcome.MISSED and s.done >= fault.start]
        failures = [s for s in touched if not s.ok and s.sent < until]
        after = sorted((s for s in touched if s.ok and not failures), key=lambda s: s.done)
        lo = 0.0
        if failures:
            last = max(s.sent for s in failures)
            lo = max(0.0, last - (fault.end if fault.end is not None else last))
            after = sorted((s for s in touched if s.ok and s.sent > last), key=lambda s: s.done)
        steady = len(after) >= STEADY_COUNT and after[-1].done - after[0].sent >= STEADY_SECONDS
        if self.broken or not steady:
            return Interval(lo, math.inf)
        return Interval(lo, max(lo, after[0].done - fault.start)) if failures else Interval(0.0, 0.0)

    def figure(self, clause: Clause) -> Interval:
        """The figure that a clause speaks of. Raises `UsageError` for recovery where no fault was marked."""
        if clause.share is not None:
            return self.latency(clause.share)
        match clause.figure:
            case "downtime":
                return self.total
            case "longest":
                return self.longest
            case "error_rate":
                return self.error_rate
            case "availability":
                return self.availability
            case _:
                if self.recovery is None:
                    raise UsageError(
                        "an objective for recovery needs a fault to recover from",
                        value=clause.text,
                        remedy="mark it: with probe.fault('…'):",
                    )
                return self.recovery

    def judgements(self, objective: str | Objective | None = None) -> list[Judgement]:
        """Each clause with its figure and verdict, by the given objective or the probe's own.

        Raises `UsageError` when there is none, or one that cannot be read.
        """
        wanted = Objective.parse(objective) if isinstance(objective, str) else objective or self.objective
        if wanted is None:
            raise UsageError("there is no objective to judge by", remedy="give one, such as 'downtime <= 5s'")
        return [self._judge(clause) for clause in wanted.clauses]

    def verdict(self, objective: str | Objective | None = None) -> Verdict:
        """Failed when one clause is, passed when all are, else inconclusive."""
        verdicts = {judgement.verdict for judgement in self.judgements(objective)}
        if Verdict.FAILED in verdicts:
            return Verdict.FAILED
        return Verdict.PASSED if verdicts == {Verdict.PASSED} else Verdict.INCONCLUSIVE

    def _judge(self, clause: Clause) -> Judgement:
        value = self.figure(clause)
        if self.never_up:
            reason = "the target never answered, so there was nothing that could fail"
            return Judgement(clause, value, Verdict.INCONCLUSIVE, reason)
        verdict, reason = clause.judge(value), ""
        if verdict is Verdict.PASSED:
            reason = self.broken or self._too_few(clause)
            verdict = Verdict.INCONCLUSIVE if reason else verdict
        elif verdict is Verdict.INCONCLUSIVE and self.broken:
            reason = self.broken
        return Judgement(clause, value, verdict, reason)

    def _too_few(self, clause: Clause) -> str:
        """Why the samples are too few to say that a rate or a percentile was met; empty when they are not."""
        if clause.share is not None:
            part = 1 - clause.share
        elif clause.unit == "%":
            part = 1 - clause.limit if clause.figure == "availability" else clause.limit
        else:
            return ""
        share = self.missed / len(self.samples)
        if share > MISSED_ALLOWED:
            return f"{self.missed} of {len(self.samples)} samples were missed: this machine could not keep the pace"
        wanted = math.ceil(1 / part - 1e-9) if part > 0 else 1
        if self.sent < wanted:
            return f"{self.sent} requests cannot show it; it takes {wanted} or more"
        return ""

    def _unless_broken(self, value: Interval) -> Interval:
        return Interval(value.lo, math.inf) if self.broken else value
