"""A cluster that somebody else made is used, and never deleted or changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_k8sha.errors import ImpactRefused, NotEvaluated, UsageError
from pytest_k8sha.fleet.cluster import Cluster
from pytest_k8sha.model import Impact
from pytest_k8sha.providers.kind.engine import Engine
from tests.kind import kind_clusters


def test_adoption_never_deletes(kind_cluster: Cluster, engine: Engine, tmp_path: Path) -> None:
    """``kind:NAME``: reads work, writes are refused, and the end of the run leaves every container as it was."""
    name = kind_cluster.state.details["cluster"]
    before = kind_clusters.containers(engine, name)
    with kind_clusters.fleet(tmp_path, f"west=kind:{name}") as fleet:
        west = fleet["west"]
        assert (west.state.made, west.ceiling) == (False, Impact.OBSERVE)
        assert len(west.resource("v1", "Node").list()) == 2
        with pytest.raises(ImpactRefused):
            west.create_namespace()
        with pytest.raises(NotEvaluated):
            _ = west.faults
        assert west.provider.logs(west.state)
    assert kind_clusters.containers(engine, name) == before
    assert kind_cluster.client.get("/version")


def test_deleting_it_by_hand_does_nothing(kind_cluster: Cluster, engine: Engine, tmp_path: Path) -> None:
    """The provider itself refuses, whoever asks; only the copy of the kubeconfig goes."""
    name = kind_cluster.state.details["cluster"]
    before = kind_clusters.containers(engine, name)
    with kind_clusters.fleet(tmp_path, f"west=kind:{name}") as fleet:
        state = fleet["west"].state
        fleet["west"].provider.delete(state)
        assert not Path(state.kubeconfig).exists()
        state.save()
    assert kind_clusters.containers(engine, name) == before


def test_a_higher_ceiling_needs_the_uid(kind_cluster: Cluster, tmp_path: Path) -> None:
    """As with a context: the name may lead to another cluster tomorrow, the uid of its kube-system does not."""
    name, uid = kind_cluster.state.details["cluster"], kind_cluster.capabilities.uid
    with kind_clusters.fleet(tmp_path, f"west=kind:{name},ceiling=exercise") as fleet:
        with pytest.raises(UsageError, match=uid):
            _ = fleet["west"].client
    with kind_clusters.fleet(tmp_path, f"west=kind:{name},ceiling=exercise,uid={uid}") as fleet:
        west = fleet["west"]
        made = west.create_namespace()
        west.delete_namespace(made, wait=False)


def test_a_name_that_is_not_there(kind_cluster: Cluster, tmp_path: Path) -> None:
    """The error lists what is there; nothing is made."""
    with pytest.raises(UsageError, match=kind_cluster.state.details["cluster"]):
        with kind_clusters.fleet(tmp_path, "west=kind:no-such-cluster"):
            pass
