"""Priority: on a full node, the highest class that a tenant may use evicts nobody of its neighbours'."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

from pytest_k8sha import _clock
from pytest_k8sha._wait import eventually
from pytest_k8sha.checks.denial import ADMISSION, QUOTA, RBAC, attribute
from pytest_k8sha.errors import ApiError, NotEvaluated, WaitTimeout
from pytest_k8sha.tenancy.access import pairs_of_tenants
from pytest_k8sha.tenancy.escapes import stage
from pytest_k8sha.tenancy.matrix import several
from pytest_k8sha.tenancy.network.ground import usable_nodes
from pytest_k8sha.tenancy.podsecurity import author
from pytest_k8sha.tenancy.quantity import parse, spell
from pytest_k8sha.tenancy.secrets import owned
from pytest_k8sha.tenancy.sizes import quotas

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_k8sha.checks.denial import Denial
    from pytest_k8sha.checks.judge import Judge
    from pytest_k8sha.fleet.cluster import Cluster
    from pytest_k8sha.tenancy.tenant import Tenant

CANARY = Fraction(100, 1000)
"""CPUs that the neighbour's pod asks for, and that whoever evicts it gains."""

DEADLINE = 40.0
"""Seconds for the scheduler to decide about a pod."""

QUIET = 2.0
"""Seconds for which the neighbour's pod must be let alone after the scheduler has decided against the other one."""

IMMOVABLE, TOP = "system-node-critical", "system-cluster-critical"
"""The two classes of every cluster. What fills the node is of the higher one, so that nothing evicts it; the control is
of the other, which evicts whatever a tenant runs."""


def judge_preemption(judge: Judge, cluster: Cluster, tenants: Sequence[Tenant]) -> None:
    """Fills one node by requests but for a canary of the neighbour, and has the tenant ask for as much as the canary
    has, in each class above it. The canary stays; only the administrator's pod, at the end, evicts it."""
    several(tenants)
    owned(tenants)
    image = stage.ensure_image(cluster)
    node, free = _narrowest(cluster)
    if free < 2 * CANARY:
        raise NotEvaluated(f"node {node} has {spell(free)} CPUs free, which is too little to fill it in two parts")
    home = cluster.create_namespace("full")
    try:
        filler = _pod(tenants[0], image, node, free - CANARY, home=home, priorityClassName=IMMOVABLE)
        with stage.running(cluster, [filler]):
            pairs = list(pairs_of_tenants(tenants))
            for one, other in pairs:
                with stage.running(cluster, [_pod(other, image, node, CANARY)]) as (canary,):
                    if not judge.control(_is_full(cluster, one, image, node), f"node {node} is full"):
                        return
                    _judge_pair(judge, cluster, one, other, image, canary)
                    if (one, other) == pairs[-1] and _is_safe(cluster, canary):
                        evicts = _evicts(cluster, tenants[0], image, node, home, canary)
                        judge.control(evicts, f"a pod of {TOP} evicts the canary: the scheduler does preempt")
    finally:
        cluster.delete_namespace(home, wait=False)


def _narrowest(cluster: Cluster) -> tuple[str, Fraction]:
    """Of the nodes for ordinary pods the one with least free CPU, as the scheduler counts; none with the control plane
    where there is another."""
    nodes = {n["metadata"]["name"]: n for n in cluster.resource("v1", "Node").list()}
    names = [address.node for address in usable_nodes(cluster)]
    if not names:
        raise NotEvaluated(f"cluster {cluster.name} has no node that an ordinary pod can run on")
    free = {name: parse(nodes[name]["status"]["allocatable"]["cpu"]) for name in names}
    for pod in cluster.resource("v1", "Pod").list():
        where = pod["spec"].get("nodeName", "")
        if where in free and pod["status"].get("phase") not in {"Succeeded", "Failed"}:
            free[where] -= _asks(pod)
    leaders = {name for name in names if "node-role.kubernetes.io/control-plane" in nodes[name]["metadata"]["labels"]}
    chosen = min(set(names) - leaders or set(names), key=lambda name: free[name])
    return chosen, free[chosen]


def _asks(pod: dict[str, Any]) -> Fraction:
    """What the scheduler counts for a pod
    (https://kubernetes.io/docs/concepts/workloads/pods/init-containers/#resource-sharing-within-containers): the sum
    of its containers and sidecars, or its largest init container, and its overhead."""
    spec = pod["spec"]

    def cpu(container: dict[str, Any]) -> Fraction:
        return parse(((container.get("resources") or {}).get("requests") or {}).get("cpu", "0"))

    inits = spec.get("initContainers") or []
    steady = sum((cpu(c) for c in spec["containers"]), Fraction(0))
    steady += sum((cpu(c) for c in inits if c.get("restartPolicy") == "Always"), Fraction(0))
    largest = max((cpu(c) for c in inits), default=Fraction(0))
    whole = parse(((spec.get("resources") or {}).get("requests") or {}).get("cpu", "0"))
    return max(steady, largest, whole) + parse((spec.get("overhead") or {}).get("cpu", "0"))


def _pod(tenant: Tenant, image: str, node: str, cpu: Fraction, *, home: str = "", **spec: Any) -> dict[str, Any]:
    """A pod that asks for so much. Below ``home``, a namespace of the run without bounds, it has no limit."""
    resources: dict[str, Any] = {"requests": {"cpu": spell(cpu), "memory": "32Mi"}}
    if not home:
        resources["limits"] = {"cpu": spell(cpu * 2), "memory": "64Mi"}
    made = stage.pod(tenant, image, container={"resources": resources}, node=node, **spec)
    if home:
        made["metadata"]["namespace"] = home
    return made


def _is_safe(cluster: Cluster, canary: dict[str, Any]) -> bool:
    meta = canary["metadata"]
    now = cluster.resource("v1", "Pod").find(meta["name"], meta["namespace"])
    return now is not None and now["metadata"]["uid"] == meta["uid"] and not now["metadata"].get("deletionTimestamp")


def _decision(cluster: Cluster, pod: dict[str, Any]) -> tuple[str, str]:
    """Where the pod went, or why nowhere. Empty while the scheduler has not looked at it."""
    now = cluster.resource("v1", "Pod").get(pod["metadata"]["name"], pod["metadata"]["namespace"])
    if now["spec"].get("nodeName"):
        return "placed", now["spec"]["nodeName"]
    for condition in now.get("status", {}).get("conditions") or []:
        if condition["type"] == "PodScheduled" and condition.get("reason") == "Unschedulable":
            nominated = now["status"].get("nominatedNodeName", "")
            return ("nominated", nominated) if nominated else ("waits", str(condition.get("message", "")))
    return "", ""


def _await(cluster: Cluster, pod: dict[str, Any]) -> tuple[str, str]:
    return eventually(
        lambda: _decision(cluster, pod),
        what=f"the scheduler decides about {pod['metadata']['name']}",
        timeout=DEADLINE,
        accept=lambda seen: bool(seen[0]),
    )


def _is_full(cluster: Cluster, tenant: Tenant, image: str, node: str) -> bool:
    """Whether an ordinary pod of the tenant that asks for as much finds no place."""
    pod = stage.create(cluster.client, _pod(tenant, image, node, CANARY))
    try:
        end, told = _await(cluster, pod)
    except WaitTimeout:
        return False
    finally:
        stage.remove(cluster, [pod])
    return end == "waits" and "Insufficient cpu" in told


def _judge_pair(judge: Judge, cluster: Cluster, one: Tenant, other: Tenant, image: str, canary: dict[str, Any]) -> None:
    classes = cluster.resource("scheduling.k8s.io/v1", "PriorityClass").list()
    above = [c for c in classes if c["value"] > canary["spec"].get("priority", 0)]
    for found in sorted(above, key=lambda c: -int(c["value"])):
        name = found["metadata"]["name"]
        subject = f"{one} on the full node {canary['spec']['nodeName']} of {other} by priority class {name}"
        body = _pod(one, image, canary["spec"]["nodeName"], CANARY, priorityClassName=name)
        try:
            pod = stage.create(author(one), body)
        except ApiError as error:
            denial = attribute(error)
            if denial and (denial.by in (RBAC, *ADMISSION) or _forbids(cluster, one, denial)):
                judge.ok(subject, f"may not use the class: {denial}")
            elif denial:
                judge.unsure(subject, f"{denial} is used up now, and need not be tomorrow: {denial.message}")
            else:
                judge.unsure(subject, f"an error is not a denial: {error}")
            continue
        try:
            if not _judge_class(judge, cluster, subject, pod, canary):
                return  # the canary is gone, and with it the ground
        finally:
            stage.remove(cluster, [pod])


def _forbids(cluster: Cluster, tenant: Tenant, denial: Denial) -> bool:
    """Whether it is a quota that lets nothing of the class in, and not one that is merely used up."""
    found = [quota for quota in quotas(cluster, tenant.namespace) if quota.name == denial.name]
    nothing = ("pods", "count/pods", "requests.cpu", "limits.cpu", "cpu")
    return denial.by == QUOTA and any(quota.hard.get(key) == 0 for quota in found for key in nothing)


def _judge_class(judge: Judge, cluster: Cluster, subject: str, pod: dict[str, Any], canary: dict[str, Any]) -> bool:
    """Whether the canary is still there."""
    name = canary["metadata"]["name"]
    try:
        end, told = _await(cluster, pod)
    except WaitTimeout as error:
        judge.unsure(subject, str(error))
        return _is_safe(cluster, canary)
    if end == "nominated":  # victims are chosen; they go a moment later
        _is_gone(cluster, canary)
    if end == "waits":
        quiet = _clock.Deadline(QUIET)
        while not quiet.passed and _is_safe(cluster, canary):
            _clock.pause(min(0.3, quiet.left))
    if _is_safe(cluster, canary) and end == "waits":
        judge.ok(subject, f"{name} runs on; the scheduler: {told}")
        return True
    if not _is_safe(cluster, canary):
        judge.bad(subject, seen=f"the scheduler evicted {name}, the neighbour's pod, to make room ({end} {told})")
        return False
    judge.unsure(subject, f"the pod is {end} on {told}, and {name} runs on")
    return True


def _evicts(cluster: Cluster, tenant: Tenant, image: str, node: str, home: str, canary: dict[str, Any]) -> bool:
    pod = stage.create(cluster.client, _pod(tenant, image, node, CANARY, home=home, priorityClassName=TOP))
    try:
        return _is_gone(cluster, canary)
    finally:
        stage.remove(cluster, [pod])


def _is_gone(cluster: Cluster, canary: dict[str, Any]) -> bool:
    """Whether the canary is evicted within the deadline."""
    try:
        eventually(lambda: not _is_safe(cluster, canary), what="the canary is evicted", timeout=DEADLINE)
    except WaitTimeout:
        return False
    return True
