"""The Chaos Mesh that a cluster has: where its controller is, whether it works, and how it was set up."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_k8sha.chaos.mesh.parts import API_VERSION, GROUP, plural
from pytest_k8sha.errors import Inconclusive, NotEvaluated
from pytest_k8sha.workloads.model import is_ready

if TYPE_CHECKING:
    from collections.abc import Collection

    from pytest_k8sha.fleet.cluster import Cluster

LABELS = "app.kubernetes.io/name=chaos-mesh"
COMPONENT = "app.kubernetes.io/component"
CONTROLLER, DAEMON = "controller-manager", "chaos-daemon"
VERBS = ("create", "get", "patch", "delete")
"""What must be allowed on a kind to inject it and to take it back."""

ALLOWED = "chaos-mesh.org/inject"
"""The annotation that a namespace must have, with the value ``enabled``, where the controller filters namespaces."""


@dataclass(frozen=True)
class Installation:
    """What was found. ``ready`` of ``wanted`` controllers are ready; ``daemons`` are the nodes that have one ready."""

    namespace: str
    wanted: int
    ready: int
    daemons: frozenset[str] = frozenset()
    settings: dict[str, str] = field(default_factory=dict)

    @property
    def filters(self) -> bool:
        """Whether only namespaces that say so by annotation may be hit (``enableFilterNamespace``)."""
        return self.settings.get("ENABLE_FILTER_NAMESPACE", "").lower() == "true"

    @property
    def only(self) -> str:
        """The one namespace that may be hit where the controller is not cluster-scoped; empty for any."""
        scoped = self.settings.get("CLUSTER_SCOPED", "true").lower() == "true"
        return "" if scoped else self.settings.get("TARGET_NAMESPACE", "")

    @property
    def health(self) -> str:
        """Why nothing will be injected now; empty when the controller works."""
        if self.ready:
            return ""
        count = f"{self.ready} of {self.wanted} replicas ready"
        return f"the controller of Chaos Mesh in namespace {self.namespace} has {count}"


def find(cluster: Cluster) -> Installation:
    """Reads the installation. Raises `NotEvaluated` on a cluster that has none, `ApiError` and `TransportError`."""
    if not any(kind.kind == "PodChaos" and kind.api_version == API_VERSION for kind in cluster.kinds):
        raise NotEvaluated(f"cluster {cluster.name} has no Chaos Mesh: it does not know {API_VERSION} PodChaos")
    deployments = cluster.resource("apps/v1", "Deployment").list(labels=f"{LABELS},{COMPONENT}={CONTROLLER}")
    if not deployments:
        raise NotEvaluated(f"cluster {cluster.name} has the kinds of Chaos Mesh and no controller of it")
    controller = deployments[0]
    namespace = controller["metadata"]["namespace"]
    daemons = cluster.resource("v1", "Pod").list(namespace, labels=f"{LABELS},{COMPONENT}={DAEMON}")
    return Installation(
        namespace=namespace,
        wanted=int(controller.get("spec", {}).get("replicas", 1)),
        ready=int(controller.get("status", {}).get("readyReplicas") or 0),
        daemons=frozenset(p["spec"].get("nodeName", "") for p in daemons if is_ready(p)),
        settings=_settings(controller),
    )


def usable(
    cluster: Cluster, name: str, kind: str, namespace: str, spaces: Collection[str], swept: Collection[str] = ()
) -> None:
    """Whether an object of ``kind`` in ``namespace`` can be injected into pods of ``spaces``, and be taken back.
    ``swept`` are kinds that must be looked through afterwards, in all namespaces.

    Raises `NotEvaluated` without Chaos Mesh, `Inconclusive` when it does not work or may not be used here.
    """
    found = find(cluster)
    if found.health:
        raise Inconclusive(f"{name} would not be injected: {found.health}")
    if found.only and set(spaces) - {found.only}:
        raise Inconclusive(
            f"{name} would not be injected: this Chaos Mesh acts on the namespace {found.only} alone",
            value=", ".join(sorted(spaces)),
        )
    closed = [space for space in sorted(spaces) if found.filters and not _is_open(cluster, space)]
    if closed:
        raise Inconclusive(
            f"{name} would not be injected: the controller filters namespaces, and some are not open to it",
            value=", ".join(closed),
            remedy=f"annotate the namespace with {ALLOWED}=enabled",
        )
    refused = [verb for verb in VERBS if not _may(cluster, verb, kind, namespace)]
    if refused:
        raise Inconclusive(
            f"{name} is not begun, since it could not be ended: no right to {', '.join(refused)} {plural(kind)} in "
            f"{namespace}"
        )
    pairs = [(verb, one) for one in sorted(swept) for verb in ("list", "patch")]
    unseen = [f"{verb} {plural(one)}" for verb, one in pairs if not _may(cluster, verb, one)]
    if unseen:
        raise Inconclusive(
            f"{name} is not begun, since nobody could see that nothing of it is left: no right to {', '.join(unseen)} "
            "in all namespaces"
        )


def _is_open(cluster: Cluster, namespace: str) -> bool:
    annotations = cluster.resource("v1", "Namespace").get(namespace)["metadata"].get("annotations") or {}
    return bool(annotations.get(ALLOWED) == "enabled")


def _may(cluster: Cluster, verb: str, kind: str, namespace: str = "") -> bool:
    attributes = {"verb": verb, "group": GROUP, "resource": plural(kind), "namespace": namespace}
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    return bool(cluster.client.request("POST", path, body=body)["status"].get("allowed"))


def _settings(deployment: dict[str, Any]) -> dict[str, str]:
    containers = deployment.get("spec", {}).get("template", {}).get("spec", {}).get("containers") or []
    return {
        str(variable["name"]): str(variable.get("value", ""))
        for container in containers
        for variable in container.get("env") or []
    }
