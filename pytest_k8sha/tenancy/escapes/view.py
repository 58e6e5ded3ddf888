"""What a pod sees of its node: processes that are not its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_k8sha.checks.denial import ADMISSION, RBAC, attribute
from pytest_k8sha.errors import ApiError, NotEvaluated, RequestError
from pytest_k8sha.tenancy.attempts import review
from pytest_k8sha.tenancy.escapes import stage
from pytest_k8sha.tenancy.podsecurity import author
from pytest_k8sha.tenancy.secrets import owned
from pytest_k8sha.tenancy.takeover import ENFORCE, metadata_attempts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_k8sha.checks.judge import Judge
    from pytest_k8sha.fleet.cluster import Cluster
    from pytest_k8sha.kube.client import Client
    from pytest_k8sha.tenancy.attempts import Attempt
    from pytest_k8sha.tenancy.tenant import Persona, Tenant

FIRST = "/proc/1/cmdline"
"""The command of process 1: the container's own, unless the pod shares the node's processes."""


def judge_processes(judge: Judge, cluster: Cluster, tenants: Sequence[Tenant]) -> None:
    """A right pod sees its own processes alone. Then each tenant asks for the node's: at once, and after everybody of
    it has tried to relabel the namespace for real."""
    owned(tenants)
    image = stage.ensure_image(cluster)
    with stage.running(cluster, [stage.pod(tenant, image) for tenant in tenants]) as made:
        for tenant, pod in zip(tenants, made, strict=True):
            first = _first(cluster, pod)
            judge.that(
                "pause" in first.split(), f"an ordinary pod of {tenant}", seen=f"its process 1 is {first or 'unknown'}"
            )
    for tenant in tenants:
        _judge_host(judge, cluster, tenant, author(tenant), image, f"{tenant} with hostPID")
        for persona in tenant.personas.values():
            _judge_relabelled(judge, cluster, tenant, persona, image)


def _first(cluster: Cluster, pod: dict[str, Any]) -> str:
    return (stage.read(cluster.client, pod, FIRST) or "").replace("\0", " ").strip()


def _judge_host(judge: Judge, cluster: Cluster, tenant: Tenant, client: Client, image: str, subject: str) -> None:
    try:
        pod = stage.create(client, stage.pod(tenant, image, hostPID=True))
    except ApiError as error:
        denial = attribute(error)
        if denial and denial.by in ADMISSION:
            judge.ok(subject, f"refused by {denial}")
        else:
            judge.unsure(subject, f"an error is not a denial: {error}")
        return
    try:
        (ready,) = stage.await_ready(cluster, [pod])
        first = _first(cluster, ready)
        judge.that(
            "pause" in first.split(), subject, seen=f"the pod runs and sees the node's processes: process 1 is {first}"
        )
    except NotEvaluated as error:
        judge.unsure(subject, f"the pod is admitted and did not run: {error}")
    finally:
        stage.remove(cluster, [pod])


def _judge_relabelled(judge: Judge, cluster: Cluster, tenant: Tenant, persona: Persona, image: str) -> None:
    """The namespace's label is put back whatever happens."""
    namespaces = cluster.resource("v1", "Namespace")
    before = (namespaces.get(tenant.namespace)["metadata"].get("labels") or {}).get(ENFORCE)
    attempt: Attempt = metadata_attempts(tenant.namespace)[0]
    subject = f"{persona} relabels {tenant.namespace} and runs a pod with hostPID"
    path, body = attempt.path, attempt.body
    try:
        persona.client.request("PATCH", path, body=body, content_type=attempt.content_type)
    except ApiError as error:
        denial = attribute(error)
        if denial and denial.by in (RBAC, *ADMISSION):
            judge.ok(subject, f"refused by {denial}")
        else:
            judge.unsure(subject, f"an error is not a denial: {error}")
        return
    except RequestError as error:
        judge.unsure(subject, f"an error is not a denial: {error}")
        return
    _, reason = review(persona, attempt.pair, tenant.namespace)
    try:
        _judge_host(judge, cluster, tenant, author(tenant), image, f"{subject} ({reason})")
    finally:
        namespaces.patch(tenant.namespace, {"metadata": {"labels": {ENFORCE: before}}})
