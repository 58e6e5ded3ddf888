"""Taking over a namespace by its labels, owners, status and finalizers; hijacking the traffic of a service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_k8sha.checks.denial import ADMISSION, RBAC
from pytest_k8sha.model import nonce
from pytest_k8sha.tenancy.access import Pair
from pytest_k8sha.tenancy.attempts import APPLY, JSON_PATCH, MERGE, Attempt, forbid, forbid_right, works
from pytest_k8sha.tenancy.escalation import everybody

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_k8sha.checks.judge import Judge
    from pytest_k8sha.fleet.cluster import Cluster
    from pytest_k8sha.tenancy.tenant import Tenant

SYSTEM = "kube-system"
REFUSED_BY = (RBAC, *ADMISSION)
ENFORCE = "pod-security.kubernetes.io/enforce"


def metadata_attempts(namespace: str) -> list[Attempt]:
    """Labels and owners, by each way of patching. The label is the one that Pod Security obeys."""
    path = f"/api/v1/namespaces/{namespace}"
    labels = {"metadata": {"labels": {ENFORCE: "privileged"}}}
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": "00000000-0000-0000-0000-000000000000"}
    json_patch = [{"op": "add", "path": f"/metadata/labels/{ENFORCE.replace('/', '~1')}", "value": "privileged"}]
    applied = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, **labels["metadata"]}}
    manager = {"fieldManager": "k8sha-takeover", "force": "true"}
    owners = {"metadata": {"ownerReferences": [owner]}}
    return [
        Attempt(f"relabel {namespace} (merge patch)", "PATCH", path, body=labels, content_type=MERGE),
        Attempt(f"relabel {namespace} (JSON patch)", "PATCH", path, body=json_patch, content_type=JSON_PATCH),
        Attempt(
            f"relabel {namespace} (server-side apply)", "PATCH", path, body=applied, query=manager, content_type=APPLY
        ),
        Attempt(f"give {namespace} an owner", "PATCH", path, body=owners, content_type=MERGE),
    ]


def lifecycle_attempts(namespace: str, found: dict[str, Any]) -> list[Attempt]:
    """What ends a namespace or lets it end badly, and the status that others read."""
    path = f"/api/v1/namespaces/{namespace}"
    bare = {"apiVersion": "v1", "kind": "Namespace", "metadata": dict(found["metadata"]), "spec": {"finalizers": []}}
    status = {"status": {"conditions": [{"type": "K8shaTest", "status": "True"}]}}
    return [
        Attempt(f"patch the status of {namespace}", "PATCH", f"{path}/status", body=status, content_type=MERGE),
        Attempt(f"finalize {namespace}", "PUT", f"{path}/finalize", body=bare),
        Attempt(f"replace {namespace}", "PUT", path, body={**bare, "spec": found.get("spec", {})}),
        Attempt(f"delete {namespace}", "DELETE", path),
    ]


def judge_metadata(judge: Judge, cluster: Cluster, tenants: Sequence[Tenant]) -> None:
    """Everybody on their own, the neighbours' and the system's namespace."""
    for attempt in metadata_attempts(tenants[0].namespace):
        if not works(judge, cluster.client, attempt):
            return
    places = [*(n for tenant in tenants for n in tenant.namespaces), SYSTEM]
    for _, persona in everybody(tenants):
        for place in places:
            for attempt in metadata_attempts(place):
                forbid(judge, persona, attempt, by=REFUSED_BY)


def judge_lifecycle(judge: Judge, cluster: Cluster, tenants: Sequence[Tenant]) -> None:
    """The same places; and nobody makes a namespace, which would be outside every quota and policy of the tenant."""
    namespaces = cluster.resource("v1", "Namespace")
    places = {n: namespaces.get(n) for n in [*(n for t in tenants for n in t.namespaces), SYSTEM]}
    first = tenants[0].namespace
    for attempt in lifecycle_attempts(first, places[first]):
        if not works(judge, cluster.client, attempt):
            return
    new = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": nonce("own")}}
    for _, persona in everybody(tenants):
        for place, found in places.items():
            for attempt in lifecycle_attempts(place, found):
                forbid(judge, persona, attempt, by=REFUSED_BY)
        forbid(judge, persona, Attempt("make a namespace", "POST", "/api/v1/namespaces", body=new), by=REFUSED_BY)


# --- hijack ------------------------------------------------------------------------------------------------------

VICTIM = "192.0.2.10"
"""An address of TEST-NET-1 (RFC 5737) stands for the neighbour's pod: the API server does not look who has it."""


def judge_endpoints(judge: Judge, cluster: Cluster, tenants: Sequence[Tenant]) -> None:
    """Nobody writes Endpoints: they are copied to EndpointSlices, and kube-proxy sends the traffic there."""
    for tenant in tenants:
        body = {
            "apiVersion": "v1",
            "kind": "Endpoints",
            "metadata": {"name": nonce("hijack")},
            "subsets": [{"addresses": [{"ip": VICTIM}], "ports": [{"port": 443}]}],
        }
        _judge_hijack(judge, cluster, tenant, "", "endpoints", body)


def judge_slices(judge: Judge, cluster: Cluster, tenants: Sequence[Tenant]) -> None:
    """The same by EndpointSlices, which name a service by a label and need no Endpoints at all."""
    for tenant in tenants:
        name = nonce("hijack")
        body = {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": name, "labels": {"kubernetes.io/service-name": name}},
            "addressType": "IPv4",
            "endpoints": [{"addresses": [VICTIM]}],
            "ports": [{"port": 443}],
        }
        _judge_hijack(judge, cluster, tenant, "discovery.k8s.io", "endpointslices", body)


def _judge_hijack(
    judge: Judge, cluster: Cluster, tenant: Tenant, group: str, resource: str, body: dict[str, Any]
) -> None:
    base = f"/apis/{group}/v1" if group else "/api/v1"
    for namespace in tenant.namespaces:
        path = f"{base}/namespaces/{namespace}/{resource}"
        attempt = Attempt(f"point {resource} of {namespace} at a foreign pod", "POST", path, body=body)
        if not works(judge, cluster.client, attempt):
            return
        for persona in tenant.personas.values():
            forbid(judge, persona, attempt, by=REFUSED_BY)
            for verb in ("update", "patch"):
                forbid_right(judge, persona, Pair(verb, group, resource), namespace)
