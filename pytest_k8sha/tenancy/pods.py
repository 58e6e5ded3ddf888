"""Pods that keep every rule, and pods that break exactly one: a pod for each field of the Pod Security Standards.

The fields are those of https://kubernetes.io/docs/concepts/security/pod-security-standards/ as of Kubernetes 1.36. A
breach is put into a pod that is otherwise right, so that a refusal can only be for that field.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_k8sha.model import nonce

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pytest_k8sha.tenancy.tenant import Tenant

    Manifest = dict[str, Any]

IMAGE = "pause:3.10"
REGISTRY = "registry.k8s.io/"

SAFE: dict[str, Any] = {
    "allowPrivilegeEscalation": False,
    "runAsNonRoot": True,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}
"""The security context of a container under the restricted level."""


def image(tenant: Tenant) -> str:
    """An image that this tenant may use."""
    registry = (tenant.expects.registries or [REGISTRY])[0]
    return f"{registry.rstrip('/')}/{IMAGE}"


def container(tenant: Tenant, name: str = "main", **more: Any) -> Manifest:
    """A container that keeps every rule; without resources, which a LimitRange may fill in."""
    return {"name": name, "image": image(tenant), "securityContext": copy.deepcopy(SAFE), **more}


def pod(tenant: Tenant, *, name: str = "", labels: dict[str, str] | None = None, **spec: Any) -> Manifest:
    """A pod of the tenant that keeps the restricted level and what the tenant promises of its pods."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name or nonce("pod"),
            "namespace": tenant.namespace,
            "labels": {**tenant.expects.labels, **(labels or {})},
        },
        "spec": {
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 0,
            "containers": [container(tenant)],
            **spec,
        },
    }


def deployment(tenant: Tenant, *, name: str = "", template: Manifest | None = None, replicas: int = 1) -> Manifest:
    """A Deployment of such pods. ``template`` is a pod whose metadata and spec are taken."""
    called = name or nonce("app")
    made = copy.deepcopy(template or pod(tenant))
    labels = {**made["metadata"].get("labels", {}), "app.kubernetes.io/name": called}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": called, "namespace": tenant.namespace, "labels": dict(tenant.expects.labels)},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app.kubernetes.io/name": called}},
            "template": {"metadata": {"labels": labels}, "spec": made["spec"]},
        },
    }


@dataclass(frozen=True)
class Breach:
    """One forbidden setting. ``container`` is merged into a container, ``context`` into its security context, ``spec``
    into the pod's spec; ``unset`` names what is taken out of the security context. ``tells`` is the word by which Pod
    Security names the field (default: the name), ``since`` the first minor version that knows it."""

    name: str
    level: str
    spec: dict[str, Any] = field(default_factory=dict)
    container: dict[str, Any] = field(default_factory=dict)
    context: dict[str, Any] = field(default_factory=dict)
    unset: tuple[str, ...] = ()
    tells: str = ""
    since: int = 0

    @property
    def in_container(self) -> bool:
        """Whether it is a setting of a container, and so can hide in an init, sidecar or ephemeral one."""
        return bool(self.container or self.context or self.unset)

    def into(self, made: Manifest, place: Callable[[Manifest], Manifest]) -> Manifest:
        """``made`` with this one breach, in the container that ``place`` finds."""
        broken = copy.deepcopy(made)
        broken["spec"].update(copy.deepcopy(self.spec))
        if self.in_container:
            self.apply(place(broken))
        return broken

    def apply(self, target: Manifest) -> None:
        """Breaks one container."""
        target.update(copy.deepcopy(self.container))
        context = target.setdefault("securityContext", {})
        context.update(copy.deepcopy(self.context))
        for key in self.unset:
            context.pop(key, None)
        if self.context.get("privileged") or "SYS_ADMIN" in (context.get("capabilities") or {}).get("add", []):
            context.pop("allowPrivilegeEscalation", None)  # the API refuses the contradiction before any policy


_HOST_PROBE = {"httpGet": {"port": 80, "host": "169.254.169.254"}}

BASELINE: tuple[Breach, ...] = (
    Breach("privileged", "baseline", tells="privileged (", context={"privileged": True}),
    Breach("hostNetwork", "baseline", spec={"hostNetwork": True}),
    Breach("hostPID", "baseline", spec={"hostPID": True}),
    Breach("hostIPC", "baseline", spec={"hostIPC": True}),
    Breach(
        "hostPath volume", "baseline", tells="hostPath", spec={"volumes": [{"name": "host", "hostPath": {"path": "/"}}]}
    ),
    Breach("hostPort", "baseline", container={"ports": [{"containerPort": 8080, "hostPort": 8080}]}),
    Breach(
        "windows hostProcess",
        "baseline",
        tells="hostProcess",
        spec={"securityContext": {"windowsOptions": {"hostProcess": True}}, "hostNetwork": True},
    ),
    Breach(
        "capability SYS_ADMIN",
        "baseline",
        tells='"SYS_ADMIN"',
        context={"capabilities": {"drop": ["ALL"], "add": ["SYS_ADMIN"]}},
    ),
    Breach(
        "capability NET_RAW",
        "baseline",
        tells='"NET_RAW"',
        context={"capabilities": {"drop": ["ALL"], "add": ["NET_RAW"]}},
    ),
    Breach(
        "procMount Unmasked",
        "baseline",
        tells="procMount",
        spec={"hostUsers": False},
        context={"procMount": "Unmasked"},
    ),
    Breach(
        "sysctl kernel.msgmax",
        "baseline",
        tells="sysctls",
        spec={"securityContext": {"sysctls": [{"name": "kernel.msgmax", "value": "65536"}]}},
    ),
    Breach(
        "seccomp Unconfined", "baseline", tells="seccompProfile", context={"seccompProfile": {"type": "Unconfined"}}
    ),
    Breach("AppArmor Unconfined", "baseline", tells="AppArmor", context={"appArmorProfile": {"type": "Unconfined"}}),
    Breach("SELinux type", "baseline", tells="seLinuxOptions", context={"seLinuxOptions": {"type": "spc_t"}}),
    Breach("SELinux user", "baseline", tells="seLinuxOptions", context={"seLinuxOptions": {"user": "sysadm_u"}}),
    Breach("probe to a host", "baseline", tells="lifecycle host", container={"livenessProbe": _HOST_PROBE}, since=34),
    Breach(
        "lifecycle hook to a host",
        "baseline",
        tells="lifecycle host",
        container={"lifecycle": {"preStop": _HOST_PROBE}},
        since=34,
    ),
)

RESTRICTED: tuple[Breach, ...] = (
    Breach("runAsUser 0", "restricted", tells="runAsUser=0", context={"runAsUser": 0}),
    Breach("runAsNonRoot not set", "restricted", tells="runAsNonRoot", unset=("runAsNonRoot",)),
    Breach(
        "allowPrivilegeEscalation not set to false",
        "restricted",
        tells="allowPrivilegeEscalation",
        unset=("allowPrivilegeEscalation",),
    ),
    Breach("capabilities not dropped", "restricted", tells="unrestricted capabilities", unset=("capabilities",)),
    Breach(
        "capability CHOWN", "restricted", tells='"CHOWN"', context={"capabilities": {"drop": ["ALL"], "add": ["CHOWN"]}}
    ),
    Breach("seccomp not set", "restricted", tells="seccompProfile", unset=("seccompProfile",)),
    Breach(
        "volume type nfs",
        "restricted",
        tells='"nfs"',
        spec={"volumes": [{"name": "far", "nfs": {"server": "192.0.2.1", "path": "/"}}]},
    ),
    Breach(
        "volume type iscsi",
        "restricted",
        tells='"iscsi"',
        spec={
            "volumes": [
                {"name": "far", "iscsi": {"targetPortal": "192.0.2.1:3260", "iqn": "iqn.2020-01.example:x", "lun": 0}}
            ]
        },
    ),
)

CONTAINER, INIT, SIDECAR = "a container", "an init container", "a sidecar"
"""Where a breach can hide in a pod that is being created; an ephemeral container comes later, by its own request."""


def _with_place(tenant: Tenant, place: str) -> Manifest:
    """A right pod that has a right container in that place."""
    if place == CONTAINER:
        return pod(tenant)
    more = {"restartPolicy": "Always"} if place == SIDECAR else {}
    return pod(tenant, initContainers=[container(tenant, "first", **more)])


@dataclass(frozen=True)
class Variant:
    """A breach in one place: the pod that is right (the positive control), and the same pod with the breach."""

    breach: Breach
    place: str
    right: Manifest
    wrong: Manifest

    def __str__(self) -> str:
        return f"{self.breach.name} in {self.place}" if self.breach.in_container else self.breach.name


def _first(key: str) -> Callable[[Manifest], Manifest]:
    def place(made: Manifest) -> Manifest:
        found: Manifest = made["spec"][key][0]
        return found

    return place


def variants(tenant: Tenant, breaches: Sequence[Breach], places: Sequence[str], minor: int) -> Iterator[Variant]:
    """Each breach that the server's minor version knows, in each place in which it can be."""
    for breach in breaches:
        if breach.since > minor:
            continue
        for place in places:
            if place != CONTAINER and not breach.in_container:
                continue
            if place == INIT and {"livenessProbe", "lifecycle"} & breach.container.keys():
                continue  # an init container that ends has neither probes nor hooks
            right = _with_place(tenant, place)
            index = "containers" if place == CONTAINER else "initContainers"
            yield Variant(breach, place, right, breach.into(right, _first(index)))


def minor_of(version: str) -> int:
    """36 for ``v1.36.3``; 0 when it cannot be told."""
    parts = version.lstrip("v").split(".")
    digits = "".join(c for c in parts[1] if c.isdigit()) if len(parts) > 1 else ""
    return int(digits) if digits else 0
