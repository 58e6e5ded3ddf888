"""Nodes that are not the tenant's: reserved by a taint, and reached by `nodeName`, by a toleration, by a Deployment."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_k8sha._wait import eventually
from pytest_k8sha.checks.denial import ADMISSION, NODE_SELECTOR, attribute
from pytest_k8sha.errors import ApiError, NotEvaluated, WaitTimeout
from pytest_k8sha.model import nonce
from pytest_k8sha.tenancy import pods
from pytest_k8sha.tenancy.escapes import stage
from pytest_k8sha.tenancy.network.ground import usable_nodes
from pytest_k8sha.tenancy.podsecurity import author
from pytest_k8sha.tenancy.secrets import owned

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_k8sha.checks.judge import Judge
    from pytest_k8sha.fleet.cluster import Cluster
    from pytest_k8sha.tenancy.tenant import Tenant

DEADLINE = 30.0
"""Seconds for the scheduler, or the kubelet, to decide."""

CONDITIONS = "node.kubernetes.io/"
"""Taints that a node gets by its state are no reservation."""

REFUSED_BY = (*ADMISSION, NODE_SELECTOR)
HARD = frozenset({"NoSchedule", "NoExecute"})


@dataclass(frozen=True)
class Node:
    """A node that is reserved by taints."""

    name: str
    taints: tuple[Mapping[str, str], ...]

    def __str__(self) -> str:
        told = ", ".join(f"{t['key']}={t.get('value', '')}:{t['effect']}" for t in self.taints)
        return f"node {self.name} ({told})"


@dataclass(frozen=True)
class Trick:
    """One way to a node: ``spec`` goes into the pod."""

    name: str
    spec: dict[str, Any] = field(default_factory=dict)
    deployed: bool = False


def reserved_nodes(cluster: Cluster) -> list[Node]:
    """The ready nodes that a hard taint keeps ordinary pods from."""
    found = []
    for node in cluster.resource("v1", "Node").list():
        taints = tuple(
            t for t in node["spec"].get("taints") or [] if t["effect"] in HARD and not t["key"].startswith(CONDITIONS)
        )
        ready = any(c["type"] == "Ready" and c["status"] == "True" for c in node["status"].get("conditions") or [])
        if taints and ready:
            found.append(Node(node["metadata"]["name"], taints))
    return found


def tricks(node: Node) -> list[Trick]:
    """Each way to that node."""
    there = {"nodeSelector": {stage.HOST: node.name}}
    field_ = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node.name]}]}
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [field_]}}}
    everything = {"tolerations": [{"operator": "Exists"}]}
    named = {
        "tolerations": [
            {"key": t["key"], "operator": "Equal", "value": t.get("value", ""), "effect": t["effect"]}
            for t in node.taints
        ]
    }
    return [
        Trick("nodeName", {"nodeName": node.name, **(everything if _evicts(node) else {})}),
        Trick("a toleration of everything", {**there, **everything}),
        Trick("a toleration of the node's own taint", {**there, **named}),
        Trick("node affinity and a toleration of everything", {"affinity": affinity, **everything}),
        Trick("a Deployment that tolerates everything", {**there, **everything}, deployed=True),
    ]


def _evicts(node: Node) -> bool:
    return any(t["effect"] == "NoExecute" for t in node.taints)


def judge_reserved(judge: Judge, cluster: Cluster, tenants: Sequence[Tenant]) -> None:
    """No pod of a tenant comes to run on a reserved node. The administrator's does, by the same toleration, and the
    tenant's own runs elsewhere: so a pod that stays away was kept away."""
    owned(tenants)
    nodes = reserved_nodes(cluster)
    if not nodes:
        raise NotEvaluated(
            f"no node of cluster {cluster.name} is reserved by a taint",
            remedy="taint the nodes that are not for tenants",
        )
    image = stage.ensure_image(cluster)
    free = [address.node for address in usable_nodes(cluster)]
    if not free:
        raise NotEvaluated(f"cluster {cluster.name} has no node that an ordinary pod can run on")
    home = cluster.create_namespace("reserved")
    try:
        controls = [stage.pod(tenant, image, node=free[0]) for tenant in tenants]
        for node in nodes:
            body = stage.pod(tenants[0], image, node=node.name, tolerations=[{"operator": "Exists"}])
            body["metadata"]["namespace"] = home
            controls.append(body)
        with stage.running(cluster, controls):  # raises where a right pod does not run
            for tenant in tenants:
                for node in nodes:
                    _judge_node(judge, cluster, tenant, node, image)
    finally:
        cluster.delete_namespace(home, wait=False)


def _judge_node(judge: Judge, cluster: Cluster, tenant: Tenant, node: Node, image: str) -> None:
    client = author(tenant)
    made: list[tuple[Trick, str, dict[str, Any]]] = []
    try:
        for trick in tricks(node):
            subject = f"a pod of {tenant} on {node} by {trick.name}"
            body = stage.pod(tenant, image, **trick.spec)
            kind = ("v1", "Pod")
            if trick.deployed:
                body, kind = pods.deployment(tenant, name=nonce("run"), template=body), ("apps/v1", "Deployment")
            try:
                made.append((trick, subject, client.resource(*kind).create(body)))
            except ApiError as error:
                denial = attribute(error)
                if denial and denial.by in REFUSED_BY:
                    judge.ok(subject, f"refused by {denial}")
                else:
                    judge.unsure(subject, f"an error is not a denial: {error}")
        for trick, subject, one in made:
            _judge_made(judge, cluster, node, trick, subject, one)
    finally:
        stage.remove(cluster, [one for trick, _, one in made if not trick.deployed])
        for trick, _, one in made:
            if trick.deployed:
                cluster.resource("apps/v1", "Deployment").delete(one["metadata"]["name"], one["metadata"]["namespace"])


def _judge_made(judge: Judge, cluster: Cluster, node: Node, trick: Trick, subject: str, one: dict[str, Any]) -> None:
    resource, meta = cluster.resource("v1", "Pod"), one["metadata"]

    def mine() -> list[dict[str, Any]]:
        if trick.deployed:
            return resource.list(meta["namespace"], labels=f"app.kubernetes.io/name={meta['name']}")
        return [resource.get(meta["name"], meta["namespace"])]

    def decided() -> tuple[str, str]:
        for pod in mine():
            if pod["spec"].get("nodeName") == node.name and stage.started(pod):
                return "ran", f"pod {pod['metadata']['name']} ran there"
            for condition in pod.get("status", {}).get("conditions") or []:
                if condition["type"] == "PodScheduled" and condition.get("reason") == "Unschedulable":
                    return _reason("the scheduler keeps it away", str(condition.get("message", "")))
            if pod["status"].get("phase") == "Failed":
                return _reason("the kubelet does not take it", str(pod["status"].get("message", "")))
        return _refused(cluster, meta) if trick.deployed else ("", "")

    try:
        end, told = eventually(
            decided,
            what="it is decided where the pod runs",
            timeout=DEADLINE,
            interval=0.2,
            accept=lambda d: bool(d[0]),
        )
    except WaitTimeout as error:
        judge.unsure(subject, str(error))
        return
    if end == "ran":
        judge.bad(subject, seen=told)
    elif end == "kept":
        judge.ok(subject, told)
    else:
        judge.unsure(subject, told)


def _reason(who: str, told: str) -> tuple[str, str]:
    """A pod that is kept away by the taint is kept away; one that found no room proves nothing."""
    return ("kept" if "taint" in told.lower() else "other"), f"{who}: {told}"


def _refused(cluster: Cluster, meta: Mapping[str, Any]) -> tuple[str, str]:
    """Whether admission keeps the pods of a Deployment from being made."""
    for one in cluster.resource("apps/v1", "ReplicaSet").list(
        meta["namespace"], labels=f"app.kubernetes.io/name={meta['name']}"
    ):
        for condition in one.get("status", {}).get("conditions") or []:
            if condition["type"] == "ReplicaFailure" and condition["status"] == "True":
                told = str(condition.get("message", ""))
                denial = attribute(ApiError(403, method="POST", path="", reason="Forbidden", message=told))
                by = denial if denial and denial.by in REFUSED_BY else None
                return ("kept", f"no pod appeared; it is refused by {by}") if by else ("other", told)
    return "", ""
