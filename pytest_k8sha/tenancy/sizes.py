"""How large containers may be: the limit ranges of a namespace, and containers that are as large as they allow."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from pytest_k8sha.tenancy import pods
from pytest_k8sha.tenancy.quantity import parse, spell

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pytest_k8sha.fleet.cluster import Cluster
    from pytest_k8sha.tenancy.tenant import Tenant

COMPUTE = ("cpu", "memory")
SMALL = {"cpu": Fraction(1, 100), "memory": Fraction(16 * 2**20)}
"""What a container asks for that is not about size: 10m and 16Mi, or the least that the limit range lets it."""
HUGE = {"cpu": Fraction(10**6), "memory": Fraction(2**50)}
"""More than any cluster has."""
STEP = {"cpu": Fraction(1, 1000), "memory": Fraction(1)}
"""The least by which a size can differ."""


ALIASES = {"cpu": "requests.cpu", "memory": "requests.memory"}
"""A quota may leave the first word out."""


@dataclass(frozen=True)
class Quota:
    """One ResourceQuota as it stands. ``classes`` are the priority classes that its scope names."""

    name: str
    hard: dict[str, Fraction]
    used: dict[str, Fraction]
    scoped: bool
    classes: frozenset[str] = frozenset()

    def left(self, resource: str) -> Fraction:
        return self.hard[resource] - self.used.get(resource, Fraction(0))


def quotas(cluster: Cluster, namespace: str) -> list[Quota]:
    """The quotas of a namespace. Those whose status was not computed yet count as unused."""
    found = []
    for item in cluster.resource("v1", "ResourceQuota").list(namespace):
        spec, status = item["spec"], item.get("status") or {}
        expressions = (spec.get("scopeSelector") or {}).get("matchExpressions") or []
        named = [e for e in expressions if e.get("scopeName") == "PriorityClass" and e.get("operator") == "In"]
        found.append(
            Quota(
                item["metadata"]["name"],
                {ALIASES.get(k, k): parse(v) for k, v in (spec.get("hard") or {}).items()},
                {ALIASES.get(k, k): parse(v) for k, v in (status.get("used") or {}).items()},
                scoped=bool(spec.get("scopes") or expressions),
                classes=frozenset(value for e in named for value in e.get("values") or ()),
            )
        )
    return found


def left(found: Iterable[Quota], *resources: str) -> Fraction | None:
    """The least that the quotas without scopes leave of any of these; None when none of them is bounded."""
    every = [q.left(resource) for q in found if not q.scoped for resource in resources if resource in q.hard]
    return min(every, default=None)


@dataclass
class Bounds:
    """The strictest bounds of all LimitRanges of a namespace for one type, by resource."""

    least: dict[str, Fraction] = field(default_factory=dict)
    most: dict[str, Fraction] = field(default_factory=dict)
    ratio: dict[str, Fraction] = field(default_factory=dict)
    default: dict[str, Fraction] = field(default_factory=dict)
    request: dict[str, Fraction] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)

    def small(self, resource: str) -> Fraction:
        least = max(SMALL[resource], self.least.get(resource, Fraction(0)))
        return min(least, self.most.get(resource, least))


def bounds(cluster: Cluster, namespace: str, kind: str = "Container") -> Bounds:
    """Reads the limit ranges of a namespace; ``kind`` is Container, Pod or PersistentVolumeClaim."""
    found = Bounds()
    for limits in cluster.resource("v1", "LimitRange").list(namespace):
        for item in limits["spec"].get("limits") or []:
            if item.get("type") != kind:
                continue
            found.names.append(limits["metadata"]["name"])
            _narrow(found.least, item.get("min"), max)
            _narrow(found.most, item.get("max"), min)
            _narrow(found.ratio, item.get("maxLimitRequestRatio"), min)
            _narrow(found.default, item.get("default"), min)
            _narrow(found.request, item.get("defaultRequest"), min)
    return found


def _narrow(known: dict[str, Fraction], given: Mapping[str, str] | None, strictest: Any) -> None:
    for resource, text in (given or {}).items():
        value = parse(text)
        known[resource] = strictest(known[resource], value) if resource in known else value


def sized(
    tenant: Tenant, limits: Mapping[str, Fraction], requests: Mapping[str, Fraction], *, copies: int = 1, **spec: Any
) -> dict[str, Any]:
    """A right pod of ``copies`` containers of that size."""
    resources = {
        "limits": {name: spell(value) for name, value in limits.items()},
        "requests": {name: spell(value) for name, value in requests.items()},
    }
    containers = [pods.container(tenant, f"main-{n}", resources=resources) for n in range(copies)]
    return pods.pod(tenant, containers=containers, **spec)


def small(tenant: Tenant, bound: Bounds, **spec: Any) -> dict[str, Any]:
    """A right pod that asks for as little as it may."""
    size = {resource: bound.small(resource) for resource in COMPUTE}
    return sized(tenant, size, size, **spec)
