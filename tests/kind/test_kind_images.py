"""Images on the nodes: there, copied from the engine, or not to be had."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pytest_k8sha import _clock
from pytest_k8sha.errors import NotEvaluated
from pytest_k8sha.fleet.cluster import Cluster
from pytest_k8sha.model import nonce
from pytest_k8sha.providers.kind.engine import Engine
from pytest_k8sha.providers.kind.provider import KindProvider
from tests.kind import kind_clusters
from tests.kind.kind_clusters import Images


@pytest.fixture
def provider(kind_cluster: Cluster) -> KindProvider:
    assert isinstance(kind_cluster.provider, KindProvider)
    return kind_cluster.provider


@pytest.fixture
def fresh_image(engine: Engine, images: Images) -> Iterator[str]:
    """An image that this machine's engine has under a name that no node knows."""
    name = f"localhost/k8sha-test/{nonce('image')}:1"
    engine.run("tag", images.shell, name)
    yield name
    engine.run("rmi", name)


def test_the_probe_image_is_had(kind_cluster: Cluster, provider: KindProvider) -> None:
    """The image of the options is on every node after one call, and a second call copies nothing."""
    provider.ensure_image(kind_cluster.state)
    assert provider.ensure_image(kind_cluster.state) == []


def test_an_image_of_the_engine_is_copied(
    kind_cluster: Cluster, provider: KindProvider, fresh_image: str, space: str
) -> None:
    """It is copied to both nodes, once, and a pod that may not pull runs with it."""
    assert provider.ensure_image(kind_cluster.state, fresh_image) == kind_cluster.state.details["nodes"]
    assert provider.ensure_image(kind_cluster.state, fresh_image) == []
    kind_clusters.pod(kind_cluster, space, fresh_image, ["-c", "sleep 60"], command=["/bin/sh"])


def test_an_image_that_is_nowhere(kind_cluster: Cluster, provider: KindProvider) -> None:
    """It makes a check *not evaluated*, and the reason names the image; the next check is told the same at once."""
    name = f"localhost:9/k8sha-test/{nonce('absent')}:1"
    with pytest.raises(NotEvaluated, match=name) as first:
        provider.ensure_image(kind_cluster.state, name)
    at_once = _clock.Deadline(0.5)
    with pytest.raises(NotEvaluated, match=name) as second:
        provider.ensure_image(kind_cluster.state, name)
    assert not at_once.passed
    assert str(first.value) == str(second.value)
