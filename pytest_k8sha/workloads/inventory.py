"""Reading the workloads of a cluster."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from pytest_k8sha import _clock
from pytest_k8sha._wait import eventually
from pytest_k8sha.errors import WaitTimeout
from pytest_k8sha.workloads.model import Inventory, Workload

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from pytest_k8sha.fleet.cluster import Cluster

SYSTEM = frozenset({"kube-system", "kube-public", "kube-node-lease", "local-path-storage"})
"""Namespaces of the cluster itself; their workloads are their distributor's matter."""

KINDS = ("Deployment", "StatefulSet", "DaemonSet")
YOUNG = 120.0
"""Seconds in which a workload may still be starting."""
SETTLE = 20.0
"""The most seconds to wait for young workloads."""


def read(cluster: Cluster, namespaces: Collection[str] = ()) -> Inventory:
    """The workloads of the given namespaces, else of all but the system's, from the cluster's snapshot.

    Namespaces that this run's tests make for themselves (their names begin with ``k8sha-``) are left out.
    """
    chosen = set(namespaces)

    def listed(api_version: str, kind: str) -> list[dict[str, Any]]:
        return [o for o in cluster.snapshot.list(api_version, kind) if _judged(o["metadata"]["namespace"], chosen)]

    return Inventory(
        workloads=[Workload(o) for kind in KINDS for o in listed("apps/v1", kind)],
        services=[
            s for s in listed("v1", "Service") if (s["metadata"].get("labels") or {}).get("provider") != "kubernetes"
        ],
        budgets=listed("policy/v1", "PodDisruptionBudget"),
        autoscalers=listed("autoscaling/v2", "HorizontalPodAutoscaler"),
        limits=listed("v1", "LimitRange"),
        replica_sets=listed("apps/v1", "ReplicaSet"),
        pods=listed("v1", "Pod"),
        nodes=[n for n in cluster.snapshot.list("v1", "Node") if _usable(n)],
    )


def settled(cluster: Cluster, namespaces: Collection[str] = ()) -> Inventory:
    """As `read`, once workloads that were made a moment ago have their pods, or `SETTLE` seconds have passed."""

    def look() -> Inventory:
        cluster.snapshot.forget()
        return read(cluster, namespaces)

    inventory = read(cluster, namespaces)
    if not list(_unsettled(inventory)):
        return inventory
    try:
        return eventually(
            look,
            what="young workloads have their pods",
            timeout=SETTLE,
            interval=0.1,
            accept=lambda found: not list(_unsettled(found)),
        )
    except WaitTimeout:
        return look()  # what is not ready by now is for the checks to say


def _judged(namespace: str, chosen: set[str]) -> bool:
    if chosen:
        return namespace in chosen
    return namespace not in SYSTEM and not namespace.startswith("k8sha-")


def _of_the_api(service: dict[str, Any]) -> bool:
    """The API's own Service: it has no selector, and no owner here who could change it."""
    return (service["metadata"]["namespace"], service["metadata"]["name"]) == ("default", "kubernetes")


def _usable(node: dict[str, Any]) -> bool:
    conditions = (node.get("status") or {}).get("conditions") or []
    ready = any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)
    return ready and not (node.get("spec") or {}).get("unschedulable")


def _unsettled(inventory: Inventory) -> Iterable[str]:
    """Young workloads whose pods are not all there, and young budgets that the controller has not counted yet."""
    for workload in inventory.scalable:
        status = workload.obj.get("status") or {}
        seen = status.get("observedGeneration", 0) >= workload.obj["metadata"].get("generation", 0)
        if _young(workload.obj) and not (seen and status.get("readyReplicas", 0) >= inventory.wanted(workload)):
            yield str(workload)
    for budget in inventory.budgets:
        status = budget.get("status") or {}
        matched = [w for w in inventory.scalable if budget in inventory.budgets_of(w)]
        expected = sum(inventory.wanted(w) for w in matched)
        if _young(budget) and status.get("currentHealthy", 0) < expected:
            yield budget["metadata"]["name"]


def _young(obj: dict[str, Any]) -> bool:
    made = obj["metadata"].get("creationTimestamp")
    return bool(made) and _clock.epoch() - datetime.fromisoformat(made).timestamp() < YOUNG
