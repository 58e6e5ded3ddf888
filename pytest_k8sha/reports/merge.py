"""Makes one model from the records of several runs and shards.

The rule: of the same check, cluster and test the result that started last counts; those before it are its history.
So a check that was repeated after a repair counts once, with its newest verdict, and shards of one run add up. The
order in which the records are given does not matter, and a record given twice counts once.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pytest_k8sha.model import Finding, Severity, Verdict
from pytest_k8sha.reports.model import (
    ClusterView,
    Digest,
    Earlier,
    Measure,
    ReportModel,
    Result,
    RunView,
    Teardown,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_k8sha.record.chain import Line, RecordFile

_VERDICTS = {str(verdict): verdict for verdict in Verdict}
_SEVERITIES = frozenset(str(severity) for severity in Severity)


def merge(records: Iterable[RecordFile]) -> ReportModel:
    """One model of all records. Lines that lack something still count, with what they have."""
    merger = _Merger()
    for record in sorted(records, key=lambda record: (record.lines[0]["time"] if record.lines else "", record.head)):
        merger.add(record)
    return merger.model()


class _Merger:
    def __init__(self) -> None:
        self.seen: dict[str, RunView] = {}
        self.results: dict[tuple[str, str, str], list[tuple[datetime, str, Result]]] = {}
        self.facts: dict[str, tuple[str, dict[str, Any]]] = {}
        self.uids: dict[str, dict[str, None]] = {}
        self.runs: list[RunView] = []
        self.digests: list[Digest] = []
        self.teardowns: list[Teardown] = []
        self.notes: list[str] = []

    def add(self, record: RecordFile) -> None:
        if any(
            digest.head == record.head and digest.length == record.length and record.length for digest in self.digests
        ):
            return
        problems = tuple(str(problem) for problem in record.problems)
        self.digests.append(Digest(record.path, record.head, record.length, record.intact, problems))
        run: RunView | None = None
        for line in record.lines:
            if line["hash"] in self.seen:
                run = self.seen[line["hash"]]  # the beginning of a record that is also given as a whole
                continue
            if line["kind"] == "run.start" or run is None:
                run = self._start(line)
            self.seen[line["hash"]] = run
            self._line(line, run)

    def _start(self, line: Line) -> RunView:
        data = line["data"] if line["kind"] == "run.start" else {}
        run = RunView(
            id=_text(data.get("run")) or "unknown",
            owner=_text(data.get("owner")),
            shard=_text(data.get("shard")),
            tool_version=_text(data.get("tool_version")),
            python=_text(data.get("python")),
            argv=_texts(data.get("argv")),
            clusters=_texts(data.get("clusters")),
            started=line["time"],
            crashed=True,  # until its end is read
        )
        self.runs.append(run)
        return run

    def _line(self, line: Line, run: RunView) -> None:
        data = line["data"]
        match line["kind"]:
            case "result":
                result = _result(data, line["time"], run.id)
                run.results += 1
                entry = (_moment(result.started), line["hash"], result)
                self.results.setdefault((result.check, result.cluster, result.nodeid), []).append(entry)
            case "cluster":
                self._cluster(_text(data.get("name")), line["time"], data)
            case "teardown":
                texts = [_text(data.get(key)) for key in ("what", "cluster", "problem", "remedy")]
                self.teardowns.append(Teardown(texts[0], texts[1], texts[2], texts[3], run.id))
            case "note":
                self.notes.append(_text(data.get("text")))
            case "run.end":
                run.crashed, run.ended = False, line["time"]
                run.interrupted = bool(data.get("interrupted"))
                run.duration = _number(data.get("duration"))
                status = data.get("exitstatus")
                run.exitstatus = status if isinstance(status, int) else None
            case _:
                pass

    def _cluster(self, name: str, time: str, data: dict[str, Any]) -> None:
        if uid := _text(data.get("uid")):
            self.uids.setdefault(name, {})[uid] = None
        if name not in self.facts or self.facts[name][0] <= time:
            self.facts[name] = (time, data)

    def model(self) -> ReportModel:
        results = [_newest(entries) for entries in self.results.values()]
        results.sort(key=lambda result: (result.suite, result.check, result.nodeid, result.cluster))
        by_cluster: dict[str, list[Result]] = {}
        for run in self.runs:
            by_cluster.update((name, []) for name in run.clusters if name not in by_cluster)
        for name in sorted({*self.facts, *(result.cluster for result in results)} - by_cluster.keys()):
            by_cluster[name] = []
        for result in results:
            by_cluster[result.cluster].append(result)
        if "" in by_cluster:
            by_cluster[""] = by_cluster.pop("")  # what belongs to no single cluster stands last
        clusters = [
            ClusterView(name, found, self.facts.get(name, ("", {}))[1], tuple(self.uids.get(name, ())))
            for name, found in by_cluster.items()
        ]
        return ReportModel(results, clusters, self.runs, self.digests, self.teardowns, self.notes)


def _newest(entries: list[tuple[datetime, str, Result]]) -> Result:
    ordered = [result for _, _, result in sorted(entries, key=lambda entry: entry[:2])]
    newest = ordered.pop()
    newest.history = tuple(Earlier(result.verdict, result.started, result.run) for result in reversed(ordered))
    return newest


def _result(data: dict[str, Any], time: str, run: str) -> Result:
    check, nodeid = _text(data.get("check")), _text(data.get("nodeid"))
    severity = _text(data.get("severity")).lower()
    subjects = data.get("subjects")
    measures = data.get("measures")
    diagnostics = data.get("diagnostics")
    findings = data.get("findings")
    timelines = data.get("timelines")
    return Result(
        check=check,
        title=_text(data.get("title")) or check or nodeid,
        suite=_text(data.get("suite")),
        severity=severity if severity in _SEVERITIES else "",
        impact=_text(data.get("impact")),
        controls=_texts(data.get("controls")),
        why=_text(data.get("why")),
        remedy=_text(data.get("remedy")),
        cluster=_text(data.get("cluster")),
        nodeid=nodeid,
        verdict=_verdict(data.get("verdict")),
        reason=_text(data.get("reason")),
        duration=_number(data.get("duration")) or 0.0,
        started=_text(data.get("started")) or time,
        run=run,
        findings=tuple(_finding(item) for item in findings if isinstance(item, dict))
        if isinstance(findings, list)
        else (),
        subjects={k: v for k, v in subjects.items() if isinstance(v, int)} if isinstance(subjects, dict) else {},
        measures=tuple(_measures(measures)) if isinstance(measures, dict) else (),
        diagnostics=diagnostics if isinstance(diagnostics, dict) else {},
        tables=_tables(data.get("tables")),
        timelines=tuple(item for item in timelines if isinstance(item, dict)) if isinstance(timelines, list) else (),
    )


def _verdict(value: object) -> Verdict:
    # An unknown word proves nothing, least of all a pass.
    return _VERDICTS.get(value, Verdict.INCONCLUSIVE) if isinstance(value, str) else Verdict.INCONCLUSIVE


def _finding(item: dict[str, Any]) -> Finding:
    return Finding(
        subject=_text(item.get("subject")),
        verdict=_verdict(item.get("verdict")),
        seen=_text(item.get("seen")),
        rule=_text(item.get("rule")),
        remedy=_text(item.get("remedy")),
    )


def _measures(items: dict[str, Any]) -> Iterable[Measure]:
    for name, item in items.items():
        data = item if isinstance(item, dict) else {"value": item}
        value, lo, hi = (_figure(data.get(key)) for key in ("value", "lo", "hi"))
        yield Measure(name, "" if value is None else value, _text(data.get("unit")), lo, hi)


def _tables(items: object) -> dict[str, list[dict[str, Any]]]:
    found = items if isinstance(items, dict) else {}
    return {
        name: [row for row in rows if isinstance(row, dict)] for name, rows in found.items() if isinstance(rows, list)
    }


def _figure(value: object) -> float | str | None:
    return value if isinstance(value, (int, float, str)) else None


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _text(value: object) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)


def _texts(value: object) -> tuple[str, ...]:
    return tuple(_text(item) for item in value) if isinstance(value, list) else ()


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
