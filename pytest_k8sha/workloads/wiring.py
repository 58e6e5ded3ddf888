"""Rules over what points at workloads: selectors, autoscalers, the Service of a StatefulSet; and replica counts."""

from __future__ import annotations

from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Any

from pytest_k8sha.workloads.model import Seen, subject
from pytest_k8sha.workloads.selectors import covers, selects, text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pytest_k8sha.workloads.model import Inventory, Object, Workload


def replicas(inventory: Inventory, least: int) -> Iterator[Seen]:
    """Each Deployment and StatefulSet has ``least`` replicas or more, at an autoscaler's minimum too."""
    for workload in inventory.scalable:
        wanted = inventory.wanted(workload)
        scaled = wanted != workload.replicas
        yield Seen(
            str(workload),
            ok=wanted >= least,
            seen=f"{wanted} replica{'s' if wanted != 1 else ''}" + (" at its autoscaler's minimum" if scaled else ""),
            rule=f"a service has {least} replicas or more",
            remedy=f"set the autoscaler's spec.minReplicas: {least}" if scaled else f"set spec.replicas: {least}",
        )


def selectors(inventory: Inventory) -> Iterator[Seen]:
    """Each Service and each PodDisruptionBudget selects pods, and each named target port is one of theirs.

    A Service without a selector has endpoints made by hand, and an ExternalName none: both are left out.
    """
    for service in inventory.services:
        spec = service.get("spec") or {}
        selector = spec.get("selector")
        if not selector or spec.get("type") == "ExternalName":
            yield Seen(subject(service), None, "it has no selector")
            continue
        labels = _pod_labels(inventory, service["metadata"].get("namespace", ""))
        if not any(covers(selector, one) for one in labels):
            yield _misses(service, text(selector), _nearest(selector, labels), "spec.selector")
            continue
        yield _ports(inventory, service)
    for budget in inventory.budgets:
        selector = (budget.get("spec") or {}).get("selector")
        labels = _pod_labels(inventory, budget["metadata"].get("namespace", ""))
        if any(selects(selector, one) for one in labels):
            yield Seen(subject(budget), ok=True, seen=f"selects {text(selector)}")
        else:
            plain = (selector or {}).get("matchLabels") or {}
            yield _misses(budget, text(selector), _nearest(plain, labels), "spec.selector.matchLabels")


def _pod_labels(inventory: Inventory, namespace: str) -> list[dict[str, str]]:
    """The labels of pods that are there or would be made in a namespace."""
    made = [w.labels for w in inventory.workloads if w.namespace == namespace]
    there = [p["metadata"].get("labels") or {} for p in inventory.pods if p["metadata"].get("namespace") == namespace]
    return [*made, *there]


def _misses(obj: Object, selector: str, near: str, field: str) -> Seen:
    return Seen(
        subject(obj),
        ok=False,
        seen=f"{selector} matches no pod of the namespace" + (f"; the nearest pods carry {near}" if near else ""),
        rule="what selects pods finds some",
        remedy=f"make {field} equal to the labels in spec.template.metadata.labels of the workload it is meant for",
    )


def _nearest(wanted: Mapping[str, str], labels: list[dict[str, str]]) -> str:
    """The labels, by the keys of the selector, of the pods that are most like what it wants."""
    alike = [(sum(_likeness(one.get(k, ""), v) for k, v in wanted.items()), one) for one in labels]
    best = max(alike, key=lambda pair: pair[0], default=(0.0, {}))[1]
    return text({key: best[key] for key in wanted if key in best} or best) if best else ""


def _likeness(one: str, other: str) -> float:
    return SequenceMatcher(None, one, other).ratio() if one else 0.0


def _ports(inventory: Inventory, service: Object) -> Seen:
    spec = service["spec"]
    matched = [w for w in inventory.workloads if service in inventory.services_of(w)]
    names = {
        port.get("name")
        for workload in matched
        for container in [*workload.containers, *workload.sidecars]
        for port in container.get("ports") or []
    }
    wanted = [p["targetPort"] for p in spec.get("ports") or [] if isinstance(p.get("targetPort"), str)]
    unknown = [name for name in wanted if matched and name not in names]
    return Seen(
        subject(service),
        ok=not unknown,
        seen=f"targetPort {', '.join(unknown)} is a name that no container of its pods gives to a port"
        if unknown
        else f"selects {text(spec['selector'])}",
        rule="what selects pods finds some, and the ports that it names",
        remedy="make spec.ports[].targetPort equal to the name of a port in spec.template.spec.containers[].ports",
    )


def stateful_services(inventory: Inventory) -> Iterator[Seen]:
    """The ``serviceName`` of each StatefulSet is a headless Service that selects its pods: their names resolve."""
    for workload in inventory.workloads:
        if workload.kind != "StatefulSet":
            continue
        name = workload.spec.get("serviceName") or ""
        named = [
            s
            for s in inventory.services
            if s["metadata"]["name"] == name and s["metadata"].get("namespace") == workload.namespace
        ]
        if not name:
            seen, ok = "no serviceName: its pods have no names of their own in DNS", False
        elif not named:
            seen, ok = f"serviceName {name}: there is no such Service", False
        elif (named[0].get("spec") or {}).get("clusterIP") != "None":
            seen, ok = f"serviceName {name}: the Service is not headless, so no pod has a name of its own", False
        elif named[0] not in inventory.services_of(workload):
            seen, ok = f"serviceName {name}: the Service selects {text(named[0]['spec'].get('selector'))}", False
        else:
            seen, ok = f"headless Service {name}", True
        yield Seen(
            str(workload),
            ok=ok,
            seen=seen,
            rule="the serviceName of a StatefulSet is a headless Service that selects its pods",
            remedy=f"make a Service {name or workload.name} with spec.clusterIP: None and spec.selector "
            f"{text(workload.labels)}, and name it in spec.serviceName (which cannot be changed later)",
        )


def autoscalers(inventory: Inventory) -> Iterator[Seen]:
    """Each HorizontalPodAutoscaler has a target, keeps two replicas or more, can grow, and can measure."""
    for scaler in inventory.autoscalers:
        yield Seen(
            subject(scaler),
            ok=not (wrong := list(_wrong_scaler(inventory, scaler))),
            seen="; ".join(what for what, _ in wrong) or _range(scaler),
            rule="an autoscaler has a target, a minimum of 2, a maximum above it, and requests to measure against",
            remedy="; ".join(how for _, how in wrong),
        )


def _range(scaler: Object) -> str:
    spec = scaler["spec"]
    return f"{spec.get('minReplicas') or 1} to {spec.get('maxReplicas')} replicas"


def _wrong_scaler(inventory: Inventory, scaler: Object) -> Iterator[tuple[str, str]]:
    spec = scaler.get("spec") or {}
    target = spec.get("scaleTargetRef") or {}
    least, most = int(spec.get("minReplicas") or 1), int(spec.get("maxReplicas") or 1)
    if least < 2:
        yield f"minReplicas {least}: on a quiet day one replica is left", "set spec.minReplicas: 2 or more"
    if most <= least:
        yield f"minReplicas {least}, maxReplicas {most}: it cannot grow", "set spec.maxReplicas above spec.minReplicas"
    if target.get("kind") not in {"Deployment", "StatefulSet"}:
        return
    workload = next(
        (
            w
            for w in inventory.workloads
            if (w.kind, w.name, w.namespace)
            == (target.get("kind"), target.get("name"), scaler["metadata"].get("namespace"))
        ),
        None,
    )
    if workload is None:
        yield (
            f"its target {target.get('kind')} {target.get('name')} does not exist",
            "name an existing workload in spec.scaleTargetRef",
        )
        return
    for name in sorted(_measured(spec)):
        bare = _without_request(inventory, workload, name)
        if bare:
            yield (
                f"it scales by {name} utilisation, and container {', '.join(bare)} requests none",
                f"set spec.template.spec.containers[].resources.requests.{name} of {workload}",
            )


def _measured(spec: Mapping[str, Any]) -> set[str]:
    """The resources whose use is compared with the request. Without metrics the API server takes CPU at 80 %."""
    metrics = spec.get("metrics")
    if not metrics:
        return {"cpu"}
    found = set()
    for metric in metrics:
        source = metric.get("resource") or metric.get("containerResource") or {}
        if (source.get("target") or {}).get("type") == "Utilization":
            found.add(source.get("name", ""))
    return found


def _without_request(inventory: Inventory, workload: Workload, name: str) -> list[str]:
    default = inventory.defaults(workload.namespace)["requests"]
    bare = []
    for container in workload.containers:
        given = container.get("resources") or {}
        if not any((given.get(part) or {}).get(name) for part in ("requests", "limits")) and name not in default:
            bare.append(str(container.get("name")))
    return bare
