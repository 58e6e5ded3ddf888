"""The canary: a small Deployment of the run's own, by which an experiment sees what the cluster does at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_k8sha._wait import eventually
from pytest_k8sha.workloads.model import is_ready

if TYPE_CHECKING:
    from pytest_k8sha.errors import K8shaError
    from pytest_k8sha.fleet.cluster import Cluster

IMAGE = "registry.k8s.io/pause:3.10"
LABEL = "k8sha-canary"
_LOST = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")


def deployment(name: str, *, near: str = "", toleration: int = 1) -> dict[str, Any]:
    """One pod that any Pod Security level admits, that prefers the node ``near``, and that leaves a lost node after
    ``toleration`` seconds."""
    prefers = {
        "weight": 100,
        "preference": {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [near]}]},
    }
    spec: dict[str, Any] = {
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 1,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 65535,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "tolerations": [
            {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": toleration} for key in _LOST
        ],
        "containers": [
            {
                "name": "pause",
                "image": IMAGE,
                "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "32Mi"}},
                "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
            }
        ],
    }
    if near:
        spec["affinity"] = {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [prefers]}}
    labels = {LABEL: name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }


def pods(cluster: Cluster, namespace: str, name: str) -> list[dict[str, Any]]:
    """The canary's pods."""
    return cluster.resource("v1", "Pod").list(namespace, labels=f"{LABEL}={name}")


def placed(cluster: Cluster, namespace: str, name: str, *, near: str = "", timeout: float = 15.0) -> str:
    """Makes a canary and returns the node that its ready pod is on. Raises `WaitTimeout` and `ApiError`."""
    cluster.resource("apps/v1", "Deployment").create(deployment(name, near=near), namespace)

    def node() -> str:
        ready = [p["spec"].get("nodeName", "") for p in pods(cluster, namespace, name) if is_ready(p)]
        return ready[0] if ready else ""

    return eventually(node, what=f"the canary {name} is placed and ready", timeout=timeout, interval=0.05)


def trouble(error: K8shaError) -> str:
    """An error in one line."""
    return str(error).splitlines()[0]
