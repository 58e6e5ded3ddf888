"""SIGKILL of the driver amid experiments on a real Chaos Mesh, and of the controller too: `k8sha recover` leaves
nothing."""

from __future__ import annotations

import json
import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_k8sha import _clock, _process, recover
from pytest_k8sha._wait import eventually
from pytest_k8sha.chaos import lock
from pytest_k8sha.chaos.ways import WAYS
from pytest_k8sha.providers.registry import Registry
from pytest_k8sha.settings import Settings
from tests.kind import mesh_rig
from tests.kind.kind_clusters import ROOT
from tests.kind.mesh_rig import Ground, Stage, chaos

MOMENTS = int(os.environ.get("K8SHA_EXPERIMENT_MOMENTS", "0"))
"""Moments chosen at random from a whole run; those in each run of the tests are the ones that matter most."""

LASTS = 32.0
"""Seconds of a run that is not killed."""

RECOVERED = 30.0
"""Seconds that `k8sha recover` may take, on a machine that is not busy with other things."""

DRIVER = """
import json, sys
from pytest_k8sha.errors import K8shaError
from pytest_k8sha.fleet.fleet import Fleet
from pytest_k8sha.fleet.keeper import Keeper
from pytest_k8sha.fleet.run import RunFolder
from pytest_k8sha.fleet.spec import from_options
from pytest_k8sha.providers.registry import Registry
from pytest_k8sha.settings import Settings
from tests.kind import mesh_rig

settings, registry = Settings.from_environment(), Registry()
folder = RunFolder.create(settings)
Keeper(settings, registry, print).provide(folder, from_options([sys.argv[1]], registry), reuse=False)
cluster = Fleet.open(folder, registry)["mesh"]
for manifest in json.loads(sys.argv[2]):
    def tell(phase):
        print(manifest["metadata"]["name"], phase.name, "began" if phase.ended is None else "ended", flush=True)
    try:
        mesh_rig.experiment(cluster, manifest, settings.state / "experiments", tell=tell).run()
    except K8shaError as error:
        print(error, flush=True)
print("over", flush=True)
"""


@pytest.fixture(scope="module")
def stage(ground: Ground, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with mesh_rig.stage_in(tmp_path_factory.mktemp("user"), ground) as found:
        yield found


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("K8SHA_STATE", str(tmp_path / "state"))
    return Settings.from_environment()


def three(space: str) -> list[dict[str, Any]]:
    """One that is felt, one that fails pods, and one that no machine here can inject, or that is late at least."""
    terms = {"accept": "[foreign]", "hold": "1s", "proveWithin": "4s"}
    cut = chaos("NetworkChaos", space, "web", {"action": "partition"}, **{**terms, "proveWithin": "20s"})
    fail = chaos("PodChaos", space, "web", {"action": "pod-failure"}, **{**terms, "proveWithin": "20s"})
    late = chaos("NetworkChaos", space, "web", {"action": "delay", "delay": {"latency": "300ms"}}, **terms)
    for name, manifest in (("cut", cut), ("fail", fail), ("late", late)):
        manifest["metadata"]["name"] = name
    return [cut, fail, late]


def start(settings: Settings, stage: Stage, log: Path) -> _process.Program:
    stage.fresh()
    words = [sys.executable, "-c", DRIVER, stage.ground.order, json.dumps(three(stage.space))]
    env = {**os.environ, "K8SHA_STATE": str(settings.state)}
    return _process.start(words, log=log, env=env, cwd=ROOT, detached=True)


def recovered(settings: Settings, stage: Stage, said: str) -> float:
    """One `recover` takes back everything, a second one finds nothing; the seconds that it took."""
    clock = _clock.Deadline(0)
    results = recover.recover(settings, Registry(), lambda _: None, ways=WAYS)
    took = clock.spent
    assert [result.remains for result in results if result.remains] == [], said
    assert recover.recover(settings, Registry(), lambda _: None, ways=WAYS) == []
    assert stage.cluster.resource("coordination.k8s.io/v1", "Lease").find(lock.NAME, lock.NAMESPACE) is None
    stage.nothing_is_left()
    stage.fresh()
    return took


@pytest.mark.parametrize(
    ("moment", "controller"), [("cut prove ended", False), ("fail prove ended", True), ("late inject ended", False)]
)
def test_a_killed_driver_leaves_nothing(
    stage: Stage, settings: Settings, tmp_path: Path, moment: str, controller: bool, record_property: Any
) -> None:
    """While a partition holds, while pods fail and the controller is killed as well, and while an experiment hangs:
    neither an object, nor a finalizer, nor a rule, a queue or a stopped process in the nodes, nor the lock stays."""
    log = tmp_path / "driver.log"
    driver = start(settings, stage, log)
    try:
        eventually(
            lambda: driver.code is not None or moment in log.read_text(), what=moment, timeout=180, interval=0.05
        )
        assert driver.code is None, log.read_text()
    finally:
        driver.signal(9)
        driver.wait(10)
    assert mesh_rig.objects(stage.cluster, stage.space)
    if controller:
        mesh_rig.kill_controller(stage.cluster)
    record_property("seconds to recover", recovered(settings, stage, log.read_text()))


@pytest.mark.skipif(not MOMENTS, reason="K8SHA_EXPERIMENT_MOMENTS is not set")
def test_a_driver_killed_at_any_moment(stage: Stage, settings: Settings, tmp_path: Path) -> None:
    """As above, at moments that nobody chose."""
    chance = random.Random(int(os.environ.get("K8SHA_EXPERIMENT_SEED", "20")))  # noqa: S311 - moments, not secrets
    took = []
    for number in range(MOMENTS):
        log = tmp_path / f"driver-{number}.log"
        driver = start(settings, stage, log)
        driver.wait(chance.uniform(0.0, LASTS))
        driver.signal(9)
        driver.wait(10)
        said = log.read_text()
        took.append(recovered(settings, stage, said))
        last = [line for line in said.splitlines() if line.endswith(("began", "ended"))][-1:]
        sys.stderr.write(f"moment {number}: killed after {last}, recovered in {took[-1]:.1f} s\n")
    assert max(took) <= RECOVERED
