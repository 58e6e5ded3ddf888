"""A noisy neighbour on the same node."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_k8sha import Cluster, Judge, Tenant, check
from pytest_k8sha.tenancy.escapes import noise

if TYPE_CHECKING:
    from pytest_k8sha.plugin.options import Options

CONTROLS = ["NIST-800-53r5:SC-5", "NIST-800-53r5:SC-6", "SOC2:A1.1", "ISO-27001:A.8.6", "DORA:7"]
REAL = ["nodes:real"]


@check(
    "TEN-NOI-001",
    "A tenant's pod that burns CPU is held at its limit, and its neighbour is served in time",
    severity="high",
    impact="disrupt",
    promises=["limits"],
    why="A loop that runs away takes every CPU of the node that nobody else asks for at that moment, and the neighbour "
    "waits.",
    remedy="Give containers that ask for nothing a CPU limit by a LimitRange, and bound limits.cpu in the quota.",
    controls=CONTROLS,
    requires=REAL,
)
def test_burning_cpu_hurts_nobody_else(
    cluster: Cluster, tenants: list[Tenant], judge: Judge, k8sha_options: Options
) -> None:
    noise.judge_cpu(judge, cluster, tenants, slo=k8sha_options.slo)


@check(
    "TEN-NOI-002",
    "A tenant's pod that takes more memory than it may is killed, and nobody beside it",
    severity="high",
    impact="disrupt",
    promises=["limits"],
    why="Without a limit the node runs out of memory, and the kernel chooses whom it kills.",
    remedy="Give containers that ask for nothing a memory limit by a LimitRange, and bound limits.memory in the quota.",
    controls=CONTROLS,
    requires=REAL,
)
def test_taking_memory_hurts_nobody_else(cluster: Cluster, tenants: list[Tenant], judge: Judge) -> None:
    noise.judge_memory(judge, cluster, tenants)
