"""Who may do what: the access matrix, and requests that show whether the cluster keeps to its own reviews."""

from __future__ import annotations

from pytest_k8sha import Cluster, Judge, Tenant, check
from pytest_k8sha.tenancy import connecting, matrix, secrets

CONTROLS = ["NIST-800-53r5:AC-3", "NIST-800-53r5:AC-6", "SOC2:CC6.1", "ISO-27001:A.5.15", "PCI-4:7.2", "CIS-K8s:5.1"]


@check(
    "TEN-ACC-001",
    "Nobody of a tenant has any right in a neighbour's namespaces",
    severity="critical",
    impact="observe",
    why="One binding too many, often to a group, opens a tenant to its neighbour, and nothing in the tenant's own "
    "namespace shows it.",
    remedy="Bind roles inside the tenant's own namespaces and to its own groups only; no ClusterRoleBinding for "
    "tenants.",
    controls=CONTROLS,
)
def test_no_rights_in_neighbouring_namespaces(cluster: Cluster, tenants: list[Tenant], judge: Judge) -> None:
    matrix.judge_neighbours(judge, cluster, tenants)


@check(
    "TEN-ACC-002",
    "Nobody of a tenant has rights at cluster scope",
    severity="critical",
    impact="observe",
    why="Nodes, namespaces, volumes, roles and webhooks are everybody's: who may change one changes all tenants, and "
    "who may list them sees all tenants.",
    remedy="Give tenants Roles instead of ClusterRoleBindings; for what they must see of the cluster, a proxy such as "
    "Capsule's filters it.",
    controls=CONTROLS,
)
def test_no_rights_at_cluster_scope(cluster: Cluster, tenants: list[Tenant], judge: Judge) -> None:
    matrix.judge_cluster_scope(judge, cluster, tenants)


@check(
    "TEN-ACC-003",
    "Requests are decided as the access reviews say",
    severity="critical",
    impact="rehearse",
    why="Every audit of permissions rests on the reviews. Where the front door decides otherwise, by an authenticator "
    "that adds groups or a proxy that swaps identities, the audit is worth nothing.",
    remedy="Compare the groups that the authenticator really sets with those of the tenant's description, and look "
    "for a proxy or webhook in front of the API server.",
    controls=CONTROLS,
)
def test_requests_are_decided_as_reviews_say(tenants: list[Tenant], judge: Judge) -> None:
    matrix.judge_requests(judge, tenants)


@check(
    "TEN-ACC-004",
    "A tenant cannot read its neighbour's secrets",
    severity="critical",
    impact="exercise",
    why="A list or a watch carries the whole content of every secret, so that either is as good as get.",
    remedy="Remove get, list and watch on secrets alike; a rule without get still leaks by list.",
    controls=CONTROLS,
)
def test_neighbours_secrets_are_out_of_reach(cluster: Cluster, tenants: list[Tenant], judge: Judge) -> None:
    secrets.judge_neighbours(judge, cluster, tenants)


@check(
    "TEN-ACC-005",
    "A viewer cannot read the secrets of its own tenant",
    severity="high",
    impact="observe",
    why="Viewers are many, and a secret is a credential: who reads it acts with the rights of the program that owns "
    'it. A rule on "*" takes the secrets in.',
    remedy='Name the resources that viewers may read; never write resources: ["*"] in the core group.',
    controls=CONTROLS,
)
def test_viewers_cannot_read_secrets(tenants: list[Tenant], judge: Judge) -> None:
    secrets.judge_viewers(judge, tenants)


@check(
    "TEN-ACC-006",
    "Secrets that pods mount are not reached through exec",
    severity="high",
    impact="exercise",
    why="Whoever may exec, attach or add an ephemeral container reads every file of the pod, the mounted secrets and "
    "the service account's token among them, whatever the rules on secrets say. (Who may create pods can mount a "
    "secret as well; keep secrets that a developer must not have in a namespace of their own.)",
    remedy="Leave pods/exec, pods/attach and pods/ephemeralcontainers to the tenant's admin, who reads the secrets "
    "anyway.",
    controls=CONTROLS,
)
def test_mounted_secrets_are_not_reached_by_exec(cluster: Cluster, tenants: list[Tenant], judge: Judge) -> None:
    connecting.judge_own_pods(judge, cluster, tenants)


@check(
    "TEN-ACC-007",
    "A tenant cannot reach into its neighbour's pods",
    severity="critical",
    impact="exercise",
    why="exec, attach, port-forward, proxy, logs and ephemeral containers go through the API server, past every "
    "network policy.",
    remedy="Remove the pods subresources from roles that are bound beyond the tenant's own namespaces.",
    controls=CONTROLS,
)
def test_neighbours_pods_are_out_of_reach(cluster: Cluster, tenants: list[Tenant], judge: Judge) -> None:
    connecting.judge_neighbours_pods(judge, cluster, tenants)


@check(
    "TEN-ACC-008",
    "The default service account holds no rights",
    severity="high",
    impact="observe",
    why="Every pod that names no account runs as this one; a right that it holds is held by every program of the "
    "tenant, and by whoever breaks into one.",
    remedy="Bind roles to service accounts made for one workload each, never to default or system:serviceaccounts.",
    controls=CONTROLS,
)
def test_the_default_account_holds_no_rights(cluster: Cluster, tenants: list[Tenant], judge: Judge) -> None:
    matrix.judge_default_accounts(judge, cluster, tenants)
