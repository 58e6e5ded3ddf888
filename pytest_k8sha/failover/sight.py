"""What one look at a cluster saw: only reads, and an end to each of them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from fractions import Fraction
from statistics import median
from typing import TYPE_CHECKING, Any

from pytest_k8sha import _clock
from pytest_k8sha.errors import ApiError, K8shaError, RequestError
from pytest_k8sha.kube import credentials, kubeconfig
from pytest_k8sha.probes.control_plane import parse_health
from pytest_k8sha.tenancy.access import Pair, Rule
from pytest_k8sha.tenancy.quantity import parse
from pytest_k8sha.workloads.model import is_ready

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_k8sha.fleet.cluster import Cluster

Object = dict[str, Any]

ASKED = 5
"""Requests that the latency is taken from, after a first one that opens the connection."""

PAGE = 500
VERBS = ("get", "list", "create", "update", "delete")
NAMESPACE = "default"
"""Where the rights on namespaced kinds are asked for."""
NAMESPACED = (
    ("", "pods"),
    ("", "services"),
    ("", "configmaps"),
    ("", "secrets"),
    ("apps", "deployments"),
    ("rbac.authorization.k8s.io", "rolebindings"),
)
CLUSTER_WIDE = (("", "namespaces"), ("", "nodes"))
"""What the matrix of rights is about: (group, resource)."""

KUBELET_SKEW = 3
"""Minor versions that a kubelet may be behind its API server (https://kubernetes.io/releases/version-skew-policy/)."""


@dataclass
class Sight:
    """One cluster as it was seen. What could not be read is in ``unread``, by its name, with the reason; a cluster that
    did not answer at all has a ``failure`` and nothing else.

    Latencies are in seconds, ``ends`` in seconds since 1970, resources in cores and bytes.
    """

    name: str
    context: str = ""
    server: str = ""
    failure: str = ""
    took: float = 0.0
    uid: str = ""
    version: str = ""
    emulates: str = ""
    """The minor version whose API is served, where it is not the program's own (``--emulated-version``)."""
    latency: tuple[float, ...] = ()
    failing: tuple[str, ...] = ()
    """Checks of ``/readyz`` that failed, and workloads of the system without their replicas."""
    nodes: dict[str, bool] = field(default_factory=dict)
    kubelets: dict[str, int] = field(default_factory=dict)
    """Kubelet version → number of nodes."""
    sort: str = ""
    ends: float | None = None
    credentials: str = ""
    rights: dict[str, bool] = field(default_factory=dict)
    addressless: tuple[str, ...] = ()
    """Services of type LoadBalancer without an address."""
    balancers: int = 0
    share: dict[str, float] = field(default_factory=dict)
    """Resource → what pods request of what the nodes have, 0 to 1."""
    unread: dict[str, str] = field(default_factory=dict)

    @property
    def answers(self) -> bool:
        return not self.failure

    @property
    def delay(self) -> float | None:
        """The latency of the API, as the median, in seconds."""
        return median(self.latency) if self.latency else None

    @property
    def spoken(self) -> str:
        """The version whose API is served."""
        return self.emulates or self.version

    @property
    def speaks(self) -> int:
        """The minor number of that version; 0 where it is not known."""
        return minor(self.spoken)

    @property
    def misfits(self) -> dict[str, int]:
        """The kubelets that do not fit the API server, by their version, with how many there are: newer than it, or
        more than `KUBELET_SKEW` minor versions older (https://kubernetes.io/releases/version-skew-policy/)."""
        server = minor(self.version)
        return {
            kubelet: number
            for kubelet, number in sorted(self.kubelets.items())
            if minor(kubelet) and not 0 <= server - minor(kubelet) <= KUBELET_SKEW
        }

    @property
    def not_ready(self) -> list[str]:
        return sorted(name for name, ready in self.nodes.items() if not ready)

    def as_dict(self) -> dict[str, Any]:
        return {**vars(self), "delay": self.delay}


def minor(version: str) -> int:
    """36 of ``v1.36.3``; 0 for what is no version."""
    found = re.match(r"v?\d+\.(\d+)", version)
    return int(found[1]) if found else 0


def look(cluster: Cluster, seconds: float) -> Sight:
    """Looks at a cluster for at most about ``seconds``. Raises nothing for what cannot be read: it is told instead."""
    clock = _clock.Deadline(seconds)
    seen = Sight(cluster.name, cluster.state.context)
    try:
        context = kubeconfig.load(cluster.state.kubeconfig or None, cluster.state.context or None)
        seen.server, seen.context = context.server, context.name
        found = credentials.of(context)
        seen.sort, seen.ends, seen.credentials = found.sort, found.ends, found.said
        namespace = _get(cluster, clock, "/api/v1/namespaces/kube-system")
    except K8shaError as error:
        seen.failure, seen.took = str(error), clock.spent
        return seen
    seen.uid = str(namespace["metadata"]["uid"])
    for name, part in _PARTS.items():
        try:
            part(cluster, clock, seen)
        except K8shaError as error:
            seen.unread[name] = str(error)
    seen.took = clock.spent
    return seen


def _get(cluster: Cluster, clock: _clock.Deadline, path: str, **query: Any) -> Any:
    if clock.passed:
        raise RequestError(f"there was no time left to ask for {path}", value=f"{clock.seconds:g} s")
    return cluster.client.request("GET", path, query=query or None, timeout=max(clock.left, 0.05))


def _items(cluster: Cluster, clock: _clock.Deadline, path: str, **query: Any) -> Iterator[Object]:
    more: str | None = ""
    while more is not None:
        answer = _get(cluster, clock, path, limit=PAGE, **{**query, **({"continue": more} if more else {})})
        yield from answer.get("items") or []
        more = answer.get("metadata", {}).get("continue") or None


def _version(cluster: Cluster, clock: _clock.Deadline, seen: Sight) -> None:
    said = _get(cluster, clock, "/version")
    seen.version = str(said.get("gitVersion", ""))
    if said.get("emulationMinor") and said["emulationMinor"] != said.get("minor"):
        seen.emulates = f"v{said.get('emulationMajor', '1')}.{said['emulationMinor']}"
    taken = []
    for _ in range(ASKED):
        one = _clock.Deadline(0)
        _get(cluster, clock, "/version")
        taken.append(one.spent)
    seen.latency = tuple(taken)


def _health(cluster: Cluster, clock: _clock.Deadline, seen: Sight) -> None:
    failing = []
    try:
        _get(cluster, clock, "/readyz", verbose="true")
    except ApiError as error:
        if error.status < 500 or "[-]" not in error.message:
            raise
        failing += [f"readyz: {name}" for name in parse_health(error.message, ok=False).failed]
    for path, wanted, have in (
        ("deployments", ("spec", "replicas"), "readyReplicas"),
        ("daemonsets", ("status", "desiredNumberScheduled"), "numberReady"),
    ):
        for item in _items(cluster, clock, f"/apis/apps/v1/namespaces/kube-system/{path}"):
            asked = int((item.get(wanted[0]) or {}).get(wanted[1]) or 0)
            ready = int((item.get("status") or {}).get(have) or 0)
            if ready < asked:
                failing.append(f"{path.removesuffix('s')} {item['metadata']['name']}: {ready} of {asked} ready")
    seen.failing = tuple(failing)


def _nodes(cluster: Cluster, clock: _clock.Deadline, seen: Sight) -> None:
    capacity: dict[str, Fraction] = {}
    for node in _items(cluster, clock, "/api/v1/nodes"):
        status = node.get("status") or {}
        seen.nodes[node["metadata"]["name"]] = is_ready(node)
        kubelet = str((status.get("nodeInfo") or {}).get("kubeletVersion", ""))
        seen.kubelets[kubelet] = seen.kubelets.get(kubelet, 0) + 1
        for what in ("cpu", "memory"):
            capacity[what] = capacity.get(what, Fraction()) + parse((status.get("allocatable") or {}).get(what, "0"))
    used: dict[str, Fraction] = {}
    for pod in _items(cluster, clock, "/api/v1/pods", fieldSelector="status.phase!=Succeeded,status.phase!=Failed"):
        for container in pod["spec"].get("containers") or []:
            for what, text in ((container.get("resources") or {}).get("requests") or {}).items():
                used[what] = used.get(what, Fraction()) + parse(text)
    seen.share = {what: float(used.get(what, Fraction()) / total) for what, total in capacity.items() if total}


def _balancers(cluster: Cluster, clock: _clock.Deadline, seen: Sight) -> None:
    found = [s for s in _items(cluster, clock, "/api/v1/services") if s["spec"].get("type") == "LoadBalancer"]
    seen.balancers = len(found)
    seen.addressless = tuple(
        f"{s['metadata']['namespace']}/{s['metadata']['name']}"
        for s in found
        if not ((s.get("status") or {}).get("loadBalancer") or {}).get("ingress")
    )


def _rights(cluster: Cluster, clock: _clock.Deadline, seen: Sight) -> None:
    """What the client itself may do, decided by the cluster's own authorisers: by the list of its rules in one
    namespace where the server vouches for it, else by one review for each pair."""
    pairs = [Pair(verb, group, resource) for group, resource in NAMESPACED for verb in VERBS]
    status = _review(cluster, clock, "SelfSubjectRulesReview", {"namespace": NAMESPACE})
    if status.get("incomplete") or status.get("evaluationError"):
        for pair in pairs:
            seen.rights[f"{pair.verb} {pair.resource}"] = _may(cluster, clock, pair, NAMESPACE)
    else:
        rules = [rule for rule in map(Rule.of, status.get("resourceRules") or []) if not rule.names]
        for pair in pairs:
            seen.rights[f"{pair.verb} {pair.resource}"] = any(rule.matches(pair) for rule in rules)
    # A RoleBinding of the namespace may name cluster-wide kinds and gives no right to them.
    for group, resource in CLUSTER_WIDE:
        for verb in VERBS:
            seen.rights[f"{verb} {resource}"] = _may(cluster, clock, Pair(verb, group, resource), "")


def _may(cluster: Cluster, clock: _clock.Deadline, pair: Pair, namespace: str) -> bool:
    asked = {"verb": pair.verb, "group": pair.group, "resource": pair.resource, "namespace": namespace}
    return bool(_review(cluster, clock, "SelfSubjectAccessReview", {"resourceAttributes": asked}).get("allowed"))


def _review(cluster: Cluster, clock: _clock.Deadline, kind: str, spec: Object) -> Object:
    if clock.passed:
        raise RequestError("there was no time left to ask for the rights", value=f"{clock.seconds:g} s")
    path = f"/apis/authorization.k8s.io/v1/{kind.lower()}s"
    body = {"apiVersion": "authorization.k8s.io/v1", "kind": kind, "spec": spec}
    answer = cluster.client.request("POST", path, body=body, timeout=max(clock.left, 0.05))
    return dict(answer.get("status") or {})


_PARTS: dict[str, Callable[[Cluster, _clock.Deadline, Sight], None]] = {
    "version and latency": _version,
    "health": _health,
    "nodes and resources": _nodes,
    "load balancers": _balancers,
    "rights": _rights,
}
