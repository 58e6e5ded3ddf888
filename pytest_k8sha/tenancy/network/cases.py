"""The engine's own cases: policies for three namespaces of three pods each, looked at pair by pair.

What a network makes of them is compared with what the evaluator says. Namespaces are ``${x}``, ``${y}``, ``${z}`` in
the files, pods carry the label ``pod`` with a, b and c.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_k8sha import _clock
from pytest_k8sha.errors import ApiError
from pytest_k8sha.kube import manifests
from pytest_k8sha.tenancy.network import policy as written
from pytest_k8sha.tenancy.network.ground import Ground, Site, address_of, prepare
from pytest_k8sha.tenancy.network.settle import patience_after, settle
from pytest_k8sha.tenancy.network.survey import POD_PORTS, Rules
from pytest_k8sha.tenancy.network.table import Listener, cells

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pytest_k8sha.fleet.cluster import Cluster
    from pytest_k8sha.tenancy.network.places import Address
    from pytest_k8sha.tenancy.network.settle import Settled
    from pytest_k8sha.tenancy.network.table import Cell, Seen

NAMESPACES = ("x", "y", "z")
PODS = ("a", "b", "c")


@dataclass
class Field:
    """Nine pods in three namespaces, and every way between them: 81 pairs, TCP and UDP, two ports, 324 cells."""

    cluster: Cluster
    ground: Ground
    values: Mapping[str, str]
    ways: list[Cell]
    nodes: list[Address]
    lifted: Mapping[Cell, Seen]

    @classmethod
    def make(cls, cluster: Cluster) -> Field:
        """Makes namespaces and pods, and looks once without policies: the positive control of every way."""
        values = {letter: cluster.create_namespace(letter) for letter in NAMESPACES}
        each = [{"pod": letter} for letter in PODS]
        ground = prepare(cluster, [Site(name, each=each, services=False) for name in values.values()])
        ways = cells(ground.every, [Listener(pod, POD_PORTS) for pod in ground.every])
        nodes = [address_of(node) for node in cluster.resource("v1", "Node").list()]
        opened = settle(ground.eyes(), Rules.of(cluster).promises(ways, nodes))
        return cls(cluster, ground, values, ways, nodes, opened.table.seen)

    def run(self, path: Path) -> Settled:
        """Applies the policies of one file, waits until the network follows, and takes them back."""
        objects = manifests.load([path], self.values)
        policies = self.cluster.resource(written.API_VERSION, "NetworkPolicy")
        try:
            for one in objects:
                policies.create(one, one["metadata"]["namespace"])
            promises = Rules.of(self.cluster).promises(self.ways, self.nodes)
            patience, since = patience_after(self.lifted), _clock.now()
            return settle(self.ground.eyes(), promises, lifted=self.lifted, since=since, patience=patience)
        finally:
            for one in objects:
                try:
                    policies.delete(one["metadata"]["name"], one["metadata"]["namespace"])
                except ApiError as error:
                    if error.status != 404:
                        raise

    def clear(self) -> None:
        for namespace in self.values.values():
            self.cluster.delete_namespace(namespace, wait=False)
