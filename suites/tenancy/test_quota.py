"""What a tenant may use is bounded, in all and for each object."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_k8sha import Cluster, Judge, Tenant, check
from pytest_k8sha.tenancy import limits, quota

if TYPE_CHECKING:
    from pytest_k8sha.plugin.options import Options

CONTROLS = ["NIST-800-53r5:SC-5", "NIST-800-53r5:SC-6", "SOC2:A1.1", "ISO-27001:A.8.6", "DORA:7"]


@check(
    "TEN-QUO-001",
    "CPU and memory beyond the quota are refused, by the name of the quota",
    severity="high",
    impact="rehearse",
    promises=["quota"],
    why="A tenant without a bound on requests and limits takes the nodes from its neighbours, by mistake or not.",
    remedy="Bound requests.cpu, requests.memory, limits.cpu and limits.memory in a ResourceQuota without scopes.",
    controls=CONTROLS,
)
def test_compute_is_bounded(cluster: Cluster, tenants: list[Tenant], judge: Judge) -> None:
    quota.judge_compute(judge, cluster, tenants)


@check(
    "TEN-QUO-002",
    "One object more than the quota allows is refused, by the name of the quota",
    severity="medium",
    impact="exercise",
    promises=["quota"],
    why="A quota that is written and not enforced is found out when the cluster is full. Only the object too many "
    "shows it.",
    remedy="Look whether the ResourceQuota admission plugin is on, and whether the resource is spelled as the API "
    "server counts it (count/deployments.apps).",
    controls=CONTROLS,
)
def test_objects_are_bounded(cluster: Cluster, tenants: list[Tenant], judge: Judge) -> None:
    quota.judge_objects(judge, cluster, tenants)


@check(
    "TEN-QUO-003",
    "Whatever a tenant takes from all has a quota",
    severity="high",
    impact="observe",
    promises=["quota"],
    why="Load balancers cost money, node ports are few, volumes fill the storage: what no quota names is unbounded.",
    remedy="Name pods, compute, claims, storage, load balancers and node ports in ResourceQuotas without scopes.",
    controls=CONTROLS,
)
def test_everything_shared_has_a_quota(cluster: Cluster, tenants: list[Tenant], judge: Judge) -> None:
    quota.judge_bounded(judge, cluster, tenants)


@check(
    "TEN-QUO-004",
    "High priority is bounded for each tenant",
    severity="high",
    impact="rehearse",
    promises=["quota"],
    why="A pod of a higher class evicts the neighbours' pods when the cluster is full. Without a quota of its own any "
    "tenant may use any class, system-cluster-critical included.",
    remedy="Add a ResourceQuota with a scopeSelector for each PriorityClass; set pods to 0 where a tenant must not use "
    "it.",
    controls=CONTROLS,
)
def test_priority_is_bounded(cluster: Cluster, tenants: list[Tenant], judge: Judge) -> None:
    quota.judge_priorities(judge, cluster, tenants)


@check(
    "TEN-QUO-005",
    "No quota is nearly full",
    severity="medium",
    impact="observe",
    promises=["quota"],
    why="At 90 % the surge of a rolling update is refused, and the update hangs half-way.",
    remedy="Raise the quota or clean up; from 80 % on the report warns (--k8sha-quota sets both).",
    controls=CONTROLS,
)
def test_quotas_have_room(cluster: Cluster, tenants: list[Tenant], judge: Judge, k8sha_options: Options) -> None:
    quota.judge_usage(judge, cluster, tenants, k8sha_options.thresholds, k8sha_options.prices)


@check(
    "TEN-LIM-001",
    "A container that asks for nothing gets requests and limits",
    severity="medium",
    impact="rehearse",
    promises=["limits"],
    why="Without requests the scheduler packs blindly and the pod is the first to be evicted; without limits it takes "
    "the node.",
    remedy="Set default and defaultRequest for cpu and memory in a LimitRange of type Container.",
    controls=CONTROLS,
)
def test_defaults_are_filled_in(cluster: Cluster, tenants: list[Tenant], judge: Judge) -> None:
    limits.judge_defaults(judge, cluster, tenants)


@check(
    "TEN-LIM-002",
    "A container that is too small, too large or out of proportion is refused",
    severity="medium",
    impact="rehearse",
    promises=["limits"],
    why="One container as large as a node cannot be placed; a limit far above its request overcommits the node for "
    "everybody on it.",
    remedy="Set min, max and maxLimitRequestRatio for cpu and memory in a LimitRange of type Container.",
    controls=CONTROLS,
)
def test_containers_are_bounded(cluster: Cluster, tenants: list[Tenant], judge: Judge) -> None:
    limits.judge_containers(judge, cluster, tenants)


@check(
    "TEN-LIM-003",
    "A volume claim that is too small or too large is refused",
    severity="medium",
    impact="rehearse",
    promises=["limits"],
    why="One claim of the whole quota leaves nothing for the tenant's other volumes, and may fill the storage pool.",
    remedy="Set min and max of storage in a LimitRange of type PersistentVolumeClaim.",
    controls=CONTROLS,
)
def test_claims_are_bounded(cluster: Cluster, tenants: list[Tenant], judge: Judge) -> None:
    limits.judge_claims(judge, cluster, tenants)
