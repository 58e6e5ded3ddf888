"""What a probe saw, summed up: findings and measures for the judge, and plain data from which the report draws.

The samples themselves stay in their file; the summary names it with its digest. Times are seconds from the first
success on; an end that is not known is None.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from pytest_k8sha.errors import UsageError
from pytest_k8sha.model import Verdict
from pytest_k8sha.probes.sample import Outcome
from pytest_k8sha.probes.windows import quantile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_k8sha.checks.judge import Judge
    from pytest_k8sha.probes.availability import Probe
    from pytest_k8sha.probes.interval import Interval
    from pytest_k8sha.probes.outage import Judgement, Outage
    from pytest_k8sha.probes.sample import Sample

WINDOWS_KEPT = 200
INSTANCES_KEPT = 20
STEPS = 240
"""Columns of the strip; each sums up the samples of a short time."""


def judge(probe: Probe, outage: Outage, judge: Judge, subject: str) -> None:
    """One finding and one measure for each clause of the objective, and the summary.

    Raises `UsageError` when the probe has no objective.
    """
    if probe.objective is None:
        raise UsageError("there is no objective to judge by", remedy="give the probe one, such as 'downtime <= 5s'")
    judgements = outage.judgements()
    course = _course(outage)
    for judgement in judgements:
        name = f"{subject}: {judgement.clause.figure}" if len(judgements) > 1 else subject
        seen = f"{judgement}; {course}"
        if judgement.verdict is Verdict.PASSED:
            judge.ok(name, seen)
        elif judgement.verdict is Verdict.FAILED:
            judge.bad(name, seen=seen, rule=f"{judgement.clause.text}, for {subject}")
        else:
            judge.unsure(name, seen)
        factor = 100 if judgement.clause.unit == "%" else 1
        lo, hi = judgement.value.lo * factor, judgement.value.hi * factor
        judge.measure(f"{judgement.clause.figure} of {subject}", hi, judgement.clause.unit, lo, hi)
    judge.timelines.append(summary(probe, outage, subject, judgements))


def summary(probe: Probe, outage: Outage, subject: str, judgements: Sequence[Judgement] = ()) -> dict[str, Any]:
    """Plain data: what the report needs to show the probe's course."""
    began = outage.began
    reached = max((s.done or s.scheduled for s in outage.samples), default=began)

    def at(moment: float | None) -> float | None:
        return None if moment is None or not math.isfinite(moment) else round(moment - began, 4)

    return {
        "subject": subject,
        "target": probe.target.name,
        "rate": probe.rate,
        "timeout": probe.timeout,
        "started": probe.started,
        "seconds": round(reached - began, 4),
        "samples": len(outage.samples),
        "outcomes": {str(outcome): count for outcome, count in outage.outcomes.most_common()},
        "instances": dict(outage.instances.most_common(INSTANCES_KEPT)),
        "broken": outage.broken,
        "faults": [
            {"name": f.name, "start": at(f.start), "end": at(f.end), "undone": at(f.undone)} for f in outage.faults
        ],
        "windows": [
            {
                "start": [at(w.start.lo), at(w.start.hi)],
                "end": [at(w.end.lo), at(w.end.hi)],
                "lo": _figure(w.duration.lo),
                "hi": _figure(w.duration.hi),
                "failures": w.failures,
                "said": w.words + (f": {w.detail}" if w.detail else ""),
            }
            for w in sorted(outage.windows, key=lambda w: -w.duration.lo)[:WINDOWS_KEPT]
        ],
        "windows_all": len(outage.windows),
        "figures": {
            "downtime": _pair(outage.total),
            "longest": _pair(outage.longest),
            **({"recovery": _pair(outage.recovery)} if outage.recovery else {}),
            **({"budget": _pair(outage.budget_used)} if outage.budget_used else {}),
            "error_rate": _pair(outage.error_rate),
            **{f"p{share * 100:g}": _pair(outage.latency(share)) for share in (0.5, 0.99, 0.999)},
        },
        "objective": [
            {
                "text": j.clause.text,
                "figure": j.clause.figure,
                "limit": j.clause.limit,
                "unit": j.clause.unit,
                "lo": _figure(j.value.lo),
                "hi": _figure(j.value.hi),
                "verdict": str(j.verdict),
                "reason": j.reason,
            }
            for j in judgements
        ],
        "strip": _strip(outage.samples, began, reached, 1 / probe.rate),
        "file": str(probe.path) if probe.path else "",
        "digest": probe.digest,
    }


def _strip(samples: Sequence[Sample], began: float, reached: float, period: float) -> dict[str, Any]:
    """The samples in at most `STEPS` equal spans, none shorter than a period, by the moment for which they were
    scheduled.

    ``half`` and ``most`` are the median and the longest latency of the successes in milliseconds, None without one.
    """
    step = max((reached - began) / STEPS, period)
    count = math.ceil((reached - began) / step) or 1
    latencies: list[list[float]] = [[] for _ in range(count)]
    failed, missed = [0] * count, [0] * count
    for sample in samples:
        place = min(count - 1, max(0, int((sample.scheduled - began) / step)))
        if sample.outcome is Outcome.MISSED:
            missed[place] += 1
        elif sample.ok:
            latencies[place].append((sample.done - sample.sent) * 1000)
        else:
            failed[place] += 1
    for values in latencies:
        values.sort()
    return {
        "step": round(step, 5),
        "half": [round(quantile(values, 0.5), 2) if values else None for values in latencies],
        "most": [round(values[-1], 2) if values else None for values in latencies],
        "failed": failed,
        "missed": missed,
    }


def _course(outage: Outage) -> str:
    """The course in a few words, for a finding."""
    windows = outage.windows
    parts = [f"{outage.sent} requests, {outage.failed} failed"]
    if outage.missed:
        parts.append(f"{outage.missed} samples missed by this machine")
    if windows:
        worst = max(windows, key=lambda w: w.duration.lo)
        shown = f"{len(windows)} windows, the longest {worst.duration} s" if len(windows) > 1 else "one window"
        parts.append(f"{shown} ({worst.words}{f': {worst.detail}' if worst.detail else ''})")
    return ", ".join(parts)


def _pair(value: Interval) -> list[float | None]:
    return [_figure(value.lo), _figure(value.hi)]


def _figure(value: float) -> float | None:
    """None for what is not bounded: JSON has no infinity."""
    return round(value, 6) if math.isfinite(value) else None
