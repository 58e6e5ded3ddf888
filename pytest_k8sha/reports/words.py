"""The words of a report: badges, the headline, the advice that follows from a pass rate."""

from __future__ import annotations

from collections import Counter
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
    """What is wrong, in a sentence; that nothing is wrong only when it was proved, by a whole record of a whole run.

    Counts are of checks: one that fails on three clusters is one.
    """
    totals = model.totals
    if totals.failed:
        return Headline(Verdict.FAILED, _failed(model))
    if not model.verified:
        return Headline(Verdict.INCONCLUSIVE, "The record was changed, so nothing is proved")
    if not totals.total:
        return Headline(Verdict.INCONCLUSIVE, "Nothing was checked", "No result was recorded, so nothing is proved.")
    count = Counter(group.verdict for group in model.groups)
    passed = f"{plural(count[Verdict.PASSED], 'check')} passed"
    if totals.inconclusive:
        more = f"{passed}. What is inconclusive proves nothing: see the reasons."
        open_ = f"{plural(count[Verdict.INCONCLUSIVE], 'check')} could not be judged"
        return Headline(Verdict.INCONCLUSIVE, f"Nothing failed, but {open_}", more)
    if model.crashed or model.interrupted:
        return Headline(Verdict.INCONCLUSIVE, f"The run did not come to its end; {passed} until then")
    if not totals.passed:
        return Headline(Verdict.NOT_EVALUATED, "No check applied", "Everything was left out, so nothing is proved.")
    names = [_called(cluster) for cluster in model.clusters if cluster.totals.passed]
    where = f" on {_clusters(names, model)}" if any(cluster.name for cluster in model.clusters) else ""
    part = sum(1 for group in model.groups if group.of(Verdict.NOT_EVALUATED))
    skipped = f"{plural(part, 'check')} did not apply everywhere, and nothing is proved there." if part else ""
    every = "The one check" if count[Verdict.PASSED] == 1 else f"All {plural(count[Verdict.PASSED], 'check')}"
    return Headline(Verdict.PASSED, f"{every} passed{where}", skipped)


def _failed(model: ReportModel) -> str:
    names = [_called(cluster) for cluster in model.clusters if cluster.totals.failed]
    kept = [_called(c) for c in model.clusters if c.totals.passed and c.totals.passed == c.totals.rated]
    count = len(model.failures)
    critical = sum(1 for group in model.failures if group.severity == "critical")
    worst = ""
    if critical:
        all_of_them = "and it is critical" if count == 1 else "all of them critical"
        worst = f", {all_of_them if critical == count else f'{critical:,} of them critical'}"
    text = f"{plural(count, 'check')} failed on {_clusters(names, model)}{worst}"
    return f"{text}; {_clusters(kept, model)} passed" if kept else text


def _called(cluster: ClusterView) -> str:
    """Its name within a sentence, where "no single cluster passed" would say that none did."""
    return cluster.name or "what belongs to no single cluster"


def _clusters(names: Sequence[str], model: ReportModel) -> str:
    """The names while they can be taken in at a glance, else how many they are."""
    return listed(names) if len(names) <= 3 else f"{len(names)} of {len(model.clusters)} clusters"


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
