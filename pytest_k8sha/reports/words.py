"""The words of a report: badges, the headline, the advice that follows from a pass rate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_k8sha.model import Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_k8sha.reports.model import ClusterView, ReportModel, Result

SYMBOLS = {Verdict.PASSED: "✓", Verdict.FAILED: "✕", Verdict.INCONCLUSIVE: "?", Verdict.NOT_EVALUATED: "–"}  # noqa: RUF001

MEANING = {
    Verdict.PASSED: "All subjects kept the rule, there was at least one, and the positive control worked.",
    Verdict.FAILED: "At least one subject was seen to break the rule.",
    Verdict.INCONCLUSIVE: "Neither was seen: an error, a positive control that did not work, or nothing to look at.",
    Verdict.NOT_EVALUATED: "The check does not apply to this cluster, or may not run on it. It counts nowhere.",
}


def badge(verdict: Verdict | str) -> str:
    """A verdict as symbol and word, such as ``✕ failed``. Plain text: whoever puts it into HTML escapes it."""
    verdict = Verdict(verdict)
    return f"{SYMBOLS[verdict]} {verdict}"


def plural(count: int, one: str, many: str = "") -> str:
    """``1 check``, ``2 checks``."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def listed(names: Sequence[str], limit: int = 4) -> str:
    """``a``, ``a and b``, ``a, b and c``; from ``limit`` on the rest as a number."""
    shown = [*names] if len(names) <= limit else [*names[: limit - 1], f"{len(names) - limit + 1} more"]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}" if shown else ""


@dataclass(frozen=True)
class Headline:
    """The outcome in a sentence. ``tone`` is the verdict that it stands under."""

    tone: Verdict
    text: str
    more: str = ""


def headline(model: ReportModel) -> Headline:
    """What is wrong, in a sentence; that nothing is wrong only when something was proved."""
    totals = model.totals
    if totals.failed:
        return Headline(Verdict.FAILED, _failed(model), "")
    open_ = f"{plural(totals.inconclusive, 'check')} could not be judged"
    if not totals.total:
        return Headline(Verdict.INCONCLUSIVE, "Nothing was checked", "No result was recorded, so nothing is proved.")
    if totals.inconclusive:
        more = f"{plural(totals.passed, 'check')} passed. What is inconclusive proves nothing: see the reasons."
        return Headline(Verdict.INCONCLUSIVE, f"Nothing failed, but {open_}", more)
    if not totals.passed:
        return Headline(Verdict.NOT_EVALUATED, "No check applied", "Everything was left out, so nothing is proved.")
    names = [cluster.label for cluster in model.clusters if cluster.totals.passed]
    where = f" on {listed(names)}" if any(cluster.name for cluster in model.clusters) else ""
    skipped = (
        f"{plural(totals.not_evaluated, 'check')} did not apply and prove nothing." if totals.not_evaluated else ""
    )
    count = "The one check" if totals.passed == 1 else f"All {plural(totals.passed, 'check')}"
    return Headline(Verdict.PASSED, f"{count} passed{where}", skipped)


def _failed(model: ReportModel) -> str:
    broken = [cluster for cluster in model.clusters if cluster.totals.failed]
    critical = sum(cluster.failed_by_severity.get("critical", 0) for cluster in broken)
    worst = f", {critical if critical < model.totals.failed else 'all'} of them critical" if critical else ""
    if model.totals.failed == 1 and critical:
        worst = ", and it is critical"
    text = f"{plural(model.totals.failed, 'check')} failed on {listed([cluster.label for cluster in broken])}{worst}"
    kept = [c.label for c in model.clusters if c.totals.passed and c.totals.passed == c.totals.rated]
    return f"{text}; {listed(kept)} passed" if kept else text


def advice(cluster: ClusterView) -> str:
    """What to do next, by the band of the pass rate (scope H12: below 80, below 95, from 95 on).

    A critical failure outweighs a good rate, and a rate that counts open questions as not passed says so.
    """
    totals, failed = cluster.totals, cluster.failed_by_severity
    critical = failed.get("critical", 0)
    repair = f"Repair the {plural(critical, 'critical failure')} first" if critical else ""
    match totals.band:
        case "none":
            return "Nothing was evaluated: no statement about this cluster can be made."
        case "low":
            return f"{repair or 'Repair the worst failures first'}, and put no further workload here until then."
        case "middle":
            return f"{repair or 'Plan the repair of what failed'}; the set-up holds in most places, not in all."
        case _:
            if totals.failed == 0 and totals.inconclusive == 0:
                return "Nothing to repair. Keep it so: run the checks on a schedule."
            if totals.failed == 0:
                return "Nothing failed. Find out why some checks could not be judged."
            return f"{repair}: the rate is good, the cluster is not." if repair else "Repair the few that failed."


def first_seen(result: Result) -> tuple[str, str]:
    """Subject and observation of a result's first failed finding; the reason where it names no subject."""
    for finding in result.findings:
        if finding.verdict is result.verdict:
            return finding.subject, finding.seen
    return "", result.reason


def seconds(value: float | None) -> str:
    """A duration for people: ``12 ms``, ``3.4 s``, ``2 min 5 s``."""
    if value is None:
        return "unknown"
    if value < 0.9995:
        return f"{value * 1000:.0f} ms"
    if value < 99.95:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def figure(value: object) -> str:
    """A number with four significant digits at most, without a power of ten where it can be read without."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, int) or float(value).is_integer():
        return f"{int(value):,}" if abs(value) < 1e15 else f"{value:.3e}"
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"
