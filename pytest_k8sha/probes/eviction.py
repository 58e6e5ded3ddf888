"""Whether a drain would go through: evictions are rehearsed, pod by pod, with ``dryRun=All``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_k8sha.errors import ApiError, ImpactRefused, RequestError
from pytest_k8sha.workloads.model import is_ready

if TYPE_CHECKING:
    from pytest_k8sha.checks.judge import Judge
    from pytest_k8sha.fleet.cluster import Cluster
    from pytest_k8sha.workloads.model import Inventory, Object, Workload

PODS = 3
"""Pods that are tried of one workload: its budget is one, and the first already asks it."""

_RULE = "the eviction of any one pod is let through, as a drain needs it"


def evict(cluster: Cluster, pod: Object) -> None:
    """Rehearses one eviction. Raises `ApiError`: 429 when the budget is used up, 500 when two budgets match."""
    meta = pod["metadata"]
    body = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": meta["name"], "namespace": meta["namespace"]},
        "deleteOptions": {"dryRun": ["All"]},
    }
    path = f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}/eviction"
    cluster.client.request("POST", path, query={"dryRun": "All"}, body=body)


def rehearse(cluster: Cluster, judge: Judge, inventory: Inventory) -> None:
    """Puts each workload before the judge; a workload without a ready pod is left open, since no drain asks for it."""
    for workload in inventory.scalable:
        pods = [p for p in inventory.pods_of(workload) if (p.get("spec") or {}).get("nodeName")]
        if not pods:
            judge.unsure(workload, "it has no pod on a node that could be evicted")
            continue
        # Pods that are not ready come first: a budget may keep even those from going.
        _workload(cluster, judge, workload, sorted(pods, key=is_ready)[:PODS])


def _workload(cluster: Cluster, judge: Judge, workload: Workload, pods: list[Object]) -> None:
    for pod in pods:
        name = pod["metadata"]["name"]
        try:
            evict(cluster, pod)
        except ImpactRefused:
            raise
        except ApiError as error:
            if error.status == 404:
                continue  # it went by itself meanwhile
            if not _breach(judge, workload, pod, error):
                judge.unsure(workload, f"the eviction of {name} was neither let through nor blocked: {error}")
            return
        except RequestError as error:
            judge.unsure(workload, f"the eviction of {name} was not answered: {error}")
            return
    judge.ok(workload, f"the eviction of {', '.join(p['metadata']['name'] for p in pods)} would go through")


def _breach(judge: Judge, workload: Workload, pod: Object, error: ApiError) -> bool:
    name = pod["metadata"]["name"]
    if error.status == 429:
        causes = "; ".join(c.get("message", "") for c in error.details.get("causes") or [])
        broken = "" if is_ready(pod) else "; the pod is broken already, and its budget keeps it"
        judge.bad(
            workload,
            seen=f"the eviction of {name} is blocked (429): {causes or error.message}{broken}",
            rule=_RULE,
            remedy="set spec.maxUnavailable: 1 in its PodDisruptionBudget and run more replicas than must stay; set "
            "spec.unhealthyPodEvictionPolicy: AlwaysAllow, so that a broken pod holds nobody up",
        )
        return True
    if error.status == 500 and "more than one PodDisruptionBudget" in error.message:
        judge.bad(
            workload,
            seen=f"the eviction of {name} is answered with 500: {error.message}",
            rule=_RULE,
            remedy="let one PodDisruptionBudget match the pods: delete the others, or make spec.selector disjoint",
        )
        return True
    return False
