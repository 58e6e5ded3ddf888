"""What of an object counts for a comparison, and which objects no backup restores.

The server sets what is left out here; a restored object has it anew. Everything else counts, finalizers, labels,
annotations and data among them.
"""

from __future__ import annotations

import copy
import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

Object = dict[str, Any]

METADATA = (
    "generateName",
    "selfLink",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "ownerReferences",
    "managedFields",
)
"""Keys of ``metadata`` that belong to one cluster and one moment. Lost ownerReferences are reported apart."""

LABELS = ("k8sha.dev/", "velero.io/backup-name", "velero.io/restore-name")
"""Labels that a run or a restore puts on objects."""

ANNOTATIONS = {
    "PersistentVolumeClaim": (
        "pv.kubernetes.io/bind-completed",
        "pv.kubernetes.io/bound-by-controller",
        "volume.beta.kubernetes.io/storage-provisioner",
        "volume.kubernetes.io/storage-provisioner",
        "volume.kubernetes.io/selected-node",
    ),
    "PersistentVolume": ("pv.kubernetes.io/bound-by-controller",),
    "Deployment": ("deployment.kubernetes.io/revision",),
    "DaemonSet": ("deprecated.daemonset.template.generation",),
}
_JOB_LABELS = ("controller-uid", "batch.kubernetes.io/controller-uid", "job-name", "batch.kubernetes.io/job-name")
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"

NEVER = frozenset(
    {
        "Node",
        "Event",
        "CSINode",
        "CSIStorageCapacity",
        "VolumeAttachment",
        "Lease",
        "LeaseCandidate",
        "Endpoints",
        "EndpointSlice",
        "ComponentStatus",
        "CertificateSigningRequest",
        "NodeMetrics",
        "PodMetrics",
        "ControllerRevision",
        "StorageVersion",
        "IPAddress",
        "ServiceCIDR",
    }
)
"""Kinds that the new cluster has of its own, or that its controllers make again."""

SYSTEM = "kube-"
"""Begins the namespaces that belong to the cluster itself."""


def skipped(obj: Mapping[str, Any]) -> str:
    """The rule by which no restore brings this object back; empty when one does."""
    kind, meta = str(obj.get("kind", "")), obj.get("metadata") or {}
    name, namespace = str(meta.get("name", "")), str(meta.get("namespace", ""))
    labels, annotations = meta.get("labels") or {}, meta.get("annotations") or {}
    if kind in NEVER:
        return f"{kind} objects are made by the cluster"
    if namespace.startswith(SYSTEM) or (kind == "Namespace" and name.startswith(SYSTEM)):
        return "the namespace belongs to the cluster itself"
    if any(owner.get("controller") for owner in meta.get("ownerReferences") or []):
        return "its owner makes it again"
    if labels.get("kubernetes.io/bootstrapping") == "rbac-defaults" or name.startswith(("system:", "system-")):
        return "the API server makes it"
    if "apf.kubernetes.io/autoupdate-spec" in annotations or "kube-aggregator.kubernetes.io/automanaged" in labels:
        return "the API server makes it"
    if (kind, namespace, name) == ("Service", "default", "kubernetes") or (kind, name) in {
        ("Namespace", "default"),
        ("ConfigMap", "kube-root-ca.crt"),
        ("ServiceAccount", "default"),
    }:
        return "the cluster makes it"
    if kind == "Secret" and obj.get("type") == "kubernetes.io/service-account-token":
        return "a token is valid on one cluster alone"
    if meta.get("deletionTimestamp"):
        return "it was being deleted"
    if kind == "Pod" and (obj.get("status") or {}).get("phase") in {"Succeeded", "Failed"}:
        return "it has run to its end"
    return ""


def normal(obj: Mapping[str, Any]) -> Object:
    """A copy of what counts. Two objects are equal when their normal forms are."""
    made: Object = copy.deepcopy({key: value for key, value in obj.items() if key != "status"})
    meta = made.get("metadata") or {}
    kind = str(made.get("kind", ""))
    for key in METADATA:
        meta.pop(key, None)
    _drop(meta, "labels", LABELS)
    _drop(meta, "annotations", (*ANNOTATIONS.get(kind, ()), _LAST_APPLIED))
    spec = made.get("spec")
    if isinstance(spec, dict):
        match kind:
            case "Service":
                _service(spec, obj)
            case "Pod":
                _pod(spec)
            case "Job":
                _drop(meta, "labels", _JOB_LABELS)
                spec.pop("selector", None)
                template = spec.get("template") or {}
                _drop(template.get("metadata") or {}, "labels", _JOB_LABELS)
            case "PersistentVolumeClaim":
                spec.pop("volumeName", None)
            case "PersistentVolume":
                for key in ("uid", "resourceVersion"):
                    (spec.get("claimRef") or {}).pop(key, None)
            case "Namespace":
                spec.pop("finalizers", None)
    if kind == "Namespace":
        _drop(meta, "labels", ("kubernetes.io/metadata.name",))
    if kind == "ServiceAccount":
        made.pop("secrets", None)
    bare: Object = _bare(made)
    return bare


def differences(wanted: Any, seen: Any, path: str = "") -> list[str]:
    """The paths at which two normal forms differ, values left out: they may be secrets. A key in square brackets stands
    for an element of a list, and follows its list as an index does."""
    if isinstance(wanted, dict) and isinstance(seen, dict):
        found = []
        for key in sorted({*wanted, *seen}):
            step = f"{path}{key}" if str(key).startswith("[") else f"{path}.{key}".lstrip(".")
            found += differences(wanted.get(key), seen.get(key), step)
        return found
    if isinstance(wanted, list) and isinstance(seen, list) and len(wanted) == len(seen):
        return [
            line
            for n, (a, b) in enumerate(zip(wanted, seen, strict=True))
            for line in differences(a, b, f"{path}[{n}]")
        ]
    return [] if wanted == seen else [path or "the object"]


def _service(spec: Object, obj: Mapping[str, Any]) -> None:
    """Addresses are the cluster's choice unless there are none; node ports, unless the user named them."""
    if spec.get("clusterIP") != "None":
        spec.pop("clusterIP", None)
        spec.pop("clusterIPs", None)
    spec.pop("healthCheckNodePort", None)
    text = ((obj.get("metadata") or {}).get("annotations") or {}).get(_LAST_APPLIED, "")
    try:
        applied = json.loads(text) if text else {}
        named = {port.get("nodePort") for port in applied.get("spec", {}).get("ports", [])} - {None}
    except (ValueError, AttributeError, TypeError):
        named = set()
    for port in spec.get("ports") or []:
        if port.get("nodePort") not in named:
            port.pop("nodePort", None)


def _pod(spec: Object) -> None:
    for key in ("nodeName", "priority"):
        spec.pop(key, None)
    tokens = {v["name"] for v in spec.get("volumes") or [] if str(v.get("name", "")).startswith("kube-api-access-")}
    spec["volumes"] = [volume for volume in spec.get("volumes") or [] if volume["name"] not in tokens]
    for group in ("containers", "initContainers"):
        for container in spec.get(group) or []:
            container["volumeMounts"] = [m for m in container.get("volumeMounts") or [] if m["name"] not in tokens]


def _drop(meta: Object, key: str, names: tuple[str, ...]) -> None:
    values = meta.get(key) or {}
    prefixes = tuple(name for name in names if name.endswith("/"))
    kept = {k: v for k, v in values.items() if k not in names and not (prefixes and k.startswith(prefixes))}
    meta[key] = kept


def _bare(value: Any) -> Any:
    """Without empty mappings, lists and nulls: a server writes some of them and leaves others out."""
    if isinstance(value, dict):
        return {k: made for k, v in value.items() if (made := _bare(v)) not in ({}, [], None)}
    return [_bare(one) for one in value] if isinstance(value, list) else value


def changed(obj: Mapping[str, Any]) -> float:
    """When somebody last changed what counts of a live object, in seconds since the epoch, by its managedFields; 0
    where they do not tell."""
    meta = obj.get("metadata") or {}
    times = [
        entry["time"]
        for entry in meta.get("managedFields") or []
        if entry.get("time") and entry.get("subresource") != "status"
    ]
    return max((datetime.fromisoformat(text).timestamp() for text in times), default=0.0)
