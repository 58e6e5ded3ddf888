"""Plans, BIA files, tiers and the figures over time."""

from __future__ import annotations

from math import inf, isclose
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_k8sha.checks.judge import Judge
from pytest_k8sha.errors import FileProblems, Inconclusive, NotEvaluated
from pytest_k8sha.model import Verdict
from pytest_k8sha.probes.interval import Interval
from pytest_k8sha.record import chain
from pytest_k8sha.recovery import bia, history, plan, promises

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("15m", 900), ("15 min", 900), ("1h30m", 5400), ("30d", 2592000), (7, 7)]
)
def test_durations(text: str | int, seconds: float) -> None:
    """Texts with units are seconds; a number is seconds already."""
    assert plan.duration(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "15", "1h and more", "-5m"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    """A number in a text has no unit, and what is left over is a mistake."""
    with pytest.raises(ValueError, match="is no duration"):
        plan.duration(text)


def test_every_mistake_of_a_plan_is_told(tmp_path: Path) -> None:
    """With line and field, before any cluster is touched: unknown keys, values, files that are not there."""
    path = tmp_path / "plan.yaml"
    path.write_text(
        "etcd: {snapshott: x, max_age: soon}\n"
        "objectStores:\n- {name: a}\n- {name: b, bucket: c, folder: d}\n"
        "records: x\n"
    )
    with pytest.raises(FileProblems) as told:
        plan.load(path)
    assert {p.field for p in told.value.problems} == {
        "etcd.snapshott",
        "etcd.max_age",
        "objectStores.0",
        "objectStores.1",
        "records",
    }
    path.write_text("bia: gone.yaml\nrecords: [gone.jsonl]\n")
    with pytest.raises(FileProblems) as told:
        plan.load(path)
    assert [p.field for p in told.value.problems] == ["bia", "records.0"]


def test_paths_count_from_the_plan(tmp_path: Path) -> None:
    """Relative paths are the plan's neighbours."""
    (tmp_path / "snapshot.db").touch()
    (tmp_path / "plan.yaml").write_text("etcd: {snapshot: snapshot.db}\nmanifests: {max_age: 2h}\n")
    found = plan.load(tmp_path / "plan.yaml")
    assert found.etcd.snapshot == tmp_path / "snapshot.db"
    assert found.manifests.max_age == 7200


def test_the_example_keeps_its_promises() -> None:
    """The BIA file that travels with the package passes the checks of it."""
    example, judge = bia.load(ROOT / "fixtures" / "restore" / "bia.yaml"), Judge()
    promises.fitting(judge, example)
    promises.feasible(judge, example)
    assert judge.conclude()[0] is Verdict.PASSED


def test_every_mistake_of_a_bia_file_is_told(tmp_path: Path) -> None:
    """Unknown services, two of one name, and a circle of dependencies."""
    path = tmp_path / "bia.yaml"
    path.write_text(
        "services:\n"
        "- {name: a, criticality: low, rto: 1h, rpo: 1h, dependencies: [b, z]}\n"
        "- {name: b, criticality: low, rto: 1h, rpo: 1h, dependencies: [a]}\n"
        "- {name: b, criticality: low, rto: 1h, rpo: 1h}\n"
        "critical_resources: [{name: people, services: [y]}]\n"
        "recovery_strategies: {x: hot-standby}\n"
    )
    with pytest.raises(FileProblems) as told:
        bia.load(path)
    text = str(told.value)
    for words in ("no service 'z'", "no service 'y'", "no service 'x'", "two services are called 'b'"):
        assert words in text
    path.write_text(
        "services:\n"
        "- {name: a, criticality: low, rto: 1h, rpo: 1h, dependencies: [b]}\n"
        "- {name: b, criticality: low, rto: 1h, rpo: 1h, dependencies: [a]}\n"
    )
    with pytest.raises(FileProblems, match="circle: a → b → a"):
        bia.load(path)


def test_tiers() -> None:
    """The tiers of the handbooks; a limit belongs to the next tier, as *under* says."""
    assert [bia.rto_tier(h * 3600) for h in (0.5, 1, 4, 24, 72)] == [
        *("under 1 h", "under 4 h", "under 24 h", "under 72 h", "beyond every tier")
    ]
    assert [bia.rpo_tier(s) for s in (0, 1, 300, 3600, 86400)] == [
        *("none", "under 5 min", "under 1 h", "under 24 h", "beyond every tier")
    ]


@given(st.lists(st.tuples(st.floats(0.01, 50), st.floats(0, 5)), max_size=8), st.floats(1000, 1e6))
def test_reliability_holds_the_true_figures(outages: list[tuple[float, float]], span: float) -> None:
    """Whatever the outages within their error bars really were, MTTR, MTBF and availability lie in what is told."""
    found = history.reliability([Interval(length, length + bar) for length, bar in outages], span)
    assert found.failures == len(outages)
    if not outages:
        assert (found.mtbf.lo, found.mtbf.hi, found.nines.lo) == (span, inf, inf)
        return
    for share in (0.0, 0.5, 1.0):
        true = [length + share * bar for length, bar in outages]
        mttr, mtbf = sum(true) / len(true), (span - sum(true)) / len(true)
        for value, told in ((mttr, found.mttr), (mtbf, found.mtbf), (mtbf / (mtbf + mttr), found.availability)):
            assert told.lo - 1e-6 <= value <= told.hi + 1e-6
        assert found.nines.lo - 1e-6 <= history.nines(mtbf / (mtbf + mttr)) <= found.nines.hi + 1e-6


def test_nines_and_parts() -> None:
    """Three nines, and a recovery time that is the sum of its parts."""
    assert isclose(history.nines(0.999), 3)
    parts = [Interval(1, 2), Interval(0, 10), Interval(5, 6), Interval(1, 1)]
    assert history.Rta(*parts).total == Interval(7, 19)
    with pytest.raises(Inconclusive):
        history.reliability([], 0)


def test_earlier_runs(tmp_path: Path) -> None:
    """Recovery times come from records, with their error bars; a record that was changed says nothing."""
    path = tmp_path / "record.jsonl"
    with chain.Record(path, "earlier") as record:
        data = {
            "check": "RST-ETC-008",
            "cluster": "east",
            "measures": {"RTO": {"value": 42.0, "unit": "s", "lo": 41.5}},
        }
        record.append("result", data)
        record.append("result", {"check": "RST-ETC-001", "cluster": "east", "measures": {}})
    example = bia.load(ROOT / "fixtures" / "restore" / "bia.yaml")
    judge = Judge()
    promises.kept(judge, example, [path])
    assert judge.conclude()[0] is Verdict.PASSED
    assert [(m.name, m.lo, m.hi) for m in judge.measures][-2] == ("MTTR", 41.5, 42.0)
    with pytest.raises(NotEvaluated):
        promises.kept(Judge(), example, [])
    path.write_text(path.read_text().replace("42.0", "2.0").replace(":42", ":2"))
    with pytest.raises(Inconclusive, match="is not whole"):
        history.recoveries([path])


@given(st.lists(st.floats(0, 100), min_size=6, max_size=6))
def test_the_parts_of_a_recovery_hold_the_true_ones(moments: list[float]) -> None:
    """Whenever within their error bars the fault and the recovery really were, each part is in what is told."""
    start, fault, noticed, last, back, verified = sorted(moments)
    inject = Interval(start, fault)
    rto = Interval(max(0.0, last - fault), back - start)
    for began in (start, noticed, last):
        parts = history.Rta.between(inject, noticed, began, rto, verified)
        acted = max(noticed, began)
        true = {
            "detect": noticed - fault,
            "decide": acted - noticed,
            "recover": back - acted,
            "verify": verified - back,
        }
        for part, value in true.items():
            told = getattr(parts, part)
            assert told.lo - 1e-6 <= max(0.0, value) <= told.hi + 1e-6, part


def test_availability_is_judged_by_records(tmp_path: Path) -> None:
    """42 s in 30 days are more than four nines and less than five; without a time of operation nothing follows."""
    path, file = tmp_path / "record.jsonl", tmp_path / "bia.yaml"
    with chain.Record(path, "earlier") as record:
        measures = {"RTO": {"value": 42.0, "lo": 41.5}, **{f"RTA {part}": {"value": 1.0} for part in history.PARTS}}
        record.append("result", {"check": "RST-ETC-008", "cluster": "east", "measures": measures})
    assert history.recoveries([path])[0].rta == history.Rta(*[Interval.exactly(1.0)] * 4)
    text = "services: [{{name: a, criticality: low, rto: 1h, rpo: 1h, availability: {}}}]"
    for promised, verdict in ((0.9999, Verdict.PASSED), (0.99999, Verdict.FAILED)):
        file.write_text(text.format(promised))
        judge = Judge()
        promises.available(judge, bia.load(file), [path], 30 * 86400)
        assert judge.conclude()[0] is verdict
    with pytest.raises(NotEvaluated):
        promises.available(Judge(), bia.load(file), [path], 0)
