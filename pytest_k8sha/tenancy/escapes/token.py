"""The token that a pod carries: read inside the pod, and replayed for whatever it must not open."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from pytest_k8sha.errors import RequestError
from pytest_k8sha.model import nonce
from pytest_k8sha.tenancy import pods
from pytest_k8sha.tenancy.attempts import Attempt, forbid, works
from pytest_k8sha.tenancy.escapes import stage
from pytest_k8sha.tenancy.matrix import several
from pytest_k8sha.tenancy.secrets import owned
from pytest_k8sha.tenancy.tenant import Persona

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_k8sha.checks.judge import Judge
    from pytest_k8sha.fleet.cluster import Cluster
    from pytest_k8sha.kube.client import Client
    from pytest_k8sha.tenancy.tenant import Tenant

TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount/token"  # noqa: S105 - a path
"""Where the kubelet puts it
(https://kubernetes.io/docs/concepts/security/service-accounts/#assign-to-pod)."""

DEFAULT = "default"


class Bearer(Persona):
    """Whoever holds the token of a pod. The token itself is kept in the client alone, and masked everywhere."""

    def __init__(self, cluster: Cluster, account: str, namespace: str, token: str) -> None:
        super().__init__(cluster, f"a pod as {account}", account=account, namespace=namespace)
        cluster.run.secrets.add(token)
        self._token = token

    @cached_property
    def client(self) -> Client:
        return self.cluster.client.with_token(self._token, who=self.user)


def accounts(tenant: Tenant) -> list[str]:
    """The default account and those that the tenant's programs run as."""
    return [DEFAULT, *(p.account for p in tenant.personas.values() if p.account)]


def everywhere() -> list[Attempt]:
    """What a stolen token is tried on first, at cluster scope."""
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
    body = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": nonce("token")},
        "roleRef": role,
    }
    bindings = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"
    one = {"limit": 1}
    return [
        *(
            Attempt(f"list the {plural} of the cluster", "GET", f"/api/v1/{plural}", query=one)
            for plural in ("secrets", "pods", "configmaps", "namespaces", "nodes", "persistentvolumes")
        ),
        Attempt("bind cluster-admin", "POST", bindings, body=body),
    ]


def within(namespace: str, pod: dict[str, Any]) -> list[Attempt]:
    """The same in one namespace; ``pod`` is one that may be made there."""
    base = f"/api/v1/namespaces/{namespace}"
    return [
        *(
            Attempt(f"list the {plural} of {namespace}", "GET", f"{base}/{plural}", query={"limit": 1})
            for plural in ("secrets", "pods", "configmaps", "services")
        ),
        Attempt(f"run a pod in {namespace}", "POST", f"{base}/pods", body=pod),
    ]


def judge_replay(judge: Judge, cluster: Cluster, tenants: Sequence[Tenant]) -> None:
    """Each account's token, out of a pod that mounts it, at cluster scope and at each neighbour; that of the default
    account at home as well, where it must hold nothing either."""
    several(tenants)
    owned(tenants)
    image = stage.ensure_image(cluster)
    homes = {tenant.name: within(tenant.namespace, pods.pod(tenant)) for tenant in tenants}
    wide = everywhere()
    for attempt in [*wide, *(a for attempts in homes.values() for a in attempts)]:
        if not works(judge, cluster.client, attempt):
            return
    who = [(tenant, account) for tenant in tenants for account in accounts(tenant)]
    wanted = [
        stage.pod(tenant, image, serviceAccountName=account, automountServiceAccountToken=True)
        for tenant, account in who
    ]
    with stage.running(cluster, wanted) as made:
        for (tenant, account), pod in zip(who, made, strict=True):
            token = stage.read(cluster.client, pod, TOKEN)
            if not judge.control(bool(token), f"a pod of {tenant} as {account} that asks for a token has one"):
                continue
            bearer = Bearer(cluster, account, tenant.namespace, token or "")
            if not judge.control(is_valid(bearer), f"the API server knows the token of a pod as {account}"):
                continue
            for attempt in wide:
                forbid(judge, bearer, attempt)
            for other in tenants:
                if other is not tenant or account == DEFAULT:
                    for attempt in homes[other.name]:
                        forbid(judge, bearer, attempt)


def is_valid(bearer: Bearer) -> bool:
    """Whether the API server takes the token for the account's: a refusal of a token that it does not know would prove
    nothing."""
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    try:
        answer = bearer.client.request("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", body=body)
    except RequestError:
        return False
    return bool(answer["status"]["userInfo"]["username"] == bearer.user)


def judge_asked(judge: Judge, cluster: Cluster, tenants: Sequence[Tenant]) -> None:
    """In each tenant, for each account, a pod that does not say whether it wants a token: it gets none. One that asks
    gets it, so that its absence means something."""
    owned(tenants)
    image = stage.ensure_image(cluster)
    who = [(tenant, account) for tenant in tenants for account in accounts(tenant)]
    silent = []
    for tenant, account in who:
        pod = stage.pod(tenant, image, serviceAccountName=account)
        del pod["spec"]["automountServiceAccountToken"]
        silent.append(pod)
    asking = [stage.pod(tenant, image, automountServiceAccountToken=True) for tenant in tenants]
    with stage.running(cluster, [*asking, *silent]) as made:
        for tenant, pod in zip(tenants, made, strict=False):
            cluster.run.secrets.add(found := stage.read(cluster.client, pod, TOKEN) or "")
            judge.control(bool(found), f"a pod of {tenant} that asks for a token has one")
        for (tenant, account), pod in zip(who, made[len(asking) :], strict=True):
            has = stage.read(cluster.client, pod, TOKEN)
            if has:
                cluster.run.secrets.add(has)
            judge.that(
                not has,
                f"a pod in {tenant.namespace} as {account} that does not ask for a token",
                seen=f"{TOKEN} is {'there' if has else 'not there'}",
                remedy=f"set automountServiceAccountToken: false on the service account {account}",
            )
