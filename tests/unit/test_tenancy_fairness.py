"""Judging fairness: what a set of samples says, without a cluster."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_k8sha.checks.judge import Judge
from pytest_k8sha.model import Verdict
from pytest_k8sha.tenancy.exemptions import mark, way_out
from pytest_k8sha.tenancy.fairness import Levels, Sample, Seen, _judge_flooder, _judge_served, p99
from pytest_k8sha.tenancy.network.policy import Selector


def _level(name: str, kind: str = "Limited") -> dict[str, object]:
    return {"metadata": {"name": name, "uid": f"l-{name}"}, "spec": {"type": kind}}


LEVELS = Levels(
    [
        {"metadata": {"name": n, "uid": f"s-{n}"}, "spec": {"distinguisherMethod": {"type": "ByUser"}}}
        for n in ("own", "exempt")
    ],
    [_level("own"), _level("exempt", "Exempt")],
)
OWN, EXEMPT = ("s-own", "l-own"), ("s-exempt", "l-exempt")
QUICK, YARD = Sample(0.01, 200, OWN), Sample(0.01, 200, EXEMPT)


@given(st.lists(st.floats(0, 100), min_size=1, max_size=300))
def test_the_percentile_leaves_one_in_a_hundred_above(latencies: list[float]) -> None:
    """By the nearest rank: at most one per cent of the samples is above it, and it is one of them."""
    found = p99([Sample(latency, 200) for latency in latencies])
    assert found in latencies
    assert Fraction(sum(latency > found for latency in latencies), len(latencies)) <= Fraction(1, 100)


@pytest.mark.parametrize(
    ("wave", "verdict", "limited"),
    [
        ([Sample(0.1, 429, OWN)] * 9 + [Sample(3.0, 504, OWN)] * 3, Verdict.PASSED, True),
        ([Sample(3.0, 504, EXEMPT)] * 12, Verdict.FAILED, False),
        ([Sample(3.0, 504, OWN)] * 12, Verdict.INCONCLUSIVE, False),
        ([Sample(0.1, 200, None)] * 12, Verdict.FAILED, False),
        # A 429 that names no flow schema is not fairness, and a 500 that names none says nothing at all.
        ([Sample(0.1, 500, None)] * 12, Verdict.INCONCLUSIVE, False),
        ([Sample(3.0, 504, OWN)] * 11 + [Sample(0.1, 429, None)], Verdict.INCONCLUSIVE, False),
        ([Sample(0.1, 0, problem="reset")] * 12, Verdict.INCONCLUSIVE, False),
        ([Sample(3.0, 504, None)] * 12, Verdict.FAILED, False),
        ([Sample(3.2, 0, problem="timeout")] * 11 + [Sample(0.1, 429, None)], Verdict.INCONCLUSIVE, False),
    ],
)
def test_the_flood(wave: list[Sample], verdict: Verdict, limited: bool) -> None:
    """Only a refusal by a flow schema is one; only an exempt level, or none at all, is a breach."""
    judge = Judge()
    assert _judge_flooder(judge, LEVELS, "a floods", wave) is limited
    assert judge.conclude()[0] is verdict


@pytest.mark.parametrize(
    ("during", "yard", "verdict"),
    [
        ([QUICK] * 60, [YARD] * 60, Verdict.PASSED),
        ([QUICK] * 30 + [Sample(2.5, 200, OWN)] * 30, [YARD] * 60, Verdict.FAILED),
        ([QUICK] * 30 + [Sample(3.2, 0, problem="timeout")] * 30, [YARD] * 60, Verdict.FAILED),
        ([QUICK] * 50 + [Sample(0.1, 429, OWN)] * 10, [YARD] * 60, Verdict.FAILED),
        # The machine is slow for everybody; or the yardstick is none; or too few are late to tell.
        ([Sample(2.5, 200, OWN)] * 60, [Sample(2.5, 200, EXEMPT)] * 60, Verdict.INCONCLUSIVE),
        ([Sample(2.5, 200, OWN)] * 60, [QUICK] * 60, Verdict.INCONCLUSIVE),
        ([QUICK] * 58 + [Sample(2.5, 200, OWN)] * 2, [YARD] * 60, Verdict.INCONCLUSIVE),
        ([QUICK] * 40 + [Sample(0.1, 500)] * 20, [YARD] * 60, Verdict.INCONCLUSIVE),
        ([], [YARD] * 60, Verdict.INCONCLUSIVE),
    ],
)
def test_the_neighbour(during: list[Sample], yard: list[Sample], verdict: Verdict) -> None:
    """Late while the exempt are in time is a breach; late when everybody is, or now and then, is not told."""
    judge = Judge()
    _judge_served(judge, LEVELS, "b", Seen([QUICK] * 10, during, yard, []), 1.0, limited=True)
    assert judge.conclude()[0] is verdict, judge.findings


@pytest.mark.parametrize(
    "selector",
    [
        {"matchLabels": {"a": "b"}},
        {"matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]},
        {"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["x", "y"]}]},
        {"matchExpressions": [{"key": "a", "operator": "Exists"}]},
        {"matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}]},
    ],
)
def test_the_way_out_of_a_selector(selector: dict[str, object]) -> None:
    """After the change the selector does not match, whatever it asks for."""
    labels = {"a": "b"} if "DoesNotExist" not in str(selector) else {}
    assert Selector.model_validate(selector).matches(labels)
    changed = mark({"metadata": {"labels": labels}}, way_out(selector, labels))["metadata"]["labels"]
    assert not Selector.model_validate(selector).matches(changed)


def test_what_matches_everything_has_no_way_out() -> None:
    """An empty selector."""
    assert way_out({}, {"a": "b"}) == {}
