"""Kubelets, from inside a pod."""

from __future__ import annotations

from pytest_k8sha import Cluster, Judge, Tenant, check
from pytest_k8sha.tenancy.escapes import kubelet


@check(
    "TEN-POV-002",
    "No kubelet answers a pod without credentials",
    severity="high",
    impact="exercise",
    why="The read-only port tells every pod of the node, with its environment, to whoever asks; and no network policy "
    "comes between a pod and its own node.",
    remedy="Set readOnlyPort: 0 in the kubelet's configuration.",
    controls=[
        "NIST-800-53r5:AC-3",
        "NIST-800-53r5:SC-7",
        "SOC2:CC6.6",
        "ISO-27001:A.8.22",
        "PCI-4:2.2",
        "CIS-K8s:4.2.4",
    ],
    requires=["nodes:real"],
)
def test_kubelets_keep_to_themselves(cluster: Cluster, tenants: list[Tenant], judge: Judge) -> None:
    kubelet.judge_read_only(judge, cluster, tenants)
