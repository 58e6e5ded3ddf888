"""Pods as targets: they are deleted, evicted, or a container of theirs is killed or frozen.

What is taken away comes back by itself, by the pod's controller or its kubelet; only a frozen container must be thawed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_k8sha.chaos import preflight
from pytest_k8sha.chaos.engine import Candidates, Observation, Target
from pytest_k8sha.errors import ApiError, EnvironmentFailure, Inconclusive, K8shaError, UsageError
from pytest_k8sha.workloads.model import Workload, serves
from pytest_k8sha.workloads.selectors import selects

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pytest_k8sha.chaos.engine import Plan
    from pytest_k8sha.chaos.order import Order, Pods
    from pytest_k8sha.fleet.cluster import Cluster

Object = dict[str, Any]

KINDS = ("Deployment", "StatefulSet")
"""Whose pods are wanted back, in number, before and after."""


class PodsEngine:
    """Deletes, kills and evicts pods, kills and freezes their containers (see `pytest_k8sha.chaos.engine`)."""

    name = "pods"

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._pods: dict[str, Object] = {}
        """The targets as they were, by uid."""

    def resolve(self, order: Order) -> Candidates:
        wanted = _wanted(order)
        pods = self._list(wanted)
        fitting = preflight.fitting_pods(pods, wanted)
        if wanted.container:
            fitting = [p for p in fitting if _status(p, wanted.container)]
        owners = {preflight.owner_of(p) for p in fitting}
        population = sum(preflight.owner_of(p) in owners and preflight.runs(p) for p in pods)
        self._pods = {p["metadata"]["uid"]: p for p in fitting}
        return Candidates(tuple(map(preflight.pod_target, fitting)), population, "pods of their workloads")

    def risks(self, order: Order, chosen: tuple[Target, ...]) -> Mapping[str, list[str]]:
        wanted = _wanted(order)
        budgets = [
            b for n in wanted.namespaces for b in self._cluster.resource("policy/v1", "PodDisruptionBudget").list(n)
        ]
        found = preflight.pod_risks(self._list(wanted), budgets, [t.uid for t in chosen])
        if order.spec.action == "evict":
            found["budget"] = []  # the server itself keeps an eviction from breaking one
        return found

    def steady(self, order: Order) -> Observation:
        """Every workload that owns pods of the selection has all its replicas ready.

        The pods themselves are counted: a workload's status is what its controller thought of them a moment ago.
        """
        wanted = _wanted(order)
        mine = [pod["metadata"].get("labels") or {} for pod in self._pods.values()]
        serving = [p for p in self._list(wanted) if serves(p)]
        counted = 0
        for namespace in wanted.namespaces:
            for kind in KINDS:
                for obj in self._cluster.resource("apps/v1", kind).list(namespace):
                    workload = Workload(obj)
                    if not any(selects(workload.spec.get("selector"), labels) for labels in mine):
                        continue
                    ready = sum(
                        p["metadata"]["namespace"] == namespace
                        and selects(workload.spec.get("selector"), p["metadata"].get("labels") or {})
                        for p in serving
                    )
                    counted += 1
                    if ready < workload.replicas:
                        return Observation(holds=False, seen=f"{workload} has {ready} of {workload.replicas} ready")
        return Observation(holds=True, seen=f"all replicas of {counted} workloads are ready")

    def inject(self, plan: Plan) -> None:
        action, wanted = plan.order.spec.action, _wanted(plan.order)
        for target in plan.targets:
            match action:
                case "delete" | "kill":
                    grace = 0 if action == "kill" else None
                    self._cluster.resource("v1", "Pod").delete(
                        target.name, target.namespace, uid=target.uid, grace=grace
                    )
                case "evict":
                    evict(self._cluster, target.name, target.namespace, uid=target.uid)
                case "container-kill":
                    self._cluster.faults.kill_container(*self._container(target, wanted.container))
                case "freeze":
                    self._cluster.faults.freeze_container(*self._container(target, wanted.container))
                case _:
                    raise UsageError("this engine has no such action", value=action)

    def observe(self, plan: Plan) -> Observation:
        action, wanted = plan.order.spec.action, _wanted(plan.order)
        now = {p["metadata"]["uid"]: p for p in self._list(wanted)}
        for target in plan.targets:
            pod = now.get(target.uid)
            if action in {"delete", "kill", "evict"}:
                if pod is not None and not pod["metadata"].get("deletionTimestamp"):
                    return Observation(holds=False, seen=f"{target} is there as before")
            elif pod is None:
                return Observation(holds=None, seen=f"{target} is gone, which was not ordered")
            elif action == "container-kill":
                before, after = _status(self._pods[target.uid], wanted.container), _status(pod, wanted.container)
                if after is None or before is None:
                    return Observation(holds=None, seen=f"{target} tells nothing of its container")
                same = after.get("containerID") == before.get("containerID") and "running" in (after.get("state") or {})
                if same:
                    return Observation(holds=False, seen=f"the container of {target} is the same")
            elif not self._cluster.faults.is_frozen(*self._container(target, wanted.container)):
                return Observation(holds=False, seen=f"processes of {target} go on")
        return Observation(holds=True, seen=f"{action} is felt by {plan.names}")

    def lasts(self, plan: Plan) -> bool:  # noqa: ARG002 - part of the Protocol
        return False  # a kubelet may kill a frozen container, and is right to

    def recover(self, plan: Plan) -> None:
        if plan.order.spec.action != "freeze":
            return
        wrong = []
        for target in plan.targets:
            try:
                self._cluster.faults.thaw_container(*self._container(target, _wanted(plan.order).container))
            except K8shaError as error:
                wrong.append(f"{target}: {error}")
        if wrong:
            raise EnvironmentFailure("; ".join(wrong))

    def _container(self, target: Target, name: str) -> tuple[str, str]:
        """The node and the id of a target's container. Raises `Inconclusive` where the pod's status tells none."""
        pod = self._pods[target.uid]
        status = _status(pod, name) or {}
        if not status.get("containerID"):
            raise Inconclusive(f"{target} tells no container that runs")
        return str(pod["spec"]["nodeName"]), str(status["containerID"])

    def _list(self, wanted: Pods) -> list[Object]:
        return [p for name in dict.fromkeys(wanted.namespaces) for p in self._cluster.resource("v1", "Pod").list(name)]


def evict(cluster: Cluster, name: str, namespace: str, *, uid: str = "") -> None:
    """Evicts one pod. Raises `ApiError`: 429 when its budget is used up, 500 when two budgets match."""
    options: Object = {"preconditions": {"uid": uid}} if uid else {}
    body = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": name, "namespace": namespace},
        "deleteOptions": options,
    }
    try:
        cluster.client.request("POST", f"/api/v1/namespaces/{namespace}/pods/{name}/eviction", body=body)
    except ApiError as error:
        if error.status not in {404, 409}:  # it is gone, and another one bears its name
            raise


def _status(pod: Object, container: str) -> Object | None:
    """The status of a container; of the first one where none is named."""
    found: Iterable[Object] = (pod.get("status") or {}).get("containerStatuses") or []
    first = ((pod.get("spec") or {}).get("containers") or [{}])[0].get("name")
    return next((s for s in found if s.get("name") == (container or first)), None)


def _wanted(order: Order) -> Pods:
    if order.spec.pods is None:
        raise UsageError(f"{order.name}: this engine needs the block `pods`", value=order.spec.block)
    return order.spec.pods
