"""The model as JSON data, for programs that read a report instead of a person."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from pytest_k8sha.reports.availability import section
from pytest_k8sha.reports.compare import compare
from pytest_k8sha.reports.summary import worst
from pytest_k8sha.reports.words import advice, headline

if TYPE_CHECKING:
    from pytest_k8sha.reports.model import ReportModel, Result, Totals


def as_json(model: ReportModel, earlier: ReportModel | None = None) -> dict[str, Any]:
    """JSON data: ``json.dumps`` takes it as it is. Durations are in seconds, rates in per cent.

    With an ``earlier`` model it says what changed since.
    """
    changed = asdict(compare(model, earlier)) if earlier else None
    available = section(model.results)
    said = headline(model)
    return {
        "headline": {"verdict": str(said.tone), "text": said.text, "more": said.more},
        "totals": _totals(model.totals),
        "suites": {suite: _totals(totals) for suite, totals in model.suites.items()},
        "crashed": model.crashed,
        "interrupted": model.interrupted,
        "verified": model.verified,
        "clusters": [
            {
                "name": cluster.name,
                "totals": _totals(cluster.totals),
                "suites": {suite: _totals(totals) for suite, totals in cluster.suites.items()},
                "failed_by_severity": cluster.failed_by_severity,
                "advice": advice(cluster),
                "facts": cluster.facts,
            }
            for cluster in model.clusters
        ],
        "worst": [asdict(row) for row in worst(model, 20)],
        "availability": {
            "totals": _totals(available.totals),
            "advice": available.advice,
            "worst": [asdict(row) for row in available.worst],
        }
        if available
        else None,
        "comparison": changed,
        "results": [_result(result) for result in model.results],
        "teardowns": [asdict(item) for item in model.teardowns],
        "notes": model.notes,
        "runs": [{**asdict(run), "argv": list(run.argv), "clusters": list(run.clusters)} for run in model.runs],
        "records": [
            {**asdict(digest), "path": str(digest.path), "problems": list(digest.problems)} for digest in model.digests
        ],
    }


def _totals(totals: Totals) -> dict[str, Any]:
    return {
        "passed": totals.passed,
        "failed": totals.failed,
        "inconclusive": totals.inconclusive,
        "not evaluated": totals.not_evaluated,
        "pass_rate": totals.pass_rate,
    }


def _result(result: Result) -> dict[str, Any]:
    data = {**vars(result), "verdict": str(result.verdict), "controls": list(result.controls)}
    data["findings"] = [finding.as_dict() for finding in result.findings]
    data["measures"] = {
        measure.name: {k: v for k, v in vars(measure).items() if k != "name" and v is not None}
        for measure in result.measures
    }
    data["history"] = [{**vars(earlier), "verdict": str(earlier.verdict)} for earlier in result.history]
    return data
