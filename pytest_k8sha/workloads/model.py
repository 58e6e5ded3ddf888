"""Workloads and what belongs to them, as plain views of API objects."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_k8sha.workloads.selectors import covers, selects

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pytest_k8sha.checks.judge import Judge

Object = dict[str, Any]

HOST = "kubernetes.io/hostname"
ZONE = "topology.kubernetes.io/zone"


@dataclass(frozen=True)
class Seen:
    """What a rule saw of one subject. ``ok`` is None where the rule does not apply; ``seen`` then says why."""

    subject: str
    ok: bool | None
    seen: str
    rule: str = ""
    remedy: str = ""


def report(judge: Judge, found: Iterable[Seen]) -> None:
    """Puts what rules saw before the judge."""
    for one in found:
        if one.ok is None:
            judge.skip(one.subject, one.seen)
        else:
            judge.that(one.ok, one.subject, seen=one.seen, rule=one.rule, remedy=one.remedy)


@dataclass(frozen=True)
class Workload:
    """A Deployment, StatefulSet or DaemonSet."""

    obj: Object

    @property
    def kind(self) -> str:
        return str(self.obj.get("kind", ""))

    @property
    def name(self) -> str:
        return str(self.obj["metadata"]["name"])

    @property
    def namespace(self) -> str:
        return str(self.obj["metadata"].get("namespace", ""))

    @property
    def uid(self) -> str:
        return str(self.obj["metadata"].get("uid", ""))

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"

    @property
    def spec(self) -> Object:
        return dict(self.obj.get("spec") or {})

    @property
    def replicas(self) -> int:
        """The replicas wanted now; the API server's default is 1."""
        wanted = self.spec.get("replicas")
        return 1 if wanted is None else int(wanted)

    @property
    def scalable(self) -> bool:
        """Whether it has replicas at all; a DaemonSet has one pod a node."""
        return self.kind != "DaemonSet"

    @property
    def labels(self) -> dict[str, str]:
        """The labels of its pods."""
        return dict((self._template.get("metadata") or {}).get("labels") or {})

    @property
    def annotations(self) -> dict[str, str]:
        """The annotations of its pods."""
        return dict((self._template.get("metadata") or {}).get("annotations") or {})

    @property
    def pod(self) -> Object:
        """The pod spec of its template."""
        return dict(self._template.get("spec") or {})

    @property
    def containers(self) -> list[Object]:
        return list(self.pod.get("containers") or [])

    @property
    def sidecars(self) -> list[Object]:
        """Native sidecars: init containers that go on running."""
        return [c for c in self.pod.get("initContainers") or [] if c.get("restartPolicy") == "Always"]

    @property
    def _template(self) -> Object:
        return dict(self.spec.get("template") or {})


@dataclass
class Inventory:
    """The workloads of some namespaces with all that decides about their availability.

    ``nodes`` are the schedulable and ready nodes of the cluster; ``limits`` the LimitRanges.
    """

    workloads: list[Workload] = field(default_factory=list)
    services: list[Object] = field(default_factory=list)
    budgets: list[Object] = field(default_factory=list)
    autoscalers: list[Object] = field(default_factory=list)
    limits: list[Object] = field(default_factory=list)
    replica_sets: list[Object] = field(default_factory=list)
    pods: list[Object] = field(default_factory=list)
    nodes: list[Object] = field(default_factory=list)

    @property
    def scalable(self) -> list[Workload]:
        """Deployments and StatefulSets that are meant to run; those scaled to 0 on purpose are left out."""
        return [w for w in self.workloads if w.scalable and self.wanted(w) > 0]

    def wanted(self, workload: Workload) -> int:
        """The fewest replicas that the workload may be scaled to: an autoscaler's minimum, else its own replicas."""
        for scaler in self.autoscalers:
            target = scaler.get("spec", {}).get("scaleTargetRef") or {}
            same = (target.get("kind"), target.get("name")) == (workload.kind, workload.name)
            if same and scaler["metadata"].get("namespace") == workload.namespace:
                return int(scaler["spec"].get("minReplicas") or 1)
        return workload.replicas

    def services_of(self, workload: Workload) -> list[Object]:
        """The Services whose selector matches the workload's pods."""
        return [
            s
            for s in self.services
            if s["metadata"].get("namespace") == workload.namespace
            and covers((s.get("spec") or {}).get("selector"), workload.labels)
        ]

    def budgets_of(self, workload: Workload) -> list[Object]:
        """The PodDisruptionBudgets whose selector matches the workload's pods."""
        return [
            b
            for b in self.budgets
            if b["metadata"].get("namespace") == workload.namespace
            and selects((b.get("spec") or {}).get("selector"), workload.labels)
        ]

    def pods_of(self, workload: Workload) -> list[Object]:
        """The pods that the workload controls (by owner reference) and that are not being deleted."""
        owners = {workload.uid}
        for replica_set in self.replica_sets:
            if workload.uid in set(_controllers(replica_set)):
                owners.add(replica_set["metadata"].get("uid", ""))
        return [
            pod for pod in self.pods if owners & set(_controllers(pod)) and not pod["metadata"].get("deletionTimestamp")
        ]

    def serving(self, workload: Workload) -> list[Object]:
        """The containers that do the workload's work.

        Those that a Service's target port reaches; else those that declare a port; else the one that
        ``kubectl.kubernetes.io/default-container`` names, or the first. So a probe on a helper does not count.
        """
        containers = workload.containers
        wanted = {
            port.get("targetPort", port.get("port"))
            for service in self.services_of(workload)
            for port in (service.get("spec") or {}).get("ports") or []
        }
        reached = [c for c in containers if wanted & _ports(c)]
        if reached:
            return reached
        listening = [c for c in containers if c.get("ports")]
        if listening and not wanted:
            return listening
        named = workload.annotations.get("kubectl.kubernetes.io/default-container", "")
        return [c for c in containers if c.get("name") == named] or containers[:1]

    def defaults(self, namespace: str) -> dict[str, dict[str, str]]:
        """What LimitRanges of the namespace fill into containers: ``{"requests": {...}, "limits": {...}}``."""
        found: dict[str, dict[str, str]] = {"requests": {}, "limits": {}}
        for limit in self.limits:
            if limit["metadata"].get("namespace") != namespace:
                continue
            for item in (limit.get("spec") or {}).get("limits") or []:
                if item.get("type") == "Container":
                    # A default limit without a default request is the request too.
                    found["requests"] = {**(item.get("default") or {}), **(item.get("defaultRequest") or {})}
                    found["limits"] = dict(item.get("default") or {})
        return found

    def domains(self, key: str) -> dict[str, list[str]]:
        """The nodes by the value of a topology label, such as `ZONE`."""
        found: dict[str, list[str]] = {}
        for node in self.nodes:
            labels = node["metadata"].get("labels") or {}
            value = labels.get(key) or (node["metadata"]["name"] if key == HOST else "")
            if value:
                found.setdefault(value, []).append(node["metadata"]["name"])
        return found


def _controllers(obj: Mapping[str, Any]) -> Iterator[str]:
    for owner in obj["metadata"].get("ownerReferences") or []:
        if owner.get("controller"):
            yield owner.get("uid", "")


def _ports(container: Mapping[str, Any]) -> set[Any]:
    ports: set[Any] = set()
    for port in container.get("ports") or []:
        ports |= {port.get("containerPort"), port.get("name")}
    return ports - {None}


def is_ready(pod: Mapping[str, Any]) -> bool:
    """Whether a pod's Ready condition is True."""
    conditions = (pod.get("status") or {}).get("conditions") or []
    return any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)


def serves(pod: Mapping[str, Any]) -> bool:
    """Whether a pod is ready, and not on its way out."""
    return is_ready(pod) and not pod["metadata"].get("deletionTimestamp")


def subject(obj: Mapping[str, Any]) -> str:
    """``Kind namespace/name``."""
    meta = obj["metadata"]
    return f"{obj.get('kind', '')} {meta.get('namespace', '')}/{meta['name']}"
