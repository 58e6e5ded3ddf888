"""AdminNetworkPolicy and BaselineAdminNetworkPolicy (``policy.networking.k8s.io/v1alpha1``).

The administrator's policies are asked first, the least ``priority`` first; the first rule that fits decides, by Allow
or Deny, or by Pass hands on to the NetworkPolicies. Where these do not isolate the pod, the baseline is asked. Each
direction is decided by itself (https://network-policy-api.sigs.k8s.io/api-overview/).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, ValidationError, model_validator

from pytest_k8sha.errors import FileProblem, FileProblems
from pytest_k8sha.tenancy.network.evaluate import Decision, Side, exemption, governed, judge
from pytest_k8sha.tenancy.network.places import Address, Pod
from pytest_k8sha.tenancy.network.policy import Cidr, PortNumber, Protocol, Selector, Strict

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pytest_k8sha.tenancy.network.places import Place
    from pytest_k8sha.tenancy.network.policy import Direction, Policy

API_VERSION = "policy.networking.k8s.io/v1alpha1"
KINDS = ("AdminNetworkPolicy", "BaselineAdminNetworkPolicy")

Action = Literal["Allow", "Deny", "Pass"]


class PodsIn(Strict):
    namespace_selector: Selector = Field(default_factory=Selector)
    pod_selector: Selector = Field(default_factory=Selector)

    def holds(self, pod: Pod) -> bool:
        return self.namespace_selector.matches(pod.namespace.labels) and self.pod_selector.matches(pod.labels)


class Subject(Strict):
    """Exactly one of the fields."""

    namespaces: Selector | None = None
    pods: PodsIn | None = None

    @model_validator(mode="after")
    def _one(self) -> Subject:
        if len(self.model_fields_set) != 1:
            raise ValueError(f"exactly one of {', '.join(type(self).model_fields)} is expected")
        return self

    def holds(self, place: Place) -> bool:
        if not isinstance(place, Pod) or place.host_network:
            return False
        if self.namespaces is not None:
            return self.namespaces.matches(place.namespace.labels)
        return self.pods is not None and self.pods.holds(place)


class EgressPeer(Subject):
    networks: list[Cidr] | None = None
    nodes: Selector | None = None

    def holds(self, place: Place) -> bool:
        if self.networks is not None:
            from ipaddress import ip_address, ip_network

            return any(ip_address(place.ip) in ip_network(cidr, strict=False) for cidr in self.networks)
        if self.nodes is not None:
            # The labels of nodes are not part of the model; only a selector of all nodes can be judged.
            host = isinstance(place, Address) or place.host_network
            return bool(place.node) and host and self.nodes.everything
        return super().holds(place)


class Numbered(Strict):
    protocol: Protocol = "TCP"
    port: int = Field(ge=1, le=65535)


class Ranged(Strict):
    protocol: Protocol = "TCP"
    start: int = Field(ge=1, le=65535)
    end: int = Field(ge=1, le=65535)


class AdminPort(Strict):
    port_number: Numbered | None = None
    port_range: Ranged | None = None
    named_port: PortNumber | None = None

    @model_validator(mode="after")
    def _one(self) -> AdminPort:
        if len(self.model_fields_set) != 1:
            raise ValueError("exactly one of portNumber, portRange, namedPort is expected")
        return self

    def holds(self, dst: Place, protocol: str, port: int) -> bool:
        if self.port_number is not None:
            return (self.port_number.protocol, self.port_number.port) == (protocol, port)
        if self.port_range is not None:
            return self.port_range.protocol == protocol and self.port_range.start <= port <= self.port_range.end
        return isinstance(dst, Pod) and port in dst.number(str(self.named_port), protocol)


class AdminIngress(Strict):
    name: str = ""
    action: Action
    peers: list[Subject] = Field(alias="from", min_length=1)
    ports: list[AdminPort] | None = None


class AdminEgress(Strict):
    name: str = ""
    action: Action
    peers: list[EgressPeer] = Field(alias="to", min_length=1)
    ports: list[AdminPort] | None = None


class AdminSpec(Strict):
    """``priority`` is absent in a baseline."""

    priority: int | None = Field(None, ge=0, le=1000)
    subject: Subject
    ingress: list[AdminIngress] = Field(default_factory=list)
    egress: list[AdminEgress] = Field(default_factory=list)

    def rules(self, direction: Direction) -> Sequence[AdminIngress | AdminEgress]:
        if direction == "Ingress":
            return self.ingress
        return self.egress


@dataclass(frozen=True)
class AdminPolicy:
    name: str
    spec: AdminSpec
    baseline: bool = False

    @classmethod
    def of(cls, obj: Mapping[str, Any], *, path: str = "the cluster") -> AdminPolicy:
        """Raises `FileProblems`."""
        try:
            spec = AdminSpec.model_validate(obj.get("spec") or {})
        except ValidationError as error:
            raise FileProblems(
                FileProblem(path, 0, ".".join(map(str, ("spec", *e["loc"]))), e["msg"].removeprefix("Value error, "))
                for e in error.errors()
            ) from error
        return cls(obj["metadata"]["name"], spec, obj["kind"] == "BaselineAdminNetworkPolicy")

    def __str__(self) -> str:
        return f"{'BaselineAdminNetworkPolicy' if self.baseline else 'AdminNetworkPolicy'} {self.name}"


def evaluate(
    policies: Iterable[Policy], admin: Iterable[AdminPolicy], src: Place, dst: Place, protocol: str, port: int
) -> Decision:
    """As `pytest_k8sha.tenancy.network.evaluate.evaluate`, with the administrator's policies."""
    exempt = exemption(src, dst)
    if exempt:
        return Decision(allowed=True, why=(exempt,))
    plain, above = list(policies), list(admin)
    sides = [
        side(plain, above, "Egress", src, dst, protocol, port),
        side(plain, above, "Ingress", src, dst, protocol, port),
    ]
    deciding = [why for allowed, why in sides if not allowed] or [why for _, why in sides]
    return Decision(allowed=all(allowed for allowed, _ in sides), why=tuple(deciding))


def side(
    plain: Sequence[Policy],
    admin: Sequence[AdminPolicy],
    direction: Direction,
    src: Place,
    dst: Place,
    protocol: str,
    port: int,
) -> tuple[bool, str]:
    """What one direction says, and the policies that decided; exemptions are not looked at."""
    subject = src if direction == "Egress" else dst
    ranked = sorted((a for a in admin if not a.baseline), key=lambda a: a.spec.priority or 0)
    first = _first(ranked, direction, src, dst, protocol, port) if governed(subject) else None
    if first and first[0] != "Pass":
        return first[0] == "Allow", f"{direction.lower()}: {first[1]}"
    below: Side = judge(plain, direction, src, dst, protocol, port)
    if below.isolated or not governed(subject):
        return below.allowed, str(below)
    last = _first([a for a in admin if a.baseline], direction, src, dst, protocol, port)
    if last:
        return last[0] == "Allow", f"{direction.lower()}: {last[1]}"
    return below.allowed, str(below)


def _first(
    admin: list[AdminPolicy], direction: Direction, src: Place, dst: Place, protocol: str, port: int
) -> tuple[Action, str] | None:
    subject, other = (src, dst) if direction == "Egress" else (dst, src)
    for policy in admin:
        if not policy.spec.subject.holds(subject):
            continue
        for number, rule in enumerate(policy.spec.rules(direction)):
            fits = any(peer.holds(other) for peer in rule.peers)
            if fits and (not rule.ports or any(p.holds(dst, protocol, port) for p in rule.ports)):
                return rule.action, f"{rule.action} by {policy}, rule {rule.name or number}"
    return None
