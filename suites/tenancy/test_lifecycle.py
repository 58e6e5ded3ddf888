"""What tenants see of each other, and how they come and go."""

from __future__ import annotations

from pytest_k8sha import Cluster, Judge, Tenant, check
from pytest_k8sha.tenancy import creation, lifecycle, visibility


@check(
    "TEN-VIS-001",
    "A tenant sees nothing of the cluster and of its neighbours",
    severity="medium",
    impact="observe",
    why="Names of namespaces are names of customers; nodes, volumes, events and metrics tell what they run, and where.",
    remedy="Remove list on these kinds at cluster scope; give tenants their own namespaces by name.",
    controls=["NIST-800-53r5:AC-3", "NIST-800-53r5:AC-6", "SOC2:CC6.1", "ISO-27001:A.8.3", "PCI-4:7.2", "CIS-K8s:5.1"],
)
def test_tenants_see_only_their_own(cluster: Cluster, tenants: list[Tenant], judge: Judge) -> None:
    visibility.judge_visibility(judge, cluster, tenants)


@check(
    "TEN-VIS-002",
    "What tenants may read of the cluster names no other tenant",
    severity="low",
    impact="observe",
    why="A storage class called after a customer, or a parameter with the name of its secret, tells every tenant who "
    "else is there.",
    remedy="Name classes by what they are; keep a tenant's own classes from the others by resourceNames.",
    controls=["NIST-800-53r5:AC-3", "SOC2:CC6.1", "ISO-27001:A.8.3", "CIS-K8s:5.1"],
)
def test_what_is_shared_names_nobody(cluster: Cluster, tenants: list[Tenant], judge: Judge) -> None:
    visibility.judge_shared(judge, cluster, tenants)


@check(
    "TEN-VIS-003",
    "A refusal does not tell whether a neighbour exists",
    severity="low",
    impact="observe",
    why="Names of namespaces are names of customers, and can be guessed one by one where the answers differ.",
    remedy="Remove get on namespaces, other than on the tenant's own by resourceNames.",
    controls=["NIST-800-53r5:AC-3", "SOC2:CC6.1", "ISO-27001:A.8.3", "CIS-K8s:5.1"],
)
def test_neighbours_cannot_be_guessed(cluster: Cluster, tenants: list[Tenant], judge: Judge) -> None:
    visibility.judge_existence(judge, cluster, tenants)


@check(
    "TEN-LIF-001",
    "Nothing remains of a tenant that is deleted",
    severity="medium",
    impact="exercise",
    promises=["lifecycle"],
    why="A binding that outlives its tenant gives its rights to the next one of the same name; a stuck finalizer keeps "
    "data that was to be erased.",
    remedy="Keep what belongs to a tenant inside its namespaces, and retire controllers only after their finalizers.",
    controls=["NIST-800-53r5:AC-2", "SOC2:CC6.2", "ISO-27001:A.5.15", "PCI-4:7.2"],
)
def test_deletion_cascades(cluster: Cluster, tenants: list[Tenant], judge: Judge) -> None:
    lifecycle.judge_cascade(judge, cluster, tenants)


@check(
    "TEN-LIF-002",
    "Each namespace of a tenant is made complete",
    severity="high",
    impact="observe",
    why="A namespace is open until quota, limits, network policy and bindings are in it; one that was forgotten stays "
    "open.",
    remedy="Make a tenant's namespaces from one template that holds all of them.",
    controls=["NIST-800-53r5:AC-4", "NIST-800-53r5:CM-6", "SOC2:CC6.6", "ISO-27001:A.8.9", "PCI-4:A1.1", "CIS-K8s:5.3"],
)
def test_namespaces_are_complete(cluster: Cluster, tenants: list[Tenant], judge: Judge) -> None:
    lifecycle.judge_complete(judge, cluster, tenants)


@check(
    "TEN-LIF-003",
    "A tenant is complete before anybody may act in it, and before it is reported ready",
    severity="high",
    impact="exercise",
    promises=["lifecycle"],
    why="Between the first binding and the last policy a namespace has neither bounds nor walls; what is put there "
    "then stays.",
    remedy="Make quota, limits and network policies first, bindings last, and report a tenant ready after all of them.",
    controls=["NIST-800-53r5:AC-2", "NIST-800-53r5:CM-6", "SOC2:CC6.2", "ISO-27001:A.8.9", "PCI-4:A1.1"],
)
def test_tenants_are_complete_before_they_are_ready(cluster: Cluster, tenants: list[Tenant], judge: Judge) -> None:
    creation.judge_ready(judge, cluster, tenants)


@check(
    "TEN-LIF-004",
    "A tenant that is made anew under an old name holds no old rights",
    severity="high",
    impact="exercise",
    promises=["lifecycle"],
    why="RBAC knows names alone: a binding that was forgotten, often in another namespace, waits for the next tenant "
    "that is called the same.",
    remedy="Delete every binding of a tenant with the tenant, wherever it is; give no name a second time.",
    controls=["NIST-800-53r5:AC-2", "NIST-800-53r5:AC-6", "SOC2:CC6.2", "ISO-27001:A.5.18", "PCI-4:7.2"],
)
def test_old_names_hold_no_old_rights(cluster: Cluster, tenants: list[Tenant], judge: Judge) -> None:
    creation.judge_old_rights(judge, cluster, tenants)


@check(
    "TEN-LIF-005",
    "Tenants that are made at the same time do not mix",
    severity="critical",
    impact="exercise",
    promises=["lifecycle"],
    why="Whoever makes tenants in a hurry, by a controller with shared state or a script with shared names, gives one "
    "tenant's people the other one's namespace.",
    remedy="Let whoever makes tenants keep nothing in common between two; bind people and groups of one tenant alone.",
    controls=["NIST-800-53r5:AC-3", "NIST-800-53r5:AC-6", "SOC2:CC6.1", "ISO-27001:A.5.15", "PCI-4:7.2", "CIS-K8s:5.1"],
)
def test_tenants_made_together_do_not_mix(cluster: Cluster, tenants: list[Tenant], judge: Judge) -> None:
    creation.judge_together(judge, cluster, tenants)
