"""The ground that is surveyed: probe pods on every node, a service before each, and what else a pod might reach."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_k8sha._wait import eventually
from pytest_k8sha.errors import ApiError, NotEvaluated, RequestError, WaitTimeout
from pytest_k8sha.model import nonce
from pytest_k8sha.settings import Settings
from pytest_k8sha.tenancy.network.agent import Agent, dial, dialled
from pytest_k8sha.tenancy.network.look import Eyes, Server
from pytest_k8sha.tenancy.network.places import SCTP, TCP, UDP, Address, Namespace, Pod, Service

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pytest_k8sha.fleet.cluster import Cluster

DEFAULT_IMAGE = "registry.k8s.io/e2e-test-images/agnhost:2.63.0"
"""The agnhost of Kubernetes 1.36."""

LABEL = "k8sha.dev/probe"
CONTROL = 8080
PORTS = (8080, 8081)
SCTP_PORT = 8082
LEAST = 2
"""Probes of a namespace: one alone has nobody of its own to reach."""
HOST_PORTS = range(18000, 19998, 2)
"""Where the two ports may lie that probes on the nodes' own network serve: drawn by lot, as surveys share the nodes."""
START_DEADLINE = 240.0
"""Seconds for all probe pods to be ready."""

_BROKEN = {"ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName", "CreateContainerError"}
_HARD_TAINTS = {"NoSchedule", "NoExecute"}


@dataclass(frozen=True)
class Site:
    """A namespace where probe pods go: one on every node (on a single one two), each with ``labels``, or one for each
    entry of ``each``, with these labels besides, spread over the nodes. They serve `PORTS` and ``ports``."""

    namespace: str
    labels: Mapping[str, str] = field(default_factory=dict)
    each: Sequence[Mapping[str, str]] = ()
    services: bool = True
    node_ports: bool = False
    ports: tuple[int, ...] = ()

    @property
    def served(self) -> tuple[int, ...]:
        return tuple(dict.fromkeys((*PORTS, *self.ports)))


def image_of(cluster: Cluster) -> str:
    """The probe image: the provider's option ``probe-image``, else ``K8SHA_PROBE_IMAGE``, else the published one."""
    options = cluster.state.options
    told = options.get("probe_image") or options.get("probe-image")
    return Settings.from_environment().probe_image or str(told or DEFAULT_IMAGE)


def usable_nodes(cluster: Cluster) -> list[Address]:
    """The nodes that ordinary pods can run on: ready, schedulable, without a hard taint."""
    found = []
    for node in cluster.resource("v1", "Node").list():
        spec, status = node.get("spec", {}), node.get("status", {})
        ready = any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions") or [])
        hard = any(t["effect"] in _HARD_TAINTS for t in spec.get("taints") or [])
        if ready and not hard and not spec.get("unschedulable"):
            found.append(address_of(node))
    return sorted(found, key=lambda a: a.node)


def address_of(node: Mapping[str, Any]) -> Address:
    name = node["metadata"]["name"]
    addresses = node.get("status", {}).get("addresses") or []
    ip = next((a["address"] for a in addresses if a["type"] == "InternalIP"), "")
    return Address(ip, f"node {name}", name)


@dataclass
class Ground:
    """Probe pods that are ready. ``pods`` are by namespace; ``host`` is one on a node's own network, outside the pod
    network, standing for whatever lies outside the cluster."""

    cluster: Cluster
    mark: str
    nodes: list[Address]
    namespaces: dict[str, Namespace]
    pods: dict[str, list[Pod]]
    services: dict[str, list[Service]]
    host: list[Pod] = field(default_factory=list)
    served: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """The ports that the probes of a namespace serve."""
    outer: tuple[int, ...] = ()
    """The ports that the probes on the nodes' own network serve."""
    sctp: list[Pod] = field(default_factory=list)
    """Servers of SCTP, one in each namespace on each node, where the kernels have it."""

    @property
    def every(self) -> list[Pod]:
        return [pod for pods in self.pods.values() for pod in pods]

    def servers(self) -> list[Server]:
        inside = [Server(pod, f"p{port}") for pod in self.every for port in self.served[pod.namespace.name]]
        outside = [Server(pod, f"p{port}") for pod in self.host for port in self.outer]
        return inside + outside + [Server(pod, "sctp") for pod in self.sctp]

    def eyes(self) -> Eyes:
        return Eyes(self.cluster.client, self.servers(), control=CONTROL)

    def before(self, pod: Pod) -> tuple[Service, ...]:
        """The services in front of a pod."""
        mine = self.services.get(pod.namespace.name, [])
        return tuple(s for s in mine if s.selector and s.selector.items() <= pod.labels.items())

    def clear(self) -> None:
        """Deletes the pods and services, at once; what is gone already is no error."""
        for kind, objects in (("Pod", [*self.every, *self.host, *self.sctp]), ("Service", self._services())):
            target = self.cluster.resource("v1", kind)
            for one in objects:
                namespace = one.namespace.name if isinstance(one, Pod) else one.namespace
                try:
                    target.delete(one.name, namespace, grace=0 if kind == "Pod" else None)
                except ApiError as error:
                    if error.status != 404:
                        raise

    def _services(self) -> list[Service]:
        return [service for services in self.services.values() for service in services]


def prepare(
    cluster: Cluster,
    sites: Sequence[Site],
    *,
    host_site: str = "",
    host_ports: Sequence[int] = (),
    nodes: Sequence[Address] | None = None,
) -> Ground:
    """Puts probe pods into each site and waits until all are ready. ``host_site`` is a namespace that may hold pods on
    the host's network; one goes to each node, and serves two ports of its own and ``host_ports``. ``nodes`` are those
    to use (default: all that can be used).

    Raises `NotEvaluated` with the image's name when it cannot start, and `ApiError` when the cluster refuses a pod.
    """
    image = image_of(cluster)
    ensure = getattr(cluster.provider, "ensure_image", None)
    if ensure is not None:
        ensure(cluster.state, image)
    where = list(nodes if nodes is not None else usable_nodes(cluster))
    if not where:
        raise NotEvaluated(f"cluster {cluster.name} has no node that an ordinary pod can run on")
    mark = nonce("probe")
    pods, services = cluster.resource("v1", "Pod"), cluster.resource("v1", "Service")
    made: dict[str, list[str]] = {}
    doors: dict[str, list[Service]] = {}
    for site in sites:
        for number, own in enumerate(site.each or [{}] * max(LEAST, len(where))):
            name = f"{mark}-{number}"
            labels = {**site.labels, **own, LABEL: mark, f"{LABEL}-pod": str(number)}
            pods.create(pod_of(name, labels, where[number % len(where)].node, image, site.served), site.namespace)
            made.setdefault(site.namespace, []).append(name)
            if site.services:
                body = _service_of(name, {LABEL: mark, f"{LABEL}-pod": str(number)}, node_port=site.node_ports)
                doors.setdefault(site.namespace, []).append(Service.of(services.create(body, site.namespace)))
    first = secrets.choice(HOST_PORTS)
    outer = tuple(dict.fromkeys((first, first + 1, *host_ports)))
    for number, node in enumerate(where if host_site else []):
        pods.create(host_pod_of(f"{mark}-host-{number}", {LABEL: mark}, node.node, image, outer), host_site)
        made.setdefault(host_site, []).append(f"{mark}-host-{number}")
    spaces = {n["metadata"]["name"]: Namespace.of(n) for n in cluster.resource("v1", "Namespace").list()}
    ready = _await(cluster, mark, {*made}, sum(map(len, made.values())), image)
    found = [Pod.of(p, spaces[p["metadata"]["namespace"]]) for p in ready]
    return Ground(
        cluster,
        mark,
        where,
        spaces,
        {s.namespace: [p for p in found if p.namespace.name == s.namespace and not p.host_network] for s in sites},
        doors,
        [p for p in found if p.host_network],
        {s.namespace: s.served for s in sites},
        outer,
    )


def serve_sctp(ground: Ground, namespaces: Iterable[str]) -> dict[str, str]:
    """Puts servers of SCTP beside the probes, if every node's kernel has the protocol; else returns the nodes that have
    not, each with the words of its agent. A server that cannot listen would end again and again, so it is asked for
    first, by a dialling to nobody."""
    lacking: dict[str, str] = {}
    for pod in {pod.node: pod for pod in ground.every}.values():
        try:
            said = Agent(ground.cluster.client, pod, CONTROL).get(dial("127.0.0.1", 9, "sctp", b"echo"), timeout=10.0)
            words = "; ".join(dialled(said)[1])
        except (RequestError, ValueError) as error:
            words = str(error)
        if "refused" not in words:
            lacking[pod.node] = words
    if lacking:
        return lacking
    image, pods, mark = image_of(ground.cluster), ground.cluster.resource("v1", "Pod"), nonce("sctp")
    spaces = list(namespaces)
    for namespace in spaces:
        for number, node in enumerate(ground.nodes):
            labels = {**ground.pods[namespace][0].labels, LABEL: mark, f"{LABEL}-pod": f"sctp-{number}"}
            body = pod_of(f"{mark}-{number}", labels, node.node, image, ())
            body["spec"]["containers"] = [_sctp_container(image)]
            pods.create(body, namespace)
    ready = _await(ground.cluster, mark, spaces, len(spaces) * len(ground.nodes), image)
    ground.sctp = [Pod.of(p, ground.namespaces[p["metadata"]["namespace"]]) for p in ready]
    return {}


def _sctp_container(image: str) -> dict[str, Any]:
    args = ["netexec", f"--http-port={SCTP_PORT}", "--udp-port=-1", f"--sctp-port={SCTP_PORT}"]
    ports = [{"name": "sctp", "containerPort": SCTP_PORT, "protocol": SCTP}]
    return {**_container(SCTP_PORT, image), "name": "sctp", "args": args, "ports": ports}


def _await(cluster: Cluster, mark: str, namespaces: Iterable[str], wanted: int, image: str) -> list[dict[str, Any]]:
    pods = cluster.resource("v1", "Pod")
    last: list[dict[str, Any]] = []

    def ready() -> bool:
        last[:] = [p for n in namespaces for p in pods.list(n, labels=f"{LABEL}={mark}")]
        for pod in last:
            reason = trouble(pod)
            if reason:
                raise NotEvaluated(f"the probe image {image} cannot start: {reason}", remedy="give another image")
        return sum(is_ready(p) for p in last) == wanted

    try:
        eventually(ready, what="all probe pods are ready", timeout=START_DEADLINE, interval=0.2)
    except WaitTimeout as error:
        waiting = [f"{p['metadata']['namespace']}/{p['metadata']['name']} ({why(p)})" for p in last if not is_ready(p)]
        raise NotEvaluated(
            f"{len(waiting)} of {wanted} pods of the probe image {image} were not ready "
            f"after {error.waited:.0f} s: {', '.join(waiting)}"
        ) from error
    return sorted(last, key=lambda p: str(p["metadata"]["name"]))


def is_ready(pod: Mapping[str, Any]) -> bool:
    conditions = pod.get("status", {}).get("conditions") or []
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def trouble(pod: Mapping[str, Any]) -> str:
    """Why the pod will not start by itself, in the kubelet's words; empty while it may."""
    for status in pod.get("status", {}).get("containerStatuses") or []:
        waiting = (status.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") in _BROKEN:
            return f"{waiting['reason']}: {waiting.get('message', '')}"
        if waiting.get("reason") == "CrashLoopBackOff":
            ended = (status.get("lastState") or {}).get("terminated") or {}
            return f"it ends with code {ended.get('exitCode')}: {ended.get('message') or ended.get('reason', '')}"
    return ""


def why(pod: Mapping[str, Any]) -> str:
    status = pod.get("status", {})
    told = [c.get("message", "") for c in status.get("conditions") or [] if c.get("status") != "True"]
    return "; ".join(filter(None, [status.get("phase", ""), *told]))[:300]


def _container(port: int, image: str, *, host: bool = False) -> dict[str, Any]:
    name = "h" if host else "p"
    return {
        "name": f"p{port}",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "args": ["netexec", f"--http-port={port}", f"--udp-port={port}"],
        "ports": [
            {"name": f"{name}-tcp-{port}", "containerPort": port, "protocol": TCP},
            {"name": f"{name}-udp-{port}", "containerPort": port, "protocol": UDP},
        ],
        "resources": {
            "requests": {"cpu": "30m", "memory": "32Mi"},
            "limits": {"cpu": "300m", "memory": "128Mi"},
        },
        "securityContext": SECURITY,
    }


SECURITY = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "runAsUser": 65532,
    "seccompProfile": {"type": "RuntimeDefault"},
}
"""What the restricted Pod Security level asks for, so that probes run where tenants do."""


def pod_of(name: str, labels: Mapping[str, str], node: str, image: str, ports: Sequence[int] = PORTS) -> dict[str, Any]:
    """A probe pod: one server for each port. The scheduler places it, so that taints and quotas count as ever.

    It has no readiness probe: the first table, with the policies lifted, shows whether it serves, and probes would fill
    the logs that are searched for nonces."""
    return {
        "metadata": {"name": name, "labels": dict(labels)},
        "spec": {
            "nodeSelector": {"kubernetes.io/hostname": node},
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "containers": [_container(port, image) for port in ports],
        },
    }


def host_pod_of(name: str, labels: Mapping[str, str], node: str, image: str, ports: Sequence[int]) -> dict[str, Any]:
    """A server on the node's own network. Its named ports differ, as they are also the host's."""
    body = pod_of(name, labels, node, image)
    body["spec"] |= {"hostNetwork": True, "containers": [_container(port, image, host=True) for port in ports]}
    return body


def _service_of(name: str, selector: Mapping[str, str], *, node_port: bool) -> dict[str, Any]:
    ports = [
        {"name": f"{protocol.lower()}-{port}", "port": port - 8000, "targetPort": port, "protocol": protocol}
        for port in PORTS
        for protocol in (TCP, UDP)
    ]
    kind = "NodePort" if node_port else "ClusterIP"
    return {
        "metadata": {"name": name},
        "spec": {"type": kind, "selector": dict(selector), "ports": ports, "publishNotReadyAddresses": True},
    }
