"""The fleet: the named clusters of a run, used together or one by one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_k8sha.errors import Inconclusive, UsageError
from pytest_k8sha.fleet.cluster import Cluster
from pytest_k8sha.model import Impact
from pytest_k8sha.providers.base import ClusterState

if TYPE_CHECKING:
    from pytest_k8sha.fleet.run import RunFolder
    from pytest_k8sha.fleet.spec import TenantOrder
    from pytest_k8sha.providers.registry import Registry


class Fleet(Mapping[str, Cluster]):
    """``fleet["east"]`` is a `Cluster`. Made by `open`, from what `pytest_k8sha.fleet.keeper.provide` left on the disk.

    ``broken`` holds the clusters that did not come up, with the reason: asking for one raises `Inconclusive`.
    """

    def __init__(self, clusters: Mapping[str, Cluster], broken: Mapping[str, str], orders: Mapping[str, FleetEntry]):
        self._clusters = dict(clusters)
        self.broken = dict(broken)
        self.orders = dict(orders)

    @classmethod
    def open(cls, folder: RunFolder, registry: Registry) -> Fleet:
        """The fleet of a run, in any of its processes."""
        clusters, broken, orders = {}, {}, {}
        for name, data in json.loads(folder.fleet_file.read_text())["clusters"].items():
            entry = FleetEntry(**data)
            orders[name] = entry
            if entry.problem:
                broken[name] = entry.problem
                continue
            state = ClusterState.load(Path(entry.place))
            cluster = Cluster(
                state,
                registry.get(state.provider),
                run=folder.run,
                private=folder.private,
                # A cluster that ends with the run takes its objects along; the journal names the cluster itself.
                journal=folder.journal if entry.reused or not state.made else None,
                ceiling=Impact.parse(entry.ceiling) if entry.ceiling else None,
            )
            clusters[name] = cluster
        return cls(clusters, broken, orders)

    def __getitem__(self, name: str) -> Cluster:
        if name in self._clusters:
            return self._clusters[name]
        if name in self.broken:
            raise Inconclusive(f"cluster {name} is not there: {self.broken[name]}")
        raise UsageError("the fleet has no such cluster", value=name, allowed=[*self._clusters, *self.broken])

    def __iter__(self) -> Iterator[str]:
        return iter(self._clusters)

    def __len__(self) -> int:
        return len(self._clusters)


class FleetEntry:
    """How a cluster of the run came to be: kept as JSON in ``fleet.json``."""

    def __init__(
        self,
        place: str = "",
        problem: str = "",
        ceiling: str | None = None,
        reused: bool = False,  # noqa: FBT001, FBT002 - a record, built by name only
        apply: list[str] | None = None,
        tenants: list[TenantOrder | dict[str, object]] | None = None,
        restore: str = "",
    ) -> None:
        from pytest_k8sha.fleet.spec import TenantOrder

        self.place = place
        self.problem = problem
        self.ceiling = ceiling
        self.reused = reused
        self.apply = list(apply or [])
        self.restore = restore
        self.tenants = [t if isinstance(t, TenantOrder) else TenantOrder.model_validate(t) for t in tenants or []]

    def as_dict(self) -> dict[str, object]:
        return {**vars(self), "tenants": [t.model_dump(mode="json") for t in self.tenants]}
