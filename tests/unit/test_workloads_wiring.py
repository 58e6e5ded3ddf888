"""What points at workloads: selectors, headless Services, autoscalers; and how many replicas there are."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_k8sha.workloads import wiring
from tests.unit.workload_sample import bad, budget, inventory, service, thing, verdicts, workload

POD = {"containers": [{"name": "web", "ports": [{"name": "http", "containerPort": 8080}]}]}


def scaler(name: str = "web", *, least: int | None = 2, most: int = 5, **more: Any) -> dict[str, Any]:
    target = {"kind": "Deployment", "name": "web"}
    bounds = {"maxReplicas": most} | ({"minReplicas": least} if least else {})
    return thing("HorizontalPodAutoscaler", name, **{"scaleTargetRef": target, **bounds, **more})


def test_replicas_count_at_an_autoscalers_minimum() -> None:
    """Five now and one on a quiet day is one; an absent number is one; one scaled to 0 is not meant to run."""
    found = inventory(
        workload(replicas=5), workload("a", replicas=None), workload("b", replicas=0), autoscalers=[scaler(least=None)]
    )
    assert verdicts(wiring.replicas(found, 2)) == {"Deployment shop/web": False, "Deployment shop/a": False}
    assert "minReplicas: 2" in bad(wiring.replicas(found, 2))[0].remedy


def test_a_daemon_set_has_no_replicas() -> None:
    """It has one pod a node, and no number to judge."""
    assert not list(wiring.replicas(inventory(workload(kind="DaemonSet", replicas=None)), 2))


def test_a_service_finds_pods_and_ports() -> None:
    """A miss shows the nearest labels; an unknown port name is a breach; without a selector there is no subject."""
    found = inventory(
        workload(pod=POD),
        services=[
            service(),
            service("slip", "wbe"),
            service("port", ports=[{"port": 80, "targetPort": "web"}]),
            thing("Service", "external", type="ExternalName", selector={"app": "x"}),
            thing("Service", "manual"),
        ],
    )
    seen = list(wiring.selectors(found))
    assert verdicts(seen) == {
        "Service shop/web": True,
        "Service shop/slip": False,
        "Service shop/port": False,
        "Service shop/external": None,
        "Service shop/manual": None,
    }
    assert "the nearest pods carry app=web" in bad(seen)[0].seen
    assert "targetPort web" in bad(seen)[1].seen


def test_a_service_may_select_pods_of_something_else() -> None:
    """Pods that no workload here makes, such as an operator's, count as found."""
    pod = {"metadata": {"name": "p", "namespace": "shop", "labels": {"app": "db"}}}
    assert not bad(wiring.selectors(inventory(services=[service("db", "db")], pods=[pod])))


def test_a_budget_finds_pods() -> None:
    """A budget that selects nothing is told apart from one that does."""
    found = inventory(workload(), budgets=[budget(), budget("slip", "wbe")])
    assert list(verdicts(wiring.selectors(found)).values()) == [True, False]


@pytest.mark.parametrize(
    ("name", "services", "says"),
    [
        ("", [], "no serviceName"),
        ("db", [], "no such Service"),
        ("db", [service("db", "db")], "not headless"),
        ("db", [service("db", "other", clusterIP="None")], "selects app=other"),
        ("db", [service("db", "db", clusterIP="None")], ""),
    ],
)
def test_the_service_of_a_stateful_set(name: str, services: list[dict[str, Any]], says: str) -> None:
    """It must be named, exist, be headless, and select the pods; each failure is told apart."""
    found = inventory(workload("db", kind="StatefulSet", serviceName=name), services=services)
    (seen,) = wiring.stateful_services(found)
    assert seen.ok is (not says)
    assert says in seen.seen


REQUESTS = {"containers": [{"name": "web", "resources": {"requests": {"cpu": "1"}}}]}


@pytest.mark.parametrize(
    ("given", "pod", "says"),
    [
        ({}, REQUESTS, ""),
        ({"least": None}, REQUESTS, "minReplicas 1"),
        ({"least": 5}, REQUESTS, "cannot grow"),
        ({"scaleTargetRef": {"kind": "Deployment", "name": "x"}}, REQUESTS, "does not exist"),
        ({"scaleTargetRef": {"kind": "Rollout", "name": "x"}}, REQUESTS, ""),
        ({}, POD, "requests none"),
        ({"metrics": [{"type": "External"}]}, POD, ""),
        (
            {"metrics": [{"type": "Resource", "resource": {"name": "memory", "target": {"type": "Utilization"}}}]},
            REQUESTS,
            "memory",
        ),
    ],
)
def test_what_an_autoscaler_needs(given: dict[str, Any], pod: dict[str, Any], says: str) -> None:
    """A minimum of two, room to grow, a target, and a request for what it measures; a foreign kind is not judged."""
    (seen,) = wiring.autoscalers(inventory(workload(pod=pod), autoscalers=[scaler(**given)]))
    assert seen.ok is (not says)
    assert says in seen.seen
