"""The ground of the trials: a cluster of three nodes in two zones that gives a lost node up soon, and set-ups on it."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pytest_k8sha._wait import eventually
from pytest_k8sha.checks import mutants
from pytest_k8sha.checks.judge import Judge
from pytest_k8sha.checks.mutants import Mutant
from pytest_k8sha.errors import RequestError
from pytest_k8sha.fleet.cluster import Cluster
from pytest_k8sha.kube import manifests
from pytest_k8sha.model import Finding, Verdict
from pytest_k8sha.providers.kind.engine import Engine
from pytest_k8sha.providers.kind.options import ZONE
from pytest_k8sha.settings import bundled
from pytest_k8sha.workloads.inventory import read
from pytest_k8sha.workloads.model import Inventory
from tests.kind import kind_clusters
from tests.kind.kind_clusters import Images

MUTANTS = mutants.load([bundled("fixtures", "mutants", "serving")])
SHOP = "shop"

KEPT = "K8SHA_TEST_SERVING"
"""Environment variable, for quick turns: a folder where ``python -m tests.kind.serving_rig FOLDER`` keeps the cluster
of the trials. It ends with that program."""

KUBELET = {"kind": "KubeletConfiguration", "apiVersion": "kubelet.config.k8s.io/v1beta1", "nodeLeaseDurationSeconds": 8}
"""A kubelet renews its lease after a quarter of this; the default of 40 s makes a lost node one for 50 s."""
CONTROLLERS = {
    "kind": "ClusterConfiguration",
    "apiVersion": "kubeadm.k8s.io/v1beta4",
    "controllerManager": {
        "extraArgs": [
            {"name": "node-monitor-period", "value": "1s"},
            {"name": "node-monitor-grace-period", "value": "12s"},
            # There is one of each. On a machine that is busy it would lose its lease, and end.
            {"name": "leader-elect", "value": "false"},
        ]
    },
    "scheduler": {"extraArgs": [{"name": "leader-elect", "value": "false"}]},
}
UNTAINTED = {"kind": "InitConfiguration", "apiVersion": "kubeadm.k8s.io/v1beta4", "nodeRegistration": {"taints": []}}


def configuration(folder: Path, nodes: int = 3) -> Path:
    """A file for `kind`: the control plane takes pods too; zones by turns."""
    made = [
        {
            "role": "worker" if index else "control-plane",
            "labels": {ZONE: f"zone-{'ab'[index % 2]}"},
            **({} if index else {"kubeadmConfigPatches": [json.dumps(UNTAINTED)]}),
        }
        for index in range(nodes)
    ]
    path = folder / "kind.json"
    patches = [json.dumps(KUBELET), json.dumps(CONTROLLERS)]
    path.write_text(
        json.dumps(
            {
                "kind": "Cluster",
                "apiVersion": "kind.x-k8s.io/v1alpha4",
                "nodes": made,
                "kubeadmConfigPatches": patches,
            }
        )
    )
    return path


@contextmanager
def cluster_in(base: Path, images: Images) -> Iterator[Cluster]:
    """The cluster of the trials: one that is kept, or one of its own."""
    kept = os.environ.get(KEPT)
    if kept:
        yield kind_clusters.opened(Path(kept))["avl"]
        return
    with kind_clusters.fleet(base, images.order("avl", config=configuration(base))) as fleet:
        yield fleet["avl"]


def objects(mutant: Mutant, images: Images, node: str) -> list[dict[str, Any]]:
    """A mutant's objects, in a namespace of its own name."""
    base = bundled("fixtures", "workloads") / f"{mutant.base}.yaml"
    values = {"image": images.probe, "shell": images.shell, "node": node}
    changed = mutant.changed(manifests.load([base], values) if base.exists() else [])
    touched = {change.name for change in mutant.patch}
    if touched:  # what a mutant leaves as it is, the good set-up has already
        changed = [o for o in changed if o["kind"] == "Namespace" or o["metadata"]["name"] in touched]
    return [manifests.fill(moved(o, mutant.name), values) for o in manifests.in_order(changed)]


def moved(manifest: dict[str, Any], space: str) -> dict[str, Any]:
    """An object of the example's namespace, or that namespace, in or as another one."""
    meta = dict(manifest["metadata"])
    if manifest["kind"] == "Namespace":
        meta["name"] = space
    elif meta.get("namespace") == SHOP:
        meta["namespace"] = space
    return {**manifest, "metadata": meta}


def whole(cluster: Cluster, namespaces: list[str], timeout: float = 180.0) -> Inventory:
    """The workloads of these namespaces, when all of their replicas are ready and the last old pod is gone."""

    def look() -> Inventory:
        cluster.snapshot.forget()
        return read(cluster, namespaces)

    def ready(found: Inventory) -> bool:
        return all(
            int((w.obj.get("status") or {}).get("readyReplicas") or 0) >= w.replicas for w in found.scalable
        ) and not any(p["metadata"].get("deletionTimestamp") for p in found.pods)

    return eventually(
        look,
        what=f"all is ready in {', '.join(namespaces)}",
        timeout=timeout,
        interval=0.5,
        accept=ready,
        describe=lambda found: ", ".join(
            f"{w}: {(w.obj.get('status') or {}).get('readyReplicas')} of {w.replicas}" for w in found.scalable
        ),
    )


def part(judge: Judge, space: str) -> list[Finding]:
    """What was found of one namespace's objects."""
    return [f for f in judge.findings if f" {space}/" in f.subject]


def verdict(found: list[Finding]) -> str:
    """The verdict of these findings, as a judge comes to it."""
    verdicts = {f.verdict for f in found}
    for one in (Verdict.FAILED, Verdict.INCONCLUSIVE, Verdict.PASSED):
        if one in verdicts:
            return str(one)
    return str(Verdict.NOT_EVALUATED)


def told(found: list[Finding]) -> str:
    return "\n".join(f"{f.verdict} {f.subject}: {f.seen} | {f.remedy}" for f in found)


@contextmanager
def forcing(cluster: Cluster, namespace: str) -> Iterator[None]:
    """An operator of the sort that cannot wait: pods that are being deleted are deleted by force, at once."""
    over = threading.Event()

    def force() -> None:
        pods = cluster.resource("v1", "Pod")
        while not over.wait(0.5):
            try:
                for pod in pods.list(namespace):
                    if pod["metadata"].get("deletionTimestamp"):
                        pods.delete(pod["metadata"]["name"], namespace, grace=0, uid=pod["metadata"]["uid"])
            except RequestError:
                continue

    thread = threading.Thread(target=force, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(timeout=30)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    os.environ.pop(KEPT, None)
    with cluster_in(folder, Images.of(Engine.find())):
        sys.stdout.write("made\n")
        sys.stdout.flush()
        signal.pause()
