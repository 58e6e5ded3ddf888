"""Nodes as targets: they lose their power or their kubelet, are cordoned or drained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_k8sha import _clock
from pytest_k8sha.chaos import preflight
from pytest_k8sha.chaos.engine import Candidates, Observation, Target
from pytest_k8sha.chaos.pods import evict
from pytest_k8sha.errors import ApiError, EnvironmentFailure, K8shaError, RequestError, UsageError
from pytest_k8sha.fleet import undo
from pytest_k8sha.fleet.undo import Undo
from pytest_k8sha.workloads.model import ZONE, is_ready
from pytest_k8sha.workloads.selectors import selects

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_k8sha.chaos.engine import Plan
    from pytest_k8sha.chaos.order import Nodes, Order
    from pytest_k8sha.fleet.cluster import Cluster

Object = dict[str, Any]

CONTROL_PLANE = "node-role.kubernetes.io/control-plane"
MERGE = "application/merge-patch+json"

EVICT_AGAIN = 0.5
"""Seconds between two tries of an eviction that a budget blocks; `kubectl drain` waits 5."""


class NodesEngine:
    """Stops nodes and kubelets, cordons and drains (see `pytest_k8sha.chaos.engine`).

    ``blocked`` holds, after a drain, the pods whose eviction never went through, with the server's last words.
    """

    name = "nodes"

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._entries: dict[str, int] = {}
        self.blocked: dict[Target, str] = {}
        self.evicted: dict[Target, float] = {}
        """When the server let each eviction through, on the monotonic clock."""

    def resolve(self, order: Order) -> Candidates:
        wanted = _wanted(order)
        nodes = self._cluster.resource("v1", "Node").list()
        unknown = set(wanted.names) - {n["metadata"]["name"] for n in nodes}
        if unknown:
            raise UsageError(
                f"{order.name}: cluster {self._cluster.name} has no such node",
                value=", ".join(sorted(unknown)),
                allowed=[n["metadata"]["name"] for n in nodes],
            )
        fitting = [n for n in nodes if is_ready(n) and _fits(n, wanted)]
        targets = tuple(Target("Node", n["metadata"]["name"], uid=n["metadata"]["uid"]) for n in fitting)
        return Candidates(targets, len(nodes), "nodes")

    def risks(self, order: Order, chosen: tuple[Target, ...]) -> Mapping[str, list[str]]:
        if order.spec.action == "cordon":
            return {}
        pods, lost = self._cluster.resource("v1", "Pod").list(), {t.name for t in chosen}
        budgets = self._cluster.resource("policy/v1", "PodDisruptionBudget").list()
        hit = [p["metadata"]["uid"] for p in pods if p["spec"].get("nodeName") in lost and not _stays(p)]
        found = preflight.pod_risks([p for p in pods if preflight.runs(p)], budgets, hit)
        del found["system"]  # every node carries pods of the cluster's own
        if order.spec.action == "drain":
            del found["budget"]  # the server itself keeps an eviction from breaking one
        return found

    def steady(self, order: Order) -> Observation:
        """Every node that is meant is Ready, and takes pods."""
        wanted = _wanted(order)
        nodes = [n for n in self._cluster.resource("v1", "Node").list() if _fits(n, wanted)]
        for node in nodes:
            taints = {
                t["key"] for t in (node.get("spec") or {}).get("taints") or [] if t["effect"] != "PreferNoSchedule"
            }
            if not is_ready(node) or taints - {CONTROL_PLANE}:
                told = f"taints {', '.join(sorted(taints))}" if is_ready(node) else "not Ready"
                return Observation(holds=False, seen=f"node {node['metadata']['name']}: {told}")
        return Observation(holds=bool(nodes) or None, seen=f"{len(nodes)} nodes are Ready and take pods")

    def inject(self, plan: Plan) -> None:
        action, faults = plan.order.spec.action, self._cluster.faults
        for target in plan.targets:
            match action:
                case "stop":
                    faults.stop_heartbeat(target.name)
                case "stop-kubelet":
                    faults.stop_kubelet(target.name)
                case "cordon" | "drain":
                    self._cordon(target.name)
                case _:
                    raise UsageError("this engine has no such action", value=action)
        if action == "drain":
            self._drain(plan)

    def observe(self, plan: Plan) -> Observation:
        """A lost node is one that the cluster has noticed; a drained one carries no pod that is not its own."""
        action = plan.order.spec.action
        for target in plan.targets:
            node = self._cluster.resource("v1", "Node").find(target.name)
            if node is None:
                return Observation(holds=None, seen=f"{target} is not there any more")
            if action in {"cordon", "drain"}:
                if not (node.get("spec") or {}).get("unschedulable"):
                    return Observation(holds=False, seen=f"{target} takes pods")
            elif is_ready(node):
                return Observation(holds=False, seen=f"{target} is Ready")
        told = {"cordon": "takes no pods", "drain": "takes no pods"}.get(action, "is not Ready")
        return Observation(holds=True, seen=f"{plan.names} {told}")

    def lasts(self, plan: Plan) -> bool:  # noqa: ARG002 - part of the Protocol
        return True

    def recover(self, plan: Plan) -> None:
        action, faults, wrong = plan.order.spec.action, self._cluster.faults, []
        for target in plan.targets:
            try:
                match action:
                    case "stop":
                        faults.resume_heartbeat(target.name)
                    case "stop-kubelet":
                        faults.start_kubelet(target.name)
                    case _:
                        self._uncordon(target.name)
            except K8shaError as error:
                wrong.append(f"{target}: {error}")
        if wrong:
            raise EnvironmentFailure("; ".join(wrong))

    # --- cordon and drain --------------------------------------------------------------------------------------------

    def _cordon(self, node: str) -> None:
        way_back = Undo("PATCH", f"/api/v1/nodes/{node}", {"spec": {"unschedulable": None}}, MERGE)
        self._entries[node] = undo.begin(self._cluster, f"Node {node}", [way_back])
        self._cluster.resource("v1", "Node").patch(node, {"spec": {"unschedulable": True}})

    def _uncordon(self, node: str) -> None:
        if node in self._entries:
            self._cluster.resource("v1", "Node").patch(node, {"spec": {"unschedulable": None}})
            undo.end(self._cluster, self._entries.pop(node))

    def _drain(self, plan: Plan) -> None:
        """Evicts what a drain evicts, again and again where a budget blocks it, until all are let through or the
        order's ``proveWithin`` is over: that is the window of a drain. What stays is told in ``blocked``."""
        names = {target.name for target in plan.targets}
        deadline = _clock.Deadline(plan.order.spec.prove_within)
        pods = self._cluster.resource("v1", "Pod")
        waiting = {
            preflight.pod_target(p)
            for p in pods.list()
            if p["spec"].get("nodeName") in names and not _stays(p) and preflight.runs(p)
        }
        while waiting:
            for target in sorted(waiting):
                try:
                    evict(self._cluster, target.name, target.namespace, uid=target.uid)
                except ApiError as error:
                    self.blocked[target] = f"{error.status} {_causes(error)}"
                    continue
                except RequestError as error:
                    self.blocked[target] = str(error)
                    continue
                self.evicted[target] = _clock.now()
                self.blocked.pop(target, None)
                waiting.discard(target)
            if not waiting or deadline.passed:
                return
            _clock.pause(min(EVICT_AGAIN, deadline.left))


def _causes(error: ApiError) -> str:
    causes = "; ".join(c.get("message", "") for c in error.details.get("causes") or [])
    return causes or error.message


def _stays(pod: Object) -> bool:
    """Whether a drain leaves the pod: a DaemonSet's, or a static one (`kubectl drain --ignore-daemonsets`)."""
    owners = pod["metadata"].get("ownerReferences") or []
    return any(o.get("controller") and o.get("kind") in {"DaemonSet", "Node"} for o in owners)


def _fits(node: Object, wanted: Nodes) -> bool:
    labels = node["metadata"].get("labels") or {}
    if wanted.names:
        return node["metadata"]["name"] in wanted.names
    if CONTROL_PLANE in labels:
        return False
    if wanted.zone and labels.get(ZONE) != wanted.zone:
        return False
    return selects(wanted.selector.as_labels(), labels)


def _wanted(order: Order) -> Nodes:
    if order.spec.nodes is None:
        raise UsageError(f"{order.name}: this engine needs the block `nodes`", value=order.spec.block)
    return order.spec.nodes
