"""Who talks to whom: namespaces, pods, addresses that are no pods, services."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

Labels = Mapping[str, str]

TCP, UDP, SCTP = "TCP", "UDP", "SCTP"


@dataclass(frozen=True)
class Namespace:
    name: str
    labels: Labels = field(default_factory=dict, hash=False)

    @classmethod
    def of(cls, obj: Mapping[str, Any]) -> Namespace:
        meta = obj["metadata"]
        return cls(meta["name"], dict(meta.get("labels") or {}))


@dataclass(frozen=True)
class NamedPort:
    """A port that a container declares under a name."""

    name: str
    number: int
    protocol: str = TCP


@dataclass(frozen=True)
class Pod:
    """A pod as a policy sees it. ``ip`` is the address that the traffic in question uses; see `at` for another one."""

    name: str
    namespace: Namespace
    ip: str
    labels: Labels = field(default_factory=dict, hash=False)
    node: str = ""
    host_network: bool = False
    ports: tuple[NamedPort, ...] = ()
    ips: tuple[str, ...] = ()

    @classmethod
    def of(cls, obj: Mapping[str, Any], namespace: Namespace) -> Pod:
        """From the API's object, whose ``status.podIP`` must be known."""
        spec, status = obj["spec"], obj.get("status") or {}
        # Restartable init containers are sidecars, and their ports count like any other's.
        sidecars = [c for c in spec.get("initContainers") or [] if c.get("restartPolicy") == "Always"]
        ports = tuple(
            NamedPort(port["name"], port["containerPort"], port.get("protocol", TCP))
            for container in [*spec["containers"], *sidecars]
            for port in container.get("ports") or []
            if port.get("name")
        )
        return cls(
            obj["metadata"]["name"],
            namespace,
            status["podIP"],
            dict(obj["metadata"].get("labels") or {}),
            spec.get("nodeName", ""),
            bool(spec.get("hostNetwork")),
            ports,
            tuple(entry["ip"] for entry in status.get("podIPs") or []),
        )

    def at(self, ip: str) -> Pod:
        """The same pod, spoken to or speaking from another of its addresses."""
        return replace(self, ip=ip)

    def same(self, other: Place) -> bool:
        return isinstance(other, Pod) and (self.namespace.name, self.name) == (other.namespace.name, other.name)

    def number(self, name: str, protocol: str) -> set[int]:
        """What a named port means on this pod: none, one, or several where containers differ by protocol only."""
        return {p.number for p in self.ports if p.name == name and p.protocol == protocol}

    def __str__(self) -> str:
        return f"{self.namespace.name}/{self.name}"


@dataclass(frozen=True)
class Address:
    """Somebody who is no pod. ``node`` is set for an address of a node."""

    ip: str
    name: str = ""
    node: str = ""

    def __str__(self) -> str:
        return self.name or self.ip


Place = Pod | Address


@dataclass(frozen=True)
class ServicePort:
    """``target`` is a number, or the name of a port of the pods behind the service."""

    port: int
    target: int | str
    protocol: str = TCP
    node_port: int = 0


@dataclass(frozen=True)
class Service:
    """A service as the cluster made it. Without a ``selector`` its endpoints are made by hand and not known here."""

    name: str
    namespace: str
    cluster_ip: str
    ports: tuple[ServicePort, ...]
    selector: Labels = field(default_factory=dict, hash=False)

    @classmethod
    def of(cls, obj: Mapping[str, Any]) -> Service:
        spec = obj["spec"]
        ports = tuple(
            ServicePort(p["port"], p.get("targetPort", p["port"]), p.get("protocol", TCP), p.get("nodePort", 0))
            for p in spec.get("ports") or []
        )
        meta = obj["metadata"]
        return cls(meta["name"], meta["namespace"], spec.get("clusterIP", ""), ports, dict(spec.get("selector") or {}))

    def backends(self, protocol: str, port: int, pods: Iterable[Pod]) -> list[tuple[Pod, int]]:
        """The pods, each with its own port, that a connection to the service can end at.

        Policies judge this end and never the service's own address: it is rewritten before they are asked.
        """
        found = []
        for entry in self.ports:
            if (entry.protocol, entry.port) != (protocol, port) or not self.selector:
                continue
            for pod in pods:
                if pod.namespace.name != self.namespace or not self.selector.items() <= pod.labels.items():
                    continue
                targets = pod.number(entry.target, protocol) if isinstance(entry.target, str) else {entry.target}
                found += [(pod, number) for number in sorted(targets)]
        return found

    def __str__(self) -> str:
        return f"service {self.namespace}/{self.name}"
