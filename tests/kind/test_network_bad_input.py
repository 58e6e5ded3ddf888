"""What the network engine says when it cannot look: never a pass, never a block."""

from __future__ import annotations

import copy
import dataclasses

import pytest

from pytest_k8sha.errors import NotEvaluated
from pytest_k8sha.fleet.cluster import Cluster
from pytest_k8sha.tenancy.network.ground import Site, prepare
from tests.kind.kind_clusters import Images


def with_probe(cluster: Cluster, image: str) -> Cluster:
    """The same cluster with another probe image."""
    other = copy.copy(cluster)
    other.state = dataclasses.replace(cluster.state, options={**cluster.state.options, "probe_image": image})
    return other


def test_a_probe_image_that_ends_at_once(kind_cluster: Cluster, space: str, images: Images) -> None:
    """An image without the command: not evaluated, with its name and the code that its program ends with."""
    if not images.rigged:
        pytest.skip("needs a small image without agnhost on the nodes, as the rig's")
    with pytest.raises(NotEvaluated, match=f"{images.shell} cannot start: it ends with code 127"):
        prepare(with_probe(kind_cluster, images.shell), [Site(space, services=False)])


def test_no_node_to_run_on(kind_cluster: Cluster, space: str) -> None:
    """Without a node that takes pods nothing is looked at, and that is said."""
    with pytest.raises(NotEvaluated, match="no node that an ordinary pod can run on"):
        prepare(kind_cluster, [Site(space, services=False)], nodes=[])
