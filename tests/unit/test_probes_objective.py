"""Objectives are read strictly, and refused where the probe cannot judge them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_k8sha.errors import UsageError
from pytest_k8sha.model import Verdict
from pytest_k8sha.probes.interval import Interval
from pytest_k8sha.probes.objective import SECONDS, Objective


def test_every_figure_of_the_language() -> None:
    """Each figure is read with its unit; times come out in seconds, rates as shares of 1."""
    found = Objective.parse("downtime <= 5s, longest<2min,recovery <= 1h,error_rate < 0.1%,p99 < 300ms,p99.9 <= 1s")
    assert [(c.figure, c.relation, round(c.limit, 9)) for c in found.clauses] == [
        ("downtime", "<=", 5.0),
        ("longest", "<", 120.0),
        ("recovery", "<=", 3600.0),
        ("error_rate", "<", 0.001),
        ("p99", "<", 0.3),
        ("p99.9", "<=", 1.0),
    ]
    assert [c.share for c in found.clauses[-2:]] == [0.99, pytest.approx(0.999)]
    (lower,) = Objective.parse("availability >= 99.9%").clauses
    assert lower.limit == pytest.approx(0.999)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("downtime <= 5", "no unit"),
        ("error_rate < 1", "no unit"),
        ("downtime <= 5 parsecs", "unknown unit"),
        ("downtime <= 5%", "unknown unit"),
        ("error_rate < 1s", "unknown unit"),
        ("uptime <= 5s", "unknown figure"),
        ("p0 < 1s", "percentile"),
        ("p100 < 1s", "unknown figure"),
        ("downtime >= 5s", "an upper limit"),
        ("availability <= 99%", "a lower limit"),
        ("downtime = 5s", "cannot be read"),
        ("downtime <= -5s", "cannot be read"),
        ("downtime <= 1e3s", "cannot be read"),
        ("downtime <= 5s,", "cannot be read"),
        ("", "cannot be read"),
        ("downtime <= 5s; longest <= 1s", "cannot be read"),
        ("downtime <= 5s, downtime <= 6s", "twice"),
        ("availability >= 101%", "above 100"),
        ("error_rate < 0%", "no measurement"),
        ("availability > 100%", "no measurement"),
        ("downtime <= \u0665s", "cannot be read"),
    ],
)
def test_what_cannot_be_meant_is_refused(text: str, said: str) -> None:
    """A mistake is told in words that name it."""
    with pytest.raises(UsageError, match=said):
        Objective.parse(text)


@given(
    st.sampled_from(["downtime", "longest", "recovery", "p50", "p99.9"]),
    st.sampled_from(["<", "<="]),
    st.decimals(min_value="0.001", max_value="9999", places=3),
    st.sampled_from(sorted(SECONDS)),
    st.text(" ", max_size=3),
)
def test_what_is_well_formed_is_read(figure: str, relation: str, number: object, unit: str, space: str) -> None:
    """Every well-formed time clause is read as written, whatever spaces it has, and its own text is read alike."""
    text = f"{space}{figure}{space}{relation}{space}{number}{space}{unit}{space}"
    found = Objective.parse(text)
    assert found.clauses[0].limit == pytest.approx(float(str(number)) * SECONDS[unit])
    assert Objective.parse(str(found)) == found


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    """No text leads to any other error than the one for users; what is read has a unit."""
    try:
        found = Objective.parse(text)
    except UsageError:
        return
    assert all(clause.text[-1] in "smh%n" for clause in found.clauses)


@given(
    st.sampled_from(["downtime <= 2s", "downtime < 2s", "availability >= 50%", "availability > 50%"]),
    st.floats(0, 4),
    st.floats(0, 4),
    st.floats(0, 1),
)
def test_a_verdict_holds_for_every_value_in_the_interval(text: str, one: float, other: float, place: float) -> None:
    """Passed means that each value in the interval meets the clause, failed that none does."""
    clause = Objective.parse(text).clauses[0]
    value = Interval(min(one, other), max(one, other))
    inner = min(max(value.lo + place * value.width, value.lo), value.hi)
    verdict = clause.judge(value)
    meets = {"<=": inner <= clause.limit, "<": inner < clause.limit, ">=": inner >= clause.limit}
    meets[">"] = inner > clause.limit
    if verdict is Verdict.PASSED:
        assert meets[clause.relation]
    if verdict is Verdict.FAILED:
        assert not meets[clause.relation]


@pytest.mark.parametrize(
    ("text", "rate", "timeout", "said"),
    [
        ("downtime <= 5s", 4, 1, ""),
        ("downtime <= 5s", 3.9, 1, "rate=4 or more"),
        ("longest <= 200ms", 20, 0.1, "rate=100 or more"),
        ("recovery <= 500ms", 100, 1, "timeout=0.5 or less"),
        ("downtime <= 1ms", 1000, 0.001, "an objective of 20ms or more"),
        ("downtime <= 0s", 1000, 0.001, "error_rate <= 0%"),
        ("p99 < 300ms", 20, 0.2, "timeout=0.3 or more"),
        ("p99 < 300ms, error_rate <= 0%", 1, 0.3, ""),
    ],
)
def test_what_the_probe_cannot_resolve_is_refused(text: str, rate: float, timeout: float, said: str) -> None:
    """The refusal names the rate or the time-out that would do."""
    objective = Objective.parse(text)
    if not said:
        objective.fit(rate, timeout)
        return
    with pytest.raises(UsageError, match=said):
        objective.fit(rate, timeout)
