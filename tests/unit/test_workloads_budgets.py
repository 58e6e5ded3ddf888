"""Budgets and updates, by the arithmetic of Kubernetes' own controllers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_k8sha.workloads import budgets
from tests.unit.workload_sample import bad, budget, inventory, thing, verdicts, workload


@pytest.mark.parametrize(
    ("spec", "expected", "stay"),
    [
        ({"minAvailable": 2}, 3, 2),
        ({"minAvailable": "50%"}, 3, 2),
        ({"minAvailable": "100%"}, 3, 3),
        ({"maxUnavailable": 1}, 3, 2),
        ({"maxUnavailable": "30%"}, 3, 2),
        ({"maxUnavailable": "100%"}, 3, 0),
        ({"maxUnavailable": 5}, 3, 0),
        ({}, 3, 1),
    ],
)
def test_what_must_stay(spec: dict[str, object], expected: int, stay: int) -> None:
    """As getExpectedPodCount of the disruption controller: both percentages round up; the default minimum is 1."""
    assert budgets.desired_healthy(budget(**spec), expected) == stay


@given(st.integers(0, 200), st.integers(0, 1000))
def test_rounding_up_and_down_are_one_apart_at_most(percent: int, total: int) -> None:
    """A percentage rounded up is the one rounded down, or one more."""
    up, down = (budgets.scaled(f"{percent}%", total, up=up) for up in (True, False))
    assert 0 <= up - down <= 1
    assert down * 100 <= percent * total <= up * 100


@pytest.mark.parametrize("value", ["", "ten", "10", "-5%", "%"])
def test_a_damaged_percentage_counts_as_nothing(value: str) -> None:
    """The API server refuses such texts; here they must not raise."""
    assert budgets.scaled(value, 10, up=True) == 0


def test_each_workload_has_one_budget() -> None:
    """None and two are breaches; a single replica needs none; the message says what other budgets select."""
    found = inventory(
        workload("web"),
        workload("two"),
        workload("bare"),
        workload("one", replicas=1),
        budgets=[budget(), budget("a", "two"), budget("b", "two"), budget("c", "bear")],
    )
    seen = list(budgets.coverage(found))
    assert verdicts(seen) == {
        "Deployment shop/web": True,
        "Deployment shop/two": False,
        "Deployment shop/bare": False,
        "Deployment shop/one": None,
    }
    assert "2 PodDisruptionBudgets" in bad(seen)[0].seen
    assert "c (selects app=bear)" in bad(seen)[1].seen


def test_a_budget_lets_one_go_and_keeps_one() -> None:
    """minAvailable of all blocks, maxUnavailable of all protects nothing; with an autoscaler its minimum counts."""
    scaler = thing("HorizontalPodAutoscaler", minReplicas=2, scaleTargetRef={"kind": "Deployment", "name": "web"})
    found = inventory(
        workload("web"), workload("job"), budgets=[budget(minAvailable=2), budget("job", "job", maxUnavailable="100%")]
    )
    assert verdicts(budgets.satisfiable(found)) == {
        "PodDisruptionBudget shop/web": True,
        "PodDisruptionBudget shop/job": False,
    }
    found.autoscalers = [scaler]
    assert [one.subject for one in bad(budgets.satisfiable(found))] == [
        "PodDisruptionBudget shop/web",
        "PodDisruptionBudget shop/job",
    ]


def test_a_budget_of_a_single_replica_blocks() -> None:
    """The one replica must stay: no drain can finish, and the remedy is a second replica."""
    (seen,) = budgets.satisfiable(inventory(workload(replicas=1), budgets=[budget(minAvailable=1)]))
    assert seen.ok is False
    assert "at least 2 replicas" in seen.remedy


@pytest.mark.parametrize(
    ("strategy", "ok"),
    [
        ({}, True),  # 25 % of 3, rounded down, is none
        ({"type": "Recreate"}, False),
        ({"rollingUpdate": {"maxUnavailable": 1}}, True),
        ({"rollingUpdate": {"maxUnavailable": 2}}, False),
        ({"rollingUpdate": {"maxUnavailable": "100%"}}, False),
    ],
)
def test_an_update_stays_within_the_budget(strategy: dict[str, object], ok: bool) -> None:
    """maxUnavailable rounds down, as the Deployment controller does, and is held against the budget."""
    found = inventory(workload(strategy=strategy), budgets=[budget(maxUnavailable=1)])
    assert [one.ok for one in budgets.rollout(found)] == [ok]


def test_stateful_updates() -> None:
    """One at a time of three is well; of one it is an outage; OnDelete is somebody else's decision."""
    found = inventory(
        workload("a", kind="StatefulSet"),
        workload("b", kind="StatefulSet", replicas=1),
        workload("c", kind="StatefulSet", updateStrategy={"type": "OnDelete"}),
    )
    assert [one.ok for one in budgets.rollout(found)] == [True, False, None]
