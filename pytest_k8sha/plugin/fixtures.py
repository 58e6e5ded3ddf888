"""The fixtures. All of them need `_k8sha`, except `eventually`, which touches no cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pytest_k8sha.checks.judge import Judge
    from pytest_k8sha.failover.overview import Overview
    from pytest_k8sha.fleet.cluster import Cluster
    from pytest_k8sha.fleet.fleet import Fleet
    from pytest_k8sha.model import Run
    from pytest_k8sha.plugin.options import Options
    from pytest_k8sha.plugin.session import Session
    from pytest_k8sha.plugin.tools import Applier, Diagnostics
    from pytest_k8sha.plugin.trials import Chaos
    from pytest_k8sha.probes.availability import Probe
    from pytest_k8sha.recovery.plan import Plan
    from pytest_k8sha.tenancy.tenant import Tenant


@pytest.fixture(scope="session")
def _k8sha(request: pytest.FixtureRequest) -> Session:
    from pytest_k8sha.plugin.session import activate

    return activate(request.config)


@pytest.fixture(scope="session")
def _k8sha_target(request: pytest.FixtureRequest, _k8sha: Session) -> str:
    """The name of the cluster that a test runs on; parametrised over the selected clusters."""
    name = getattr(request, "param", None)
    if name is not None:
        return str(name)
    if len(_k8sha.names) == 1:
        return _k8sha.names[0]
    from pytest_k8sha.errors import UsageError

    raise UsageError(
        "a test that looks `cluster` up while it runs cannot run on several clusters",
        value=", ".join(_k8sha.names),
        remedy="take `cluster` as an argument of the test, or use `fleet`",
    )


@pytest.fixture(scope="session")
def run(_k8sha: Session) -> Run:
    """The run: ``id``, ``owner``, ``expires`` and the ``labels`` that everything it creates carries."""
    return _k8sha.folder.run


@pytest.fixture(scope="session")
def k8sha_options(_k8sha: Session) -> Options:
    """What the user asked for on the command line and in the ini file, with its defaults."""
    return _k8sha.options


@pytest.fixture(scope="session")
def fleet(_k8sha: Session) -> Fleet:
    """All clusters of the run: ``fleet["east"]`` is a `pytest_k8sha.Cluster`."""
    return _k8sha.fleet


@pytest.fixture(scope="session")
def fleet_overview(_k8sha: Session) -> Overview:
    """One read-only look at all clusters together, those that do not answer among them."""
    from pytest_k8sha.failover.judging import look

    return look(_k8sha.fleet)


@pytest.fixture(scope="session")
def cluster(_k8sha: Session, _k8sha_target: str) -> Cluster:
    """One cluster, used as its administrator. The test runs once on each selected cluster."""
    return _k8sha.cluster(_k8sha_target)


@pytest.fixture
def namespace(_k8sha: Session, cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[str]:
    """The name of a new namespace of this test, ready for pods; it is deleted afterwards."""
    from pytest_k8sha.plugin.tools import fresh_namespace

    yield from fresh_namespace(_k8sha, cluster, request.node)


@pytest.fixture(scope="session")
def tenants(_k8sha: Session, cluster: Cluster) -> list[Tenant]:
    """The tenants of this cluster: those that the fleet file declares, made once a run; else two fresh ones."""
    return _k8sha.tenants(cluster)


@pytest.fixture(scope="session")
def tenant(tenants: list[Tenant]) -> Tenant:
    """The first tenant of this cluster."""
    return tenants[0]


@pytest.fixture(scope="session")
def neighbour(tenants: list[Tenant]) -> Tenant:
    """The second tenant of this cluster."""
    if len(tenants) < 2:
        from pytest_k8sha.errors import NotEvaluated

        raise NotEvaluated("needs two tenants, and this cluster has one", remedy="declare a second in the fleet file")
    return tenants[1]


@pytest.fixture(scope="session")
def restore_plan(_k8sha: Session, cluster: Cluster) -> Plan:
    """The restore plan of this cluster (see `k8sha schema restore`); without one, a plan of defaults."""
    return _k8sha.restore_plan(cluster)


@pytest.fixture(scope="session")
def private_folder(_k8sha: Session, cluster: Cluster) -> Path:
    """A folder (0700) for what must be a file, such as a snapshot with all secrets. It goes with the run."""
    from pytest_k8sha.model import nonce

    place = _k8sha.folder.private / nonce(cluster.name)
    place.mkdir(mode=0o700)
    return place


@pytest.fixture(scope="session")
def scratch(_k8sha: Session, cluster: Cluster) -> Iterator[Cluster]:
    """An empty local cluster of this run, to restore into what is in `cluster`; it ends with the tests."""
    from pytest_k8sha.plugin.tools import further_cluster

    yield from further_cluster(_k8sha, cluster.name)


@pytest.fixture
def judge(_k8sha: Session, request: pytest.FixtureRequest) -> Judge:
    """Collects what is seen of each subject; the verdict of the test follows from it."""
    from pytest_k8sha.plugin.cases import judge_of

    return judge_of(request.node)


@pytest.fixture
def apply(_k8sha: Session, cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[Applier]:
    """``apply(manifests_or_paths, namespace=…)``: server-side apply, taken back after the test.

    Objects without a namespace go into the test's own `namespace`.
    """
    from pytest_k8sha.plugin.tools import Applier

    with Applier(_k8sha, cluster, request) as applier:
        yield applier


@pytest.fixture
def diagnostics(_k8sha: Session, cluster: Cluster, request: pytest.FixtureRequest) -> Diagnostics:
    """``diagnostics()``: the state of the test's namespaces as text by section, without secrets."""
    from pytest_k8sha.plugin.tools import Diagnostics

    return Diagnostics(cluster, request.node)


@pytest.fixture
def availability(_k8sha: Session, request: pytest.FixtureRequest) -> Callable[..., Probe]:
    """``with availability("http://…", rate=20, objective="downtime <= 5s") as probe:`` - as
    `pytest_k8sha.availability`; the probe's process is in the run's journal, and its samples are kept beside the
    record. The objective of the marker ``chaos`` is the default in a test that asks for `chaos`."""
    from pytest_k8sha.plugin.tools import prober

    return prober(_k8sha, request)


@pytest.fixture
def chaos(_k8sha: Session, cluster: Cluster, judge: Judge, request: pytest.FixtureRequest) -> Chaos:
    """The experiments of the marker ``chaos``: ``chaos.run(probe)`` runs them while a probe asks the service, and
    judges what it saw; see docs/chaos.md."""
    from pytest_k8sha.plugin.trials import chaos_of

    return chaos_of(request.node, cluster, judge, compare=_k8sha.options.chaos_control)


@pytest.fixture(scope="session")
def eventually() -> Callable[..., Any]:
    """``eventually(probe, timeout=30)``: calls ``probe`` until it returns something true (see `pytest_k8sha._wait`)."""
    from pytest_k8sha._wait import eventually as wait

    return wait
