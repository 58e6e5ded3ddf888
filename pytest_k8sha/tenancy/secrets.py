"""Secrets: get, list and watch judged apart, since each of them carries the content."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_k8sha.checks.denial import expect_denied
from pytest_k8sha.errors import NotEvaluated
from pytest_k8sha.model import nonce
from pytest_k8sha.tenancy import grants
from pytest_k8sha.tenancy.access import Pair, pairs_of_tenants
from pytest_k8sha.tenancy.attempts import forbid_right, review
from pytest_k8sha.tenancy.matrix import several

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pytest_k8sha.checks.judge import Judge
    from pytest_k8sha.fleet.cluster import Cluster
    from pytest_k8sha.tenancy.tenant import Persona, Tenant

READ = ("get", "list", "watch")


def owned(tenants: Sequence[Tenant]) -> None:
    """Raises `NotEvaluated` when a tenant was not made by this run: nothing is put into somebody else's namespace."""
    for tenant in tenants:
        if not tenant.owned:
            raise NotEvaluated(f"{tenant} was not made by this run, and this check puts objects into it")


def judge_neighbours(judge: Judge, cluster: Cluster, tenants: Sequence[Tenant]) -> None:
    """A real secret in each tenant, and everybody of every other tenant after it."""
    several(tenants)
    owned(tenants)
    secrets = cluster.resource("v1", "Secret")
    made = {tenant.name: tenant.create_secret(nonce()) for tenant in tenants}
    try:
        for one, other in pairs_of_tenants(tenants):
            secret = made[other.name]
            found = secrets.find(secret["metadata"]["name"], other.namespace)
            if not judge.control(found is not None, f"the administrator reads {secret['metadata']['name']}"):
                continue
            for persona in one.personas.values():
                for verb in READ:
                    subject = f"{persona}: {verb} secrets in {other.namespace}"
                    with expect_denied(judge, subject, by="RBAC", allowed=_leak(persona, verb, other.namespace)):
                        persona.request(verb, secret)
    finally:
        for secret in made.values():
            secrets.delete(secret["metadata"]["name"], secret["metadata"]["namespace"])


def judge_viewers(judge: Judge, tenants: Sequence[Tenant]) -> None:
    """Every persona whose role is to view, by review; then a request for a secret that does not exist, so that no
    secret is read where the review was wrong."""
    for tenant in tenants:
        for role, persona in tenant.personas.items():
            if "view" not in role:
                continue
            for namespace in tenant.namespaces:
                allowed = persona.may("list", resource="pods", namespace=namespace)[0]
                judge.control(allowed, f"{persona} may list the pods of {namespace}")
                for verb in READ:
                    forbid_right(judge, persona, Pair(verb, "", "secrets"), namespace)
                _confirm(judge, persona, namespace)
    if not judge.findings:
        raise NotEvaluated("no tenant has a viewer", remedy="name one in tenant.yaml")


def _confirm(judge: Judge, persona: Persona, namespace: str) -> None:
    nobody = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": nonce("none"), "namespace": namespace}}
    if review(persona, Pair("list", "", "secrets"), namespace)[0]:
        return
    selector = f"metadata.name={nobody['metadata']['name']}"  # type: ignore[index]
    with expect_denied(judge, f"{persona}: a real list of secrets in {namespace}", by="RBAC"):
        persona.request("list", nobody, fieldSelector=selector)


def _leak(persona: Persona, verb: str, namespace: str) -> Callable[[], str]:
    def tell() -> str:
        _, reason = review(persona, Pair(verb, "", "secrets"), namespace)
        return f"the secrets of {namespace} were read by {verb}: {reason or 'although the review says no'}. " + (
            grants.remedy(reason) if reason else ""
        )

    return tell
