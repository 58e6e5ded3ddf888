"""Tables in the report: the truth table as a grid with its differences, any other as rows, all bounded and escaped."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_k8sha.model import Verdict
from pytest_k8sha.record.chain import Line, RecordFile
from pytest_k8sha.reports.html import render
from pytest_k8sha.reports.merge import merge
from pytest_k8sha.reports.tables import COLUMNS_SHOWN, GRID_SIDE, ROWS_SHOWN, drawn


def way(source: str, target: str, expected: str, observed: str, agrees: str, **more: Any) -> dict[str, Any]:
    """One row of a truth table."""
    return {
        "source": source, "source_node": "node-1", "target": target, "target_node": "node-2", "route": "pod IP",
        "protocol": "TCP", "port": 8080, "expected": expected, "observed": observed, "agrees": agrees, **more,
    }  # fmt: skip


def record(tables: dict[str, Any], verdict: str = "failed") -> RecordFile:
    data: list[tuple[str, dict[str, Any]]] = [
        ("run.start", {"run": "r"}),
        ("result", {"check": "TEN-NET-010", "cluster": "east", "verdict": verdict, "tables": tables}),
        ("run.end", {"exitstatus": 0}),
    ]
    return RecordFile(
        Path("r.jsonl"),
        [
            Line(seq=n, time="2026-03-02T08:00:00+00:00", kind=kind, data=item, prev="", hash=str(n))
            for n, (kind, item) in enumerate(data)
        ],
    )


def page(tables: dict[str, Any], verdict: str = "failed") -> str:
    return render(merge([record(tables, verdict)]))


def words(html: str) -> str:
    return " ".join(re.sub("<[^>]+>", " ", html).split())


WAYS = [
    way("a/x", "a/y", "open", "open", "yes"),
    way("a/x", "a/y", "open", "open", "yes", port=8081),
    way("a/x", "b/z", "blocked", "open", "no"),
    way("a/x", "b/z", "blocked", "blocked", "yes", port=8081),
    way("b/z", "a/x", "blocked", "not observed", "not proved"),
    way("b/z", "the kubelet of node-1", "not defined", "open", "not proved"),
]


def test_a_truth_table_is_a_grid() -> None:
    """A square holds all ways of a pair: what was expected, and of a difference what was seen, in how many ways."""
    (shown,) = drawn(merge([record({"truth table": WAYS})]).results)
    (table,) = shown.tables
    assert table.grid
    assert [(place.group, place.name) for place in table.grid.targets] == [
        ("a", "x"), ("a", "y"), ("b", "z"), ("", "the kubelet of node-1"),
    ]  # fmt: skip
    assert table.grid.groups == [("a", 2), ("b", 1), ("", 1)]
    squares = {
        (source.name, target.name): (square.verdict, square.text, square.note)
        for source, row in table.grid.rows
        for target, square in zip(table.grid.targets, row, strict=True)
    }
    assert squares["x", "y"] == (Verdict.PASSED, "open", "2")
    assert squares["x", "z"] == (Verdict.FAILED, "open", "not blocked, 1/2")
    assert squares["z", "x"] == (Verdict.INCONCLUSIVE, "not observed", "1/1 not proved")
    assert squares["z", "the kubelet of node-1"] == (None, "not defined", "")
    assert squares["x", "x"] == (None, "", "")
    assert table.count == [
        ("different", Verdict.FAILED, 1), ("not proved", Verdict.INCONCLUSIVE, 1), ("as expected", Verdict.PASSED, 3),
        ("not defined", None, 1),
    ]  # fmt: skip
    assert [row[2] for row in table.differing] == ["b/z"]


def test_the_page_tells_differences_in_words() -> None:
    """The grid says without colours what differs, every row is in the page, and the contents lead there."""
    html = page({"truth table": WAYS})
    text = words(html)
    assert "open not blocked, 1/2" in text
    assert "1 difference" in text
    assert "1 not proved" in text
    assert html.count("<details open><summary>Every source and target") == 1
    assert 'href="#tables"' in html
    assert "5 rows without a difference" in text


def test_any_other_table_is_drawn_as_rows() -> None:
    """Columns are those of the rows; values of every kind are texts."""
    rows = [{"tenant": "blue", "used": 0.91234, "over": True, "note": None}, {"tenant": "green", "cpu": 3}]
    (shown,) = drawn(merge([record({"usage": rows}, "passed")]).results)
    (table,) = shown.tables
    assert (table.grid, table.columns) == (None, ["tenant", "used", "over", "note", "cpu"])
    assert table.rows == [["blue", "0.9123", "yes", "", ""], ["green", "", "", "", "3"]]
    assert "green" in words(page({"usage": rows}, "passed"))


def test_no_table_no_section() -> None:
    """A report without tables has no empty section, and what is no table breaks nothing."""
    for tables in ({}, {"bad": "text"}, "text", {"bad": [1, "x"]}):
        assert "tables" not in words(page(tables)).lower() or tables == {"bad": [1, "x"]}  # type: ignore[arg-type]


def test_a_huge_table_stays_small() -> None:
    """Ten thousand rows between two hundred pods: forty of each side are drawn, those with differences among them, and
    the rest is counted."""
    names = [f"ns-{n % 7}/pod-{n}" for n in range(200)]
    pairs = list(itertools.islice(itertools.product(names, names), 40_000))
    rows = [way(a, b, "blocked", "blocked", "yes", why="w" * 900) for a, b in pairs[:10_000]]
    rows += [way("ns-3/pod-199", "ns-2/pod-198", "blocked", "open", "no")] * 500
    html = page({"truth table": rows, "again": rows})
    assert len(html) < 2_000_000
    (shown,) = drawn(merge([record({"truth table": rows})]).results)
    (table,) = shown.tables
    assert table.grid
    assert (len(table.grid.rows), len(table.grid.targets)) == (GRID_SIDE, GRID_SIDE)
    assert any(square.verdict is Verdict.FAILED for _, row in table.grid.rows for square in row)
    assert table.grid.hidden == "11 further sources and 160 further targets"
    assert len(table.differing) == len(table.rows) == ROWS_SHOWN
    assert (table.differing_omitted, table.omitted) == (300, 9_800)
    text = words(html)
    assert "300 further differences are in the record only." in text
    assert "9,800 further rows are in the record only." in text


def test_many_tables_share_one_budget() -> None:
    """A hundred results with wide tables: the page stays bounded, and each table still says how many rows it has."""
    rows = [{f"column {n}": "x" * 500 for n in range(COLUMNS_SHOWN + 9)}] * 300
    html = page({f"table {n}": rows for n in range(20)})
    assert len(html) < 3_000_000
    assert words(html).count("300 rows") >= 20


NASTY = st.one_of(
    st.sampled_from(["<script>alert(1)</script>", '"><img src=x>', "</table><b>", "{{ 7*7 }}"]), st.text()
)


@settings(max_examples=10, deadline=None)
@given(
    st.dictionaries(NASTY, st.lists(st.dictionaries(NASTY, NASTY, max_size=3), max_size=3), max_size=2), NASTY, NASTY
)
def test_what_a_table_holds_stays_text(tables: dict[str, list[dict[str, str]]], source: str, target: str) -> None:
    """Names of tables, columns and values make no element."""
    html = page({**tables, "t": [way(source, target, "open", "blocked", "no")]})
    body = html.partition('<section id="tables"')[2].partition("</section>")[0]
    tags = set(re.findall(r"<([a-z0-9]+)[ >/]", body))
    assert tags <= {
        "article", "h2", "h3", "h4", "p", "span", "svg", "use", "details", "summary", "div", "table", "thead", "tbody",
        "tr", "th", "td", "code",
    }  # fmt: skip
