"""Ways into a pod that go through the API server: exec, attach, port-forward, proxy, logs, ephemeral containers.

The requests are sent without the headers that would upgrade the connection: the API server authorises first, so a
persona that may is answered with 400 or so, and nothing is ever run in the pod.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_k8sha.model import nonce
from pytest_k8sha.tenancy import pods
from pytest_k8sha.tenancy.access import pairs_of_tenants
from pytest_k8sha.tenancy.attempts import Attempt, forbid
from pytest_k8sha.tenancy.matrix import several
from pytest_k8sha.tenancy.secrets import owned

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_k8sha.checks.judge import Judge
    from pytest_k8sha.fleet.cluster import Cluster
    from pytest_k8sha.tenancy.tenant import Tenant

_UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "azhzaGEtazhzaGEtazhzYQ==",
    "Sec-WebSocket-Protocol": "v5.channel.k8s.io",
}
"""What a client sends that opens exec by GET. Such a request was authorised as *get* alone until Kubernetes 1.35, so
that read-only roles on "*" gave a shell; since then it needs *create* as well."""


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


def shells(pod: dict[str, Any]) -> list[Attempt]:
    """Each way that ends in a shell, or in as much as one."""
    name = pod["metadata"]["name"]
    base = f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{name}"
    command = {"command": "true", "stdout": "true"}
    return [
        *(attempt for attempt in attempts(pod) if attempt.path.endswith(("/exec", "/attach", "/ephemeralcontainers"))),
        Attempt(f"exec in {name} over WebSocket", "GET", f"{base}/exec", query=command, headers=_UPGRADE, dry=False),
        Attempt(
            f"attach to {name} over WebSocket",
            "GET",
            f"{base}/attach",
            query={"stdout": "true"},
            headers=_UPGRADE,
            dry=False,
        ),
    ]


def judge_own_pods(judge: Judge, cluster: Cluster, tenants: Sequence[Tenant]) -> None:
    """In each tenant a pod that mounts a secret; whoever is not the tenant's admin must not get into it."""
    owned(tenants)
    resource = cluster.resource("v1", "Pod")
    for tenant in tenants:
        secret = tenant.create_secret(nonce())["metadata"]["name"]
        name = ""
        try:
            volume = [{"name": "secret", "secret": {"secretName": secret}}]
            pod = resource.create(pods.pod(tenant, volumes=volume))
            name = pod["metadata"]["name"]
            for role, persona in tenant.personas.items():
                if role == "admin" and persona.may("get", resource="secrets", namespace=tenant.namespace)[0]:
                    judge.skip(persona, "the tenant's admin reads the secrets anyway")
                    continue
                for attempt in shells(pod):
                    subject = f"{persona} tries to {attempt.what}, which mounts the secret {secret}"
                    forbid(judge, persona, attempt, subject=subject)
        finally:
            if name:
                resource.delete(name, tenant.namespace, grace=0)
            cluster.resource("v1", "Secret").delete(secret, tenant.namespace)
