"""What tenants use and cost: the price file, the arithmetic, the thresholds, and the page made from the record."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_k8sha.cli import schema
from pytest_k8sha.cli.tenants import written
from pytest_k8sha.errors import FileProblems
from pytest_k8sha.reports import load, make
from pytest_k8sha.reports import usage as drawn
from pytest_k8sha.settings import bundled
from pytest_k8sha.tenancy import prices, usage
from tests.unit.report_sample import START

PRICES = prices.Prices.model_validate({"hours": 100, "prices": {"cpu": 0.05, "memory": 0.01}})


def _asking(**requests: str) -> dict[str, Any]:
    return {"resources": {"requests": requests}}


SIDECAR = {**_asking(cpu="500m"), "restartPolicy": "Always"}


def test_the_price_file_of_the_package_is_right() -> None:
    """It is read, and keeps the schema that users are given."""
    import jsonschema
    import yaml

    path = bundled("fixtures", "prices", "example.yaml")
    assert prices.read(path).prices.cpu > 0
    jsonschema.validate(yaml.safe_load(path.read_text()), schema.of("prices"))


def test_every_mistake_of_a_price_file_is_told(tmp_path: Path) -> None:
    """With line and field, all at once."""
    path = tmp_path / "prices.yaml"
    path.write_text("currency: EUR\nhours: 0\nprices:\n  cpu: -1\n  memroy: 0.1\n")
    with pytest.raises(FileProblems) as caught:
        prices.read(path)
    told = {(problem.line, problem.field) for problem in caught.value.problems}
    assert told == {(2, "hours"), (4, "prices.cpu"), (5, "prices.memroy")}
    for text in ("", "a: [", "1\n---\n2\n"):
        path.write_text(text)
        with pytest.raises(FileProblems):
            prices.read(path)
    with pytest.raises(FileProblems):
        prices.read(tmp_path / "absent.yaml")


@pytest.mark.parametrize(
    ("spec", "cpu"),
    [
        ({"containers": [_asking(cpu="100m"), _asking(cpu="1")]}, "1100m"),
        ({"containers": [_asking(cpu="100m")], "initContainers": [_asking(cpu="2")]}, "2"),
        ({"containers": [_asking(cpu="1")], "initContainers": [SIDECAR]}, "1500m"),
        (
            {
                "containers": [_asking(cpu="1")],
                "initContainers": [SIDECAR, _asking(cpu="2")],
            },
            "2500m",
        ),
        ({"containers": [{}], "overhead": {"cpu": "250m"}}, "250m"),
        ({"containers": [{"resources": {"limits": {"cpu": "4"}}}]}, "0"),
    ],
)  # fmt: skip
def test_what_a_pod_requests(spec: dict[str, Any], cpu: str) -> None:
    """Init containers, sidecars and overhead count as the scheduler counts them."""
    assert usage.requested(spec, "cpu") == usage.parse(cpu)


def test_a_bill_adds_up() -> None:
    """Two CPUs and four GiB for a hundred hours."""
    amount = {"cpu": Fraction(2), "memory": 4 * usage.GIB, "storage": Fraction(0), "load balancers": Fraction(1)}
    rows = {row["item"]: row for row in usage.bill("acme", amount, PRICES)}
    assert rows["cpu"]["cost"] == 10.0
    assert rows["memory"] == {
        "tenant": "acme", "item": "memory", "amount": 4.0, "unit": "GiB",
        "price": 0.01, "hours": 100.0, "cost": 4.0, "currency": "EUR",
    }  # fmt: skip
    assert rows["load balancers"]["cost"] == 0


@given(st.fractions(0, 10**6), st.fractions(0, 10**6))
def test_who_requests_more_pays_no_less(one: Fraction, other: Fraction) -> None:
    """Rounding turns no order around."""
    costs = [
        usage.bill("acme", {**dict.fromkeys(usage.ITEMS, Fraction(0)), "cpu": cpu}, PRICES)[0]["cost"]
        for cpu in sorted((one, other))
    ]
    assert costs[0] <= costs[1]


def test_thresholds() -> None:
    """Each begins with its own value."""
    limits = usage.Thresholds(Fraction(1, 2), Fraction(3, 4))
    states = [limits.state(Fraction(n, 100)) for n in (49, 50, 74, 75, 130)]
    assert states == ["ok", "warning", "warning", "full", "full"]


def test_the_page_shows_what_the_record_holds(tmp_path: Path) -> None:
    """Bars and sums come from the tables of the record; hostile text stays text, and no script is needed."""
    from pytest_k8sha.record.chain import Record

    use = usage.Use("acme", "acme", "compute", "pods", Fraction(17), Fraction(20))
    amount = {**dict.fromkeys(usage.ITEMS, Fraction(0)), "cpu": Fraction(2)}
    evil = {**usage.bill("acme", amount, PRICES)[0], "tenant": "<script>alert(1)</script>", "cost": 99.5}
    data = {
        "check": "TEN-QUO-005", "title": "No quota is nearly full", "suite": "tenancy", "severity": "medium",
        "impact": "observe", "controls": [], "why": "", "remedy": "", "cluster": "east", "nodeid": "t",
        "verdict": "passed", "reason": "", "duration": 0.1,
        "started": START.format(minute=1, second=1), "findings": [], "subjects": {},
        "measures": {},
        "tables": {
            usage.QUOTAS: [use.row(usage.Thresholds())],
            usage.COSTS: [*usage.bill("acme", amount, PRICES), evil],
        },
    }  # fmt: skip
    with Record(tmp_path / "record.jsonl") as record:
        record.append("run.start", {"run": "r1", "clusters": ["east"]})
        record.append("result", data)
    page = make([tmp_path / "record.jsonl"], tmp_path).read_text()
    assert (drawn.QUOTAS, drawn.COSTS) == (usage.QUOTAS, usage.COSTS)
    for text in (
        'id="usage"',
        "17 of 20, 85 %",
        "warning",
        'width="850"',
        "10.00",
        "99.50",
        "cpu: 2 CPU * 0.05 * 100 h = 10.00",
    ):
        assert text in page, text
    assert "<script>alert" not in page
    (one,) = drawn.usages(load([tmp_path / "record.jsonl"]).results)
    assert [(account.total, account.width) for account in one.accounts] == [(99.5, 1000), (10.0, 101)]


def test_comma_separated_values() -> None:
    """One line of names, one a row."""
    assert written([{"tenant": "a,b", "cost": 1.5}]) == 'tenant,cost\n"a,b",1.5\n'
    assert written([]) == ""
