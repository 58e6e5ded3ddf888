"""Which engine an order needs: by the block that names its targets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_k8sha.chaos.members import MembersEngine
from pytest_k8sha.chaos.mesh.engine import ChaosMesh
from pytest_k8sha.chaos.nodes import NodesEngine
from pytest_k8sha.chaos.pods import PodsEngine
from pytest_k8sha.errors import NotEvaluated

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pytest_k8sha.chaos.engine import ChaosEngine
    from pytest_k8sha.chaos.order import Order
    from pytest_k8sha.fleet.cluster import Cluster

ENGINES: Mapping[str, Callable[[Cluster], ChaosEngine]] = {
    "members": MembersEngine,
    "nodes": NodesEngine,
    "pods": PodsEngine,
    "manifest": ChaosMesh,
}
"""The engine of each block of an order."""


def engine_for(cluster: Cluster, order: Order) -> ChaosEngine:
    """Raises `NotEvaluated` where there is none for the order's block."""
    make = ENGINES.get(order.spec.block)
    if make is None:
        raise NotEvaluated(f"{order.name}: no engine injects faults into {order.spec.block}")
    return make(cluster)
