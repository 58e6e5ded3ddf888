"""What is left on a volume: written by one tenant, looked for by the next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_k8sha import _clock
from pytest_k8sha._wait import eventually
from pytest_k8sha.checks.denial import ADMISSION, RBAC, attribute
from pytest_k8sha.errors import ApiError, NotEvaluated, WaitTimeout
from pytest_k8sha.model import nonce
from pytest_k8sha.tenancy.escapes import stage
from pytest_k8sha.tenancy.matrix import several
from pytest_k8sha.tenancy.network.ground import SECURITY
from pytest_k8sha.tenancy.secrets import owned

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_k8sha.checks.judge import Judge
    from pytest_k8sha.fleet.cluster import Cluster
    from pytest_k8sha.tenancy.tenant import Tenant

SIZE = "1Gi"
PLACE = "/k8sha/data"
DEADLINE = 90.0
"""Seconds for a volume to be given up, and for a claim to bind."""

SETTLE = 4.0
"""Seconds for which a volume must not come to its next claim."""

GIVEN_UP = frozenset({"Released", "Available", "Failed"})

STATIC = "kubernetes.io/no-provisioner"
USER = SECURITY["runAsUser"]


@dataclass
class Volume:
    """A volume on which a tenant left a file of the name ``word``."""

    tenant: Tenant
    storage_class: str
    claim: str
    name: str
    node: str
    word: str


def classes(cluster: Cluster) -> list[str]:
    """The storage classes that make volumes by themselves."""
    found = cluster.resource("storage.k8s.io/v1", "StorageClass").list()
    return sorted(c["metadata"]["name"] for c in found if c["provisioner"] != STATIC)


def judge_leavings(judge: Judge, cluster: Cluster, tenants: Sequence[Tenant]) -> None:
    """For each storage class: one tenant writes a file and gives the claim up; the neighbour asks for that very volume
    by its name, and for one of the same class, and must find nothing of it."""
    several(tenants)
    owned(tenants)
    found = classes(cluster)
    if not found:
        raise NotEvaluated(f"cluster {cluster.name} has no storage class that makes volumes")
    image = stage.ensure_image(cluster)
    for name in found:
        left = _leave(judge, cluster, tenants[0], name, image)
        if left is None:
            continue
        _judge_class(judge, cluster, left, tenants[1], image)


def _claim(cluster: Cluster, tenant: Tenant, storage_class: str, volume: str = "") -> str:
    spec: dict[str, Any] = {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": storage_class,
        "resources": {"requests": {"storage": SIZE}},
    }
    if volume:
        spec["volumeName"] = volume
    body = {"metadata": {"name": nonce("claim")}, "spec": spec}
    made = cluster.resource("v1", "PersistentVolumeClaim").create(body, tenant.namespace)
    return str(made["metadata"]["name"])


def _pod(tenant: Tenant, image: str, claim: str, node: str = "") -> dict[str, Any]:
    mounted = {"volumeMounts": [{"name": "data", "mountPath": PLACE}]}
    volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": claim}}]
    return stage.pod(tenant, image, container=mounted, node=node, volumes=volumes, securityContext={"fsGroup": USER})


def _leave(judge: Judge, cluster: Cluster, tenant: Tenant, storage_class: str, image: str) -> Volume | None:
    """The tenant writes and reads its file (the positive control), then gives everything up."""
    claims = cluster.resource("v1", "PersistentVolumeClaim")
    word, claim = nonce("left"), _claim(cluster, tenant, storage_class)
    subject = f"storage class {storage_class}: {tenant} writes on a volume"
    try:
        with stage.running(cluster, [_pod(tenant, image, claim)]) as (pod,):
            done = stage.call(cluster.client, pod, "mounttest", f"--new_file_0644={PLACE}/{word}")
            if not judge.control(done.code == 0, f"{subject} ({done.stdout[:200]})"):
                return None
            name = claims.get(claim, tenant.namespace)["spec"]["volumeName"]
            return Volume(tenant, storage_class, claim, name, pod["spec"]["nodeName"], word)
    except NotEvaluated as error:
        judge.unsure(subject, str(error))
        return None
    finally:
        claims.delete(claim, tenant.namespace)


def _judge_class(judge: Judge, cluster: Cluster, left: Volume, other: Tenant, image: str) -> None:
    subject = f"storage class {left.storage_class}: volume {left.name} of {left.tenant}"
    try:
        phase = _given_up(cluster, left)
        _by_name(judge, cluster, left, other, image, f"{subject}, claimed by {other} by its name", phase)
        _by_class(judge, cluster, left, other, image, f"storage class {left.storage_class}: a new volume of {other}")
    except WaitTimeout as error:
        judge.unsure(subject, str(error))
    finally:
        _throw_away(cluster, left)


def _given_up(cluster: Cluster, left: Volume) -> str:
    """What became of the volume once its claim was deleted: ``gone``, or its phase. Raises `WaitTimeout`."""
    claims, volumes = cluster.resource("v1", "PersistentVolumeClaim"), cluster.resource("v1", "PersistentVolume")

    def phase() -> str:
        if claims.find(left.claim, left.tenant.namespace) is not None:
            return ""
        volume = volumes.find(left.name)
        if volume is None:
            return "gone"
        now = volume["status"].get("phase", "")
        going = volume["spec"].get("persistentVolumeReclaimPolicy") == "Delete" and now == "Released"
        return now if now in GIVEN_UP and not going else ""

    return eventually(phase, what=f"volume {left.name} is given up", timeout=DEADLINE, interval=0.3)


def _throw_away(cluster: Cluster, left: Volume) -> None:
    """A volume that its class keeps is the check's own, and goes: its provisioner deletes it, with what is on it."""
    volumes = cluster.resource("v1", "PersistentVolume")
    if volumes.find(left.name) is None:
        return
    volumes.patch(left.name, {"spec": {"persistentVolumeReclaimPolicy": "Delete"}})
    try:
        eventually(
            lambda: volumes.find(left.name),
            what=f"volume {left.name} is deleted",
            timeout=DEADLINE,
            interval=0.3,
            accept=lambda found: found is None or found["status"].get("phase") == "Available",
        )
    finally:
        if volumes.find(left.name) is not None:
            volumes.delete(left.name)


def _by_name(judge: Judge, cluster: Cluster, left: Volume, other: Tenant, image: str, subject: str, phase: str) -> None:
    claims = cluster.resource("v1", "PersistentVolumeClaim")
    try:
        claim = _claim(cluster, other, left.storage_class, left.name)
    except ApiError as error:
        denial = attribute(error)
        if denial and denial.by in (RBAC, *ADMISSION):
            judge.ok(subject, f"refused by {denial}")
        else:
            judge.unsure(subject, f"an error is not a denial: {error}")
        return
    made: list[dict[str, Any]] = []
    try:
        made.append(stage.create(cluster.client, _pod(other, image, claim)))
        told = _binding(cluster, left, other, claim, phase)
        if told:
            judge.ok(subject, told)
        else:
            (ready,) = stage.await_ready(cluster, made)
            _look(judge, cluster, left, ready, subject)
    except (WaitTimeout, NotEvaluated) as error:
        judge.unsure(subject, str(error))
    finally:
        stage.remove(cluster, made)
        claims.delete(claim, other.namespace)


def _binding(cluster: Cluster, left: Volume, other: Tenant, claim: str, phase: str) -> str:
    """Empty when the claim has the volume; else why it has not, which must stay so for a while: what hands a volume on
    needs a moment. Raises `WaitTimeout`."""
    claims, volumes = cluster.resource("v1", "PersistentVolumeClaim"), cluster.resource("v1", "PersistentVolume")
    since: dict[str, _clock.Deadline] = {}

    def state() -> str | None:
        if claims.get(claim, other.namespace)["status"].get("phase") == "Bound":
            return ""
        volume = volumes.find(left.name)
        ref = (volume or {}).get("spec", {}).get("claimRef") or {}
        if volume is None:
            told = f"there is no such volume any more ({phase})"
        elif ref.get("uid") and ref.get("name") != claim:
            told = f"it is still kept for the claim {ref.get('name')} that had it ({phase})"
        else:
            return None
        return told if since.setdefault(told, _clock.Deadline(SETTLE)).passed else None

    return (
        eventually(
            state,
            what=f"claim {claim} has volume {left.name}, or not",
            timeout=DEADLINE,
            interval=0.3,
            accept=lambda told: told is not None,
        )
        or ""
    )


def _by_class(judge: Judge, cluster: Cluster, left: Volume, other: Tenant, image: str, subject: str) -> None:
    claim = _claim(cluster, other, left.storage_class)
    try:
        with stage.running(cluster, [_pod(other, image, claim, left.node)]) as (pod,):
            _look(judge, cluster, left, pod, subject)
    except NotEvaluated as error:
        judge.unsure(subject, str(error))
    finally:
        cluster.resource("v1", "PersistentVolumeClaim").delete(claim, other.namespace)


def _look(judge: Judge, cluster: Cluster, left: Volume, pod: dict[str, Any], subject: str) -> None:
    found = stage.read(cluster.client, pod, f"{PLACE}/{left.word}")
    judge.that(
        found is None,
        subject,
        seen="nothing of it is there" if found is None else f"the file {left.word} of {left.tenant} is there",
        remedy="use reclaimPolicy Delete, and have retained volumes wiped before their claimRef is cleared",
    )
