"""Admission webhooks that every write waits for. Read-only."""

from pytest_k8sha import Cluster, Judge, check
from pytest_k8sha.workloads import webhooks
from pytest_k8sha.workloads.model import report

REDUNDANCY = ["SOC2:A1.2", "ISO-27001:A.8.14", "NIST-800-53r5:CP-2", "NIST-800-53r5:SI-13", "DORA:7", "DORA:11"]


@check(
    "AVL-WBH-001",
    "Webhooks that fail closed outlive a node, and do not wait for themselves",
    severity="critical",
    impact="observe",
    why="While nobody answers for such a webhook nothing is written; one that judges its own pods never comes back.",
    remedy="Run two replicas on two nodes, and leave the webhook's own namespace out of its rules.",
    controls=REDUNDANCY,
)
def test_webhooks_outlive_a_node(cluster: Cluster, namespaces: list[str], judge: Judge) -> None:
    report(judge, webhooks.judged(webhooks.read(cluster, namespaces)))
