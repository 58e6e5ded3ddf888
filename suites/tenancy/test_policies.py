"""What the cluster's admission policies refuse, on create and on update, and by whose name."""

from __future__ import annotations

from pytest_k8sha import Cluster, Judge, Tenant, check
from pytest_k8sha.tenancy import exemptions, failing, policies

CONTROLS = ["NIST-800-53r5:CM-6", "NIST-800-53r5:CM-7", "SOC2:CC6.8", "ISO-27001:A.8.9", "PCI-4:2.2", "CIS-K8s:5.5"]


@check(
    "TEN-POL-001",
    "Pods and workloads without the required labels are refused, by the policy's name",
    severity="medium",
    impact="rehearse",
    promises=["policies"],
    why="What has no tenant, environment and cost centre can be neither billed nor found in an incident.",
    remedy="Bind a policy that demands the labels, with validationActions [Deny], to every tenant namespace.",
    controls=CONTROLS,
)
def test_labels_are_required(cluster: Cluster, tenants: list[Tenant], judge: Judge) -> None:
    policies.judge_create(judge, cluster, tenants, "labels")


@check(
    "TEN-POL-002",
    "Images from registries that are not allowed are refused, by the policy's name",
    severity="high",
    impact="rehearse",
    promises=["policies"],
    why="An image from anywhere runs inside the cluster, unscanned. A prefix without a slash lets in a host whose name "
    "only begins like the right one.",
    remedy="Bind a policy over containers, initContainers and ephemeralContainers; end each allowed prefix with a "
    "slash.",
    controls=CONTROLS,
)
def test_registries_are_allowed_by_name(cluster: Cluster, tenants: list[Tenant], judge: Judge) -> None:
    policies.judge_create(judge, cluster, tenants, "registries")


@check(
    "TEN-POL-003",
    "Workloads with privileged containers are refused, by the policy's name",
    severity="high",
    impact="rehearse",
    promises=["policies"],
    why="Pod Security refuses the pods and lets the Deployment be, which then never gets any; and it does not see what "
    "a namespace without labels runs.",
    remedy="Bind a policy over the pod templates of workloads, initContainers included.",
    controls=CONTROLS,
)
def test_privileged_workloads_are_refused(cluster: Cluster, tenants: list[Tenant], judge: Judge) -> None:
    policies.judge_create(judge, cluster, tenants, "privileged")


@check(
    "TEN-POL-004",
    "An update that breaks a policy is refused, by the policy's name",
    severity="high",
    impact="exercise",
    promises=["policies"],
    why="A policy that matches CREATE alone is passed in two steps: make it right, then change it.",
    remedy="Match the operations CREATE and UPDATE in every policy.",
    controls=CONTROLS,
)
def test_updates_are_judged_as_well(cluster: Cluster, tenants: list[Tenant], judge: Judge) -> None:
    policies.judge_update(judge, cluster, tenants)


@check(
    "TEN-POL-005",
    "What a webhook or a policy cannot judge is refused, on create and on update",
    severity="high",
    impact="disrupt",
    promises=["policies"],
    why="Whoever can make the judge fail, by load or by an object that it does not understand, otherwise gets anything "
    "in; and a judge that is not asked about updates is passed in two steps.",
    remedy="Set failurePolicy: Fail and match CREATE and UPDATE; run webhooks with several replicas.",
    controls=CONTROLS,
)
def test_what_cannot_be_judged_is_refused(cluster: Cluster, tenants: list[Tenant], judge: Judge) -> None:
    failing.judge_failures(judge, cluster, tenants)


@check(
    "TEN-POL-006",
    "No label that a tenant can set takes its objects or its namespace out of a policy's sight",
    severity="high",
    impact="rehearse",
    promises=["policies"],
    why="A selector of objects exempts whatever carries a label, and the labels of an object are its author's; one of "
    "namespaces is safe only as long as tenants cannot relabel theirs.",
    remedy="Exempt by namespace and by user instead of by labels of objects, and leave namespaces to the platform.",
    controls=CONTROLS,
)
def test_no_label_exempts(cluster: Cluster, tenants: list[Tenant], judge: Judge) -> None:
    exemptions.judge_doors(judge, cluster, tenants)
