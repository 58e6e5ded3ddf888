"""Pods that reach beyond their container are refused, field by field, wherever the field hides."""

from __future__ import annotations

from pytest_k8sha import Cluster, Judge, Tenant, check
from pytest_k8sha.tenancy import pods, podsecurity

CONTROLS = ["NIST-800-53r5:CM-7", "NIST-800-53r5:SC-39", "SOC2:CC6.8", "ISO-27001:A.8.9", "PCI-4:2.2", "CIS-K8s:5.2"]


@check(
    "TEN-POD-001",
    "A pod with any field that the baseline forbids is refused",
    severity="critical",
    impact="rehearse",
    promises=["pod-security"],
    why="Each of these fields alone is a way to the node, and from the node to every tenant on it.",
    remedy="Label the tenant's namespaces pod-security.kubernetes.io/enforce=baseline at least.",
    controls=CONTROLS,
)
def test_baseline_fields_are_refused(cluster: Cluster, tenants: list[Tenant], judge: Judge) -> None:
    podsecurity.judge_fields(judge, cluster, tenants, pods.BASELINE, (pods.CONTAINER,))


@check(
    "TEN-POD-002",
    "The same fields are refused in init containers and sidecars",
    severity="critical",
    impact="rehearse",
    promises=["pod-security"],
    why="Policies that were written by hand look at spec.containers, and an init container runs first.",
    remedy="Enforce Pod Security by namespace label; in a policy of your own, look at initContainers as well.",
    controls=CONTROLS,
)
def test_baseline_fields_are_refused_in_init_containers(cluster: Cluster, tenants: list[Tenant], judge: Judge) -> None:
    podsecurity.judge_fields(judge, cluster, tenants, pods.BASELINE, (pods.INIT, pods.SIDECAR))


@check(
    "TEN-POD-003",
    "The same fields are refused in ephemeral containers",
    severity="critical",
    impact="exercise",
    promises=["pod-security"],
    why="kubectl debug adds a container to a running pod by a subresource of its own, which policies on pods do not "
    "see unless they name it.",
    remedy="Enforce Pod Security by namespace label; in a policy of your own, match pods/ephemeralcontainers.",
    controls=CONTROLS,
)
def test_fields_are_refused_in_ephemeral_containers(cluster: Cluster, tenants: list[Tenant], judge: Judge) -> None:
    podsecurity.judge_ephemeral(judge, cluster, tenants)


@check(
    "TEN-POD-004",
    "A pod that does not give up every privilege is refused",
    severity="high",
    impact="rehearse",
    promises=["pod-security"],
    why="Root in a container, or a way to gain privileges, is half of every escape from it.",
    remedy="Label the tenant's namespaces pod-security.kubernetes.io/enforce=restricted.",
    controls=CONTROLS,
)
def test_restricted_fields_are_refused(cluster: Cluster, tenants: list[Tenant], judge: Judge) -> None:
    podsecurity.judge_restricted(judge, cluster, tenants)


@check(
    "TEN-POD-005",
    "No forbidden pod appears by way of a Deployment",
    severity="critical",
    impact="exercise",
    promises=["pod-security"],
    why="Pod Security judges pods, and tenants write Deployments: what counts is that no pod comes of them.",
    remedy="Label the tenant's namespaces pod-security.kubernetes.io/enforce=baseline at least, and exempt no "
    "controller.",
    controls=CONTROLS,
)
def test_no_forbidden_pod_by_a_deployment(cluster: Cluster, tenants: list[Tenant], judge: Judge) -> None:
    podsecurity.judge_deployment(judge, cluster, tenants)


@check(
    "TEN-POD-006",
    "Each namespace enforces, audits and warns of Pod Security by current rules",
    severity="high",
    impact="observe",
    promises=["pod-security"],
    why="A namespace that only warns lets everything in; one pinned to an old version lets in what newer releases "
    "learnt to refuse.",
    remedy="Set enforce, audit and warn, with version latest.",
    controls=CONTROLS,
)
def test_pod_security_labels(cluster: Cluster, tenants: list[Tenant], judge: Judge) -> None:
    podsecurity.judge_labels(judge, cluster, tenants)


@check(
    "TEN-POD-007",
    "No runtime class is a way around Pod Security",
    severity="critical",
    impact="rehearse",
    promises=["pod-security"],
    why="Pod Security may exempt a runtime class by name, for sandboxes that hold a privileged pod; whoever may use "
    "the class is exempt in every namespace.",
    remedy="Take the class out of exemptions.runtimeClasses in the PodSecurityConfiguration, or refuse it to tenants "
    "by a policy.",
    controls=CONTROLS,
)
def test_runtime_classes_are_not_exempt(cluster: Cluster, tenants: list[Tenant], judge: Judge) -> None:
    podsecurity.judge_runtimes(judge, cluster, tenants)
