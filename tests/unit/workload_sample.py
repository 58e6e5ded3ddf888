"""Workloads to judge: small objects as an API server would return them."""

from __future__ import annotations

import copy
from typing import Any

from pytest_k8sha.workloads.model import HOST, ZONE, Inventory, Seen, Workload

NAMESPACE = "shop"


def workload(name: str = "web", *, kind: str = "Deployment", replicas: int | None = 3, **spec: Any) -> Workload:
    """A workload whose pods are labelled ``app: NAME``; ``pod`` and ``labels`` change its template."""
    pod = spec.pop("pod", {"containers": [{"name": name, "image": f"{name}:1"}]})
    labels = spec.pop("labels", {"app": name})
    body = {"replicas": replicas, "template": {"metadata": {"labels": labels}, "spec": pod}, **spec}
    if replicas is None:
        del body["replicas"]
    return Workload(
        {"kind": kind, "metadata": {"name": name, "namespace": NAMESPACE, "uid": f"u-{name}"}, "spec": body}
    )


def thing(kind: str, name: str = "web", **spec: Any) -> dict[str, Any]:
    """Any namespaced object."""
    return {"kind": kind, "metadata": {"name": name, "namespace": NAMESPACE}, "spec": spec}


def budget(name: str = "web", app: str = "web", **spec: Any) -> dict[str, Any]:
    return thing("PodDisruptionBudget", name, selector={"matchLabels": {"app": app}}, **spec)


def service(name: str = "web", app: str = "web", **spec: Any) -> dict[str, Any]:
    return thing("Service", name, selector={"app": app}, **{"ports": [{"port": 80, "targetPort": "http"}], **spec})


def nodes(count: int = 3, zones: int = 3) -> list[dict[str, Any]]:
    return [
        {"metadata": {"name": f"node-{n}", "labels": {HOST: f"node-{n}", ZONE: f"zone-{n % zones}"}}}
        for n in range(count)
    ]


def pods(of: Workload, *places: str, ready: bool = True) -> list[dict[str, Any]]:
    """Pods of a workload, one on each of the given nodes."""
    return [
        {
            "metadata": {
                "name": f"{of.name}-{place}-{index}",
                "namespace": NAMESPACE,
                "labels": of.labels,
                "ownerReferences": [{"uid": of.uid, "controller": True}],
            },
            "spec": {"nodeName": place},
            "status": {"conditions": [{"type": "Ready", "status": str(ready)}]},
        }
        for index, place in enumerate(places)
    ]


def inventory(*workloads: Workload, **more: Any) -> Inventory:
    return Inventory(workloads=list(workloads), **copy.deepcopy({"nodes": nodes(), **more}))


def bad(found: Any) -> list[Seen]:
    """The breaches that a rule saw."""
    return [one for one in found if one.ok is False]


def verdicts(found: Any) -> dict[str, bool | None]:
    return {one.subject: one.ok for one in found}
