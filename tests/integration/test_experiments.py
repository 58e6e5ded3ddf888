"""Experiments on a real control plane of three members: proved, held, taken back, one at a time."""

from __future__ import annotations

import dataclasses
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_k8sha import _clock
from pytest_k8sha._wait import eventually
from pytest_k8sha.chaos import lock
from pytest_k8sha.chaos.engine import Candidates, ChaosEngine, Observation, Plan, Target
from pytest_k8sha.chaos.engines import engine_for
from pytest_k8sha.chaos.experiment import Aborted, Experiment, NotRecovered
from pytest_k8sha.chaos.members import MembersEngine, etcd_leader
from pytest_k8sha.chaos.order import Order, order
from pytest_k8sha.chaos.preflight import Refused
from pytest_k8sha.errors import EnvironmentFailure, ImpactRefused, Inconclusive, NotEvaluated, RequestError, UsageError
from pytest_k8sha.fleet import undo
from pytest_k8sha.fleet.cluster import Cluster
from pytest_k8sha.kube.etcd import Etcd
from pytest_k8sha.model import Impact, Run
from pytest_k8sha.safety import journal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.integration.local_clusters import Made


# CPython leaves a socket that was reset just before its TLS handshake to the collector, and does not say whose it was.
pytestmark = pytest.mark.filterwarnings("default::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture
def cluster(three_members: Made, tmp_path: Path) -> Iterator[Cluster]:
    """The cluster as a run of its own uses it, journalled as on one that outlives the run; healed afterwards."""
    made = three_members
    log = journal.Journal(tmp_path / "journal.jsonl", run="r-experiment", label="test")
    run = Run("r-experiment", "test", 9_999_999_999)
    cluster = Cluster(made.state, made.provider, run=run, private=tmp_path, journal=log)
    yield cluster
    log.close(clean=False)
    made.provider.faults(made.state).heal()
    leases = cluster.resource("coordination.k8s.io/v1", "Lease")
    assert leases.find(lock.NAME, lock.NAMESPACE) is None


def experiment(cluster: Cluster, tmp_path: Path, wanted: Order, **more: Any) -> Experiment:
    engine = more.pop("engine", None) or engine_for(cluster, wanted)
    return Experiment(cluster, wanted, engine, folder=tmp_path / "locks", **more)


def open_faults(tmp_path: Path) -> list[str]:
    return [str(e.data.get("on")) for e in journal.read(tmp_path / "journal.jsonl").open]


class Nothing(ChaosEngine):
    """An engine whose faults do nothing at all; what it was told is kept."""

    name = "nothing"

    def __init__(self, *, felt: bool | None = False, lasting: bool = True, stuck: bool = False) -> None:
        self.felt, self.lasting, self.stuck = felt, lasting, stuck
        self.calls: list[str] = []

    def resolve(self, order: Order) -> Candidates:  # noqa: ARG002 - part of the Protocol
        return Candidates((Target("etcd", "member-0", member=0),), 3, "etcd members")

    def risks(self, order: Order, chosen: tuple[Target, ...]) -> Mapping[str, list[str]]:  # noqa: ARG002
        return {}

    def steady(self, order: Order) -> Observation:  # noqa: ARG002
        return Observation(holds=True, seen="all is well")

    def inject(self, plan: Plan) -> None:  # noqa: ARG002
        self.calls.append("inject")

    def observe(self, plan: Plan) -> Observation:  # noqa: ARG002
        self.calls.append("observe")
        return Observation(self.felt, "nothing happened")

    def lasts(self, plan: Plan) -> bool:  # noqa: ARG002
        return self.lasting

    def recover(self, plan: Plan) -> None:  # noqa: ARG002
        self.calls.append("recover")
        if self.stuck:
            raise EnvironmentFailure("it does not let go")


def test_the_leader_of_etcd_is_stopped_and_comes_back(cluster: Cluster, tmp_path: Path) -> None:
    """The whole way: the leader is found, stopped, seen not to answer, written past, started, and all agree again."""
    before = etcd_leader(cluster)
    wanted = order("leader", "stop", members={"component": "etcd", "which": "leader"}, blastRadius="34%")
    made = experiment(cluster, tmp_path, wanted)
    with made.running():
        after = eventually(lambda: etcd_leader(cluster), what="another leads", accept=lambda member: member is not None)
        assert after != before
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "written-"}}
        write = partial(cluster.client.request, "POST", "/api/v1/namespaces/default/configmaps", body=body)
        eventually(write, what="a write past the fault", timeout=20)
        assert open_faults(tmp_path) != []
        [target] = made.report.targets
        assert (target.kind, target.member) == ("etcd", before)
    report = made.report
    names = [phase.name for phase in report.phases]
    assert names == ["preflight", "steady before", "inject", "prove", "hold", "recover", "steady after"]
    assert all(phase.ok and phase.ended is not None for phase in report.phases)
    assert "does not answer at" in report.effect
    assert report.injected[0] <= report.injected[1] <= _clock.now()
    assert [o for o in open_faults(tmp_path) if o == "etcd"] == []
    assert report.as_dict()["notes"]["blast radius"] == "1 of 3 etcd members (33 %)"


def test_a_frozen_api_server_is_measured(cluster: Cluster, tmp_path: Path) -> None:
    """A stopped process accepts connections and says nothing: that is seen at its own address, and not a refusal."""
    wanted = order("frozen", "freeze", members={"component": "kube-apiserver", "numbers": [1]}, blastRadius="34%")
    made = experiment(cluster, tmp_path, wanted)
    made.run()
    assert "no answer within" in made.report.effect


def test_a_restart_is_another_process(cluster: Cluster, tmp_path: Path) -> None:
    """A restart does not last: it is proved by another process, and no longer looked for afterwards."""
    wanted = order("again", "restart", members={"component": "kube-scheduler", "numbers": [0]}, blastRadius="34%")
    made = experiment(cluster, tmp_path, wanted)
    made.run()
    assert "another process" in made.report.effect


def test_a_member_that_is_cut_off_knows_of_no_leader(cluster: Cluster, tmp_path: Path) -> None:
    """Cut off from its peers the leader gives up, which it says itself; the others write on, and it follows again."""
    wanted = order("alone", "cut", members={"component": "etcd", "which": "leader"}, blastRadius="34%")
    made = experiment(cluster, tmp_path, wanted)
    with made.running():
        [target] = made.report.targets
        others = [member for member in range(3) if member != target.member]
        eventually(lambda: cluster.etcd.healthy(others[0]), what="the others go on", timeout=20)
        with pytest.raises(RequestError):
            cluster.etcd.healthy(target.member, timeout=1.0)
    assert "knows of no leader" in made.report.effect
    assert "agree" in made.report.phase("steady after").said


def test_an_api_server_that_is_cut_off_from_etcd_is_left_out(cluster: Cluster, tmp_path: Path) -> None:
    """Its own check of etcd fails, and the stable address goes on without it."""
    wanted = order("blind", "cut", members={"component": "kube-apiserver", "numbers": [2]}, blastRadius="34%")
    made = experiment(cluster, tmp_path, wanted)
    with made.running():
        eventually(lambda: cluster.client.get("/api/v1/namespaces/default"), what="the others serve", timeout=20)
    assert "etcd" in made.report.effect or "not ready" in made.report.effect


def test_a_slow_link_is_measured_by_a_read_that_needs_a_quorum(cluster: Cluster, tmp_path: Path) -> None:
    """50 ms in each direction are a round trip of 100 ms: no read by quorum at that member is quicker."""
    spec = {"members": {"component": "etcd", "which": "followers", "count": 1}, "latency": "50ms"}
    made = experiment(cluster, tmp_path, order("slow", "delay", **spec))
    made.run()
    assert "a read at etcd member-" in made.report.effect
    least = int(made.report.effect.partition("takes ")[2].partition(" ms")[0])
    assert least >= 100


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"members": {"component": "etcd", "numbers": [0, 1]}, "blastRadius": "67%"}, "2 must agree"),
        ({"members": {"component": "etcd", "count": 2}, "accept": ["quorum"]}, "above the blast radius of 50%"),
        ({"members": {"component": "kube-apiserver"}, "blastRadius": "100%"}, "no kube-apiserver would serve"),
        ({"members": {"component": "etcd", "count": 4}, "blastRadius": "100%"}, "zero targets"),
        ({"members": {"component": "etcd", "numbers": [7]}}, "has no such member"),
    ],
)
def test_the_preflight_refuses(cluster: Cluster, tmp_path: Path, spec: dict[str, Any], said: str) -> None:
    """A quorum, a component or a blast radius that would be lost, zero targets and unknown members: nothing is made."""
    made = experiment(cluster, tmp_path, order("too-much", "stop", **spec))
    with pytest.raises(UsageError, match=said), made.running():
        pytest.fail("it went on")
    assert {entry.what for entry in journal.read(tmp_path / "journal.jsonl").entries} <= {"object"}  # the lock alone


def test_what_was_not_measured_was_not_injected(cluster: Cluster, tmp_path: Path) -> None:
    """A fault without effect, and one of which nothing can be seen, are inconclusive; both are taken back."""
    for felt in (False, None):
        engine = Nothing(felt=felt)
        wanted = order("nil", "stop", members={"component": "etcd"}, proveWithin="300ms")
        with pytest.raises(
            Inconclusive, match=r"the effect of the fault was not measured within 0\.3 s: nothing happened"
        ):
            experiment(cluster, tmp_path, wanted, engine=engine).run()
        assert engine.calls[0] == "inject"
        assert engine.calls[-1] == "recover"


def test_a_fault_that_ends_by_itself_is_inconclusive(cluster: Cluster, tmp_path: Path) -> None:
    """When the effect is gone before the fault is taken back, what was measured meanwhile means nothing."""
    engine = Nothing(felt=True)
    made = experiment(cluster, tmp_path, order("short", "stop", members={"component": "etcd"}), engine=engine)
    with pytest.raises(Inconclusive, match="did not last"), made.running():
        engine.felt = False
    assert engine.calls[-1] == "recover"


@pytest.mark.parametrize("phase", ["prove", "hold"])
@pytest.mark.parametrize(
    "said", [Observation(holds=True, seen="5 of 9 failed"), Observation(holds=None, seen="silence")]
)
def test_an_abort_takes_back(cluster: Cluster, tmp_path: Path, said: Observation, phase: str) -> None:
    """From the injection on the abort predicate ends the fault at once when it holds, and when it has no data."""
    engine = Nothing(felt=True)
    wanted = order("held", "stop", members={"component": "etcd"}, hold="5m")

    def abort() -> Observation:
        return said if made.report.phases[-1].name == phase else Observation(holds=False, seen="all is well")

    made = experiment(cluster, tmp_path, wanted, engine=engine, abort=abort)
    with pytest.raises(Aborted, match=said.seen):
        made.run()
    assert engine.calls[-1] == "recover"
    assert made.report.phase(phase).ok is False


def test_errors_on_the_way_back_are_all_told(cluster: Cluster, tmp_path: Path) -> None:
    """A fault that cannot be taken back is an error of its own, and a note beside an error that came before it."""
    engine = Nothing(felt=True, stuck=True)
    wanted = order("stuck", "stop", members={"component": "etcd"})
    with pytest.raises(NotRecovered, match="it does not let go"):
        experiment(cluster, tmp_path, wanted, engine=engine).run()
    with pytest.raises(AssertionError) as caught, experiment(cluster, tmp_path, wanted, engine=engine).running():
        raise AssertionError("seen")
    assert any("it does not let go" in note for note in caught.value.__notes__)


def test_not_steady_before_is_inconclusive_and_nothing_is_made(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where all is not well beforehand nothing is injected: it would be blamed for what was there before."""
    monkeypatch.setattr("pytest_k8sha.chaos.experiment.SETTLE", 0.3)
    engine = Nothing(felt=True)
    wanted = order("ill", "stop", members={"component": "etcd"})
    ill = lambda: Observation(holds=False, seen="the shop is closed")  # noqa: E731
    with pytest.raises(Inconclusive, match=r"the steady state before the fault was not measured.*the shop is closed"):
        experiment(cluster, tmp_path, wanted, engine=engine, steady=ill).run()
    assert engine.calls == []


def test_one_experiment_at_a_time(cluster: Cluster, tmp_path: Path) -> None:
    """A second experiment is told who holds the cluster: by the file on this machine, by the Lease on another one."""
    wanted = order("first", "stop", members={"component": "etcd"})
    with experiment(cluster, tmp_path, wanted, engine=Nothing(felt=True)).running():
        with pytest.raises(lock.Locked, match="another process of this machine"):
            experiment(cluster, tmp_path, wanted, engine=Nothing()).run()
        elsewhere = Experiment(cluster, wanted, Nothing(), folder=tmp_path / "another-machine")
        with pytest.raises(lock.Locked, match=r"first goes on at cluster three, by r-experiment/test/\d+.*expires in"):
            elsewhere.run()


def test_an_expired_lock_is_taken_over(cluster: Cluster, tmp_path: Path) -> None:
    """A lock whose time is over is replaced by the new holder's own, stamped with its run."""
    leases = cluster.resource("coordination.k8s.io/v1", "Lease")
    stale = {
        "metadata": {"name": lock.NAME},
        "spec": {
            "holderIdentity": "dead",
            "leaseDurationSeconds": 5,
            "renewTime": "2025-01-01T00:00:00.000000Z",
        },
    }
    leases.create(stale, lock.NAMESPACE)
    wanted = order("next", "stop", members={"component": "etcd"})
    with experiment(cluster, tmp_path, wanted, engine=Nothing(felt=True)).running():
        held = leases.get(lock.NAME, lock.NAMESPACE)
        assert held["spec"]["holderIdentity"].startswith("r-experiment/")
        assert held["metadata"]["labels"]["k8sha.dev/run"] == "r-experiment"


def test_below_disrupt_nothing_is_done(cluster: Cluster, tmp_path: Path, three_members: Made) -> None:
    """Under a lower ceiling an experiment is not evaluated, and what would change etcd is not sent."""
    low = Cluster(cluster.state, cluster.provider, run=cluster.run, private=tmp_path, ceiling=Impact.EXERCISE)
    wanted = order("low", "stop", members={"component": "etcd"})
    with pytest.raises(NotEvaluated, match="faults need disrupt"):
        experiment(low, tmp_path, wanted, engine=Nothing()).preflight()
    etcd = Etcd(three_members.provider.etcd(three_members.state), Impact.EXERCISE)
    assert etcd.healthy(0)
    for change in (lambda: etcd.compact(0, 1), lambda: etcd.disarm(0, "1", "NOSPACE"), lambda: etcd.put(0, "a", b"b")):
        with pytest.raises(ImpactRefused):
            change()


def test_what_is_not_ours_is_refused(cluster: Cluster, tmp_path: Path) -> None:
    """On a cluster that this project did not make, targets need to be accepted as somebody else's, by name."""
    theirs = Cluster(
        dataclasses.replace(cluster.state, made=False, options={**cluster.state.options}),
        cluster.provider,
        run=cluster.run,
        private=tmp_path,
        ceiling=Impact.DISRUPT,
    )
    wanted = order("theirs", "stop", members={"component": "etcd"})
    with pytest.raises(Refused, match="is not this project's own"):
        Experiment(theirs, wanted, Nothing()).preflight()


def test_an_undo_by_request_is_journalled(cluster: Cluster, tmp_path: Path) -> None:
    """A fault that requests make is in the journal with its way back before it is made, and gone when it was taken."""
    steps = [
        undo.Undo("PATCH", "/api/v1/nodes/node-0", {"spec": {"unschedulable": None}}, "application/merge-patch+json")
    ]
    number = undo.begin(cluster, "node node-0", steps)
    [entry] = [e for e in journal.read(tmp_path / "journal.jsonl").open if e.what == "fault"]
    assert undo.Undo.read(entry.data) == steps
    steps[0].send(cluster.client)
    undo.Undo("DELETE", "/api/v1/namespaces/default/configmaps/none").send(cluster.client)
    undo.end(cluster, number)
    assert open_faults(tmp_path) == []


def test_a_leader_is_told_for_each_program(cluster: Cluster) -> None:
    """The leaders of etcd, scheduler and controller manager are found by what they say themselves."""
    engine = MembersEngine(cluster)
    assert engine.leader("etcd") in {0, 1, 2}
    if "members:identity" in cluster.provider.capabilities(cluster.state):
        assert engine.leader("kube-scheduler") in {0, 1, 2}
