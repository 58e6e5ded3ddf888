"""Nodes are cordoned, drained and lost while traffic goes on. Each is taken away once, for all checks of this file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_k8sha import Cluster, Judge, check
from pytest_k8sha.chaos.serving import draining, lost
from pytest_k8sha.workloads.model import Inventory  # noqa: TC001 - pytest shows it

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pytest_k8sha.chaos.serving.draining import Drained
    from pytest_k8sha.chaos.serving.lost import Lost
    from pytest_k8sha.chaos.serving.objectives import Demand

RECOVERY = ["SOC2:A1.2", "SOC2:A1.3", "ISO-27001:A.8.14", "ISO-27001:A.5.30", "NIST-800-53r5:CP-4", "DORA:11"]
REAL = ["nodes:real", "nodes>=2"]


@pytest.fixture(scope="module")
def drained(cluster: Cluster, look_again: Callable[[Cluster], Inventory], demands: Mapping[str, Demand]) -> Drained:
    """One node is drained under traffic, and takes pods again."""
    return draining.drain(cluster, look_again(cluster), demands["drain"])


@pytest.fixture(scope="module")
def without_kubelet(
    cluster: Cluster, look_again: Callable[[Cluster], Inventory], demands: Mapping[str, Demand]
) -> Lost:
    """One node loses its kubelet, then its power, and gets both back."""
    return lost.kubelet(cluster, look_again(cluster), demands["kubelet"])


@check(
    "AVL-NOD-002",
    "No new pod lands on a cordoned node",
    severity="medium",
    impact="disrupt",
    why="A node that is being repaired or drained must not be filled again behind one's back.",
    remedy="Let the scheduler place pods; take tolerations of node.kubernetes.io/unschedulable away.",
    controls=RECOVERY,
    requires=["nodes>=2"],
)
def test_a_cordon_holds(cluster: Cluster, namespace: str, present: Inventory, judge: Judge) -> None:
    draining.cordon(cluster, judge, namespace, present)


@check(
    "AVL-NOD-003",
    "A drain ends in its window, budgets kept, and every workload is whole elsewhere",
    severity="high",
    impact="disrupt",
    why="A drain that does not end stops every upgrade of nodes; one that is forced breaks what budgets promise.",
    remedy="See which budget blocks, and why replacements do not start; the finding names both.",
    controls=RECOVERY,
    requires=REAL,
)
def test_a_drain_ends(drained: Drained, judge: Judge) -> None:
    draining.judge_drain(judge, drained)


@check(
    "AVL-SRV-002",
    "Evictions lose no request",
    severity="high",
    impact="disrupt",
    why="Nodes are drained at every upgrade; whoever loses requests then loses them often.",
    remedy="Give pods a preStop and a grace in which their last requests end, and two replicas or more.",
    controls=RECOVERY,
    requires=REAL,
)
def test_evictions_lose_no_request(drained: Drained, judge: Judge) -> None:
    drained.traffic.judge(judge)


@check(
    "AVL-STS-002",
    "No two pods of one name run, and a node that is declared lost frees its names with their claims",
    severity="critical",
    impact="disrupt",
    why="Two pods of one name write to what each takes for its own: a database is then two, and neither is right.",
    remedy="Never force the deletion of pods on a node that may still run; taint it out-of-service when it is off.",
    controls=RECOVERY,
    requires=[*REAL, "faults:kubelet", "faults:heartbeat"],
)
def test_a_name_is_one_pod(without_kubelet: Lost, judge: Judge) -> None:
    lost.judge_names(judge, without_kubelet)
