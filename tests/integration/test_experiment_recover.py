"""SIGKILL of the driver in the middle of an experiment on a kept cluster: `k8sha recover` takes everything back."""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_k8sha import _process, recover
from pytest_k8sha._wait import eventually
from pytest_k8sha.chaos import lock
from pytest_k8sha.chaos.members import steady
from pytest_k8sha.fleet.cluster import Cluster
from pytest_k8sha.model import Run
from pytest_k8sha.providers.local.control import Control
from pytest_k8sha.providers.registry import Registry
from pytest_k8sha.settings import Settings

if TYPE_CHECKING:
    from tests.integration.local_clusters import Made

MOMENTS = int(os.environ.get("K8SHA_EXPERIMENT_MOMENTS", "0"))
"""Further moments, chosen at random from a whole experiment; the five in each run are those that matter most."""

DRIVER = """
import sys
from pathlib import Path
from pytest_k8sha.chaos.engines import engine_for
from pytest_k8sha.chaos.experiment import Experiment
from pytest_k8sha.chaos.order import order
from pytest_k8sha.fleet.cluster import Cluster
from pytest_k8sha.fleet.run import RunFolder
from pytest_k8sha.providers.base import ClusterState
from pytest_k8sha.providers.registry import Registry
from pytest_k8sha.settings import Settings

settings = Settings.from_environment()
state = ClusterState.load(settings.fleets / "three")
folder = RunFolder.create(settings)
cluster = Cluster(state, Registry().get("local"), run=folder.run, private=folder.private, journal=folder.journal)
wanted = order("killed", sys.argv[1], members=eval(sys.argv[2]), blastRadius="100%", accept=["quorum", "outage"],
               hold="300s", **eval(sys.argv[3]))
def tell(phase):
    print(phase.name, "began" if phase.ended is None else "ended", flush=True)
Experiment(cluster, wanted, engine_for(cluster, wanted), tell=tell).run()
"""

CASES = [
    ("kill", {"component": "kube-apiserver"}, {}, "inject began"),
    ("kill", {"component": "kube-apiserver"}, {}, "prove ended"),
    ("freeze", {"component": "etcd", "count": 2}, {}, "prove ended"),
    ("cut", {"component": "etcd", "which": "leader"}, {}, "prove ended"),
    ("delay", {"component": "etcd"}, {"latency": "20ms"}, "hold began"),
]
"""What is done to what, and the moment of the kill: all API servers, the quorum, the links."""


@pytest.fixture
def settings(three_members: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A state folder of its own, in which the shared cluster is a kept one."""
    monkeypatch.setenv("K8SHA_STATE", str(tmp_path / "state"))
    found = Settings.from_environment()
    found.fleets.mkdir(parents=True)
    (found.fleets / "three").symlink_to(three_members.place)
    return found


def start(settings: Settings, log: Path, case: tuple[str, dict[str, object], dict[str, str], str]) -> _process.Program:
    words = [sys.executable, "-c", DRIVER, case[0], repr(case[1]), repr(case[2])]
    return _process.start(words, log=log, env={**os.environ, "K8SHA_STATE": str(settings.state)}, detached=True)


def recovered(settings: Settings, made: Made, tmp_path: Path) -> None:
    """One `recover` takes back everything that the killed driver left, and a second one finds nothing."""
    [result] = recover.recover(settings, Registry(), lambda _: None)
    assert result.remains == [], result
    status = Control(made.place).order("status")
    assert {one["state"] for one in status["programs"]} == {"running"}
    assert status["links"] == []
    assert recover.recover(settings, Registry(), lambda _: None) == []
    cluster = Cluster(made.state, made.provider, run=Run("r-look", "test", 9_999_999_999), private=tmp_path)
    assert cluster.resource("coordination.k8s.io/v1", "Lease").find(lock.NAME, lock.NAMESPACE) is None
    eventually(lambda: steady(cluster), what="all is well", timeout=60, accept=lambda seen: seen.holds is True)


@pytest.mark.parametrize(
    "case", CASES, ids=lambda case: f"{case[0]}-{case[1]['component']}-{case[3].replace(' ', '-')}"
)
def test_a_killed_driver_leaves_nothing(
    settings: Settings, three_members: Made, tmp_path: Path, case: tuple[str, dict[str, object], dict[str, str], str]
) -> None:
    """Also when the API servers or the quorum were what the fault took: all run again, every link is open, the lock is
    gone."""
    log = tmp_path / "driver.log"
    driver = start(settings, log, case)
    try:
        said = eventually(
            lambda: driver.code is not None or case[3] in log.read_text(), what=case[3], timeout=180, interval=0.05
        )
        assert said
        assert driver.code is None, log.read_text()
    finally:
        driver.signal(9)
        driver.wait(10)
    recovered(settings, three_members, tmp_path)


@pytest.mark.skipif(not MOMENTS, reason="K8SHA_EXPERIMENT_MOMENTS is not set")
def test_a_driver_killed_at_any_moment(settings: Settings, three_members: Made, tmp_path: Path) -> None:
    """As above, at moments that nobody chose."""
    chance = random.Random(20)  # noqa: S311 - moments, not secrets
    for number in range(MOMENTS):
        log = tmp_path / f"driver-{number}.log"
        driver = start(settings, log, CASES[number % len(CASES)])
        driver.wait(chance.uniform(0.0, 15.0))
        driver.signal(9)
        driver.wait(10)
        if list(settings.runs.glob("*")):
            recovered(settings, three_members, tmp_path)
