"""Nobody of a tenant becomes more than they are."""

from __future__ import annotations

from pytest_k8sha import Cluster, Judge, Tenant, check
from pytest_k8sha.tenancy import escalation

CONTROLS = ["NIST-800-53r5:AC-6", "SOC2:CC6.3", "ISO-27001:A.8.2", "PCI-4:7.2", "CIS-K8s:5.1"]


@check(
    "TEN-ESC-001",
    "Nobody of a tenant writes a role with more rights than their own",
    severity="critical",
    impact="rehearse",
    why="RBAC refuses a role that its author does not hold, unless the author may escalate; one verb turns a tenant "
    "into the cluster's administrator.",
    remedy='Remove the verbs escalate and "*" on roles and clusterroles.',
    controls=CONTROLS,
)
def test_nobody_writes_a_stronger_role(cluster: Cluster, tenants: list[Tenant], judge: Judge) -> None:
    escalation.judge_roles(judge, cluster, tenants)


@check(
    "TEN-ESC-002",
    "Nobody of a tenant binds a role that they do not hold",
    severity="critical",
    impact="rehearse",
    why="With bind on clusterroles a tenant gives itself cluster-admin, in its own namespace or everywhere.",
    remedy="Remove bind; where tenants must share their rights, allow bind on named roles only (resourceNames).",
    controls=CONTROLS,
)
def test_nobody_binds_a_stronger_role(cluster: Cluster, tenants: list[Tenant], judge: Judge) -> None:
    escalation.judge_bindings(judge, cluster, tenants)


@check(
    "TEN-ESC-003",
    "Nobody of a tenant acts as somebody else",
    severity="critical",
    impact="observe",
    why="To impersonate one group is enough: system:masters passes every authoriser, and the audit log shows the "
    "victim beside the thief at best.",
    remedy="Remove impersonate on users, groups, uids, userextras and serviceaccounts, and the verbs of constrained "
    "impersonation.",
    controls=CONTROLS,
)
def test_nobody_impersonates(tenants: list[Tenant], judge: Judge) -> None:
    escalation.judge_impersonation(judge, tenants)


@check(
    "TEN-ESC-004",
    "Nobody of a tenant gets a token of a neighbour's or a stronger service account",
    severity="critical",
    impact="exercise",
    why="A token is the account: whoever mints one has its rights, from anywhere, until it expires.",
    remedy="Remove create on serviceaccounts/token, or restrict it by resourceNames to accounts that hold no more than "
    "the tenant does.",
    controls=CONTROLS,
)
def test_nobody_mints_tokens(cluster: Cluster, tenants: list[Tenant], judge: Judge) -> None:
    escalation.judge_tokens(judge, cluster, tenants)


@check(
    "TEN-ESC-005",
    "Nobody of a tenant asks for, approves or signs client certificates",
    severity="critical",
    impact="rehearse",
    why="A client certificate cannot be revoked. Whoever approves one makes any user of any group, for as long as the "
    "signer allows.",
    remedy="Leave certificatesigningrequests, their approval and the verbs approve and sign on signers to the "
    "platform.",
    controls=CONTROLS,
)
def test_nobody_signs_certificates(cluster: Cluster, tenants: list[Tenant], judge: Judge) -> None:
    escalation.judge_certificates(judge, cluster, tenants)


@check(
    "TEN-ESC-006",
    "Nobody of a tenant reaches a kubelet",
    severity="critical",
    impact="observe",
    why="nodes/proxy runs commands in every pod of the node, of every tenant, past admission and audit; get alone is "
    "enough.",
    remedy="Remove nodes/proxy and the other subresources of nodes; for metrics give nodes/metrics to the monitoring "
    "account alone.",
    controls=CONTROLS,
)
def test_nobody_reaches_kubelets(cluster: Cluster, tenants: list[Tenant], judge: Judge) -> None:
    escalation.judge_nodes(judge, cluster, tenants)


@check(
    "TEN-ESC-007",
    "Nobody of a tenant changes webhooks, policies or the API itself",
    severity="critical",
    impact="rehearse",
    why="A webhook sees every object that passes, secrets included, and may change it; policies, CRDs, API services, "
    "flow schemas and priority classes decide over every tenant.",
    remedy="Give tenants no write access to these cluster-scoped kinds.",
    controls=CONTROLS,
)
def test_nobody_changes_the_machinery(cluster: Cluster, tenants: list[Tenant], judge: Judge) -> None:
    escalation.judge_machinery(judge, cluster, tenants)
