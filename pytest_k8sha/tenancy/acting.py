"""Acting as somebody of a tenant without making credentials: by impersonation, or by a kubeconfig of theirs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_k8sha.errors import EnvironmentFailure, K8shaError, RequestError
from pytest_k8sha.kube import kubeconfig
from pytest_k8sha.kube.client import Client

if TYPE_CHECKING:
    from pytest_k8sha.fleet.cluster import Cluster
    from pytest_k8sha.kube.kubeconfig import Context
    from pytest_k8sha.tenancy.tenant import Persona

REVIEW = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
_CA = ("certificate-authority-data", "certificate-authority")


def by_impersonation(cluster: Cluster, persona: Persona) -> Client:
    """The administrator, acting as the persona."""
    return cluster.client.impersonate(persona.user, persona.groups)


def by_kubeconfig(cluster: Cluster, path: str, context: str, persona: Persona) -> Client:
    """Whoever a context of a kubeconfig logs in as, under the ceiling of ``cluster``.

    Raises `EnvironmentFailure` when it cannot be proved that the context leads to this very cluster.
    """
    chosen = kubeconfig.load(path, context or None)
    client = Client(
        chosen.connector(cluster.private), guard=cluster.guard, private=cluster.private, who=persona.role,
        discovery=cluster.client.discovery,
    )  # fmt: skip
    if not _same(cluster, chosen, client):
        raise EnvironmentFailure(
            f"it cannot be proved that context {chosen.name} of {path} leads to cluster {cluster.name}: it names "
            "another server and another authority, and its kube-system cannot be compared",
            remedy="give both kubeconfigs the same server or certificate authority",
        )
    return client


def whoami(client: Client) -> tuple[str, tuple[str, ...]]:
    """The user and groups that the server takes the client's credentials for, by SelfSubjectReview, which is a
    question. Raises `ApiError` and `TransportError`."""
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    found = client.request("POST", REVIEW, body=body)["status"]["userInfo"]
    return str(found["username"]), tuple(found.get("groups") or ())


def problem(persona: Persona) -> str:
    """Why nobody can act as the persona; empty when the server takes the credentials for them."""
    try:
        seen, _ = whoami(persona.client)
    except K8shaError as error:
        return f"nobody can act as the {persona.role}: {error}"
    if seen != persona.user:
        return f"nobody can act as the {persona.role} {persona.user}: the server takes them for {seen}"
    return ""


def _same(cluster: Cluster, chosen: Context, client: Client) -> bool:
    own = kubeconfig.load(cluster.state.kubeconfig or None, cluster.state.context or None)
    if own.server == chosen.server:
        return True
    mine, theirs = ([c.config["clusters"][0]["cluster"].get(key) for key in _CA] for c in (own, chosen))
    if any(a and a == b for a, b in zip(mine, theirs, strict=True)):
        return True
    path = "/api/v1/namespaces/kube-system"
    try:
        return bool(client.get(path)["metadata"]["uid"] == cluster.client.get(path)["metadata"]["uid"])
    except RequestError:
        return False
