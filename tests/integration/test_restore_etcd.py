"""etcd on a real control plane: a restore that is killed half-way, one that is refused, a member that goes away."""

from __future__ import annotations

import dataclasses
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from pytest_k8sha import _process
from pytest_k8sha._wait import eventually
from pytest_k8sha.checks.judge import Judge
from pytest_k8sha.errors import Inconclusive, NotEvaluated, UsageError
from pytest_k8sha.fleet.cluster import Cluster
from pytest_k8sha.fleet.run import RunFolder
from pytest_k8sha.model import Impact, Verdict
from pytest_k8sha.providers.registry import Registry
from pytest_k8sha.recover import recover
from pytest_k8sha.recovery.etcd import content, drill, judging, snapshot, trial
from pytest_k8sha.recovery.etcd.gateway import Gateway, MemberGone
from pytest_k8sha.recovery.manifests.backup import Backup, Key
from pytest_k8sha.recovery.manifests.restore import restore
from pytest_k8sha.recovery.plan import EtcdPlan
from pytest_k8sha.settings import Settings

HALF = """
import signal, sys
from pathlib import Path
from tests.integration.test_restore_etcd import opened
from pytest_k8sha.recovery.etcd import trial
cluster, run = opened()
data = cluster.storage.scratch / "half"
trial.restore(cluster.storage.tools, Path(sys.argv[1]), data, membership=cluster.storage.membership(0))
with cluster.storage.replace({0: data}):
    print("replaced", flush=True)
    signal.pause()
"""


def opened() -> tuple[Cluster, RunFolder]:
    """The kept cluster as a run uses it: what is done to it is journalled."""
    settings = Settings.from_environment()
    from pytest_k8sha.fleet.keeper import Keeper

    registry = Registry()
    state = Keeper(settings, registry, lambda _: None).kept()["local"]
    run = RunFolder.create(settings)
    return Cluster(state, registry.get("local"), run=run.run, private=run.private, journal=run.journal), run


@pytest.fixture
def used(local_cluster: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The kept cluster, and the run that uses it."""
    monkeypatch.setenv("K8SHA_STATE", str(local_cluster.settings.state))
    cluster, run = opened()
    yield cluster
    cluster.faults.heal()
    run.close(clean=True)


def test_a_restore_that_is_killed_half_way_is_taken_back(used: Cluster, tmp_path: Path) -> None:
    """SIGKILL while the new data are in place and nothing but etcd runs: `k8sha recover` puts the old data back, and
    the cluster works as before."""
    path = tmp_path / "snapshot.db"
    snapshot.take(used.storage, path)
    late = used.create_namespace("late")
    child = _process.start([sys.executable, "-c", HALF, path], log=tmp_path / "log", cwd=Path(__file__).parents[2])
    eventually(lambda: "replaced" in (tmp_path / "log").read_text(), what="the data are replaced", timeout=120)
    child.signal(signal.SIGKILL)
    child.wait(30)
    assert used.faults.running("kube-apiserver") == ()
    done = recover(Settings.from_environment(), Registry(), lambda _: None)
    assert not [one.remains for one in done if one.remains]
    namespaces = used.resource("v1", "Namespace")
    eventually(lambda: namespaces.get(late), what="the object from after the snapshot is there", timeout=60)
    assert not (Path(used.state.place) / "data" / "before").exists()
    used.delete_namespace(late, wait=False)


def test_one_member_is_lost_and_restored(used: Cluster, tmp_path: Path) -> None:
    """The whole drill on a control plane of one member, as the suite does it on three."""
    namespace = used.create_namespace("drill")
    found = drill.run(used, EtcdPlan(), namespace, tmp_path)
    assert found.source is not None
    assert not found.source
    assert [bool(member.difference) for member in found.members] == [False]
    assert found.members[0].revision > found.revision
    assert found.members[0].watch.compacted
    assert found.loss.lost
    assert not found.loss.altered
    assert found.rto is not None
    assert (found.missing, found.disagreements, bool(found.canary)) == ([], [], True)
    used.delete_namespace(namespace, wait=False)


def test_a_member_that_goes_away_leaves_the_comparison_open(used: Cluster) -> None:
    """No answer is no difference: the error is one that leaves a check inconclusive."""
    gateway = Gateway.all_of(used.storage.access)[0]
    assert content.digest(gateway.content())
    used.faults.kill("etcd")
    with pytest.raises(MemberGone) as told:
        gateway.content()
    assert isinstance(told.value, Inconclusive)


def test_a_snapshot_of_another_cluster_is_refused(used: Cluster, tmp_path: Path) -> None:
    """It is told before anything is broken, and allowed when the plan says that it is meant."""
    path = tmp_path / "snapshot.db"
    snapshot.take(used.storage, path)
    place = tmp_path / "trial"
    place.mkdir(mode=0o700)
    taken = drill.examine(used.storage.tools, path, place)
    used.capabilities = dataclasses.replace(used.capabilities, uid="11111111-2222-3333-4444-555555555555")
    namespace = used.create_namespace("drill")
    with pytest.raises(Inconclusive, match="of another cluster, and this one was left alone"):
        drill.run(used, EtcdPlan(snapshot=path), namespace, tmp_path)
    assert taken.good
    assert used.faults.running("etcd") == (0,)
    for told, verdict in ((False, Verdict.FAILED), (True, Verdict.PASSED)):
        judge = Judge()
        judging.current(judge, used, taken, EtcdPlan(snapshot=path, foreign=told))
        assert judge.conclude()[0] is verdict
    used.delete_namespace(namespace, wait=False)


def test_a_restore_is_refused_elsewhere(used: Cluster, tmp_path: Path) -> None:
    """On a cluster that this project did not make, and below *disrupt*; a backup of manifests as well as a snapshot."""
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "refused"}}
    backup = Backup(tmp_path, {Key.of(namespace): namespace})
    foreign = dataclasses.replace(used.state, made=False)
    for state, ceiling in ((foreign, Impact.DISRUPT), (used.state, Impact.EXERCISE)):
        cluster = Cluster(state, used.provider, run=used.run, private=tmp_path, ceiling=ceiling)
        with pytest.raises(NotEvaluated, match="a restore needs a cluster of ours"):
            _ = cluster.storage
        with pytest.raises(UsageError, match="nothing is restored into it"):
            restore(backup, cluster)
    assert used.resource("v1", "Namespace").find("refused") is None


def test_etcd_itself_does_not_see_what_the_trailer_shows(used: Cluster, tmp_path: Path) -> None:
    """`snapshot status` finds nothing wrong with a changed byte in an unused place; the trailer and a restore do."""
    from pytest_k8sha.checks.mutants import Spoil

    snapshot.take(used.storage, tmp_path / "snapshot.db")
    Spoil(file="snapshot.db", op="flip").apply(tmp_path)
    path = tmp_path / "snapshot.db"
    _process.run([used.storage.tools.program("etcdutl"), "snapshot", "status", path], timeout=60)
    assert "not what the SHA-256" in snapshot.integrity(path).problem
    with pytest.raises(trial.Unrestorable, match="expected sha256"):
        trial.restore(used.storage.tools, path, tmp_path / "data")
    path.touch()
    path.write_bytes(b"")
    assert snapshot.integrity(path).problem == "it is empty"
    path.write_bytes(b"hello" * 1000)
    assert "no database of etcd" in snapshot.integrity(path).problem
