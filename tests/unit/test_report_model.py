# ruff: noqa: E501 - tables of cases read better unbroken
"""Merging records into one model, the totals, the words, the terminal lines, the JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_k8sha import reports
from pytest_k8sha.errors import UsageError
from pytest_k8sha.model import Verdict
from pytest_k8sha.record.chain import Line, Record, RecordFile, read
from pytest_k8sha.reports.merge import merge
from pytest_k8sha.reports.model import ReportModel, Totals, together
from pytest_k8sha.reports.summary import lines, worst
from pytest_k8sha.reports.words import advice, figure, headline, listed, seconds


def result(verdict: str, check: str = "TEN-ACC-001", cluster: str = "east", at: int = 0, **more: Any) -> dict[str, Any]:
    """The data of a result that started ``at`` seconds after the hour."""
    return {
        "check": check, "title": f"promise {check}", "suite": "tenancy", "severity": "high", "cluster": cluster,
        "nodeid": f"t.py::{check}[{cluster}]", "verdict": verdict, "reason": "why not", "duration": 1.0,
        "started": f"2026-03-02T08:{at // 60:02d}:{at % 60:02d}+00:00", "findings": [], "subjects": {}, "measures": {}, **more,
    }  # fmt: skip


def record_of(*results: dict[str, Any], run: str = "r1", name: str = "a") -> RecordFile:
    """A record in memory, with made-up hashes."""
    data: list[tuple[str, dict[str, Any]]] = [("run.start", {"run": run, "shard": name})]
    data += [("result", item) for item in results] + [("run.end", {"exitstatus": 0})]
    made = [
        Line(seq=n, time=f"2026-03-02T08:00:00+00:00-{run}", kind=kind, data=item, prev="", hash=f"{run}-{name}-{n}")
        for n, (kind, item) in enumerate(data)
    ]
    return RecordFile(Path(f"{name}.jsonl"), made)


RESULT = st.builds(
    result,
    st.sampled_from([str(verdict) for verdict in Verdict]),
    st.sampled_from(["TEN-ACC-001", "TEN-ACC-002", "AVL-CTL-001"]),
    st.sampled_from(["east", "west"]),
    st.integers(0, 3599),
)
RECORDS = st.lists(st.lists(RESULT, max_size=6), max_size=4).map(
    lambda runs: [record_of(*results, run=f"r{n}", name=f"f{n}") for n, results in enumerate(runs)]
)


def key(model: ReportModel) -> str:
    """All of a model that must not depend on the order of the records."""
    data = reports.as_json(model)
    return json.dumps(
        {name: data[name] for name in ("totals", "suites", "results", "worst", "headline")}, sort_keys=True
    )


@given(RECORDS, st.randoms(use_true_random=False))
def test_the_order_of_records_and_repetition_do_not_matter(records: list[RecordFile], random: Any) -> None:
    """Merging is the same for every order of the records, and when some are given twice."""
    shuffled = records + records[:2]
    random.shuffle(shuffled)
    assert key(merge(shuffled)) == key(merge(records))


@given(RECORDS)
def test_each_check_cluster_and_test_counts_once_with_its_newest(records: list[RecordFile]) -> None:
    """One result a key, none started later; nothing is lost: the others are its history."""
    model = merge(records)
    every = [line["data"] for record in records for line in record.lines if line["kind"] == "result"]
    keys = [(r.check, r.cluster, r.nodeid) for r in model.results]
    assert len(keys) == len(set(keys))
    assert sum(1 + len(r.history) for r in model.results) == len(every)
    for found in model.results:
        started = [d["started"] for d in every if (d["check"], d["cluster"]) == (found.check, found.cluster)]
        assert found.started == max(started)


@given(RECORDS)
def test_totals_add_up(records: list[RecordFile]) -> None:
    """Clusters and suites are partitions of all results."""
    model = merge(records)
    assert sum((cluster.totals.counts for cluster in model.clusters), Totals().counts) == model.totals.counts
    assert sum((totals.counts for totals in model.suites.values()), Totals().counts) == model.totals.counts


def test_shards_add_up_and_a_repair_replaces(tmp_path: Path) -> None:
    """Two shards of a run and a later run of one check: the repaired check passes, its failure is history."""
    model = merge([
        record_of(result("failed", at=1), run="r1", name="1of2"),
        record_of(result("passed", "TEN-ACC-002", at=2), run="r1", name="2of2"),
        record_of(result("passed", at=60), run="r2"),
    ])  # fmt: skip
    assert (model.totals.passed, model.totals.failed) == (2, 0)
    repaired = next(r for r in model.results if r.check == "TEN-ACC-001")
    assert [(earlier.verdict, earlier.run) for earlier in repaired.history] == [(Verdict.FAILED, "r1")]
    assert [run.shard for run in model.runs] == ["1of2", "2of2", "a"]


@pytest.mark.parametrize(
    ("passed", "failed", "inconclusive", "rate", "band"),
    [
        (0, 0, 0, None, "none"), (1, 0, 0, 100.0, "high"), (0, 1, 0, 0.0, "low"), (0, 0, 1, 0.0, "low"),
        (799, 201, 0, 79.9, "low"), (80, 20, 0, 80.0, "middle"), (9499, 501, 0, 94.9, "middle"), (95, 5, 0, 95.0, "high"),
        (9, 0, 1, 90.0, "middle"),
    ],
)  # fmt: skip
def test_pass_rate_and_band(passed: int, failed: int, inconclusive: int, rate: float | None, band: str) -> None:
    """Below 80, below 95, from 95; rounded down; inconclusive is not passed and not evaluated does not count."""
    totals = Totals()
    totals.counts.update({
        Verdict.PASSED: passed, Verdict.FAILED: failed, Verdict.INCONCLUSIVE: inconclusive, Verdict.NOT_EVALUATED: 7,
    })  # fmt: skip
    assert (totals.pass_rate, totals.band) == (rate, band)


def test_a_critical_failure_outweighs_a_good_rate() -> None:
    """99 of 100 passed, the other is critical: the advice is not to lean back."""
    passed = [result("passed", f"TEN-ACC-{n:03d}") for n in range(99)]
    model = merge([record_of(*passed, result("failed", "TEN-ACC-999", severity="critical"))])
    assert "the rate is good, the cluster is not" in advice(model.clusters[0])


@pytest.mark.parametrize(
    ("results", "tone", "text"),
    [
        ([], "inconclusive", "Nothing was checked"),
        ([result("passed")], "passed", "The one check passed on east"),
        ([result("passed"), result("passed", cluster="west")], "passed", "The one check passed on east and west"),
        ([result("passed"), result("passed", "B"), result("not evaluated", "B", "west")], "passed", "All 2 checks passed on east"),
        ([result("failed", cluster=f"c{n}") for n in range(5)] + [result("passed")], "failed", "1 check failed on 5 of 6 clusters; east passed"),
        ([result("not evaluated")], "not evaluated", "No check applied"),
        ([result("passed"), result("inconclusive", "X")], "inconclusive", "Nothing failed, but 1 check could not be judged"),
        ([result("failed"), result("passed", cluster="west")], "failed", "1 check failed on east; west passed"),
        ([result("failed"), result("inconclusive", cluster="west")], "failed", "1 check failed on east"),
        ([result("failed"), result("passed", cluster="")], "failed", "1 check failed on east; what belongs to no single cluster passed"),
        ([result("failed", severity="critical")], "failed", "1 check failed on east, and it is critical"),
        (
            [result("failed", severity="critical"), result("failed", "B"), result("failed", "C", "west")],
            "failed", "3 checks failed on east and west, 1 of them critical",
        ),
    ],
)  # fmt: skip
def test_the_headline_says_what_is_wrong(results: list[dict[str, Any]], tone: str, text: str) -> None:
    """In each situation one true sentence; that all is well only when something was proved and nothing is open."""
    said = headline(merge([record_of(*results)]))
    assert (said.tone, said.text) == (tone, text)


def test_several_verdicts_together() -> None:
    """One failure fails, one open question leaves open, what was left out counts for nothing."""
    model = merge([record_of(result("passed", nodeid="a"), result("not evaluated", nodeid="b"))])
    assert together(model.results) is Verdict.PASSED
    assert together([]) is Verdict.NOT_EVALUATED


def test_worst_first_by_severity_then_subjects() -> None:
    """The lines of the terminal: critical before high, many subjects before few, one line a check and cluster."""
    bad = {"subject": "Pod a/b", "verdict": "failed", "seen": "broke\nit"}
    model = merge([
        record_of(
            result("failed", "A", severity="high", findings=[bad] * 3, subjects={"failed": 30}),
            result("failed", "B", severity="critical", findings=[bad]),
            result("failed", "C", severity="high", findings=[bad] * 4),
            result("failed", "D", severity=""),
            result("passed", "E"),
        )
    ])  # fmt: skip
    assert [(row.check, row.more) for row in worst(model)] == [("B", 0), ("A", 29), ("C", 3), ("D", 0)]
    assert str(worst(model, 2)[1]) == "high  A  east  Pod a/b: broke it (and 29 more)"
    assert worst(model, 4)[3].seen == "why not"
    text = lines(model, 2)
    assert text[0] == "4 checks failed on east, 1 of them critical."
    assert text[1].startswith("east: 1 passed, 4 failed, 0 inconclusive, 0 not evaluated (20 per cent)")
    assert text[-1] == "and 2 further failures in the report"


def test_a_record_that_lacks_things_still_counts() -> None:
    """Wrong types and unknown words never raise, and never pass."""
    broken = {
        "check": None, "verdict": "fine", "severity": "terrible", "findings": ["x", {"subject": 1}], "controls": "x",
        "subjects": [], "measures": {"a": 1, "b": {"value": [1]}}, "duration": "long", "started": 5, "diagnostics": "x",
    }  # fmt: skip
    model = merge([record_of(broken, {})])
    assert [r.verdict for r in model.results] == [Verdict.INCONCLUSIVE]
    assert model.results[0].history
    json.dumps(reports.as_json(model))


def test_crash_and_interruption_are_kept_apart(tmp_path: Path) -> None:
    """A record without an end is a crash; one whose end says so is an interruption; both are in the JSON."""
    with Record(tmp_path / "crash") as record:
        record.append("run.start", {"run": "a"})
        record.append("result", result("passed"))
    with Record(tmp_path / "ctrl-c") as record:
        record.append("run.start", {"run": "b"})
        record.append("run.end", {"interrupted": True, "exitstatus": 2, "duration": 3})
    model = reports.load([tmp_path / "crash", tmp_path / "ctrl-c"])
    assert [(run.id, run.crashed, run.interrupted) for run in model.runs] == [("a", True, False), ("b", False, True)]
    assert (model.crashed, model.interrupted, model.verified) == (True, True, True)
    assert reports.as_json(model)["crashed"]
    assert headline(model).text == "The run did not come to its end; 1 check passed until then"


def test_a_changed_record_proves_nothing(tmp_path: Path) -> None:
    """All passed, but a line was edited: the headline does not say that all passed."""
    with Record(tmp_path / "r") as record:
        record.append("run.start", {"run": "a"})
        record.append("result", result("passed", why="x"))
        record.append("run.end", {})
    (tmp_path / "r").write_bytes((tmp_path / "r").read_bytes().replace(b'"why":"x"', b'"why":"y"'))
    assert headline(reports.load([tmp_path / "r"])).text == "The record was changed, so nothing is proved"


def test_the_prefix_of_a_record_and_the_whole_count_once(tmp_path: Path) -> None:
    """A copy taken during the run and the finished record together are the finished record."""
    with Record(tmp_path / "whole") as record:
        record.append("run.start", {"run": "a"})
        record.append("result", result("passed"))
        (tmp_path / "part").write_bytes((tmp_path / "whole").read_bytes())
        record.append("result", result("failed", "B"))
        record.append("run.end", {})
    for order in (["part", "whole"], ["whole", "part"]):
        model = merge([read(tmp_path / name) for name in order])
        assert (model.totals.passed, model.totals.failed, len(model.runs), model.crashed) == (1, 1, 1, False)


def test_clusters_in_the_order_of_the_run_and_named_twins(tmp_path: Path) -> None:
    """Clusters stand in the run's order, what belongs to none last; two clusters of one name are noticed."""
    with Record(tmp_path / "r") as record:
        record.append("run.start", {"run": "a", "clusters": ["west", "east"]})
        record.append("cluster", {"name": "west", "uid": "1"})
        record.append("cluster", {"name": "west", "uid": "2", "version": "v1"})
        record.append("result", result("passed", cluster=""))
    model = reports.load([tmp_path / "r"])
    assert [cluster.label for cluster in model.clusters] == ["west", "east", "no single cluster"]
    assert model.clusters[0].uids == ("1", "2")
    assert model.clusters[0].facts["version"] == "v1"


def test_badges_and_words() -> None:
    """Small words that other parts print."""
    words = ["✓ passed", "✕ failed", "? inconclusive", "\N{EN DASH} not evaluated"]
    assert [reports.badge(verdict) for verdict in Verdict] == words
    with pytest.raises(ValueError, match="nonsense"):
        reports.badge("nonsense")
    assert [listed(["a"]), listed(["a", "b"]), listed(list("abcdef"))] == ["a", "a and b", "a, b, c and 3 more"]
    assert [seconds(s) for s in (0.0124, 0.9999, 3.44, 125, 7260, None)] == [
        "12 ms", "1.0 s", "3.4 s", "2 min 5 s", "2 h 1 min", "unknown",
    ]  # fmt: skip
    assert [figure(v) for v in (3, 2.0, 0.12345, 123456.7, "x", True)] == ["3", "2", "0.1235", "123,457", "x", "True"]


def test_a_missing_record_is_a_usage_error(tmp_path: Path) -> None:
    """Asked for a record that is not there: the path, not a traceback."""
    with pytest.raises(UsageError, match="cannot be read"):
        reports.make([tmp_path / "none.jsonl"], tmp_path)
