"""The checks of the name server on real pods: a good set-up passes them, and each mutant fails those that it names."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pytest_k8sha._wait import eventually
from pytest_k8sha.chaos.serving import names, objectives
from pytest_k8sha.checks import mutants
from pytest_k8sha.checks.judge import Judge
from pytest_k8sha.fleet.cluster import Cluster
from pytest_k8sha.kube import manifests
from pytest_k8sha.settings import bundled
from tests.kind.serving_rig import told, verdict

MUTANTS = {
    name: one
    for name, one in mutants.load([bundled("fixtures", "mutants", "serving")]).items()
    if one.base == "name-server"
}
DEMAND = objectives.read([])["names"]
TRIALS: dict[str, Callable[[Cluster, Judge], None]] = {
    "AVL-DNS-001": names.judge_places,
    "AVL-DNS-002": lambda cluster, judge: names.lose_pod(cluster, judge, DEMAND),
}
SPREAD = {
    "topologyKey": "kubernetes.io/hostname",
    "maxSkew": 1,
    "whenUnsatisfiable": "DoNotSchedule",
    "labelSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
    "matchLabelKeys": ["pod-template-hash"],
}
GOOD = {"spec": {"replicas": 2, "template": {"spec": {"topologySpreadConstraints": [SPREAD], "nodeName": None}}}}


def set_up(cluster: Cluster, change: dict[str, Any]) -> None:
    """Changes the name server, and waits until all of its pods are those of the change."""
    deployments = cluster.resource("apps/v1", "Deployment")
    deployments.patch("coredns", {"spec": mutants.merge(GOOD, change)["spec"]}, names.SPACE)

    def over() -> bool:
        obj = deployments.get("coredns", names.SPACE)
        status, wanted = obj.get("status") or {}, int(obj["spec"]["replicas"])
        pods = cluster.resource("v1", "Pod").list(names.SPACE, labels=names.LABEL)
        return (
            status.get("observedGeneration") == obj["metadata"]["generation"]
            and status.get("updatedReplicas") == status.get("readyReplicas") == status.get("replicas") == wanted
            and len(pods) == wanted
        )

    eventually(over, what="the name server is set up", timeout=180, interval=0.5)


@pytest.fixture(scope="module")
def worker(kind_cluster: Cluster) -> Iterator[str]:
    """A node for a mutant; the name server is spread again at the end."""
    yield max(n["metadata"]["name"] for n in kind_cluster.resource("v1", "Node").list())
    set_up(kind_cluster, {})


def judged(cluster: Cluster, check: str) -> Judge:
    judge = Judge(rule=check)
    TRIALS[check](cluster, judge)
    return judge


def test_a_spread_name_server_passes(kind_cluster: Cluster, worker: str) -> None:
    """Two pods on two nodes: the loss of one is not felt."""
    set_up(kind_cluster, {})
    for check in TRIALS:
        judge = judged(kind_cluster, check)
        assert verdict(judge.findings) == "passed", told(judge.findings)


@pytest.mark.parametrize("name", sorted(MUTANTS))
def test_a_weak_name_server_fails(name: str, kind_cluster: Cluster, worker: str) -> None:
    """Each check that the mutant names fails on it, in the words that it asks for."""
    mutant = MUTANTS[name]
    (change,) = mutant.patch
    set_up(kind_cluster, manifests.fill(change.patch, {"node": worker}))
    text = ""
    for check in mutant.checks:
        judge = judged(kind_cluster, check)
        assert verdict(judge.findings) == "failed", told(judge.findings)
        text += told([f for f in judge.findings if str(f.verdict) == "failed"])
    assert [words for words in mutant.says if words not in text] == [], text
