"""The probe: a handful of reads that tell what a cluster offers.

Capabilities are short words. A check names those that it needs in ``requires``:

``api:GROUP``            the API group is served
``kind:PLURAL.GROUP``    the resource is served
``nodes:real``           pods really run on at least one node
``nodes:simulated``      nodes are simulated (KWOK); pods are Running in the API only
``nodes:N``              at least N schedulable nodes (written ``nodes>=3`` in ``requires``)
``zones:N``              at least N zones (``zones>=2``)
``members:N``            API servers listed in the Endpoints of default/kubernetes (``members>=3``)
``metrics``              metrics.k8s.io answers
``faults:…``             what the provider can break, such as ``faults:heartbeat``
``etcd:…``               what the provider knows of etcd: ``etcd:reachable``, ``etcd:small``
``storage:etcd``         the data of etcd can be replaced: a restore can be tried
``can:…``                rights of this identity, such as ``can:impersonate``
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_k8sha.errors import ApiError, K8shaError, RequestError, UsageError
from pytest_k8sha.kube import apiservers

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pytest_k8sha.kube.client import Client

ZONE = "topology.kubernetes.io/zone"
_AT_LEAST = re.compile(r"(nodes|zones|members)>=(\d+)")
_WORD = re.compile(r"(api|kind|nodes|faults|can|audit|admission|etcd|storage):.+|metrics")


@dataclass
class Capabilities:
    """What one cluster can do. ``counts`` holds nodes, zones and members; ``problems`` what could not be found out."""

    version: str = ""
    uid: str = ""
    known: dict[str, str] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def missing(self, requires: Iterable[str]) -> list[str]:
        """The reasons why a check with these requirements cannot be evaluated here; empty when it can."""
        reasons = []
        for need in requires:
            at_least = _AT_LEAST.fullmatch(need)
            if at_least:
                have = self.counts.get(at_least[1], 0)
                if have < int(at_least[2]):
                    reasons.append(f"needs {need}, and this cluster has {have}")
            elif need not in self.known:
                reasons.append(f"needs {need}, which this cluster does not have")
        return reasons

    def as_dict(self) -> dict[str, str]:
        return {**self.known, **{name: str(count) for name, count in self.counts.items()}}


def check_words(requires: Iterable[str]) -> None:
    """Raises `UsageError` for a requirement that no cluster could ever have."""
    for need in requires:
        if not (_AT_LEAST.fullmatch(need) or _WORD.fullmatch(need)):
            examples = ["nodes:real", "zones>=2", "metrics", "api:GROUP", "kind:PLURAL.GROUP", "faults:heartbeat"]
            raise UsageError("unknown requirement of a check", value=need, allowed=examples)


def probe(client: Client, provided: Mapping[str, str]) -> Capabilities:
    """Finds out with reads and access reviews only. What cannot be read is listed as a problem, never assumed.

    Raises `TransportError` or `ApiError` when not even the version can be read: then there is no cluster to judge.
    """
    found = Capabilities(version=str(client.get("/version").get("gitVersion", "")))
    found.known.update(provided)
    for step in (_identity, _groups, _nodes, _members, _rights):
        try:
            step(client, found)
        except K8shaError as error:
            found.problems.append(str(error))
    return found


def _identity(client: Client, found: Capabilities) -> None:
    found.uid = client.get("/api/v1/namespaces/kube-system")["metadata"]["uid"]


def _groups(client: Client, found: Capabilities) -> None:
    for kind in client.discovery.preferred:
        found.known.setdefault(f"api:{kind.group or 'core'}", "served")
        found.known.setdefault(f"kind:{kind.qualified}", "served")
    if "api:metrics.k8s.io" in found.known:
        client.get("/apis/metrics.k8s.io/v1beta1/nodes")
        found.known["metrics"] = "metrics.k8s.io answers"
    for name, reason in client.discovery.unavailable.items():
        found.problems.append(f"{name}: {reason}")


def _nodes(client: Client, found: Capabilities) -> None:
    nodes: list[dict[str, Any]] = client.resource("v1", "Node").list()
    usable = [n for n in nodes if not n.get("spec", {}).get("unschedulable")]
    zones = {n["metadata"].get("labels", {}).get(ZONE) for n in usable} - {None}
    simulated = [n for n in nodes if _is_simulated(n)]
    found.counts.update(nodes=len(usable), zones=len(zones))
    if simulated:
        found.known["nodes:simulated"] = f"{len(simulated)} nodes are simulated by KWOK"
    if len(nodes) > len(simulated):
        found.known["nodes:real"] = f"{len(nodes) - len(simulated)} nodes run pods"


def _is_simulated(node: Mapping[str, Any]) -> bool:
    """Whether KWOK plays the kubelet, by the marks that it and its tools leave
    (https://kwok.sigs.k8s.io/docs/user/kwok-manage-nodes-and-pods/)."""
    meta = node["metadata"]
    marks = {**(meta.get("annotations") or {}), **(meta.get("labels") or {})}
    runtime = node.get("status", {}).get("nodeInfo", {}).get("containerRuntimeVersion", "")
    return (
        marks.get("type") == "kwok" or runtime.startswith("kwok") or any(k.startswith("kwok.x-k8s.io/") for k in marks)
    )


def _members(client: Client, found: Capabilities) -> None:
    found.counts["members"] = len(apiservers.listed(client))


def _rights(client: Client, found: Capabilities) -> None:
    wanted = {
        "impersonate": ("", "users", "impersonate"),
        "approve": ("certificates.k8s.io", "certificatesigningrequests", "update"),
    }
    for name, (group, resource, verb) in wanted.items():
        body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {"group": group, "resource": resource, "verb": verb}},
        }
        try:
            answer = client.request("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body=body)
        except (ApiError, RequestError) as error:
            found.problems.append(str(error))
            continue
        if answer.get("status", {}).get("allowed"):
            found.known[f"can:{name}"] = "SelfSubjectAccessReview"
