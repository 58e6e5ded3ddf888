"""How long the preflight of an experiment takes among 1,000 pods: listing, choosing, budgets, workloads, rights.

    python benchmarks/chaos_preflight.py [PODS]

A local cluster with simulated nodes is made for it. Chaos Mesh is there as far as a preflight looks: its kinds, and a
Deployment with the labels of its controller, whose pod is simulated as well. The promise is one second.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from pytest_k8sha import _clock
from pytest_k8sha._wait import eventually
from pytest_k8sha.chaos.engines import engine_for
from pytest_k8sha.chaos.experiment import Experiment
from pytest_k8sha.chaos.mesh.manifest import as_order
from pytest_k8sha.chaos.order import Order, order
from pytest_k8sha.fleet.cluster import Cluster
from pytest_k8sha.fleet.keeper import Keeper
from pytest_k8sha.fleet.spec import from_options
from pytest_k8sha.model import Run
from pytest_k8sha.providers.registry import Registry
from pytest_k8sha.settings import Settings

LIMIT = 1.0
SPACE = "shop"
CONTROLLER = {"app.kubernetes.io/name": "chaos-mesh", "app.kubernetes.io/component": "controller-manager"}
KINDS = ("PodChaos", "NetworkChaos")


def deployment(name: str, namespace: str, labels: dict[str, str], replicas: int) -> dict[str, Any]:
    pod = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "main", "image": "none"}]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": pod}
    meta = {"name": name, "namespace": namespace, "labels": labels}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": spec}


def definition(kind: str) -> dict[str, Any]:
    plural = kind.lower()
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.chaos-mesh.org"},
        "spec": {
            "group": "chaos-mesh.org",
            "names": {"kind": kind, "plural": plural, "singular": plural, "listKind": f"{kind}List"},
            "scope": "Namespaced",
            "versions": [{"name": "v1alpha1", "served": True, "storage": True, "schema": schema}],
        },
    }


def furnish(cluster: Cluster, pods: int) -> None:
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SPACE}}
    each = pods // 10
    webs = [deployment(f"web-{n}", SPACE, {"app": f"web-{n}", "tier": "web"}, each) for n in range(10)]
    budgets = [
        {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": {"name": f"web-{n}", "namespace": SPACE},
            "spec": {"maxUnavailable": "20%", "selector": {"matchLabels": {"app": f"web-{n}"}}},
        }
        for n in range(10)
    ]
    cluster.apply([namespace, *map(definition, KINDS), deployment("chaos", "default", CONTROLLER, 1), *webs, *budgets])
    listed = cluster.resource("apps/v1", "Deployment")

    def ready() -> int:
        return sum(int((d.get("status") or {}).get("readyReplicas") or 0) for d in listed.list())

    eventually(ready, what=f"{pods} pods are ready", timeout=900, interval=1, accept=lambda count: count == pods + 1)
    cluster.client.discovery.forget()


def orders() -> dict[str, Order]:
    cut = {
        "apiVersion": "chaos-mesh.org/v1alpha1",
        "kind": "NetworkChaos",
        "metadata": {"name": "cut", "namespace": SPACE},
        "spec": {
            "action": "partition",
            "mode": "fixed-percent",
            "value": "5",
            "selector": {"namespaces": [SPACE], "labelSelectors": {"tier": "web"}},
        },
    }
    pods = {"namespaces": [SPACE], "selector": {"matchLabels": {"tier": "web"}}, "percent": "5%"}
    return {"pods of a K8shaExperiment": order("kill", "kill", pods=pods), "NetworkChaos of Chaos Mesh": as_order(cut)}


def main() -> None:
    """Prints the median, and the slowest, of nine preflights each, in seconds."""
    pods = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    with tempfile.TemporaryDirectory(prefix="k8sha-bench-") as base:
        registry = Registry()
        keeper = Keeper(replace(Settings.from_environment(), state=Path(base) / "state"), registry, lambda _: None)
        state = keeper.keep(from_options([f"bench=local,nodes={pods // 80 + 2}"], registry))["bench"]
        try:
            run = Run(id="bench", owner="bench", expires=0)
            cluster = Cluster(state, registry.get(state.provider), run=run, private=Path(base))
            furnish(cluster, pods)
            for name, wanted in orders().items():
                took = []
                for _ in range(9):
                    clock = _clock.Deadline(0)
                    plan = Experiment(cluster, wanted, engine_for(cluster, wanted)).preflight()
                    took.append(clock.spent)
                middle = statistics.median(took)
                met = "met" if middle <= LIMIT else "NOT met"
                chosen = f"{len(plan.targets)} of {pods} pods chosen"
                print(f"{name}: {middle:.2f} s (at most {max(took):.2f} s), {chosen}; {met}")
        finally:
            keeper.drop("bench")


if __name__ == "__main__":
    main()
