"""What NetworkPolicies mean for one connection, by the words of the API
(https://kubernetes.io/docs/concepts/services-networking/network-policies/).

A connection is allowed when the source's egress policies and the destination's ingress policies both let it through;
a pod that no policy of a direction selects is open in that direction; several policies add up. The answer packets of
an allowed connection need no rule.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pytest_k8sha.tenancy.network.places import Address, Pod

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pytest_k8sha.tenancy.network.places import Place
    from pytest_k8sha.tenancy.network.policy import Direction, Peer, Policy, Port

ITSELF = "a pod always reaches itself"
OWN_NODE = "a pod and its own node always reach each other"


@dataclass(frozen=True)
class Side:
    """What one direction says. ``isolated``: some policy selects the pod in this direction."""

    direction: Direction
    allowed: bool
    isolated: bool
    by: tuple[str, ...]
    """The policies that decided: those that let it through, or else all those that isolate."""

    def __str__(self) -> str:
        end = "source" if self.direction == "Egress" else "destination"
        if not self.isolated:
            return f"{self.direction.lower()}: no policy selects the {end}"
        names = ", ".join(self.by)
        return f"{self.direction.lower()}: {'allowed' if self.allowed else 'isolated, and not allowed,'} by {names}"


@dataclass(frozen=True)
class Decision:
    """Whether a connection is allowed, and why: sentences that name the policies that decided."""

    allowed: bool
    why: tuple[str, ...]

    def __bool__(self) -> bool:
        return self.allowed


def evaluate(policies: Iterable[Policy], src: Place, dst: Place, protocol: str, port: int) -> Decision:
    """Whether ``src`` may open a connection to ``port`` of ``dst``.

    For a service give the backend and its own port (`Service.backends`). ``src.ip`` and ``dst.ip`` are the addresses
    that the packets carry when the policies see them. Pods on the host's network are treated as their node's address,
    as the documentation says that most networks do.
    """
    exempt = exemption(src, dst)
    if exempt:
        return Decision(allowed=True, why=(exempt,))
    every = list(policies)
    sides = [
        judge(every, "Egress", src, dst, protocol, port),
        judge(every, "Ingress", src, dst, protocol, port),
    ]
    deciding = [side for side in sides if not side.allowed] or sides
    return Decision(allowed=all(side.allowed for side in sides), why=tuple(map(str, deciding)))


def exemption(src: Place, dst: Place) -> str:
    """Why no policy can forbid this connection; empty when one can."""
    if isinstance(src, Pod) and src.same(dst):
        return ITSELF
    a, b = host_of(src), host_of(dst)
    if (a and a == node_of(dst)) or (b and b == node_of(src)):
        return OWN_NODE
    return ""


def host_of(place: Place) -> str:
    """The node whose own address this is; empty for a pod with an address of its own."""
    return place.node if isinstance(place, Address) or place.host_network else ""


def node_of(place: Place) -> str:
    return place.node


def governed(place: Place) -> bool:
    """Whether policies apply to it: a pod with a network of its own."""
    return isinstance(place, Pod) and not place.host_network


def judge(policies: Sequence[Policy], direction: Direction, src: Place, dst: Place, protocol: str, port: int) -> Side:
    """What the policies of one direction say."""
    subject, other = (src, dst) if direction == "Egress" else (dst, src)
    selecting = [p for p in policies if selects(p, subject) and direction in p.directions]
    if not selecting:
        return Side(direction, allowed=True, isolated=False, by=())
    letting = [p for p in selecting if lets(p, direction, other, dst, protocol, port)]
    return Side(direction, allowed=bool(letting), isolated=True, by=tuple(map(str, letting or selecting)))


def selects(policy: Policy, place: Place) -> bool:
    return (
        governed(place)
        and isinstance(place, Pod)
        and place.namespace.name == policy.namespace
        and policy.spec.pod_selector.matches(place.labels)
    )


def lets(policy: Policy, direction: Direction, other: Place, dst: Place, protocol: str, port: int) -> bool:
    """Whether one rule of the policy names both the other end and the port; a rule that names none means all."""
    return any(
        (not rule.peers or any(is_peer(peer, policy.namespace, other) for peer in rule.peers))
        and (not rule.ports or any(is_port(entry, dst, protocol, port) for entry in rule.ports))
        for rule in policy.rules(direction)
    )


def is_peer(peer: Peer, home: str, place: Place) -> bool:
    """``home`` is the policy's namespace, where a pod selector looks when it stands alone."""
    if peer.ip_block is not None:
        return peer.ip_block.holds(place.ip)
    if not isinstance(place, Pod) or place.host_network:
        return False
    if peer.namespace_selector is None:
        near = place.namespace.name == home
    else:
        near = peer.namespace_selector.matches(place.namespace.labels)
    return near and (peer.pod_selector is None or peer.pod_selector.matches(place.labels))


def is_port(entry: Port, dst: Place, protocol: str, port: int) -> bool:
    if entry.protocol != protocol:
        return False
    if entry.port is None:
        return True
    if isinstance(entry.port, str):
        return isinstance(dst, Pod) and port in dst.number(entry.port, protocol)
    return entry.port <= port <= (entry.end_port or entry.port)


Blanket = Literal["everybody", "every namespace", "every address"]


def blanket(peer: Peer | None) -> Blanket | None:
    """Whether a peer names nobody in particular: an absent list (None), every namespace, or a whole address family."""
    if peer is None:
        return "everybody"
    if peer.ip_block is not None:
        return "every address" if peer.ip_block.cidr.endswith("/0") else None
    wide = peer.namespace_selector is not None and peer.namespace_selector.everything
    return "every namespace" if wide and (peer.pod_selector is None or peer.pod_selector.everything) else None


def declared(policies: Iterable[Policy]) -> list[Policy]:
    """The policies without what names nobody in particular.

    A rule for everybody allows a destination without declaring it; judged by these policies, only what somebody wrote
    down on purpose is allowed. A rule for everybody that names ports keeps them for no one.
    """
    kept = []
    for policy in policies:
        sides = {}
        for side, rules in (("ingress", policy.spec.ingress), ("egress", policy.spec.egress)):
            named = [(rule, [peer for peer in rule.peers if not blanket(peer)]) for rule in rules or []]
            sides[side] = [rule.model_copy(update={"peers": peers}) for rule, peers in named if peers]
        # The directions are written out: without rules the default would no longer isolate egress.
        types = sorted(policy.directions)
        kept.append(policy.model_copy(update={"spec": policy.spec.model_copy(update={**sides, "policy_types": types})}))
    return kept
