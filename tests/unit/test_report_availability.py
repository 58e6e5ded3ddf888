"""The availability section, its drawings and the comparison of two runs, from probes of known course."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_k8sha import reports
from pytest_k8sha.cli.app import app
from pytest_k8sha.model import Verdict
from pytest_k8sha.probes.outage import Outage
from pytest_k8sha.reports.availability import DRAWN, section
from pytest_k8sha.reports.compare import compare
from pytest_k8sha.reports.html import render
from pytest_k8sha.reports.model import Totals
from pytest_k8sha.reports.timeline import LEFT, RIGHT, WIDTH, Timeline, draw, interval
from tests.unit import availability_sample as sample
from tests.unit.test_report_html import Page

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_k8sha.reports.model import ReportModel


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The record of a run and of an earlier one."""
    folder = tmp_path_factory.mktemp("records")
    now = sample.write(folder / "record.jsonl", sample.COURSES, "r-now")
    return now, sample.write(folder / "earlier.jsonl", sample.earlier(), "r-earlier")


@pytest.fixture(scope="module")
def model(both: tuple[Path, Path]) -> ReportModel:
    return reports.load([both[0]])


def line_of(model: ReportModel, check: str) -> Timeline:
    result = next(result for result in model.results if result.check == check)
    return Timeline.read(result.timelines[0])


def test_a_record_gives_back_what_the_probe_saw(model: ReportModel) -> None:
    """Through record and report the figures stay those of the samples, to a tenth of a millisecond."""
    for check, course in sample.COURSES.items():
        outage, line = Outage(course.samples(), course.faults), line_of(model, check)
        assert line.samples == len(outage.samples)
        assert line.figures["downtime"] == pytest.approx((outage.total.lo, outage.total.hi), abs=1e-4)
        assert [w.lasted for w in line.windows] == [
            pytest.approx((w.duration.lo, w.duration.hi), abs=1e-4)
            for w in sorted(outage.windows, key=lambda w: -w.duration.lo)
        ]
        assert line.lost == outage.missed
        assert sum(line.failed) == outage.failed
        assert len(line.half) <= 241


def test_verdicts_follow_from_the_samples(model: ReportModel) -> None:
    """The four courses are failed, failed, inconclusive (the probe slept in the middle) and passed."""
    found = {result.check: result.verdict for result in model.results}
    assert found == {
        "AVL-SVC-001": Verdict.FAILED,
        "AVL-SVC-002": Verdict.FAILED,
        "AVL-CTL-003": Verdict.INCONCLUSIVE,
        "AVL-SVC-003": Verdict.PASSED,
    }


def test_the_drawing_is_to_scale(model: ReportModel) -> None:
    """Sure and possible downtime, fault and objective stand where their moments are on the axis."""
    line = line_of(model, "AVL-SVC-002")
    picture = draw(line)

    def moment(x: float) -> float:
        return (x - LEFT) / (WIDTH - LEFT - RIGHT) * line.seconds

    def spans(kind: str, height: float) -> list[tuple[float, float]]:
        found = [b for b in picture.boxes if b.kind == kind and b.height == height]
        return sorted((moment(b.x), moment(b.x + b.width)) for b in found)

    slack = 0.01 * line.seconds
    first, second = line.by_begin
    sure, perhaps = spans("tl-down", 28), spans("tl-maybe", 28)
    assert sure[0] == pytest.approx((first.start[1], first.end[0]), abs=slack)
    assert perhaps[0] == pytest.approx((first.start[0], first.end[1]), abs=slack)
    assert perhaps[1] == pytest.approx((second.start[0], second.end[1]), abs=slack)
    assert spans("tl-fault", 8)[0] == pytest.approx((10.0, 10.4), abs=slack)
    assert spans("tl-hold", 8) == [pytest.approx((10.0, 40.0), abs=slack)]
    assert spans("tl-limit", 4) == [pytest.approx((10.0, 15.0), abs=slack)]
    assert "down from" in picture.words


def test_an_outage_of_a_moment_can_be_seen() -> None:
    """A window far thinner than a unit of the drawing is drawn all the same; nothing leaves the drawing."""
    data = {"seconds": 3600, "windows": [{"start": [1800, 1800.01], "end": [1800.02, 1800.05], "lo": 0.01, "hi": 0.05}]}
    picture = draw(Timeline.read(data))
    assert min(b.width for b in picture.boxes if b.kind in {"tl-down", "tl-maybe"}) >= 2
    assert all(b.x >= LEFT and b.x + b.width <= WIDTH for b in picture.boxes)


numbers = st.one_of(st.none(), st.floats(), st.integers(-(10**9), 10**9), st.text(max_size=3))
anything = st.one_of(numbers, st.lists(numbers, max_size=3), st.dictionaries(st.text(max_size=3), numbers, max_size=2))
KEYS = ["subject", "seconds", "rate", "outcomes", "figures", "windows_all", "faults", "windows", "objective", "strip"]


@settings(max_examples=60)
@given(
    st.fixed_dictionaries(
        {},
        optional={
            **dict.fromkeys(KEYS, anything),
            "faults": st.lists(st.fixed_dictionaries({"name": anything, "start": numbers, "end": numbers}), max_size=9),
            "windows": st.lists(
                st.fixed_dictionaries({"start": st.lists(numbers, max_size=3), "end": st.lists(numbers, max_size=3)}),
                max_size=5,
            ),
            "strip": st.fixed_dictionaries(
                {"step": numbers, "half": st.lists(numbers), "most": st.lists(numbers), "failed": st.lists(numbers)}
            ),
            "objective": st.lists(st.fixed_dictionaries({"limit": numbers, "unit": st.just("s"), "verdict": numbers})),
        },
    )
)
def test_whatever_a_record_holds_is_drawn_or_left_out(data: dict[str, Any]) -> None:
    """No data of a record breaks the report, and no demand without a known verdict is a pass."""
    line = Timeline.read(data)
    picture = draw(line)
    assert all(re.fullmatch(r"-?[0-9.e+-]+", str(b.x)) for b in picture.boxes)
    assert Verdict.PASSED not in {d.verdict for d in line.demands}


def test_the_page_has_a_row_for_each_probe(both: tuple[Path, Path], tmp_path: Path) -> None:
    """Fault, objective, interval and verdict are words in the summary of a fold; the drawing says itself in words; the
    page stays one that loads nothing and needs no script."""
    text = reports.make([both[0]], tmp_path).read_text()
    page = Page(text)
    rows = re.findall(r'<details class="av".*?</summary>', text, re.DOTALL)
    assert len(rows) == 4
    shown = [" ".join(re.sub("<[^>]+>", " ", row).split()) for row in rows]
    assert "node west-node-2 is stopped" in shown[1]
    for words in ("downtime &lt;= 5s", "[12.8, 14.29] s", "failed"):
        assert words in shown[1]
    pictures = [svg for svg in page.all("svg") if svg.get("role") == "img" and "tl-svg" in svg.get("class", "")]
    assert len(pictures) == 4
    assert "down from" in pictures[0]["aria-label"]
    assert not [a for _, a in page.tags if "style" in a]
    assert len(page.ids) == len(set(page.ids))
    assert "3f3f3f3f" in page.text


@pytest.mark.parametrize(
    ("passed", "failed", "open_", "said"),
    [
        (79, 21, 0, "Fewer than 80"),
        (80, 20, 0, "Fewer than 95"),
        (94, 6, 0, "Fewer than 95"),
        (95, 5, 0, "95 per cent or more"),
        (95, 0, 5, "95 per cent or more"),
        (10, 0, 0, "All that was evaluated"),
        (0, 0, 0, "Nothing was evaluated"),
    ],
)
def test_advice_follows_the_band(passed: int, failed: int, open_: int, said: str) -> None:
    """Below 80, below 95, from 95 on; what is open does not count as passed."""
    from pytest_k8sha.reports.availability import advice

    totals = Totals()
    totals.counts.update({Verdict.PASSED: passed, Verdict.FAILED: failed, Verdict.INCONCLUSIVE: open_})
    assert advice(totals).startswith(said)


def test_the_three_worst_come_first(model: ReportModel) -> None:
    """By severity; only availability counts."""
    worse = [replace(r, severity="critical") if r.check == "AVL-SVC-001" else r for r in model.results]
    other = replace(model.results[0], check="TEN-ACC-001", suite="tenancy", verdict=Verdict.FAILED, timelines=())
    found = section([*worse, other])
    assert found
    assert [row.check for row in found.worst] == ["AVL-SVC-001", "AVL-SVC-002"]
    assert found.totals.total == 4
    assert section([other]) is None


def test_a_report_of_many_timelines_stays_small(model: ReportModel) -> None:
    """What is beyond the drawings keeps its figures; the page stays below its bound."""
    results = [replace(model.results[n % 4], nodeid=f"t{n}", cluster=f"c{n % 9}") for n in range(180)]
    found = section(results)
    assert found
    assert sum(course.picture is not None for course in found.courses) == DRAWN
    page = render(replace_results(model, results))
    assert len(page) < 10_000_000
    assert "Not drawn" in page


def replace_results(model: ReportModel, results: list[Any]) -> ReportModel:
    from pytest_k8sha.reports.model import ClusterView, ReportModel

    clusters = [ClusterView(name, [r for r in results if r.cluster == name]) for name in {r.cluster for r in results}]
    return ReportModel(results, clusters, model.runs, model.digests)


def test_what_changed_since_an_earlier_run(both: tuple[Path, Path]) -> None:
    """A verdict that turned, a check that is gone, and figures whose intervals do not meet; those that meet say
    nothing."""
    found = compare(reports.load([both[0]]), reports.load([both[1]]))
    assert [(c.check, c.before, c.now) for c in found.better] == [("AVL-SVC-003", Verdict.FAILED, Verdict.PASSED)]
    assert [(c.check, c.now) for c in found.gone] == [("AVL-OLD-001", None)]
    assert found.worse == []
    assert {(m.subject, m.figure) for m in found.figures_worse} >= {
        ("Service shop/cart", "downtime"),
        ("Service shop/cart", "recovery"),
        ("Service shop/cart", "error_rate"),
    }
    assert "AVL-SVC-001" not in {m.check for m in found.figures_worse + found.figures_better}
    assert found.trusted
    back = compare(reports.load([both[1]]), reports.load([both[0]]))
    assert [(c.check, c.now) for c in back.worse] == [("AVL-SVC-003", Verdict.FAILED)]
    assert [c.check for c in back.new] == ["AVL-OLD-001"]


def test_an_earlier_record_that_was_changed_proves_nothing(both: tuple[Path, Path], tmp_path: Path) -> None:
    """The page and the terminal say so."""
    changed = tmp_path / "earlier.jsonl"
    changed.write_bytes(both[1].read_bytes().replace(b'"verdict":"failed"', b'"verdict":"passed"', 1))
    args = ["report", str(both[0]), "-o", str(tmp_path), "--compare", str(changed)]
    done = CliRunner().invoke(app, args)
    assert done.exit_code == 0, done.output
    assert "proves nothing" in done.output
    assert "what is compared with it proves nothing" in (tmp_path / "index.html").read_text()


def test_the_command_compares(both: tuple[Path, Path], tmp_path: Path) -> None:
    """`k8sha report RECORD --compare EARLIER` says what is worse, as text and as JSON; a path that is none is a usage
    error."""
    args = ["report", str(both[0]), "-o", str(tmp_path), "--compare", str(both[1])]
    done = CliRunner().invoke(app, args)
    assert done.exit_code == 0, done.output
    assert "0 verdicts worse, 1 better, 1 gone" in done.output
    assert "worse: downtime of Service shop/cart: [0.95, 2.2] s, now [12.8, 14.29] s" in done.output
    assert "Since the earlier run" in (tmp_path / "index.html").read_text()
    data = json.loads(CliRunner().invoke(app, [*args, "--json"]).output)
    assert data["comparison"]["better"][0]["check"] == "AVL-SVC-003"
    assert data["availability"]["totals"]["failed"] == 2
    assert CliRunner().invoke(app, [*args[:-1], str(tmp_path / "none")]).exit_code == 2


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        ((0.9512, 2.2), "s", "[0.951, 2.2] s"),
        ((0.01, 0.01), "%", "1 %"),
        ((None, 3.0), "s", "[…, 3] s"),
        ((None, None), "s", "without bound"),
        ((0.0, 120.4), "s", "[0, 120] s"),
    ],
)
def test_intervals_for_people(value: tuple[float | None, float | None], unit: str, shown: str) -> None:
    """Short figures; an end that nothing bounds is no number."""
    assert interval(value, unit) == shown
