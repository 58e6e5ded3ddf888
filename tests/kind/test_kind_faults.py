"""Faults of kind clusters: each does what it says, and is taken back. The clusters are none that other tests use: two
that another program makes at the same time, and that end when it is killed."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator

import pytest

from pytest_k8sha._wait import eventually
from pytest_k8sha.checks.judge import Judge
from pytest_k8sha.errors import NotEvaluated, RequestError, UsageError, WaitTimeout
from pytest_k8sha.fleet.cluster import Cluster
from pytest_k8sha.fleet.spec import TenantOrder
from pytest_k8sha.model import Verdict, nonce
from pytest_k8sha.providers.base import Faults
from pytest_k8sha.providers.kind.engine import Engine
from pytest_k8sha.settings import bundled
from pytest_k8sha.tenancy.network.judging import cross_tenant, same_tenant
from pytest_k8sha.tenancy.network.survey import survey
from pytest_k8sha.tenancy.network.table import Route
from pytest_k8sha.tenancy.template import establish
from tests.kind import kind_clusters
from tests.kind.kind_clusters import Elsewhere, Images


@pytest.fixture(scope="module")
def elsewhere(engine: Engine, images: Images, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Elsewhere]:
    """``east``, which is broken and healed, and ``west``, which only has to be there beside it."""
    base = tmp_path_factory.mktemp("elsewhere")
    try:
        yield Elsewhere.make(base, images.order("east", nodes=2), images.order("west", nodes=1))
    finally:
        kind_clusters.clear(base)


@pytest.fixture
def east(elsewhere: Elsewhere) -> Iterator[Cluster]:
    """The cluster to break. Afterwards all faults are taken back, and that is proved: the next test begins whole."""
    cluster = elsewhere.fleet["east"]
    yield cluster
    cluster.faults.heal()
    eventually(lambda: _answers(cluster), what="the API answers again", timeout=120)


@pytest.fixture
def faults(east: Cluster) -> Faults:
    return east.faults


def _answers(cluster: Cluster) -> bool:
    try:
        return bool(cluster.client.get("/version"))
    except RequestError:
        return False


def _renewals(cluster: Cluster, lease: str, namespace: str) -> Callable[[], str]:
    leases = cluster.resource("coordination.k8s.io/v1", "Lease")
    return lambda: str(leases.get(lease, namespace)["spec"]["renewTime"])


def _moves(seen: Callable[[], str], timeout: float = 120) -> None:
    """A Lease is renewed."""
    before = eventually(seen, what="the lease can be read", timeout=timeout)
    eventually(seen, what="the lease is renewed", timeout=timeout, accept=lambda now: now != before)


def test_two_are_made_at_once(elsewhere: Elsewhere, engine: Engine) -> None:
    """They have names, containers and kubeconfigs of their own, and each answers for itself."""
    east, west = elsewhere.fleet["east"], elsewhere.fleet["west"]
    names = {cluster.state.details["cluster"] for cluster in (east, west)}
    assert len(names) == 2
    assert [len(engine.nodes(c.state.details["cluster"])) for c in (east, west)] == [2, 1]
    assert east.state.kubeconfig != west.state.kubeconfig
    assert east.capabilities.uid != west.capabilities.uid


def test_the_network_of_a_single_node_is_judged(elsewhere: Elsewhere) -> None:
    """Two good tenants on one node pass what can be seen there; ways to another node are left out, in words."""
    west = elsewhere.fleet["west"]
    good = bundled("fixtures", "tenants", "good")
    tenants = [establish(west, TenantOrder(name=nonce(letter), template=good)) for letter in "ab"]
    found = survey(west, tenants, routes=(Route.POD_IP, Route.SERVICE_IP))
    for check in (same_tenant, cross_tenant):
        judge = Judge()
        check(judge, found)
        assert judge.conclude()[0] is Verdict.PASSED, judge.findings
        (told,) = [f for f in judge.findings if f.subject == "ways to another node"]
        assert told.verdict is Verdict.NOT_EVALUATED
        assert west.state.details["nodes"][0] in told.seen
    assert {cell.placement for cell in found.table} <= {"same node", "outside"}


def test_a_program_is_stopped_and_started(east: Cluster, faults: Faults) -> None:
    """The scheduler ends, stays away, and comes back: its lease is not renewed meanwhile."""
    faults.stop("kube-scheduler")
    assert faults.running("kube-scheduler") == ()
    assert faults.running("kube-controller-manager") == (0,)
    faults.stop("kube-scheduler")  # a second time is no error
    faults.start("kube-scheduler")
    assert faults.running("kube-scheduler") == (0,)
    faults.start("kube-scheduler")


def test_the_api_server_is_killed(east: Cluster, faults: Faults) -> None:
    """Nobody answers until it is started again, and then the same cluster does."""
    uid = east.capabilities.uid
    faults.kill("kube-apiserver")
    assert not _answers(east)
    faults.start("kube-apiserver")
    eventually(lambda: _answers(east), what="the API answers again", timeout=180)
    spaces = east.resource("v1", "Namespace")
    assert eventually(lambda: spaces.get("kube-system"), what="reads work", timeout=60)["metadata"]["uid"] == uid


def test_a_frozen_leader_holds_its_lease_and_does_not_renew_it(east: Cluster, faults: Faults) -> None:
    """SIGSTOP: it is there and does nothing; SIGCONT: it goes on. Its lease names the member."""
    leases = east.resource("coordination.k8s.io/v1", "Lease")
    renewed = _renewals(east, "kube-scheduler", "kube-system")
    _moves(renewed)
    holder = leases.get("kube-scheduler", "kube-system")["spec"]["holderIdentity"]
    assert faults.member_of(holder) == 0
    assert faults.member_of("elsewhere_1234") is None
    faults.freeze("kube-scheduler")
    assert faults.running("kube-scheduler") == (0,)
    before = renewed()
    with pytest.raises(WaitTimeout):
        eventually(renewed, what="the lease is renewed", timeout=5, accept=lambda now: now != before)
    faults.thaw("kube-scheduler")
    _moves(renewed)


def test_a_lost_node_comes_back(east: Cluster, engine: Engine, faults: Faults, images: Images) -> None:
    """The container of a worker is killed with all in it; `heal`, which knows only the cluster, starts it and waits for
    its kubelet, and a pod runs there again."""
    worker = east.state.details["nodes"][1]
    renewed = _renewals(east, worker, "kube-node-lease")
    before = renewed()
    faults.stop_heartbeat(worker)
    faults.stop_heartbeat(worker)
    states = {node.name: node.running for node in engine.nodes(east.state.details["cluster"])}
    assert states == {east.state.details["nodes"][0]: True, worker: False}
    assert east.provider.alive(east.state), "a cluster with a fault can still be healed"
    faults.heal()
    assert renewed() != before
    faults.heal()
    space = east.create_namespace("returned")
    kind_clusters.pod(east, space, images.probe, ["pause"], node=worker, timeout=180)


def test_what_is_not_there_is_refused(east: Cluster, faults: Faults) -> None:
    """Unknown nodes, components and members are usage errors with what is allowed."""
    with pytest.raises(UsageError, match="worker"):
        faults.stop_heartbeat("elsewhere")
    with pytest.raises(NotEvaluated, match="the only control plane"):
        faults.stop_heartbeat(east.state.details["nodes"][0])
    with pytest.raises(UsageError, match="did you mean 'kube-scheduler'"):
        faults.stop("kube-schedular")
    with pytest.raises(UsageError, match="no such member"):
        faults.stop("etcd", 1)


def test_their_run_is_killed(elsewhere: Elsewhere, engine: Engine) -> None:
    """The last test, for it ends both: SIGKILL of the run, one recovery, and nothing of either is left."""
    names = [cluster.state.details["cluster"] for cluster in elsewhere.fleet.values()]
    volumes = {volume for name in names for volume in kind_clusters.volumes(engine, name)}
    assert len(volumes) >= 2
    elsewhere.program.signal(signal.SIGKILL)
    elsewhere.program.wait(30)
    (run,) = kind_clusters.recovered(elsewhere.base)
    assert run.remains == []
    assert sorted(run.removed) == ["cluster east", "cluster west"]
    for name in names:
        assert kind_clusters.containers(engine, name) == []
    assert kind_clusters.remaining(engine, volumes) == set()
