"""What each tenant uses of its quotas, what it requests, and what that costs.

``cost = amount * price * hours``: the amount is what the tenant's pods and claims *request* at this moment, since a
request is kept free whether it is used or not; price and hours are those of the price file. A pod requests, of each
resource, the larger of two sums, and its overhead: its containers with its sidecars, or any one init container with
the sidecars before it (https://kubernetes.io/docs/concepts/workloads/pods/init-containers/, "Resource sharing within
containers"). Pods that have ended request nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from pytest_k8sha.tenancy.quantity import parse, spell
from pytest_k8sha.tenancy.sizes import quotas

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pytest_k8sha.fleet.cluster import Cluster
    from pytest_k8sha.tenancy.prices import Prices
    from pytest_k8sha.tenancy.tenant import Tenant

QUOTAS, COSTS = "use of quotas", "cost"
"""The names of the two tables in a record."""

GIB = Fraction(2**30)
ITEMS: dict[str, tuple[str, Fraction, str]] = {
    "cpu": ("CPU", Fraction(1), "cpu"),
    "memory": ("GiB", GIB, "memory"),
    "storage": ("GiB", GIB, "storage"),
    "load balancers": ("each", Fraction(1), "loadBalancer"),
}
"""What is billed: its unit, how much of the quantity that is, and the name of its price."""


@dataclass(frozen=True)
class Thresholds:
    """Shares of a quota, from 0 to 1: from ``warn`` on it is told, from ``full`` on it fails."""

    warn: Fraction = Fraction(80, 100)
    full: Fraction = Fraction(90, 100)

    def state(self, share: Fraction) -> str:
        """``ok``, ``warning`` or ``full``."""
        return "full" if share >= self.full else "warning" if share >= self.warn else "ok"


@dataclass(frozen=True)
class Use:
    """How much of one resource of one quota is used. A limit of 0 forbids, and is no use."""

    tenant: str
    namespace: str
    quota: str
    resource: str
    used: Fraction
    hard: Fraction

    @property
    def share(self) -> Fraction:
        return self.used / self.hard

    @property
    def percent(self) -> float:
        return round(float(self.share * 100), 1)

    def row(self, thresholds: Thresholds) -> dict[str, Any]:
        """One row of the table `QUOTAS`."""
        return {
            "tenant": self.tenant,
            "namespace": self.namespace,
            "quota": self.quota,
            "resource": self.resource,
            "used": spell(self.used),
            "hard": spell(self.hard),
            "percent": self.percent,
            "state": thresholds.state(self.share),
        }


def uses(cluster: Cluster, tenants: Iterable[Tenant]) -> list[Use]:
    """Of every quota of every namespace. Raises `ApiError` and `TransportError`."""
    return [
        Use(tenant.name, namespace, quota.name, resource, quota.used.get(resource, Fraction(0)), hard)
        for tenant in tenants
        for namespace in tenant.namespaces
        for quota in quotas(cluster, namespace)
        for resource, hard in sorted(quota.hard.items())
        if hard
    ]


def amounts(cluster: Cluster, tenant: Tenant) -> dict[str, Fraction]:
    """What the tenant requests in all of its namespaces, by the names of `ITEMS`, in the units of the API."""
    found = dict.fromkeys(ITEMS, Fraction(0))
    for namespace in tenant.namespaces:
        for pod in cluster.resource("v1", "Pod").list(namespace):
            if pod.get("status", {}).get("phase") in {"Succeeded", "Failed"}:
                continue
            for resource in ("cpu", "memory"):
                found[resource] += requested(pod["spec"], resource)
        for claim in cluster.resource("v1", "PersistentVolumeClaim").list(namespace):
            found["storage"] += _of((claim["spec"].get("resources") or {}).get("requests"), "storage")
        services = cluster.resource("v1", "Service").list(namespace)
        found["load balancers"] += sum(service["spec"].get("type") == "LoadBalancer" for service in services)
    return found


def requested(spec: Mapping[str, Any], resource: str) -> Fraction:
    """What a pod of this spec requests of one resource."""
    sidecars = before = Fraction(0)
    for one in spec.get("initContainers") or []:
        asked = _of((one.get("resources") or {}).get("requests"), resource)
        if one.get("restartPolicy") == "Always":
            sidecars += asked
            before = max(before, sidecars)
        else:
            before = max(before, sidecars + asked)
    running = sum((_of((c.get("resources") or {}).get("requests"), resource) for c in spec["containers"]), sidecars)
    return max(running, before) + _of(spec.get("overhead"), resource)


def _of(quantities: Mapping[str, Any] | None, resource: str) -> Fraction:
    return parse((quantities or {}).get(resource, 0))


def bill(tenant: str, amount: Mapping[str, Fraction], prices: Prices) -> list[dict[str, Any]]:
    """The rows of the table `COSTS` for one tenant; money is rounded to cents in each row, and so adds up."""
    rows = []
    for item, (unit, size, name) in ITEMS.items():
        price = getattr(prices.prices, name)
        count = amount[item] / size
        cost = count * Fraction(str(price)) * Fraction(str(prices.hours))
        rows.append(
            {
                "tenant": tenant,
                "item": item,
                "amount": round(float(count), 3),
                "unit": unit,
                "price": price,
                "hours": prices.hours,
                "cost": float(round(cost, 2)),
                "currency": prices.currency,
            }
        )
    return rows


def bills(cluster: Cluster, tenants: Sequence[Tenant], prices: Prices) -> list[dict[str, Any]]:
    """The rows of every tenant."""
    return [row for tenant in tenants for row in bill(tenant.name, amounts(cluster, tenant), prices)]
