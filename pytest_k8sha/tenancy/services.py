"""What a Service can take that is somebody else's: addresses, names, ports of the nodes, load balancers.

Each is tried by somebody of the tenant who may write Services, on create and on update, as a rehearsal; the same
Service without the one field is the positive control. Where nobody of the tenant may write any, nothing can be taken.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pytest_k8sha.checks.denial import EXTERNAL_IPS, QUOTA
from pytest_k8sha.model import nonce
from pytest_k8sha.tenancy.attempts import Attempt, author, works
from pytest_k8sha.tenancy.policies import ENGINES, refused
from pytest_k8sha.tenancy.secrets import owned
from pytest_k8sha.tenancy.sizes import quotas
from pytest_k8sha.tenancy.takeover import VICTIM

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pytest_k8sha.checks.judge import Judge
    from pytest_k8sha.fleet.cluster import Cluster
    from pytest_k8sha.tenancy.tenant import Tenant

Change = tuple[str, dict[str, Any], str]
"""What it is, the fields of the spec, and words that the refusal must hold."""

METADATA_SERVICE = "169.254.169.254"


def external_ips(_: Tenant, __: Tenant) -> Iterator[Change]:
    yield f"takes {VICTIM} as external IP", {"externalIPs": [VICTIM]}, "xternal"


def external_names(_: Tenant, other: Tenant) -> Iterator[Change]:
    """Names of the neighbour, of the API server, and addresses that a name server answers like names."""
    for name in (
        f"web.{other.namespace}.svc.cluster.local",
        f"web.{other.namespace}.svc",
        "kubernetes.default.svc.cluster.local",
        "localhost",
        METADATA_SERVICE,
    ):
        fields = {"type": "ExternalName", "externalName": name, "clusterIP": None, "clusterIPs": None}
        yield f"is another name for {name}", fields, "xternal"


def judge_fields(
    judge: Judge,
    cluster: Cluster,
    tenants: Sequence[Tenant],
    changes: Callable[[Tenant, Tenant], Iterator[Change]],
    by: tuple[str, ...] = ENGINES,
) -> None:
    """On create, and on a Service that is really there and then changed."""
    owned(tenants)
    for tenant, other in zip(tenants, [*tenants[1:], tenants[0]], strict=True):
        persona = author(tenant, "services")
        if persona is None:
            judge.ok(f"{tenant.namespace}: services", "nobody of the tenant may create any")
            continue
        if not works(judge, persona.client, _create(tenant, {}), str(persona)):
            continue
        with existing(cluster, tenant) as path:
            harmless = Attempt("change a service", "PATCH", path, body={"spec": {"sessionAffinity": "ClientIP"}})
            if not works(judge, persona.client, harmless, str(persona)):
                continue
            for what, fields, says in changes(tenant, other):
                for attempt, subject in (
                    (_create(tenant, fields), f"{tenant.namespace}: a Service that {what}"),
                    (
                        Attempt(f"change a service so that it {what}", "PATCH", path, body={"spec": fields}),
                        f"{tenant.namespace}: a Service changed so that it {what}",
                    ),
                ):
                    refused(judge, cluster, subject, attempt, says, client=persona.client, by=by)


def judge_external_ips(judge: Judge, cluster: Cluster, tenants: Sequence[Tenant]) -> None:
    """By a policy, a webhook, or the admission plugin that was made for it."""
    judge_fields(judge, cluster, tenants, external_ips, (*ENGINES, EXTERNAL_IPS))


def judge_external_names(judge: Judge, cluster: Cluster, tenants: Sequence[Tenant]) -> None:
    """By a policy or a webhook."""
    judge_fields(judge, cluster, tenants, external_names)


@contextmanager
def existing(cluster: Cluster, tenant: Tenant) -> Iterator[str]:
    """The path of a right Service that is there for as long as it is needed."""
    services = cluster.resource("v1", "Service")
    name = services.create(service(tenant, {}))["metadata"]["name"]
    try:
        yield services.kind.path(tenant.namespace, name)
    finally:
        services.delete(name, tenant.namespace)


def service(tenant: Tenant, fields: dict[str, Any]) -> dict[str, Any]:
    """A Service of the tenant without endpoints; a field that is None is left out."""
    spec = {"ports": [{"port": 80, "protocol": "TCP"}], **fields}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": nonce("svc"), "namespace": tenant.namespace, "labels": dict(tenant.expects.labels)},
        "spec": {key: value for key, value in spec.items() if value is not None},
    }


def _create(tenant: Tenant, fields: dict[str, Any]) -> Attempt:
    path = f"/api/v1/namespaces/{tenant.namespace}/services"
    return Attempt("create a service", "POST", path, body=service(tenant, fields))


# --- ports of the nodes, load balancers --------------------------------------------------------------------------

OPENINGS: dict[str, tuple[str, dict[str, Any]]] = {
    "services.nodeports": ("a node port", {"type": "NodePort"}),
    "services.loadbalancers": (
        "a load balancer",
        {"type": "LoadBalancer", "allocateLoadBalancerNodePorts": False},
    ),
}


def judge_openings(judge: Judge, cluster: Cluster, tenants: Sequence[Tenant]) -> None:
    """Refused by a quota of 0, by a policy or by a webhook; where a quota grants some, they are the tenant's."""
    for tenant in tenants:
        persona = author(tenant, "services")
        if persona is None:
            judge.ok(f"{tenant.namespace}: services", "nobody of the tenant may create any")
            continue
        if not works(judge, persona.client, _create(tenant, {}), str(persona)):
            continue
        granted = {r: q for q in quotas(cluster, tenant.namespace) if not q.scoped for r in OPENINGS if q.hard.get(r)}
        for resource, (what, fields) in OPENINGS.items():
            subject = f"{tenant.namespace}: a Service with {what}"
            if resource in granted:
                quota = granted[resource]
                judge.skip(subject, f"quota {quota.name} grants the tenant {quota.hard[resource]}")
                continue
            attempt = _create(tenant, fields)
            refused(judge, cluster, subject, attempt, "", client=persona.client, by=(QUOTA, *ENGINES))
