"""Hosts: no Ingress of a tenant serves what is its neighbour's, by the same name, a wildcard, or no name at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_k8sha.errors import NotEvaluated
from pytest_k8sha.model import nonce
from pytest_k8sha.tenancy.attempts import Attempt, author, works
from pytest_k8sha.tenancy.policies import refused
from pytest_k8sha.tenancy.secrets import owned

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pytest_k8sha.checks.judge import Judge
    from pytest_k8sha.fleet.cluster import Cluster
    from pytest_k8sha.tenancy.tenant import Tenant

API = "networking.k8s.io"


def judge_hosts(judge: Judge, cluster: Cluster, tenants: Sequence[Tenant]) -> None:
    """The neighbour really serves a host; somebody of the tenant rehearses an Ingress for it, on create and on update.
    (The Ingress is there, so that an ingress controller's own webhook, which looks for duplicates, finds one.)"""
    owned(tenants)
    ingresses = cluster.resource(f"{API}/v1", "Ingress")
    pairs = [
        (one, other)
        for one, other in zip(tenants, [*tenants[1:], tenants[0]], strict=True)
        if one is not other and one.expects.domains and other.expects.domains
    ]
    if not pairs:
        raise NotEvaluated("no two tenants say which hosts are theirs", remedy="say domains under expects")
    for tenant, other in pairs:
        persona = author(tenant, "ingresses", API)
        if persona is None:
            judge.ok(f"{tenant.namespace}: ingresses", "nobody of the tenant may create any")
            continue
        mine, theirs = right(tenant), f"app.{other.expects.domains[0]}"
        if not works(judge, persona.client, _create(tenant, mine["spec"]), str(persona)):
            continue
        made: list[dict[str, Any]] = []
        try:
            made.append(ingresses.create(ingress(other, _rules(theirs))))
            made.append(ingresses.create(mine))
            path = ingresses.kind.path(tenant.namespace, mine["metadata"]["name"])
            for what, spec in violations(other, theirs):
                for attempt, subject in (
                    (_create(tenant, spec), f"{tenant.namespace}: an Ingress {what}"),
                    (
                        Attempt(f"change an ingress into one {what}", "PATCH", path, body={"spec": spec}),
                        f"{tenant.namespace}: an Ingress changed into one {what}",
                    ),
                ):
                    refused(judge, cluster, subject, attempt, "", client=persona.client)
        finally:
            for body in made:
                ingresses.delete(body["metadata"]["name"], body["metadata"]["namespace"])


def violations(other: Tenant, host: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every way to be asked for ``host``, which the other tenant serves."""
    domain = other.expects.domains[0]
    yield f"for its neighbour's host {host}", _rules(host)
    yield f"for its neighbour's hosts *.{domain}", _rules(f"*.{domain}")
    yield "for every host", _rules("")
    yield "with a default backend", {"defaultBackend": _backend(), "rules": None}
    if domain.count(".") > 1:
        above = domain.partition(".")[2]
        yield f"for *.{above}, above its neighbour's domain", _rules(f"*.{above}")


def right(tenant: Tenant) -> dict[str, Any]:
    """An Ingress for a host of the tenant's own."""
    return ingress(tenant, _rules(f"app.{(tenant.expects.domains or ['k8sha.invalid'])[0]}"))


def ingress(tenant: Tenant, spec: dict[str, Any]) -> dict[str, Any]:
    """An Ingress of the tenant, of a class that no controller serves."""
    return {
        "apiVersion": f"{API}/v1",
        "kind": "Ingress",
        "metadata": {"name": nonce("ing"), "namespace": tenant.namespace, "labels": dict(tenant.expects.labels)},
        "spec": {"ingressClassName": "k8sha-nobody", **{k: v for k, v in spec.items() if v is not None}},
    }


def _rules(host: str) -> dict[str, Any]:
    paths = [{"path": "/", "pathType": "Prefix", "backend": _backend()}]
    return {"rules": [{**({"host": host} if host else {}), "http": {"paths": paths}}]}


def _backend() -> dict[str, Any]:
    return {"service": {"name": "web", "port": {"number": 80}}}


def _create(tenant: Tenant, spec: dict[str, Any]) -> Attempt:
    path = f"/apis/{API}/v1/namespaces/{tenant.namespace}/ingresses"
    return Attempt("create an ingress", "POST", path, body=ingress(tenant, spec))
