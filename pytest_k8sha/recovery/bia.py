"""The business impact analysis: services, what they promise, what they need, and by which strategy they recover."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from pytest_k8sha.kube.manifests import typed
from pytest_k8sha.recovery.plan import Part, Seconds

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Strategy = Literal["backup-restore", "cold-standby", "warm-standby", "hot-standby"]

HOUR = 3600.0
RTO_TIERS = ((HOUR, "under 1 h"), (4 * HOUR, "under 4 h"), (24 * HOUR, "under 24 h"), (72 * HOUR, "under 72 h"))
RPO_TIERS = ((0.0, "none"), (300.0, "under 5 min"), (HOUR, "under 1 h"), (24 * HOUR, "under 24 h"))
BEYOND = "beyond every tier"

BEST: dict[str, tuple[float, float]] = {
    "backup-restore": (HOUR, HOUR),
    "cold-standby": (600.0, 300.0),
    "warm-standby": (60.0, 60.0),
    "hot-standby": (0.0, 0.0),
}
"""The least RTO and RPO, in seconds, that a strategy can promise: hours for backup and restore, tens of minutes for a
standby that is started when it is needed, minutes for one that runs small, next to nothing for one that serves already
(AWS, Disaster Recovery of Workloads on AWS, "Disaster recovery options in the cloud")."""


class Service(Part):
    """One service of the business."""

    name: str = Field(description="what the business calls it")
    criticality: Literal["critical", "high", "medium", "low"] = Field(description="how much depends on it")
    rto: Seconds = Field(description="recovery time objective")
    rpo: Seconds = Field(description="recovery point objective; 0: nothing may be lost")
    availability: float = Field(default=0.0, ge=0, lt=1, description="share of the time, such as 0.999; 0: not said")
    dependencies: list[str] = Field(default_factory=list, description="services that it cannot do without")
    impact: str = Field(default="", description="what it costs when it is away")
    priority: int = Field(default=0, ge=0, description="the order of recovery, 1 first; 0: not said")
    strategy: Strategy | None = Field(default=None, description="how it recovers; else that of recovery_strategies")


class Resource(Part):
    """Something that services need and nobody can restore: people, places, suppliers."""

    name: str
    kind: str = Field(default="", description="people, place, supplier …")
    services: list[str] = Field(default_factory=list, description="the services that need it")


class Bia(Part):
    """A BIA file."""

    services: list[Service] = Field(min_length=1, description="the services")
    critical_resources: list[Resource] = Field(default_factory=list, description="what cannot be restored")
    recovery_strategies: dict[str, Strategy] = Field(default_factory=dict, description="strategy by service")

    def strategy(self, service: Service) -> Strategy | None:
        return service.strategy or self.recovery_strategies.get(service.name)

    def named(self, name: str) -> Service:
        return next(service for service in self.services if service.name == name)


def load(path: Path) -> Bia:
    """Raises `FileProblems` with every mistake: unknown keys and names, two services of one name, circles."""
    return typed(path, Bia, expected="one mapping is expected, as `k8sha schema bia` describes", further=_mistakes)


def rto_tier(seconds: float) -> str:
    """The tier of a recovery time objective."""
    return next((name for limit, name in RTO_TIERS if seconds < limit), BEYOND)


def rpo_tier(seconds: float) -> str:
    """The tier of a recovery point objective."""
    if seconds == 0:
        return RPO_TIERS[0][1]
    return next((name for limit, name in RPO_TIERS[1:] if seconds < limit), BEYOND)


def circle(bia: Bia) -> list[str]:
    """Services that depend on each other in a circle, in order; empty when there are none."""
    needs = {service.name: service.dependencies for service in bia.services}
    done: set[str] = set()

    def walk(name: str, way: list[str]) -> list[str]:
        if name in way:
            return way[way.index(name) :]
        if name in done:
            return []
        for other in needs.get(name, []):
            found = walk(other, [*way, name])
            if found:
                return found
        done.add(name)
        return []

    return next((found for name in needs if (found := walk(name, []))), [])


def _mistakes(bia: Bia) -> Iterator[tuple[tuple[Any, ...], str]]:
    names = [service.name for service in bia.services]
    for place, service in enumerate(bia.services):
        if names.index(service.name) != place:
            yield ("services", place, "name"), f"two services are called {service.name!r}"
        for index, other in enumerate(service.dependencies):
            if other not in names:
                yield ("services", place, "dependencies", index), f"there is no service {other!r}"
    for name in bia.recovery_strategies:
        if name not in names:
            yield ("recovery_strategies", name), f"there is no service {name!r}"
    for place, resource in enumerate(bia.critical_resources):
        for index, name in enumerate(resource.services):
            if name not in names:
                yield ("critical_resources", place, "services", index), f"there is no service {name!r}"
    found = circle(bia)
    if found:
        yield ("services",), f"these depend on each other in a circle: {' → '.join([*found, found[0]])}"
