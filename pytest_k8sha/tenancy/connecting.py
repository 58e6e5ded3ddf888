"""Ways into a pod that go through the API server: exec, attach, port-forward, proxy, logs, ephemeral containers.

The requests are sent without the headers that would upgrade the connection: the API server authorises first, so a
persona that may is answered with 400 or so, and nothing is ever run in the pod.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_k8sha.errors import RequestError
from pytest_k8sha.model import nonce
from pytest_k8sha.tenancy import grants, pods
from pytest_k8sha.tenancy.access import Pair, pairs_of_tenants
from pytest_k8sha.tenancy.attempts import Attempt, forbid, review
from pytest_k8sha.tenancy.matrix import several
from pytest_k8sha.tenancy.secrets import owned

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_k8sha.checks.judge import Judge
    from pytest_k8sha.fleet.cluster import Cluster
    from pytest_k8sha.tenancy.tenant import Tenant

REACHING = (
    Pair("create", "", "pods", "exec"),
    Pair("get", "", "pods", "exec"),
    Pair("create", "", "pods", "attach"),
    Pair("get", "", "pods", "attach"),
    Pair("patch", "", "pods", "ephemeralcontainers"),
    Pair("update", "", "pods", "ephemeralcontainers"),
)
"""What gives a shell, or as much as one. Over WebSocket exec and attach are authorised as *create* since Kubernetes
1.35 and as *get* before (KEP-4006's follow-up, `AuthorizePodWebsocketUpgradeCreatePermission`)."""


def attempts(pod: dict[str, Any]) -> list[Attempt]:
    """Each way into this pod."""
    name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
    base = f"/api/v1/namespaces/{namespace}/pods/{name}"
    image = pod["spec"]["containers"][0]["image"]
    extra = {"spec": {"ephemeralContainers": [{"name": "look", "image": image, "targetContainerName": "main"}]}}
    return [
        Attempt(f"exec in {name}", "POST", f"{base}/exec", query={"command": "true", "stdout": "true"}, dry=False),
        Attempt(f"attach to {name}", "POST", f"{base}/attach", query={"stdout": "true"}, dry=False),
        Attempt(f"forward a port of {name}", "POST", f"{base}/portforward", query={"ports": 80}, dry=False),
        Attempt(f"proxy to {name}", "GET", f"{base}/proxy/", dry=False),
        Attempt(f"read the log of {name}", "GET", f"{base}/log", query={"limitBytes": 1}),
        Attempt(f"put an ephemeral container into {name}", "PATCH", f"{base}/ephemeralcontainers", body=extra),
    ]


def judge_neighbours_pods(judge: Judge, cluster: Cluster, tenants: Sequence[Tenant]) -> None:
    """A real pod in each tenant, and everybody of every other tenant after it."""
    several(tenants)
    owned(tenants)
    resource = cluster.resource("v1", "Pod")
    made: dict[str, dict[str, Any]] = {}
    try:
        for tenant in tenants:
            made[tenant.name] = resource.create(pods.pod(tenant))
        for one, other in pairs_of_tenants(tenants):
            for attempt in attempts(made[other.name]):
                for persona in one.personas.values():
                    forbid(judge, persona, attempt)
    finally:
        for pod in made.values():
            resource.delete(pod["metadata"]["name"], pod["metadata"]["namespace"], grace=0)
    judge.control(len(made) == len(tenants), "each tenant runs a pod")


def judge_own_pods(judge: Judge, cluster: Cluster, tenants: Sequence[Tenant]) -> None:
    """In each tenant a pod that mounts a secret; whoever is not the tenant's admin must not get into it."""
    owned(tenants)
    resource = cluster.resource("v1", "Pod")
    for tenant in tenants:
        secret = tenant.create_secret(nonce())["metadata"]["name"]
        name = ""
        try:
            volume = [{"name": "secret", "secret": {"secretName": secret}}]
            name = resource.create(pods.pod(tenant, volumes=volume))["metadata"]["name"]
            for role, persona in tenant.personas.items():
                reads = persona.may("get", resource="secrets", namespace=tenant.namespace)[0]
                if role == "admin" and reads:
                    judge.skip(persona, "the tenant's admin reads the secrets anyway")
                    continue
                for pair in REACHING:
                    may, reason = review(persona, pair, tenant.namespace)
                    subject = f"{persona}: {pair.verb} {pair.what} in {tenant.namespace}"
                    if may:
                        seen = f"reaches the secret {secret} that pod {name} mounts, and every other: {reason}"
                        judge.bad(subject, seen=seen, remedy=grants.remedy(reason))
                attempt = Attempt(
                    f"exec in {name}, which mounts a secret",
                    "POST",
                    f"/api/v1/namespaces/{tenant.namespace}/pods/{name}/exec",
                    query={"command": "true", "stdout": "true"},
                    dry=False,
                )
                forbid(judge, persona, attempt)
        except RequestError as error:
            judge.unsure(tenant, str(error))
        finally:
            if name:
                resource.delete(name, tenant.namespace, grace=0)
            cluster.resource("v1", "Secret").delete(secret, tenant.namespace)
