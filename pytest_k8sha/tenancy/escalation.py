"""Ways to become more than one is: granting, binding, impersonating, minting tokens, signing, reaching nodes, and
putting oneself in the way of every request."""

from __future__ import annotations

import base64
from functools import cache
from typing import TYPE_CHECKING, Any

from pytest_k8sha.checks.denial import ADMISSION, ESCALATION, RBAC
from pytest_k8sha.model import Impact, nonce
from pytest_k8sha.tenancy.access import Pair
from pytest_k8sha.tenancy.attempts import Attempt, forbid, forbid_right, forbid_rights, works
from pytest_k8sha.tenancy.secrets import owned

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pytest_k8sha.checks.judge import Judge
    from pytest_k8sha.fleet.cluster import Cluster
    from pytest_k8sha.tenancy.tenant import Persona, Tenant

RBAC_API = "rbac.authorization.k8s.io"
_RBAC_PATH = f"/apis/{RBAC_API}/v1"
REFUSED_BY = (RBAC, ESCALATION, *ADMISSION)
WRITING = ("create", "update", "patch", "delete")


def everybody(tenants: Sequence[Tenant]) -> Iterator[tuple[Tenant, Persona]]:
    for tenant in tenants:
        for persona in tenant.personas.values():
            yield tenant, persona


# --- escalate and bind -------------------------------------------------------------------------------------------


def judge_roles(judge: Judge, cluster: Cluster, tenants: Sequence[Tenant]) -> None:
    """Everybody tries to write a role with every right there is. RBAC's own check against escalation runs before the
    object is stored, and so in a rehearsal too."""
    for tenant, persona in everybody(tenants):
        own = _role("Role", tenant.namespace)
        if not works(judge, cluster.client, own):
            return
        for attempt in (own, _role("ClusterRole")):
            forbid(judge, persona, attempt, by=REFUSED_BY)
        for resource in ("roles", "clusterroles"):
            forbid_right(judge, persona, Pair("escalate", RBAC_API, resource), tenant.namespace)


def judge_bindings(judge: Judge, cluster: Cluster, tenants: Sequence[Tenant]) -> None:
    """Everybody tries to bind cluster-admin to themselves: at home, next door, in kube-system and everywhere."""
    for tenant, persona in everybody(tenants):
        others = [other.namespace for other in tenants if other is not tenant]
        places = [tenant.namespace, *others, "kube-system"]
        if not works(judge, cluster.client, _binding(persona, tenant.namespace)):
            return
        for place in (*places, ""):
            forbid(judge, persona, _binding(persona, place), by=REFUSED_BY)
        for resource in ("roles", "clusterroles"):
            forbid_right(judge, persona, Pair("bind", RBAC_API, resource), tenant.namespace)


def _role(kind: str, namespace: str = "") -> Attempt:
    where = f"/namespaces/{namespace}" if namespace else ""
    body = {
        "apiVersion": f"{RBAC_API}/v1",
        "kind": kind,
        "metadata": {"name": nonce("everything")},
        "rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}],
    }
    what = f"write a {kind} with every right" + (f" in {namespace}" if namespace else "")
    return Attempt(what, "POST", f"{_RBAC_PATH}{where}/{kind.lower()}s", body=body)


def _binding(persona: Persona, namespace: str) -> Attempt:
    kind = "RoleBinding" if namespace else "ClusterRoleBinding"
    where = f"/namespaces/{namespace}" if namespace else ""
    body = {
        "apiVersion": f"{RBAC_API}/v1",
        "kind": kind,
        "metadata": {"name": nonce("everything")},
        "roleRef": {"apiGroup": RBAC_API, "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"apiGroup": RBAC_API, "kind": "User", "name": persona.user}],
    }
    what = f"bind cluster-admin to themselves in {namespace}" if namespace else "bind cluster-admin for every namespace"
    return Attempt(what, "POST", f"{_RBAC_PATH}{where}/{kind.lower()}s", body=body)


# --- impersonation -----------------------------------------------------------------------------------------------

AUTHENTICATION = "authentication.k8s.io"

IDENTITIES = (
    Pair("impersonate", "", "users"),
    Pair("impersonate", "", "groups"),
    Pair("impersonate", "", "groups", name="system:masters"),
    Pair("impersonate", "", "serviceaccounts"),
    Pair("impersonate", AUTHENTICATION, "uids"),
    Pair("impersonate", AUTHENTICATION, "userextras", "scopes"),
    # Constrained impersonation (KEP-5284) has verbs of its own.
    Pair("impersonate:user-info", AUTHENTICATION, "users"),
    Pair("impersonate:user-info", AUTHENTICATION, "groups"),
    Pair("impersonate:user-info", AUTHENTICATION, "uids"),
    Pair("impersonate:serviceaccount", AUTHENTICATION, "serviceaccounts"),
    Pair("impersonate:arbitrary-node", AUTHENTICATION, "nodes"),
)


def judge_impersonation(judge: Judge, tenants: Sequence[Tenant]) -> None:
    """By review for each sort of identity, since a request with a user and a group is refused for whichever comes
    first; then by requests with each of the headers."""
    accounts = [pair for pair in IDENTITIES if pair.resource == "serviceaccounts"]
    others = [pair for pair in IDENTITIES if pair.resource != "serviceaccounts"]
    forbid_rights(judge, ((p, t.namespace, accounts) for t, p in everybody(tenants)))
    forbid_rights(judge, ((p, "", others) for _, p in everybody(tenants)))
    for tenant, persona in everybody(tenants):
        other = next((t for t in tenants if t is not tenant), tenant)
        # A question about oneself: whoever gets an answer is somebody else by then.
        body = {"apiVersion": f"{AUTHENTICATION}/v1", "kind": "SelfSubjectReview"}
        path = f"/apis/{AUTHENTICATION}/v1/selfsubjectreviews"
        asked = Attempt("ask who they are", "POST", path, body=body, dry=False)
        if not works(judge, persona.client, asked, str(persona)):
            continue
        victim = next(iter(other.personas.values())).user
        account = f"system:serviceaccount:{other.namespace}:default"
        for what, headers in {
            f"act as the user {victim}": {"Impersonate-User": victim},
            f"act as the service account {account}": {"Impersonate-User": account},
            "join system:masters": {"Impersonate-User": persona.user, "Impersonate-Group": "system:masters"},
            "take a uid": {"Impersonate-User": persona.user, "Impersonate-Uid": "0"},
            "claim a scope": {"Impersonate-User": persona.user, "Impersonate-Extra-scopes": "all"},
        }.items():
            forbid(judge, persona, Attempt(what, "POST", path, body=body, headers=headers, dry=False))


# --- tokens, certificates ----------------------------------------------------------------------------------------

_TOKEN = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 600}}


def judge_tokens(judge: Judge, cluster: Cluster, tenants: Sequence[Tenant]) -> None:
    """A service account with more rights than anybody of the tenant is put into each tenant; nobody may have a token
    for it, nor for any account of a neighbour. The token is asked for as a rehearsal: the API server mints it all the
    same, and nothing is stored."""
    owned(tenants)
    accounts = cluster.resource("v1", "ServiceAccount")
    strong = {}
    try:
        for tenant in tenants:
            strong[tenant.name] = nonce("stronger")
            accounts.create({"metadata": {"name": strong[tenant.name]}}, tenant.namespace)
        for tenant, persona in everybody(tenants):
            if not works(judge, cluster.client, _token(tenant.namespace, strong[tenant.name])):
                return
            for other in tenants:
                names = [strong[tenant.name]] if other is tenant else ["default", strong[other.name]]
                for name in names:
                    forbid(judge, persona, _token(other.namespace, name))
    finally:
        for tenant in tenants:
            if tenant.name in strong:
                accounts.delete(strong[tenant.name], tenant.namespace)


def _token(namespace: str, name: str) -> Attempt:
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token"
    return Attempt(f"get a token of {namespace}/{name}", "POST", path, body=_TOKEN)


def judge_certificates(judge: Judge, cluster: Cluster, tenants: Sequence[Tenant]) -> None:
    """Nobody of a tenant asks for a client certificate, approves one or signs one."""
    group = "certificates.k8s.io"
    attempt = Attempt(
        "ask for a certificate of system:masters",
        "POST",
        f"/apis/{group}/v1/certificatesigningrequests",
        body={
            "apiVersion": f"{group}/v1",
            "kind": "CertificateSigningRequest",
            "metadata": {"name": nonce("csr")},
            "spec": {
                "request": _request(),
                "signerName": "kubernetes.io/kube-apiserver-client",
                "usages": ["client auth"],
            },
        },
    )
    if not works(judge, cluster.client, attempt):
        return
    signer = "kubernetes.io/kube-apiserver-client"
    pairs = (
        Pair("update", group, "certificatesigningrequests", "approval"),
        Pair("patch", group, "certificatesigningrequests", "approval"),
        Pair("update", group, "certificatesigningrequests", "status"),
        Pair("approve", group, "signers", name=signer),
        Pair("sign", group, "signers", name=signer),
    )
    for _, persona in everybody(tenants):
        forbid(judge, persona, attempt)
    forbid_rights(judge, ((persona, "", pairs) for _, persona in everybody(tenants)))


@cache
def _request() -> str:
    from pytest_k8sha.kube.identity import signing_request

    # Not system:masters itself: an admission plugin refuses that group, whoever asks.
    return base64.b64encode(signing_request("k8sha-nobody", ("k8sha:nobodies",))[1].encode()).decode()


# --- nodes, and the machinery of the cluster ---------------------------------------------------------------------

NODE_PARTS = ("proxy", "log", "stats", "metrics", "configz", "healthz", "checkpoint", "pods", "status")


def judge_nodes(judge: Judge, cluster: Cluster, tenants: Sequence[Tenant]) -> None:
    """The kubelet's API by way of the API server: nodes/proxy is exec in every pod of every tenant, even for who may
    only *get* it. The request that confirms it names a node that does not exist."""
    more = {"proxy": ("get", "create"), "status": ("get", "patch", "update")}
    pairs = [Pair(verb, "", "nodes", part) for part in NODE_PARTS for verb in more.get(part, ("get",))]
    forbid_rights(judge, ((persona, "", pairs) for _, persona in everybody(tenants)))
    for _, persona in everybody(tenants):
        if cluster.ceiling >= Impact.DISRUPT:
            path = f"/api/v1/nodes/{nonce('none')}/proxy/pods"
            forbid(judge, persona, Attempt("reach a kubelet", "GET", path, dry=False))


MACHINERY = (
    ("admissionregistration.k8s.io", "mutatingwebhookconfigurations"),
    ("admissionregistration.k8s.io", "validatingwebhookconfigurations"),
    ("admissionregistration.k8s.io", "validatingadmissionpolicies"),
    ("admissionregistration.k8s.io", "validatingadmissionpolicybindings"),
    ("admissionregistration.k8s.io", "mutatingadmissionpolicies"),
    ("apiextensions.k8s.io", "customresourcedefinitions"),
    ("apiregistration.k8s.io", "apiservices"),
    ("flowcontrol.apiserver.k8s.io", "flowschemas"),
    ("flowcontrol.apiserver.k8s.io", "prioritylevelconfigurations"),
    ("scheduling.k8s.io", "priorityclasses"),
)


def judge_machinery(judge: Judge, cluster: Cluster, tenants: Sequence[Tenant]) -> None:
    """Webhooks see and change every request of every tenant; policies, CRDs, API services and flow schemas decide over
    all. Nobody of a tenant writes any of them."""
    attempt = Attempt(
        "register a webhook for every secret",
        "POST",
        "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations",
        body=_webhook(),
    )
    if not works(judge, cluster.client, attempt):
        return
    served = {(kind.group, kind.plural) for kind in cluster.kinds}
    pairs = [Pair(verb, *kind) for kind in MACHINERY if kind in served for verb in WRITING]
    for _, persona in everybody(tenants):
        forbid(judge, persona, attempt)
    forbid_rights(judge, ((persona, "", pairs) for _, persona in everybody(tenants)))


def _webhook() -> dict[str, Any]:
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["*"], "resources": ["secrets"]}
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": nonce("listener")},
        "webhooks": [
            {
                "name": "listener.example.com",
                "admissionReviewVersions": ["v1"],
                "clientConfig": {"url": "https://listener.example.com/"},
                "failurePolicy": "Ignore",
                "rules": [rule],
                "sideEffects": "None",
            }
        ],
    }
