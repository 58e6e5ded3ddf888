"""What users of a workload call: each Service in front of it, by the address that the cluster gave it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_k8sha.workloads.model import Inventory, Object, Workload

PATH = "k8sha.dev/traffic-path"
RATE = "k8sha.dev/traffic-rate"
TIMEOUT = "k8sha.dev/traffic-timeout"
"""Annotations of a Service: the path that traffic asks for, how often a second, and the seconds that it may take."""

DEFAULT_RATE = 20.0
"""Requests a second: an outage of 0.1 s is then seen."""

DEFAULT_TIMEOUT = 2.0

_SECURE = {"HTTPS"}


@dataclass(frozen=True)
class Front:
    """One port of a Service before a workload. ``scheme`` is http, https or tcp; ``path`` is empty for tcp."""

    workload: Workload
    service: Object
    address: str
    port: int
    scheme: str
    path: str
    rate: float = DEFAULT_RATE
    timeout: float = DEFAULT_TIMEOUT
    node_port: int = 0

    def at(self, host: str, port: int) -> Front:
        """The same front under another address."""
        return replace(self, address=host, port=port)

    @property
    def name(self) -> str:
        return str(self.service["metadata"]["name"])

    @property
    def namespace(self) -> str:
        return str(self.service["metadata"]["namespace"])

    @property
    def host(self) -> str:
        return f"[{self.address}]" if ":" in self.address else self.address

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}{self.path}"

    def __str__(self) -> str:
        return f"Service {self.namespace}/{self.name}"


def fronts(inventory: Inventory) -> list[Front]:
    """The fronts of every scalable workload. Headless Services have none: who uses them knows the pods by name."""
    return [front for workload in inventory.scalable for front in of(inventory, workload)]


def of(inventory: Inventory, workload: Workload) -> list[Front]:
    """One front for each Service of the workload that has an address and a TCP port."""
    found = []
    for service in inventory.services_of(workload):
        spec = service.get("spec") or {}
        address = spec.get("clusterIP") or "None"
        ports = [p for p in spec.get("ports") or [] if p.get("protocol", "TCP") == "TCP"]
        if address == "None" or not ports:
            continue
        scheme, path = _asked(inventory, workload, ports[0])
        notes = service["metadata"].get("annotations") or {}
        path = notes.get(PATH, path)
        found.append(
            Front(
                workload,
                service,
                address,
                int(ports[0]["port"]),
                "http" if notes.get(PATH) and scheme == "tcp" else scheme,
                path,
                _number(notes.get(RATE), DEFAULT_RATE, most=1000.0),
                _number(notes.get(TIMEOUT), DEFAULT_TIMEOUT, most=60.0),
                int(ports[0].get("nodePort") or 0),
            )
        )
    return found


def _asked(inventory: Inventory, workload: Workload, port: Object) -> tuple[str, str]:
    """How the pods themselves say that they are asked: by their readiness probe, where it asks the Service's port."""
    target = port.get("targetPort", port["port"])
    for container in inventory.serving(workload):
        names = {p.get("name"): p.get("containerPort") for p in container.get("ports") or []}
        asked = ((container.get("readinessProbe") or {}).get("httpGet")) or {}
        if asked and names.get(asked.get("port"), asked.get("port")) == names.get(target, target):
            secure = str(asked.get("scheme", "HTTP")).upper() in _SECURE
            return ("https" if secure else "http"), str(asked.get("path") or "/")
    return "tcp", ""


def _number(told: Any, default: float, *, most: float) -> float:
    """A number of an annotation; one that cannot be meant counts as none given."""
    try:
        number = float(told)
    except (TypeError, ValueError):
        return default
    return number if 0 < number <= most else default
