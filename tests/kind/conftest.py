"""One real cluster of two nodes for all tests of this folder. Without an engine, and only then, they are not run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_k8sha.fleet.cluster import Cluster
from pytest_k8sha.providers.kind.engine import Engine
from tests.kind import kind_clusters, mesh_rig
from tests.kind.kind_clusters import Images
from tests.kind.mesh_rig import Ground
from tests.matrix import Matrix

MATRIX = pytest.StashKey[Matrix]()


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
    if os.environ.get(kind_clusters.KEPT):
        yield kind_clusters.opened(Path(os.environ[kind_clusters.KEPT]))["east"]
        return
    with kind_clusters.fleet(tmp_path_factory.mktemp("shared"), images.order("east", nodes=2)) as fleet:
        cluster = fleet["east"]
        volumes = kind_clusters.volumes(engine, cluster.state.details["cluster"])
        yield cluster
    assert kind_clusters.containers(engine, cluster.state.details["cluster"]) == []
    assert kind_clusters.remaining(engine, volumes) == set()


@pytest.fixture(scope="session")
def ground(engine: Engine, images: Images, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """A cluster of three nodes with Chaos Mesh, which its tests share."""
    with mesh_rig.ground_in(tmp_path_factory.mktemp("mesh"), engine, images) as found:
        yield found


@pytest.fixture(scope="session")
def matrix(request: pytest.FixtureRequest) -> Matrix:
    """This folder's share of the detection matrix; shown, and written, at the end."""
    return request.config.stash.setdefault(MATRIX, Matrix())


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Prints the share of the detection matrix, and writes it where the environment asks for it."""
    found = config.stash.get(MATRIX, None)
    if found is None or not found.rows:
        return
    terminalreporter.section("detection matrix: clusters of real nodes")
    for line in found.lines():
        terminalreporter.write_line(line)
    found.write("matrix-kind")


@pytest.fixture
def space(kind_cluster: Cluster) -> Iterator[str]:
    """A fresh namespace of the shared cluster."""
    name = kind_cluster.create_namespace("kindtest")
    yield name
    kind_cluster.delete_namespace(name, wait=False)
