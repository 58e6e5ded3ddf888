"""The ways back of faults that requests alone do not take back, for `pytest_k8sha.recover`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_k8sha.fleet.cluster import Cluster


def _mesh(cluster: Cluster, way: Mapping[str, Any]) -> None:
    from pytest_k8sha.chaos.mesh.ladder import take_back  # here, since few journals need it

    take_back(cluster, way)


MESH = "chaos-mesh"
WAYS = {MESH: _mesh}
"""Each by what the journal calls it."""
