"""Secrets by name in a pod: the neighbour's, which must never come, and one's own, which always do."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_k8sha._wait import eventually
from pytest_k8sha.errors import WaitTimeout
from pytest_k8sha.model import nonce
from pytest_k8sha.tenancy import pods
from pytest_k8sha.tenancy.access import Pair, pairs_of_tenants
from pytest_k8sha.tenancy.attempts import Attempt, forbid, review, works
from pytest_k8sha.tenancy.escapes import stage
from pytest_k8sha.tenancy.matrix import several
from pytest_k8sha.tenancy.network.ground import is_ready
from pytest_k8sha.tenancy.podsecurity import author
from pytest_k8sha.tenancy.secrets import owned

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_k8sha.checks.judge import Judge
    from pytest_k8sha.fleet.cluster import Cluster
    from pytest_k8sha.tenancy.tenant import Persona, Tenant

PLACE = "/k8sha/secret"
KEY = "value"
DEADLINE = 60.0
"""Seconds for the kubelet to say what became of a mount; it tries for two minutes before it gives up."""

PULL = "kubernetes.io/dockerconfigjson"
PULL_KEY = ".dockerconfigjson"

MAKERS = (
    ("", "pods"),
    ("", "replicationcontrollers"),
    ("apps", "deployments"),
    ("apps", "statefulsets"),
    ("apps", "daemonsets"),
    ("apps", "replicasets"),
    ("batch", "jobs"),
    ("batch", "cronjobs"),
)
"""Kinds that make pods. Whoever creates one chooses the secrets that its pods mount."""


@dataclass(frozen=True)
class Mount:
    """One way in which a pod names a secret. ``spec`` goes into the pod, ``container`` into its container; ``path`` is
    where its value is inside the container then, empty for what is not seen there."""

    name: str
    spec: dict[str, Any]
    container: dict[str, Any]
    path: str


def ways(secret: str) -> list[Mount]:
    """Each field of a pod that takes the name of a secret, volume drivers apart."""
    mounted = {"volumeMounts": [{"name": "secret", "mountPath": PLACE, "readOnly": True}]}
    environ = "/proc/1/environ"

    def volume(source: dict[str, Any]) -> dict[str, Any]:
        return {"volumes": [{"name": "secret", **source}]}

    one = {"name": "SECRET", "valueFrom": {"secretKeyRef": {"name": secret, "key": KEY}}}
    return [
        Mount("a volume", volume({"secret": {"secretName": secret}}), mounted, f"{PLACE}/{KEY}"),
        Mount(
            "a projected volume",
            volume({"projected": {"sources": [{"secret": {"name": secret}}]}}),
            mounted,
            f"{PLACE}/{KEY}",
        ),
        Mount("an environment variable", {}, {"env": [one]}, environ),
        Mount("envFrom", {}, {"envFrom": [{"secretRef": {"name": secret}}]}, environ),
        Mount("imagePullSecrets", {"imagePullSecrets": [{"name": secret}]}, {}, ""),
    ]


def _secret(tenant: Tenant, value: str) -> dict[str, Any]:
    """A secret that every way can use: it holds credentials for a registry as well."""
    tenant.cluster.run.secrets.add(value)
    registry = {"auths": {"registry.example.com": {"auth": base64.b64encode(f"k8sha:{value}".encode()).decode()}}}
    body = {
        "metadata": {"name": nonce("theirs")},
        "type": PULL,
        "stringData": {KEY: value, PULL_KEY: json.dumps(registry)},
    }
    return tenant.cluster.resource("v1", "Secret").create(body, tenant.namespace)


def judge_named(judge: Judge, cluster: Cluster, tenants: Sequence[Tenant]) -> None:
    """In each tenant pods that name a secret of their own (the positive control), and the same pods with the name of
    one that only a neighbour has. The kubelet must say that there is none."""
    several(tenants)
    owned(tenants)
    image = stage.ensure_image(cluster)
    values = {tenant.name: nonce("value") for tenant in tenants}
    made = {tenant.name: _secret(tenant, values[tenant.name]) for tenant in tenants}
    try:
        for tenant in tenants:
            if not _own_come(judge, cluster, tenant, image, made[tenant.name]["metadata"]["name"], values[tenant.name]):
                return
        for one, other in pairs_of_tenants(tenants):
            _judge_pair(judge, cluster, one, other, image, made[other.name]["metadata"]["name"], values[other.name])
    finally:
        for secret in made.values():
            cluster.resource("v1", "Secret").delete(secret["metadata"]["name"], secret["metadata"]["namespace"])


def _bodies(tenant: Tenant, image: str, secret: str) -> list[tuple[Mount, dict[str, Any]]]:
    return [(way, stage.pod(tenant, image, container=way.container, **way.spec)) for way in ways(secret)]


def _own_come(judge: Judge, cluster: Cluster, tenant: Tenant, image: str, secret: str, value: str) -> bool:
    every = _bodies(tenant, image, secret)
    with stage.running(cluster, [body for _, body in every]) as made:
        found = []
        for (way, _), pod in zip(every, made, strict=True):
            if way.path:
                held = value in (stage.read(cluster.client, pod, way.path) or "")
            else:
                held = not _refusal(cluster, pod, secret)
            found.append(judge.control(held, f"a pod of {tenant} gets its own secret by {way.name}"))
    return all(found)


def _judge_pair(
    judge: Judge, cluster: Cluster, one: Tenant, other: Tenant, image: str, secret: str, value: str
) -> None:
    made: list[tuple[Mount, dict[str, Any]]] = []
    client = author(one)
    try:
        made.extend((way, stage.create(client, body)) for way, body in _bodies(one, image, secret))
        for way, pod in made:
            subject = f"a pod of {one} that names secret {secret} of {other} by {way.name}"
            _judge_one(judge, cluster, pod, way, subject, secret, value)
        copy = cluster.resource("v1", "Secret").find(secret, one.namespace)
        judge.that(
            copy is None,
            f"secret {secret} of {other} in {one.namespace}",
            seen="there is none of that name" if copy is None else "a copy of it is there",
            remedy="take the namespace out of what copies secrets between namespaces",
        )
    finally:
        stage.remove(cluster, [pod for _, pod in made])


def _judge_one(
    judge: Judge, cluster: Cluster, pod: dict[str, Any], way: Mount, subject: str, secret: str, value: str
) -> None:
    resource, meta = cluster.resource("v1", "Pod"), pod["metadata"]

    def outcome() -> str:
        refusal = _refusal(cluster, resource.get(meta["name"], meta["namespace"]), secret)
        if refusal:
            return refusal
        now = resource.get(meta["name"], meta["namespace"])
        return "started" if stage.started(now) and (way.path or is_ready(now)) else ""

    try:
        told = eventually(outcome, what=f"the kubelet has looked for secret {secret}", timeout=DEADLINE, interval=0.2)
    except WaitTimeout as error:
        judge.unsure(subject, str(error))
        return
    if told != "started":
        judge.ok(subject, f"the kubelet: {told}")
    elif not way.path:
        judge.unsure(subject, "the pod started, and the kubelet did not say whether there is such a secret")
    elif value in (stage.read(cluster.client, pod, way.path) or ""):
        judge.bad(subject, seen="the pod runs and has the value of the neighbour's secret")
    else:
        judge.unsure(subject, "the pod runs, without the value of the neighbour's secret")


def _refusal(cluster: Cluster, pod: dict[str, Any], secret: str) -> str:
    """In which words the kubelet said that there is no such secret; empty when it did not."""
    told = [str(event.get("message", "")) for event in stage.events(cluster, pod)]
    states = [status.get("state") or {} for status in pod.get("status", {}).get("containerStatuses") or []]
    told += [str((state.get("waiting") or {}).get("message", "")) for state in states]
    missing = (f'secret "{secret}" not found', f"image pull secrets ({secret})")
    return next((text[:200] for text in told if any(words in text for words in missing)), "")


# --- who may do that at home -------------------------------------------------------------------------------------


def judge_makers(judge: Judge, cluster: Cluster, tenants: Sequence[Tenant]) -> None:
    """Who gets every secret of a namespace by making pods in it. A table tells of all; it is a breach for those who
    are there to view."""
    rows = []
    for tenant in tenants:
        mounting = pods.pod(tenant, volumes=[{"name": "secret", "secret": {"secretName": nonce("any")}}])
        path = f"/api/v1/namespaces/{tenant.namespace}/pods"
        attempt = Attempt("run a pod that mounts a secret", "POST", path, body=mounting)
        if not works(judge, cluster.client, attempt):
            return
        for role, persona in tenant.personas.items():
            ways_of = [resource for group, resource in MAKERS if _may(persona, group, resource, tenant.namespace)]
            reads = review(persona, Pair("get", "", "secrets"), tenant.namespace)[0]
            rows.append(
                {
                    "tenant": tenant.name,
                    "who": str(persona),
                    "reads secrets": "yes" if reads else "no",
                    "makes pods by": ", ".join(ways_of) or "nothing",
                    "gets them by a pod": "yes" if ways_of else "no",
                }
            )
            if "view" not in role:
                continue
            forbid(judge, persona, attempt)
            for resource in ways_of:
                judge.bad(
                    f"{persona} in {tenant.namespace}",
                    seen=f"may create {resource}, and so gets every secret of the namespace by a pod that mounts it",
                    remedy=f"take create on {resource} from who is there to view",
                )
    judge.table("secrets by way of pods", rows)


def _may(persona: Persona, group: str, resource: str, namespace: str) -> bool:
    return review(persona, Pair("create", group, resource), namespace)[0]
