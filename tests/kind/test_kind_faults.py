"""Faults of a kind cluster: each does what it says, and is taken back."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from pytest_k8sha._wait import eventually
from pytest_k8sha.errors import NotEvaluated, RequestError, UsageError
from pytest_k8sha.fleet.cluster import Cluster
from pytest_k8sha.providers.base import Faults
from pytest_k8sha.providers.kind.engine import Engine


@pytest.fixture
def faults(kind_cluster: Cluster) -> Iterator[Faults]:
    """The faults of the shared cluster, all taken back afterwards."""
    yield kind_cluster.faults
    kind_cluster.faults.heal()
    eventually(lambda: _answers(kind_cluster), what="the API answers again", timeout=30)


def _answers(cluster: Cluster) -> bool:
    try:
        return bool(cluster.client.get("/version"))
    except RequestError:
        return False


def _renewals(cluster: Cluster, lease: str, namespace: str) -> Callable[[], str]:
    leases = cluster.resource("coordination.k8s.io/v1", "Lease")
    return lambda: str(leases.get(lease, namespace)["spec"]["renewTime"])


def _moves(seen: Callable[[], str], timeout: float = 40) -> None:
    """A Lease is renewed."""
    before = seen()
    eventually(seen, what="the lease is renewed", timeout=timeout, accept=lambda now: now != before)


def test_a_program_is_stopped_and_started(kind_cluster: Cluster, faults: Faults) -> None:
    """The scheduler ends, stays away, and comes back: a pod waits for it meanwhile."""
    faults.stop("kube-scheduler")
    assert faults.running("kube-scheduler") == ()
    assert faults.running("kube-controller-manager") == (0,)
    faults.stop("kube-scheduler")  # a second time is no error
    faults.start("kube-scheduler")
    assert faults.running("kube-scheduler") == (0,)
    faults.start("kube-scheduler")


def test_the_api_server_is_killed(kind_cluster: Cluster, faults: Faults) -> None:
    """Nobody answers until it is started again, and then the same cluster does."""
    uid = kind_cluster.capabilities.uid
    faults.kill("kube-apiserver")
    assert not _answers(kind_cluster)
    faults.start("kube-apiserver")
    eventually(lambda: _answers(kind_cluster), what="the API answers again", timeout=60)
    assert kind_cluster.client.get("/api/v1/namespaces/kube-system")["metadata"]["uid"] == uid


def test_a_frozen_leader_holds_its_lease_and_does_not_renew_it(kind_cluster: Cluster, faults: Faults) -> None:
    """SIGSTOP: it is there and does nothing; SIGCONT: it goes on. Its lease names the member."""
    leases = kind_cluster.resource("coordination.k8s.io/v1", "Lease")
    renewed = _renewals(kind_cluster, "kube-scheduler", "kube-system")
    _moves(renewed)
    assert faults.member_of(leases.get("kube-scheduler", "kube-system")["spec"]["holderIdentity"]) == 0
    assert faults.member_of("elsewhere_1234") is None
    faults.freeze("kube-scheduler")
    assert faults.running("kube-scheduler") == (0,)
    before = renewed()
    with pytest.raises(Exception, match="not so after"):
        eventually(renewed, what="the lease is renewed", timeout=5, accept=lambda now: now != before)
    faults.thaw("kube-scheduler")
    _moves(renewed)


def test_a_lost_node_comes_back(kind_cluster: Cluster, engine: Engine, faults: Faults) -> None:
    """The container of a worker is killed with all in it; `heal`, which knows only the cluster, starts it, and the
    node renews its lease."""
    worker = kind_cluster.state.details["nodes"][1]
    renewed = _renewals(kind_cluster, worker, "kube-node-lease")
    faults.stop_heartbeat(worker)
    faults.stop_heartbeat(worker)
    states = {node.name: node.running for node in engine.nodes(kind_cluster.state.details["cluster"])}
    assert states == {kind_cluster.state.details["nodes"][0]: True, worker: False}
    assert kind_cluster.provider.alive(kind_cluster.state), "a cluster with a fault can still be healed"
    faults.heal()
    faults.heal()
    _moves(renewed, timeout=60)


def test_what_is_not_there_is_refused(kind_cluster: Cluster, faults: Faults) -> None:
    """Unknown nodes, components and members are usage errors with what is allowed."""
    with pytest.raises(UsageError, match="worker"):
        faults.stop_heartbeat("elsewhere")
    with pytest.raises(NotEvaluated, match="the only control plane"):
        faults.stop_heartbeat(kind_cluster.state.details["nodes"][0])
    with pytest.raises(UsageError, match="did you mean 'kube-scheduler'"):
        faults.stop("kube-schedular")
    with pytest.raises(UsageError, match="no such member"):
        faults.stop("etcd", 1)
