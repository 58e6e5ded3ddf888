"""One line for one object, and whether it stands out. Of Secrets, ConfigMaps, environment variables and annotations
nothing but names is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

Obj = dict[str, Any]


def _name(obj: Obj) -> str:
    return str(obj["metadata"]["name"])


def namespace(found: Obj) -> tuple[str, bool]:
    status, labels = found.get("status") or {}, found["metadata"].get("labels") or {}
    told = [c.get("message", "") for c in status.get("conditions") or [] if c.get("status") == "True"]
    phase = status.get("phase", "?")
    line = f"{_name(found)} {phase}, labels {' '.join(f'{k}={v}' for k, v in sorted(labels.items()))}"
    return (f"{line}: {'; '.join(told)}" if told else line), phase != "Active"


def pod(found: Obj) -> tuple[str, bool]:
    status = found.get("status", {})
    waiting = [
        f"{c['name']} {why.get('reason', '')} {why.get('message', '')}"
        for c in status.get("containerStatuses") or []
        for why in (c.get("state") or {}).values()
        if why and why.get("reason")
    ]
    refused = [c.get("message", "") for c in status.get("conditions") or [] if c.get("status") == "False"]
    images = [c.get("image", "") for c in found.get("spec", {}).get("containers") or []]
    node = found.get("spec", {}).get("nodeName", "no node")
    line = f"{_name(found)} {status.get('phase', '?')} on {node}, image {', '.join(images)}"
    again = f"restarted {restarts(found)} times" if restarts(found) else ""
    more = "; ".join(filter(None, [again, *waiting, *refused, status.get("message", "")]))
    calm = status.get("phase") in {"Running", "Succeeded"} and not again
    return (f"{line}: {more}" if more else line), not calm


def restarts(found: Obj) -> int:
    """How often the containers of a pod were started again."""
    return sum(c.get("restartCount", 0) for c in (found.get("status") or {}).get("containerStatuses") or [])


def event(found: Obj) -> tuple[str, bool]:
    about = found.get("involvedObject") or found.get("regarding") or {}
    text = found.get("message") or found.get("note") or ""
    count = found.get("count") or (found.get("series") or {}).get("count") or 1
    line = f"{found.get('type')} {found.get('reason')} {about.get('kind')} {about.get('name')} ×{count}: {text}"  # noqa: RUF001
    return line, found.get("type") != "Normal"


def quota(found: Obj) -> tuple[str, bool]:
    hard, used = found.get("status", {}).get("hard") or {}, found.get("status", {}).get("used") or {}
    return f"{_name(found)}: " + ", ".join(f"{k} {used.get(k, '?')} of {v}" for k, v in hard.items()), False


def limits(found: Obj) -> tuple[str, bool]:
    parts = [
        f"{limit.get('type')} " + " ".join(f"{k}={v}" for k, v in limit.items() if k != "type")
        for limit in found.get("spec", {}).get("limits") or []
    ]
    return f"{_name(found)}: {'; '.join(parts)}", False


def policy(found: Obj) -> tuple[str, bool]:
    spec = found.get("spec", {})
    counts = f"{len(spec.get('ingress') or [])} ingress rules, {len(spec.get('egress') or [])} egress rules"
    return f"{_name(found)}: {spec.get('podSelector')} {'/'.join(spec.get('policyTypes') or [])}, {counts}", False


def role(found: Obj) -> tuple[str, bool]:
    rules = [
        f"{','.join(rule.get('verbs') or [])} on {','.join(rule.get('resources') or rule.get('nonResourceURLs') or [])}"
        for rule in found.get("rules") or []
    ]
    return f"{_name(found)}: {'; '.join(rules)}", False


def binding(found: Obj) -> tuple[str, bool]:
    ref = found.get("roleRef", {})
    who = [f"{s.get('kind')} {s.get('name')}" for s in found.get("subjects") or []]
    return f"{_name(found)}: {ref.get('kind')} {ref.get('name')} for {', '.join(who) or 'nobody'}", False


def service(found: Obj) -> tuple[str, bool]:
    spec = found.get("spec", {})
    ports = [f"{p.get('port')}/{p.get('protocol')}" for p in spec.get("ports") or []]
    return (
        f"{_name(found)}: {spec.get('type')} {spec.get('clusterIP')} {', '.join(ports)} → {spec.get('selector')}",
        False,
    )


def endpoints(found: Obj) -> tuple[str, bool]:
    ends = found.get("endpoints") or []
    ready = [e for e in ends if (e.get("conditions") or {}).get("ready")]
    return f"{_name(found)}: {len(ready)} of {len(ends)} endpoints ready", len(ready) < len(ends)


def claim(found: Obj) -> tuple[str, bool]:
    phase = found.get("status", {}).get("phase")
    return f"{_name(found)}: {phase}, class {found.get('spec', {}).get('storageClassName')}", phase != "Bound"


def keys(found: Obj) -> tuple[str, bool]:
    names = [*(found.get("data") or {}), *(found.get("binaryData") or {})]
    sort = f"{found['type']}, " if found.get("type") else ""
    return f"{_name(found)}: {sort}keys {', '.join(names) or 'none'}", False


def node(found: Obj) -> tuple[str, bool]:
    conditions = {c["type"]: c.get("status") for c in found.get("status", {}).get("conditions") or []}
    labels = found["metadata"].get("labels") or {}
    taints = [f"{t.get('key')}:{t.get('effect')}" for t in found.get("spec", {}).get("taints") or []]
    cordoned = ", cordoned" if found.get("spec", {}).get("unschedulable") else ""
    ready = conditions.get("Ready")
    line = f"{_name(found)}: Ready={ready}, zone {labels.get('topology.kubernetes.io/zone', 'none')}{cordoned}"
    return line + (f", taints {', '.join(taints)}" if taints else ""), ready != "True"


NAMESPACED: tuple[tuple[str, str, Callable[[Obj], tuple[str, bool]]], ...] = (
    ("pods", "/api/v1/namespaces/{}/pods", pod),
    ("events", "/api/v1/namespaces/{}/events", event),
    ("quotas", "/api/v1/namespaces/{}/resourcequotas", quota),
    ("limit ranges", "/api/v1/namespaces/{}/limitranges", limits),
    ("network policies", "/apis/networking.k8s.io/v1/namespaces/{}/networkpolicies", policy),
    ("roles", "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/roles", role),
    ("role bindings", "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/rolebindings", binding),
    ("services", "/api/v1/namespaces/{}/services", service),
    ("endpoint slices", "/apis/discovery.k8s.io/v1/namespaces/{}/endpointslices", endpoints),
    ("volume claims", "/api/v1/namespaces/{}/persistentvolumeclaims", claim),
    ("config maps", "/api/v1/namespaces/{}/configmaps", keys),
    ("secrets", "/api/v1/namespaces/{}/secrets", keys),
)
"""Section, list path, and how one object reads. Each kind is in every cluster, so that no discovery is needed."""


def without_messages(found: Obj) -> Obj:
    """A pod or event without what its containers may have said; any other object as it is."""
    if "involvedObject" in found or "regarding" in found:
        return {**found, "message": "", "note": ""}
    if "containerStatuses" not in (found.get("status") or {}):
        return found
    silent = [{**status, "state": {}} for status in found["status"]["containerStatuses"]]
    return {**found, "status": {**found["status"], "containerStatuses": silent, "message": ""}}
