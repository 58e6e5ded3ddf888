"""Rules over containers: probes, shutdown, resources, images."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pytest_k8sha.workloads.model import Seen

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pytest_k8sha.workloads.model import Inventory, Object, Workload

PROBES = ("readinessProbe", "livenessProbe", "startupProbe")
_HANDLERS = ("httpGet", "tcpSocket", "exec", "grpc")
_SLEEP = re.compile(r"\bsleep\s+(\d+(?:\.\d+)?)(s|m)?\b")
DEFAULT_GRACE = 30
"""Seconds between the order to stop and the kill, unless ``terminationGracePeriodSeconds`` says otherwise."""


def _field(workload: Workload, container: Mapping[str, Any], *path: str) -> str:
    kind = "initContainers" if container in workload.sidecars else "containers"
    return ".".join([f"spec.template.spec.{kind}[name={container.get('name')}]", *path])


def probes(inventory: Inventory) -> Iterator[Seen]:
    """The container that serves has a readiness, a liveness and a startup probe of its own."""
    for workload in inventory.workloads:
        serving = inventory.serving(workload)
        helpers = [c for c in [*workload.containers, *workload.sidecars] if c not in serving]
        for container in serving:
            absent = [name for name in PROBES if not container.get(name)]
            elsewhere = [c.get("name", "") for c in helpers if any(c.get(name) for name in absent)]
            hint = f"; a probe of the sidecar {', '.join(elsewhere)} says nothing of it" if elsewhere else ""
            yield Seen(
                f"{workload} container {container.get('name')}",
                ok=not absent,
                seen=f"no {', no '.join(absent)}{hint}" if absent else "readiness, liveness and startup probe",
                rule="the container that serves has a readiness, a liveness and a startup probe",
                remedy="add " + ", ".join(_field(workload, container, name) for name in absent) if absent else "",
            )


def distinct_probes(inventory: Inventory) -> Iterator[Seen]:
    """Liveness does not kill what readiness would only take out of service.

    The same question is allowed where liveness is slower to act, as in Kubernetes' documentation of probes.
    """
    for workload in inventory.workloads:
        for container in [*workload.containers, *workload.sidecars]:
            ready, live = container.get("readinessProbe"), container.get("livenessProbe")
            name = f"{workload} container {container.get('name')}"
            if not ready or not live:
                continue
            same = _handler(ready) == _handler(live)
            seconds = {"readiness": _patience(ready), "liveness": _patience(live)}
            yield Seen(
                name,
                ok=not same or seconds["liveness"] > seconds["readiness"],
                seen=(
                    f"liveness asks the same as readiness ({_asked(ready)}); it acts after {seconds['liveness']} s, "
                    f"readiness after {seconds['readiness']} s"
                    if same
                    else f"readiness asks {_asked(ready)}, liveness {_asked(live)}"
                ),
                rule="a pod that is not ready for a while is taken out of service, not killed",
                remedy=f"let {_field(workload, container, 'livenessProbe')} ask whether the process itself is stuck, "
                "without its dependencies, or give it a failureThreshold times periodSeconds longer than readiness has",
            )


def _handler(probe: Mapping[str, Any]) -> list[tuple[str, Any]]:
    found = []
    for name in _HANDLERS:
        given = probe.get(name)
        if given is not None:
            defaults = {"path": "/", "scheme": "HTTP"} if name == "httpGet" else {}
            found.append((name, {**defaults, **given}))
    return found


def _asked(probe: Mapping[str, Any]) -> str:
    for name, given in _handler(probe):
        if name == "httpGet":
            return f"GET {given.get('path')} on port {given.get('port')}"
        if name == "exec":
            return "exec " + " ".join(given.get("command") or [])
        return f"{name} {given.get('port')}"
    return "nothing"


def _patience(probe: Mapping[str, Any]) -> int:
    """Seconds of failure before it acts; the API server's defaults are 3 times 10 s."""
    return int(probe.get("failureThreshold") or 3) * int(probe.get("periodSeconds") or 10)


def shutdown(inventory: Inventory) -> Iterator[Seen]:
    """A container that serves waits before it stops, so that load balancers can forget it, and then has time left.

    Only workloads that a Service selects: nobody sends requests to others.
    """
    for workload in inventory.workloads:
        if not inventory.services_of(workload):
            yield Seen(str(workload), None, "no Service selects it")
            continue
        grace = workload.pod.get("terminationGracePeriodSeconds")
        grace = DEFAULT_GRACE if grace is None else int(grace)
        for container in inventory.serving(workload):
            yield _stop(workload, container, grace)


def _stop(workload: Workload, container: Object, grace: int) -> Seen:
    name = f"{workload} container {container.get('name')}"
    rule = "a container that serves waits in preStop until no more requests come, and then has time to finish"
    hook = (container.get("lifecycle") or {}).get("preStop")
    if not hook:
        return Seen(
            name,
            ok=False,
            seen="no preStop: it stops while load balancers still send requests to it",
            rule=rule,
            remedy=f"set {_field(workload, container, 'lifecycle.preStop.sleep.seconds')}: 10 "
            "and spec.template.spec.terminationGracePeriodSeconds well above it",
        )
    seconds = pre_stop_seconds(hook)
    return Seen(
        name,
        ok=grace > seconds,
        seen=f"preStop lasts {seconds:g} s, terminationGracePeriodSeconds is {grace}"
        + ("" if grace > seconds else ": it is killed before it may finish"),
        rule=rule,
        remedy=f"set spec.template.spec.terminationGracePeriodSeconds above {seconds:g}, by the time that the longest "
        "request takes",
    )


def pre_stop_seconds(hook: Mapping[str, Any]) -> float:
    """How long a preStop hook lasts, as far as its text tells: ``sleep.seconds``, or the ``sleep N`` of a command.
    A request or another command counts as 0."""
    if hook.get("sleep"):
        return float(hook["sleep"].get("seconds") or 0)
    words = " ".join(map(str, (hook.get("exec") or {}).get("command") or []))
    return sum(float(n) * (60 if unit == "m" else 1) for n, unit in _SLEEP.findall(words))


def resources(inventory: Inventory) -> Iterator[Seen]:
    """Each container requests CPU and memory and has a memory limit, in its manifest or by a LimitRange.

    A CPU limit is not asked for: it slows a container down and protects nobody whose requests are right.
    """
    needed = (("requests", "cpu"), ("requests", "memory"), ("limits", "memory"))
    for workload in inventory.workloads:
        defaults = inventory.defaults(workload.namespace)
        for container in [*workload.containers, *workload.sidecars]:
            given = container.get("resources") or {}
            absent = [
                f"{part}.{name}"
                for part, name in needed
                if not _amount(given, part, name) and name not in defaults[part]
            ]
            yield Seen(
                f"{workload} container {container.get('name')}",
                ok=not absent,
                seen=f"no {', no '.join(absent)}" if absent else "requests for CPU and memory, a limit for memory",
                rule="each container requests CPU and memory and has a memory limit",
                remedy="set "
                + ", ".join(_field(workload, container, "resources", part) for part in absent or ["requests"])
                + " to what it was seen to use",
            )


def _amount(resources: Mapping[str, Any], part: str, name: str) -> object:
    # A limit without a request is the request, too (the API server fills it in).
    found = (resources.get(part) or {}).get(name)
    return found or ((resources.get("limits") or {}).get(name) if part == "requests" else None)


def images(inventory: Inventory) -> Iterator[Seen]:
    """Each image is pinned by a tag other than ``latest``, or by a digest."""
    for workload in inventory.workloads:
        for container in [*workload.containers, *(workload.pod.get("initContainers") or [])]:
            image = str(container.get("image") or "")
            tag = image_tag(image)
            seen = image if tag not in {"", "latest"} else f"{image} ({'no tag means latest' if not tag else 'latest'})"
            yield Seen(
                f"{workload} container {container.get('name')}",
                ok=tag not in {"", "latest"},
                seen=seen,
                rule="a pod that is replaced runs the same image as the one before: a fixed tag or a digest",
                remedy=f"name a version in {_field(workload, container, 'image')}, best of all its digest (@sha256:…)",
            )


def image_tag(image: str) -> str:
    """The tag of an image reference; its digest where it has one; empty where it has neither. The port of a registry
    is no tag."""
    name, _, digest = image.partition("@")
    if digest:
        return digest
    return name.rpartition("/")[2].partition(":")[2]
