"""Which meter shows the effect of which experiment of Chaos Mesh."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pytest_k8sha.chaos.lint import values
from pytest_k8sha.chaos.meters import Clocks, Containers, Identities, Together, Unready, Usage
from pytest_k8sha.chaos.tries import Command, Proxied

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_k8sha.chaos.mesh.parts import Part
    from pytest_k8sha.chaos.meters import Meter
    from pytest_k8sha.fleet.cluster import Cluster

Object = dict[str, Any]

CORES = 0.2
"""Cores by which the use of a stressed pod must rise at least, for each worker at full load."""


def meter(cluster: Cluster, part: Part, pods: Sequence[Object], count: int | None = None) -> Meter | None:
    """The meter that fits an experiment, by kind and action; None where only a meter that the user names can tell.
    ``count`` of the pods are hit where it is not known before which ones; without it all."""
    spec = part.spec
    match part.kind, part.action:
        case "PodChaos", "pod-kill":
            return Identities(cluster, pods, count)
        case "PodChaos", "container-kill":
            return Containers(cluster, pods, spec.get("containerNames") or ())
        case "PodChaos", "pod-failure":
            return Unready(cluster, pods)
        case "NetworkChaos", "partition" if part.silences:
            return Proxied(cluster, pods, "falls silent")
        case "NetworkChaos", "delay" if not spec.get("target") and not spec.get("externalTargets"):
            late = _seconds((spec.get("delay") or {}).get("latency", ""))
            return Proxied(cluster, pods, "slower", by=late / 2)
        case "HTTPChaos", _:
            return _http(cluster, spec, pods)
        case "TimeChaos", _:
            names = spec.get("containerNames") or [""]
            commands = [
                Command(p["metadata"]["namespace"], p["metadata"]["name"], ("date", "+%s"), name)
                for p in pods
                for name in names
            ]
            return Clocks(cluster, commands, _seconds(spec.get("timeOffset", "")))
        case "StressChaos", _:
            return _stress(cluster, spec, pods)
    return None


def _http(cluster: Cluster, spec: Object, pods: Sequence[Object]) -> Meter | None:
    path = spec.get("path") or "/"
    if "*" in path or str(spec.get("method", "GET")).upper() != "GET":
        return None
    port = int(spec.get("port") or 0)
    if spec.get("abort"):
        return Proxied(cluster, pods, "fails", port=port, path=path)
    if spec.get("delay"):
        return Proxied(cluster, pods, "slower", by=_seconds(spec["delay"]) / 2, port=port, path=path)
    return Proxied(cluster, pods, "answers otherwise", port=port, path=path)


def _stress(cluster: Cluster, spec: Object, pods: Sequence[Object]) -> Meter | None:
    stressors = spec.get("stressors") or {}
    meters: list[Meter] = []
    cpu, memory = stressors.get("cpu") or {}, stressors.get("memory") or {}
    if cpu:
        load = int(cpu.get("load", 100)) / 100
        meters.append(Usage(cluster, pods, "cpu", CORES * int(cpu.get("workers", 1)) * load))
    size = _bytes(str(memory.get("size", "")))
    if size:
        meters.append(Usage(cluster, pods, "memory", size / 2))
    return Together(meters) if meters else None


def _seconds(text: str) -> float:
    return (values.duration(str(text)) or 0) / values.SECOND


def _bytes(text: str) -> int:
    """The bytes of a size such as ``256MB``; 0 for a percentage, whose whole is not known here.

    As the daemon's ``units.FromHumanSize`` for the decimal units; ``KiB`` and the like are powers of 1024.
    """
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) ?([kKmMgGtT]?)(i?)[bB]?", text.strip())
    if found is None:
        return 0
    base = 1024 if found[3] else 1000
    return int(float(found[1]) * base ** " kmgt".index(found[2].lower() or " "))
