"""Storage, as far as the API decides: who makes volumes and classes, and which volume and whose data a claim gets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_k8sha.checks.denial import POLICY, WEBHOOK, attribute
from pytest_k8sha.errors import ApiError, ImpactRefused, NotEvaluated, RequestError
from pytest_k8sha.model import nonce
from pytest_k8sha.tenancy.access import Pair
from pytest_k8sha.tenancy.attempts import Attempt, author, forbid, forbid_rights, works
from pytest_k8sha.tenancy.escalation import REFUSED_BY, WRITING, everybody
from pytest_k8sha.tenancy.limits import claim
from pytest_k8sha.tenancy.quantity import parse
from pytest_k8sha.tenancy.sizes import bounds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_k8sha.checks.judge import Judge
    from pytest_k8sha.fleet.cluster import Cluster
    from pytest_k8sha.tenancy.tenant import Tenant

STORAGE = "storage.k8s.io"

MACHINERY = (
    ("", "persistentvolumes"),
    (STORAGE, "storageclasses"),
    (STORAGE, "volumeattachments"),
    (STORAGE, "csidrivers"),
    (STORAGE, "volumeattributesclasses"),
    ("snapshot.storage.k8s.io", "volumesnapshotclasses"),
    ("snapshot.storage.k8s.io", "volumesnapshotcontents"),
)

USED = ("pv.kubernetes.io/provisioned-by", "pv.kubernetes.io/bound-by-controller")
"""Annotations of a volume that was made for a claim, or was bound to one; they stay when the claim is gone."""


def judge_volumes(judge: Judge, cluster: Cluster, tenants: Sequence[Tenant]) -> None:
    """Everybody tries to make a volume of a node's own disk, and a class; and nobody may change what there is."""
    attempts = (
        Attempt("make a volume of a node's disk", "POST", "/api/v1/persistentvolumes", body=_volume()),
        Attempt("make a storage class", "POST", f"/apis/{STORAGE}/v1/storageclasses", body=_class()),
    )
    for attempt in attempts:
        if not works(judge, cluster.client, attempt):
            return
    for _, persona in everybody(tenants):
        for attempt in attempts:
            forbid(judge, persona, attempt, by=REFUSED_BY)
    served = {(kind.group, kind.plural) for kind in cluster.kinds}
    pairs = [Pair(verb, *kind) for kind in MACHINERY if kind in served for verb in WRITING]
    forbid_rights(judge, ((persona, "", pairs) for _, persona in everybody(tenants)))


def _volume() -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": nonce("pv")},
        "spec": {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"],
            "hostPath": {"path": "/"},
        },
    }


def _class() -> dict[str, Any]:
    meta = {"name": nonce("class")}
    return {"apiVersion": f"{STORAGE}/v1", "kind": "StorageClass", "metadata": meta, "provisioner": "example.com/none"}


# --- by name -----------------------------------------------------------------------------------------------------


def judge_named_volumes(judge: Judge, cluster: Cluster, tenants: Sequence[Tenant]) -> None:
    """A claim that names a volume is rehearsed. Refused by a policy: it never gets one so. Admitted: then no volume may
    lie open that was somebody's. (A released volume still names its last claim, and binds to no other.)"""
    volumes = cluster.resource("v1", "PersistentVolume").list()
    lying = [volume for volume in volumes if _lies_open(volume)]
    name = lying[0]["metadata"]["name"] if lying else nonce("volume")
    for tenant in tenants:
        control = _answer(judge, cluster, tenant, {})
        if control is None:
            continue
        answer = _answer(judge, cluster, tenant, {"volumeName": name}, control=False)
        subject = f"{tenant.namespace}: a claim that names a volume"
        if _by_policy(judge, subject, answer):
            continue
        for volume in lying:
            judge.bad(
                f"{tenant.namespace}: a claim for volume {volume['metadata']['name']}",
                seen=f"is admitted, and the volume lies open: {_history(volume)}, and it names no claim",
                remedy="delete released volumes instead of clearing their claimRef; let a policy refuse claims that "
                "name a volume",
            )
        if not lying and volumes:
            judge.ok(subject, f"is admitted; of {len(volumes)} volumes none that was somebody's lies open")
        elif not lying:
            judge.skip(subject, "is admitted, and the cluster has no volume that it could get")


def _lies_open(volume: dict[str, Any]) -> bool:
    annotations = volume["metadata"].get("annotations") or {}
    used = any(key in annotations for key in USED)
    return used and not volume["spec"].get("claimRef") and not volume["metadata"].get("deletionTimestamp")


def _history(volume: dict[str, Any]) -> str:
    annotations = volume["metadata"]["annotations"]
    return ", ".join(f"{key} {annotations[key]}" for key in USED if key in annotations)


# --- data of another namespace -----------------------------------------------------------------------------------


def judge_sources(judge: Judge, cluster: Cluster, tenants: Sequence[Tenant]) -> None:
    """A claim whose data come from the neighbour's claim is rehearsed: refused, or stored without the namespace, or
    with it and without a ReferenceGrant of the neighbour, which every provisioner asks for."""
    for tenant in tenants:
        for other in tenants:
            if other is tenant:
                continue
            if _answer(judge, cluster, tenant, {}) is None:
                continue
            ref = {"kind": "PersistentVolumeClaim", "name": "data", "namespace": other.namespace}
            fields = {"dataSourceRef": ref}
            subject = f"{tenant.namespace}: a claim with the data of {other.namespace}"
            answer = _answer(judge, cluster, tenant, fields, control=False)
            if _by_policy(judge, subject, answer):
                continue
            kept = ((answer or {}).get("spec") or {}).get("dataSourceRef") or {}  # type: ignore[union-attr]
            if kept.get("namespace") != other.namespace:
                judge.ok(subject, "the API server leaves the namespace out (CrossNamespaceVolumeDataSource is off)")
                continue
            grants = _grants(cluster, tenant, other)
            judge.that(
                not grants,
                subject,
                seen=f"is admitted, and ReferenceGrant {', '.join(grants)} of {other.namespace} lets it read"
                if grants
                else f"is admitted; no ReferenceGrant of {other.namespace} lets it read",
                remedy="remove the grant, or let a policy refuse claims with data of another namespace",
            )
    if not judge.findings:
        raise NotEvaluated("needs two tenants, and this cluster has one", remedy="declare a second in the fleet file")


def _grants(cluster: Cluster, tenant: Tenant, other: Tenant) -> list[str]:
    """ReferenceGrants in the other's namespace for claims of the tenant's."""
    kind = cluster.client.discovery.by_plural("gateway.networking.k8s.io", "referencegrants")
    if kind is None:
        return []
    found = []
    for grant in cluster.resource(kind.api_version, kind.kind).list(other.namespace):
        sources = {(f.get("kind"), f.get("namespace")) for f in grant["spec"].get("from") or []}
        targets = {t.get("kind") for t in grant["spec"].get("to") or []}
        if ("PersistentVolumeClaim", tenant.namespace) in sources and "PersistentVolumeClaim" in targets:
            found.append(grant["metadata"]["name"])
    return found


# --- both --------------------------------------------------------------------------------------------------------


def _answer(
    judge: Judge, cluster: Cluster, tenant: Tenant, fields: dict[str, Any], *, control: bool = True
) -> dict[str, Any] | RequestError | None:
    """What a rehearsed claim with these fields becomes. As control it must be admitted: None where it is not."""
    persona = author(tenant, "persistentvolumeclaims")
    size = bounds(cluster, tenant.namespace, "PersistentVolumeClaim").least.get("storage", parse("1Gi"))
    body = claim(tenant, size, tenant.expects.labels)
    body["spec"] |= fields
    path = f"/api/v1/namespaces/{tenant.namespace}/persistentvolumeclaims"
    attempt = Attempt("claim a volume", "POST", path, body=body)
    try:
        answer: dict[str, Any] = attempt.send(persona.client if persona else cluster.client)
    except ImpactRefused:
        raise
    except RequestError as error:
        if not control:
            return error
        judge.control(False, f"{persona or 'the administrator'} claims a volume in {tenant.namespace}: {error}")  # noqa: FBT003
        return None
    return answer


def _by_policy(judge: Judge, subject: str, answer: dict[str, Any] | RequestError | None) -> bool:
    """Whether that is settled: refused by a policy's name, or an error, which is no denial."""
    if not isinstance(answer, RequestError):
        return False
    denial = attribute(answer) if isinstance(answer, ApiError) else None
    if denial and denial.by in {POLICY, WEBHOOK}:
        judge.ok(subject, f"refused by {denial}")
    else:
        judge.unsure(subject, f"no policy refused it, and an error is not a denial: {answer}")
    return True
