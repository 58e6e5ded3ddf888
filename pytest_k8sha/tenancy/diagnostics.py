"""What a cluster looks like right after a check failed: short lines by section, bounded, without secrets.

Only reads are sent. Of Secrets, ConfigMaps and environment variables nothing but names is told.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_k8sha import _clock
from pytest_k8sha.errors import K8shaError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pytest_k8sha.fleet.cluster import Cluster

LIMIT = 64 * 1024
"""Bytes of all lines together."""
BUDGET = 5.0
"""Seconds; what is not collected by then is named as missing."""
NAMESPACES = 6
LINE = 400
EVENTS = 30
BRIEF = 15

Obj = dict[str, Any]


@dataclass
class Diagnosis:
    """``data`` maps a section to its lines; ``brief`` is a short text of what stands out."""

    data: dict[str, list[str]] = field(default_factory=dict)
    notable: list[str] = field(default_factory=list)
    size: int = 0

    @property
    def brief(self) -> str:
        lines = self.notable[:BRIEF] or [f"{name}: {len(lines)}" for name, lines in self.data.items()]
        if len(self.notable) > BRIEF:
            lines.append(f"and {len(self.notable) - BRIEF} more")
        return "\n".join(lines)

    def add(self, section: str, line: str, *, notable: bool = False) -> None:
        text = " ".join(line.split())
        text = text if len(text) <= LINE else text[: LINE - 1] + "…"
        self.size += len(text.encode()) + 8
        if self.size > LIMIT:
            self.data.setdefault("left out", ["the rest, for its size"])
            return
        self.data.setdefault(section, []).append(text)
        if notable:
            self.notable.append(f"{section}: {text}")


def collect(cluster: Cluster, namespaces: Iterable[str]) -> Diagnosis:
    """The state of the namespaces and the nodes. Raises nothing for what cannot be read: it says so instead."""
    found = Diagnosis()
    clock = _clock.Deadline(BUDGET)
    names = list(dict.fromkeys(namespaces))
    for name in names[:NAMESPACES]:
        for section, api_version, kind, tell in _NAMESPACED:
            _section(cluster, found, clock, f"{section} of {name}", api_version, kind, name, tell)
    if len(names) > NAMESPACES:
        found.add("left out", f"{len(names) - NAMESPACES} further namespaces")
    _section(cluster, found, clock, "nodes", "v1", "Node", "", _node)
    return found


def _section(
    cluster: Cluster,
    found: Diagnosis,
    clock: _clock.Deadline,
    section: str,
    api_version: str,
    kind: str,
    namespace: str,
    tell: Callable[[Obj], tuple[str, bool]],
) -> None:
    if clock.passed:
        found.data.setdefault("left out", []).append(f"{section}: no time was left")
        return
    try:
        items = cluster.resource(api_version, kind).list(namespace)
    except K8shaError as error:
        found.add("left out", f"{section}: {error}")
        return
    if kind == "Event":
        items = sorted(items, key=lambda e: str(e.get("lastTimestamp") or e["metadata"].get("creationTimestamp")))
        items = items[-EVENTS:]
    for item in items:
        line, notable = tell(item)
        found.add(section, line, notable=notable)


def _name(obj: Obj) -> str:
    return str(obj["metadata"]["name"])


def _pod(pod: Obj) -> tuple[str, bool]:
    status = pod.get("status", {})
    waiting = [
        f"{c['name']} {why.get('reason', '')} {why.get('message', '')}"
        for c in status.get("containerStatuses") or []
        for why in (c.get("state") or {}).values()
        if why and why.get("reason")
    ]
    refused = [c.get("message", "") for c in status.get("conditions") or [] if c.get("status") == "False"]
    images = [c.get("image", "") for c in pod.get("spec", {}).get("containers") or []]
    node = pod.get("spec", {}).get("nodeName", "no node")
    line = f"{_name(pod)} {status.get('phase', '?')} on {node}, image {', '.join(images)}"
    more = "; ".join(filter(None, [*waiting, *refused, status.get("message", "")]))
    return (f"{line}: {more}" if more else line), status.get("phase") not in {"Running", "Succeeded"}


def _event(event: Obj) -> tuple[str, bool]:
    about = event.get("involvedObject") or event.get("regarding") or {}
    text = event.get("message") or event.get("note") or ""
    count = event.get("count") or (event.get("series") or {}).get("count") or 1
    line = f"{event.get('type')} {event.get('reason')} {about.get('kind')} {about.get('name')} ×{count}: {text}"  # noqa: RUF001
    return line, event.get("type") != "Normal"


def _quota(quota: Obj) -> tuple[str, bool]:
    hard, used = quota.get("status", {}).get("hard") or {}, quota.get("status", {}).get("used") or {}
    return f"{_name(quota)}: " + ", ".join(f"{k} {used.get(k, '?')} of {v}" for k, v in hard.items()), False


def _limits(limits: Obj) -> tuple[str, bool]:
    parts = [
        f"{limit.get('type')} " + " ".join(f"{k}={v}" for k, v in limit.items() if k != "type")
        for limit in limits.get("spec", {}).get("limits") or []
    ]
    return f"{_name(limits)}: {'; '.join(parts)}", False


def _policy(policy: Obj) -> tuple[str, bool]:
    spec = policy.get("spec", {})
    counts = f"{len(spec.get('ingress') or [])} ingress rules, {len(spec.get('egress') or [])} egress rules"
    return f"{_name(policy)}: {spec.get('podSelector')} {'/'.join(spec.get('policyTypes') or [])}, {counts}", False


def _role(role: Obj) -> tuple[str, bool]:
    rules = [
        f"{','.join(rule.get('verbs') or [])} on {','.join(rule.get('resources') or rule.get('nonResourceURLs') or [])}"
        for rule in role.get("rules") or []
    ]
    return f"{_name(role)}: {'; '.join(rules)}", False


def _binding(binding: Obj) -> tuple[str, bool]:
    ref = binding.get("roleRef", {})
    who = [f"{s.get('kind')} {s.get('name')}" for s in binding.get("subjects") or []]
    return f"{_name(binding)}: {ref.get('kind')} {ref.get('name')} for {', '.join(who) or 'nobody'}", False


def _service(service: Obj) -> tuple[str, bool]:
    spec = service.get("spec", {})
    ports = [f"{p.get('port')}/{p.get('protocol')}" for p in spec.get("ports") or []]
    return (
        f"{_name(service)}: {spec.get('type')} {spec.get('clusterIP')} {', '.join(ports)} → {spec.get('selector')}",
        False,
    )


def _slice(endpoints: Obj) -> tuple[str, bool]:
    found = endpoints.get("endpoints") or []
    ready = [e for e in found if (e.get("conditions") or {}).get("ready")]
    return f"{_name(endpoints)}: {len(ready)} of {len(found)} endpoints ready", len(ready) < len(found)


def _claim(claim: Obj) -> tuple[str, bool]:
    phase = claim.get("status", {}).get("phase")
    return f"{_name(claim)}: {phase}, class {claim.get('spec', {}).get('storageClassName')}", phase != "Bound"


def _secret(secret: Obj) -> tuple[str, bool]:
    return f"{_name(secret)}: {secret.get('type')}, keys {', '.join(secret.get('data') or {}) or 'none'}", False


def _node(node: Obj) -> tuple[str, bool]:
    conditions = {c["type"]: c.get("status") for c in node.get("status", {}).get("conditions") or []}
    labels = node["metadata"].get("labels") or {}
    taints = [f"{t.get('key')}:{t.get('effect')}" for t in node.get("spec", {}).get("taints") or []]
    cordoned = ", cordoned" if node.get("spec", {}).get("unschedulable") else ""
    ready = conditions.get("Ready")
    line = f"{_name(node)}: Ready={ready}, zone {labels.get('topology.kubernetes.io/zone', 'none')}{cordoned}"
    return line + (f", taints {', '.join(taints)}" if taints else ""), ready != "True"


_NAMESPACED: tuple[tuple[str, str, str, Callable[[Obj], tuple[str, bool]]], ...] = (
    ("pods", "v1", "Pod", _pod),
    ("events", "v1", "Event", _event),
    ("quotas", "v1", "ResourceQuota", _quota),
    ("limit ranges", "v1", "LimitRange", _limits),
    ("network policies", "networking.k8s.io/v1", "NetworkPolicy", _policy),
    ("roles", "rbac.authorization.k8s.io/v1", "Role", _role),
    ("role bindings", "rbac.authorization.k8s.io/v1", "RoleBinding", _binding),
    ("services", "v1", "Service", _service),
    ("endpoint slices", "discovery.k8s.io/v1", "EndpointSlice", _slice),
    ("volume claims", "v1", "PersistentVolumeClaim", _claim),
    ("secrets", "v1", "Secret", _secret),
)
