"""Restoring a manifest backup into a cluster of ours: server-side apply, what others depend on first."""

from __future__ import annotations

import copy
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Any

from pytest_k8sha._wait import eventually
from pytest_k8sha.errors import ApiError, K8shaError, NotEvaluated, UsageError
from pytest_k8sha.kube.manifests import ORDER
from pytest_k8sha.model import Impact
from pytest_k8sha.recovery.manifests import rules
from pytest_k8sha.recovery.manifests.backup import AT_ONCE, Backup, Key, inventory

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_k8sha.fleet.cluster import Cluster

Object = dict[str, Any]

FIELD_MANAGER = "pytest-k8sha-restore"
_ESTABLISHED = 60.0
_TRIES = 15.0
_OWN = ("uid", "resourceVersion", "generation", "creationTimestamp", "selfLink", "managedFields", "ownerReferences")
"""Keys of ``metadata`` that an object may not bring along."""


@dataclass
class Restored:
    """``refused`` has what the server said of objects that it did not take."""

    applied: int = 0
    refused: dict[Key, str] = field(default_factory=dict)


def restore(backup: Backup, cluster: Cluster, *, overwrite: bool = False) -> Restored:
    """Applies every object that no rule leaves out, in the order in which they depend on each other.

    Raises `UsageError` for a cluster that this project did not make, for one below *disrupt*, and, without
    ``overwrite``, for one that already holds something of the backup. Nothing was changed then.
    """
    _may(cluster)
    wanted = {key: obj for key, obj in backup.objects.items() if not rules.skipped(obj)}
    if not overwrite:
        here, _ = inventory(cluster)
        held = sorted(key for key in wanted if key in here)
        if held:
            raise UsageError(
                f"the cluster {cluster.name} already holds {len(held)} objects of the backup, such as {held[0]}",
                remedy="restore into a new cluster, or say that what is there may be changed (--overwrite)",
            )
    found = Restored()
    rank = {kind: place for place, kind in enumerate(ORDER)}
    order = sorted(wanted.items(), key=lambda item: (rank.get(item[0].kind, len(ORDER)), item[0]))
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for _, same in groupby(order, key=lambda item: rank.get(item[0].kind, len(ORDER))):
            batch = list(same)
            for key, said in pool.map(lambda item: _apply(cluster, *item), batch):
                if said:
                    found.refused[key] = said
                else:
                    found.applied += 1
            if batch[0][0].kind == "CustomResourceDefinition":
                _await_definitions(cluster, [key.name for key, _ in batch])
    return found


def clean(obj: Mapping[str, Any]) -> Object:
    """The object as it can be sent to another cluster."""
    made: Object = copy.deepcopy({key: value for key, value in obj.items() if key != "status"})
    meta = made["metadata"]
    for key in _OWN:
        meta.pop(key, None)
    spec = made.get("spec")
    if not isinstance(spec, dict):
        return made
    match made["kind"]:
        case "Service":
            if spec.get("clusterIP") != "None":
                spec.pop("clusterIP", None)
                spec.pop("clusterIPs", None)
        case "Pod":
            spec.pop("nodeName", None)
            spec.pop("priority", None)
        case "PersistentVolumeClaim":
            spec.pop("volumeName", None)
        case "PersistentVolume":
            for key in ("uid", "resourceVersion"):
                (spec.get("claimRef") or {}).pop(key, None)
        case "Job":
            spec.pop("selector", None)
            labels = ((spec.get("template") or {}).get("metadata") or {}).get("labels") or {}
            for key in [key for key in labels if "controller-uid" in key]:
                del labels[key]
        case "Namespace":
            spec.pop("finalizers", None)
    return made


def _may(cluster: Cluster) -> None:
    if not cluster.state.made or cluster.ceiling < Impact.DISRUPT:
        made = "" if cluster.state.made else "was not made by k8sha and "
        raise UsageError(
            f"the cluster {cluster.name} {made}may be used up to {cluster.ceiling}; nothing is restored into it",
            remedy="restore into a cluster that `k8sha up` made",
        )


def _apply(cluster: Cluster, key: Key, obj: Object) -> tuple[Key, str]:
    """Applies one object; what the server said when it did not take it."""
    query = {"fieldManager": FIELD_MANAGER, "force": "true", "fieldValidation": "Strict"}
    try:
        kind = cluster.client.discovery.find(obj["apiVersion"], key.kind)
        path = kind.path(key.namespace, key.name)

        def send() -> bool:
            cluster.client.request(
                "PATCH", path, query=query, body=clean(obj), content_type="application/apply-patch+yaml"
            )
            return True

        eventually(send, what=f"{key} is applied", timeout=_TRIES)
    except (NotEvaluated, ApiError) as error:
        return key, str(error)
    except K8shaError as error:
        return key, f"no clear answer: {error}"
    return key, ""


def _await_definitions(cluster: Cluster, names: list[str]) -> None:
    """Waits until the new kinds are served."""
    definitions = cluster.resource("apiextensions.k8s.io/v1", "CustomResourceDefinition")

    def established(name: str) -> bool:
        conditions = definitions.get(name).get("status", {}).get("conditions") or []
        return any(c["type"] == "Established" and c["status"] == "True" for c in conditions)

    for name in names:
        eventually(lambda name=name: established(name), what=f"{name} is established", timeout=_ESTABLISHED)  # type: ignore[misc]
    cluster.client.discovery.forget()
