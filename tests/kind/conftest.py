"""One real cluster of two nodes for all tests of this folder. Without an engine, and only then, they are not run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pytest_k8sha.fleet.cluster import Cluster
from pytest_k8sha.providers.kind.engine import Engine
from tests.kind import kind_clusters
from tests.kind.kind_clusters import Images


@pytest.fixture(scope="session")
def engine() -> Engine:
    reason = kind_clusters.missing()
    if reason:
        pytest.skip(f"not run, since {reason}")
    return Engine.find()


@pytest.fixture(scope="session")
def images(engine: Engine) -> Images:
    return Images.of(engine)


@pytest.fixture(scope="session")
def kind_cluster(engine: Engine, images: Images, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster of two nodes that the tests share. When it ends, nothing of it may be left in the engine."""
    with kind_clusters.fleet(tmp_path_factory.mktemp("shared"), images.order("east", nodes=2)) as fleet:
        cluster = fleet["east"]
        volumes = kind_clusters.volumes(engine, cluster.state.details["cluster"])
        yield cluster
    assert kind_clusters.containers(engine, cluster.state.details["cluster"]) == []
    assert kind_clusters.remaining(engine, volumes) == set()


@pytest.fixture
def space(kind_cluster: Cluster) -> Iterator[str]:
    """A fresh namespace of the shared cluster."""
    name = kind_cluster.create_namespace("kindtest")
    yield name
    kind_cluster.delete_namespace(name, wait=False)
