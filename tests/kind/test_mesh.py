"""Experiments on a real Chaos Mesh: each is measured at its target, each is taken back, and what was not injected
passes nothing, whatever its controller says."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from pytest_k8sha._wait import eventually
from pytest_k8sha.chaos import files
from pytest_k8sha.chaos.engine import Observation, Plan
from pytest_k8sha.chaos.experiment import Aborted
from pytest_k8sha.chaos.lint.linter import Linter
from pytest_k8sha.chaos.mesh.engine import ChaosMesh
from pytest_k8sha.chaos.mesh.ladder import started
from pytest_k8sha.chaos.mesh.manifest import as_order
from pytest_k8sha.chaos.mesh.parts import API_VERSION
from pytest_k8sha.chaos.mesh.status import Status
from pytest_k8sha.chaos.preflight import Refused
from pytest_k8sha.errors import FileProblems, Inconclusive
from pytest_k8sha.fleet.cluster import Cluster
from tests.kind import mesh_rig
from tests.kind.mesh_rig import Ground, Stage, chaos


@pytest.fixture(scope="module")
def stage(ground: Ground, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with mesh_rig.stage_in(tmp_path_factory.mktemp("user"), ground) as found:
        yield found


def far(space: str, app: str) -> dict[str, Any]:
    return {"target": {"mode": "all", "selector": {"namespaces": [space], "labelSelectors": {"app": app}}}}


ONE_SHOTS = {
    "pod-kill": {"action": "pod-kill"},
    "container-kill": {"action": "container-kill", "containerNames": ["web"]},
}


@pytest.mark.parametrize("action", list(ONE_SHOTS))
def test_what_is_killed_is_another_one(stage: Stage, action: str) -> None:
    """A killed pod is gone by its uid, a killed container by its id; all is ready again afterwards."""
    live = stage.experiment(chaos("PodChaos", stage.space, "web", ONE_SHOTS[action]))
    report = live.run()
    assert report.effect.startswith("1 pods are gone" if action == "pod-kill" else "1 containers run by another id")
    assert report.phase("steady after").ok
    assert mesh_rig.objects(stage.cluster, stage.space) == []


def test_a_pod_that_fails_is_not_ready(stage: Stage) -> None:
    """pod-failure is seen at the pod's readiness, lasts until it is taken back, and not longer."""
    manifest = chaos("PodChaos", stage.space, "web", {"action": "pod-failure", "duration": "90s"}, hold="1s")
    report = stage.experiment(manifest).run()
    assert report.effect == "1 pods are not ready"
    assert "not felt any more" in report.phase("steady after").said
    stage.nothing_is_left()


@pytest.mark.parametrize(
    ("direction", "rules"), [("to", {"OUTPUT"}), ("from", {"INPUT"}), ("both", {"INPUT", "OUTPUT"})]
)
def test_a_partition_is_felt_in_its_direction(stage: Stage, direction: str, rules: set[str]) -> None:
    """A pod that is cut off answers nobody; the rules in its node are those of the direction, and go with the fault."""
    spec = {"action": "partition", "direction": direction}
    live = stage.experiment(chaos("NetworkChaos", stage.space, "web", spec))
    with live.running():
        found = {line.partition("CHAOS-")[2].partition("/")[0].split(" ")[0] for line in stage.ground.left()}
        assert found - {""} == rules
    assert "no answer" in live.report.effect
    assert "not felt any more" in live.report.phase("steady after").said
    stage.nothing_is_left()


def test_a_partition_between_two_workloads(stage: Stage) -> None:
    """The far side has rules as well, and is no stray; what passes between others goes on."""
    address = stage.pods("web")[0]["status"]["podIP"]
    spec = {"action": "partition", "direction": "both", **far(stage.space, "web")}
    felt = stage.measure("one", "agnhost", "connect", f"{address}:8080", "--timeout=1s")
    manifest = chaos("NetworkChaos", stage.space, "one", spec, measure=felt, blastRadius="100%")
    report = stage.experiment(manifest).run()
    assert "exit code 1" in report.effect
    assert [target.name for target in report.targets] == [stage.pods("one")[0]["metadata"]["name"]]
    stage.nothing_is_left()


def test_bandwidth_is_measured_by_a_command(stage: Stage) -> None:
    """A pod with little bandwidth answers late; where the kernel cannot do it, the experiment is inconclusive."""
    address = stage.pods("one")[0]["status"]["podIP"]
    felt = stage.measure("web", "agnhost", "connect", f"{address}:8080", "--timeout=9s", effect="slower", by="400ms")
    # What its kubelet asks for each second is more than this, so that a connection must wait for its turn.
    spec = {"action": "bandwidth", "bandwidth": {"rate": "200bps", "limit": 20000, "buffer": 1600}}
    manifest = chaos("NetworkChaos", stage.space, "one", spec, measure=felt, blastRadius="100%", proveWithin="20s")
    live = stage.experiment(manifest)
    try:
        assert " before" in live.run().effect
    except Inconclusive as error:
        assert "not injected" in str(error)  # noqa: PT017 - the machine decides
        assert "the controller says" in str(error)  # noqa: PT017 - as above
    stage.nothing_is_left()


def test_a_schedule_fires_twice(stage: Stage) -> None:
    """Each time another pod is killed; what the schedule has started goes with it."""
    kill = {
        "action": "pod-kill",
        "mode": "one",
        "selector": {"namespaces": [stage.space], "labelSelectors": {"app": "web"}},
    }
    manifest = chaos("Schedule", stage.space, "web", {})
    manifest["spec"] = {
        "schedule": "@every 3s",
        "type": "PodChaos",
        "historyLimit": 5,
        "concurrencyPolicy": "Allow",
        "podChaos": kill,
    }
    live = stage.experiment(manifest)
    with live.running():
        (schedule,) = stage.cluster.resource(API_VERSION, "Schedule").list(stage.space)
        name = schedule["metadata"]["name"]

        def fired() -> int:
            found = started(stage.cluster.client, "Schedule", stage.space, name)
            kills = stage.cluster.resource(API_VERSION, "PodChaos")
            return sum(Status.of(kills.find(m["name"], stage.space) or {}).ever_injected for _, m in found)

        assert eventually(fired, what="it has fired twice", timeout=40, accept=lambda count: count >= 2)
    assert "gone, by their uids" in live.report.effect
    assert started(stage.cluster.client, "Schedule", stage.space, name) == []
    assert mesh_rig.objects(stage.cluster, stage.space) == []


def test_a_workflow_of_two_steps(stage: Stage) -> None:
    """Two lasting faults, one after the other, are both felt, though never at the same time; neither stays."""
    select = {"mode": "one", "selector": {"namespaces": [stage.space], "labelSelectors": {"app": "web"}}}
    manifest = chaos("Workflow", stage.space, "web", {}, proveWithin="60s")
    manifest["spec"] = {
        "entry": "all",
        "templates": [
            {"name": "all", "templateType": "Serial", "deadline": "120s", "children": ["fail", "cut"]},
            {
                "name": "fail",
                "templateType": "PodChaos",
                "deadline": "6s",
                "podChaos": {"action": "pod-failure", **select},
            },
            {
                "name": "cut",
                "templateType": "NetworkChaos",
                "deadline": "60s",
                "networkChaos": {"action": "partition", "direction": "both", **select},
            },
        ],
    }
    live = stage.experiment(manifest)
    report = live.run()
    assert "not ready" in report.effect
    assert "no answer" in report.effect
    stage.nothing_is_left()


def test_an_abort_takes_the_fault_back(stage: Stage) -> None:
    """The predicate that comes true in the middle ends the hold at once."""
    looks = iter([Observation(holds=False, seen="quiet"), Observation(holds=True, seen="error rate 40 %")])
    manifest = chaos("PodChaos", stage.space, "web", {"action": "pod-failure", "duration": "200s"}, hold="100s")
    live = stage.experiment(manifest, abort=lambda: next(looks))
    with pytest.raises(Aborted, match="error rate 40 %"):
        live.run()
    assert live.report.phase("recover").ok
    assert live.report.phase("steady after").ok
    assert mesh_rig.objects(stage.cluster, stage.space) == []


def test_a_fault_is_paused_and_resumed(stage: Stage) -> None:
    """While it is paused it is not felt, and it is again afterwards; then it is taken back as any other."""
    live = stage.experiment(chaos("NetworkChaos", stage.space, "web", {"action": "partition"}, hold="60s"))
    assert isinstance(live.engine, ChaosMesh)
    with live.running():
        live.engine.pause()
        assert stage.ground.left() == []
        live.engine.resume()
        assert stage.ground.left()
    stage.nothing_is_left()


def test_the_controller_is_killed_midway(stage: Stage) -> None:
    """Its webhooks refuse every change while it is away: the way back waits for the next one, and takes all back."""
    live = stage.experiment(chaos("NetworkChaos", stage.space, "web", {"action": "partition"}))
    with live.running():
        mesh_rig.kill_controller(stage.cluster)
    assert live.report.phase("recover").ok
    stage.nothing_is_left()


def test_a_pod_on_its_nodes_network_hangs_and_is_recovered(stage: Stage) -> None:
    """The preflight refuses it; where it is accepted, the experiment is inconclusive by the controller's own words, and
    only the ladder's last rungs end it."""
    manifest = chaos(
        "NetworkChaos", stage.space, "host", {"action": "partition"}, accept="[outage]", blastRadius="100%"
    )
    with pytest.raises(Refused, match="own network"):
        stage.experiment(manifest).run()
    manifest["metadata"]["annotations"] |= {"k8sha.dev/accept": "[outage, hang]", "k8sha.dev/proveWithin": "5s"}
    live = stage.experiment(manifest)
    with pytest.raises(Inconclusive, match=r"not injected.*dangerous to inject network chaos on a pod"):
        live.run()
    assert isinstance(live.engine, ChaosMesh)
    assert [rung.name for rung in live.engine.rungs][:4] == ["delete", "touch", "force", "finalizer"]
    stage.nothing_is_left()


KINDS: dict[str, dict[str, Any]] = {
    "NetworkChaos": {"action": "delay", "delay": {"latency": "200ms"}},
    "IOChaos": {"action": "latency", "volumePath": "/data", "delay": "1s", "percent": 100},
    "StressChaos": {"stressors": {"cpu": {"workers": 1, "load": 100}}},
    "TimeChaos": {"timeOffset": "-1h"},
    "DNSChaos": {"action": "error", "patterns": ["example.org"]},
    "HTTPChaos": {"target": "Request", "port": 8080, "path": "/", "abort": True},
    "KernelChaos": {"failKernRequest": {"failtype": 0, "callchain": [{"funcname": "__x64_sys_mount"}]}},
    "BlockChaos": {"action": "delay", "delay": {"latency": "1s"}, "volumeName": "data"},
}


SETTLED = ("nothing is felt", "the controller says", "no target was selected: Failed to")
"""What is said of an experiment that was injected, one that could not be, and one that found nobody."""


class Never:
    """A meter that feels nothing: what is not injected must be told before it is asked."""

    def before(self) -> None: ...

    def look(self) -> Observation:
        return Observation(holds=False, seen="nothing is felt")


def test_every_kind_lives_and_ends(stage: Stage) -> None:
    """Each kind is linted, admitted, and injected or not, as the machine can; where it was not, the controller's own
    message says why, it is no effect, and it can be taken away all the same."""
    mesh_rig.ready(stage.cluster, stage.space)
    living: dict[str, tuple[ChaosMesh, Plan]] = {}
    for kind, spec in KINDS.items():
        manifest = chaos(kind, stage.space, "one", {**spec, "duration": "90s"}, blastRadius="100%")
        assert [f for f in Linter().text(json.dumps(manifest), "x.json") if f.severity == "error"] == [], kind
        order = as_order(manifest)
        engine = ChaosMesh(stage.cluster, meter=Never())
        found = engine.resolve(order)
        plan = Plan(order, found.targets)
        engine.inject(plan)
        living[kind] = (engine, plan)

    def told() -> dict[str, str]:
        return {kind: engine.observe(plan).seen for kind, (engine, plan) in living.items()}

    def settled(seen: dict[str, str]) -> bool:
        return all(any(words in said for words in SETTLED) for said in seen.values())

    try:
        seen = eventually(told, what="each is injected, or its controller says why not", timeout=60, accept=settled)
        assert {said.split(":")[0] for said in seen.values()} <= {"nothing is felt", "not injected"}
        assert [kind for kind, (engine, plan) in living.items() if engine.observe(plan).holds is not False] == []
    finally:
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda one: one[0].recover(one[1]), living.values()))
    stage.nothing_is_left()


# --- what must not pass ----------------------------------------------------------------------------------------------


def _misses(stage: Stage) -> None:
    stage.experiment(chaos("PodChaos", stage.space, "nobody", {"action": "pod-kill"})).run()


def _nil(stage: Stage) -> None:
    """A partition that stands, between two who do not talk to each other: what is asked goes on."""
    address = stage.pods("web")[0]["status"]["podIP"]
    felt = stage.measure("web", "agnhost", "connect", f"{address}:8080", "--timeout=1s")
    spec = {"action": "partition", "direction": "to", **far(stage.space, "web")}
    manifest = chaos("NetworkChaos", stage.space, "one", spec, measure=felt, proveWithin="6s", blastRadius="100%")
    stage.experiment(manifest).run()


def _old(stage: Stage) -> None:
    path = stage.folder / "old.yaml"
    manifest = chaos("PodChaos", stage.space, "web", {"action": "pod-kill", "scheduler": {"cron": "@every 1m"}})
    path.write_text(json.dumps(manifest))
    files.load([path])


def _down(stage: Stage) -> None:
    scale(stage.cluster, 0)
    try:
        stage.experiment(chaos("PodChaos", stage.space, "web", {"action": "pod-kill"})).run()
    finally:
        scale(stage.cluster, 1)


def scale(cluster: Cluster, replicas: int) -> None:
    """Has the controller this many times, and waits for it."""
    deployments = cluster.resource("apps/v1", "Deployment")
    (found,) = deployments.list(mesh_rig.NAMESPACE, **mesh_rig.CONTROLLER)
    name = found["metadata"]["name"]
    deployments.patch(name, {"spec": {"replicas": replicas}}, mesh_rig.NAMESPACE)
    eventually(
        lambda: int(deployments.get(name, mesh_rig.NAMESPACE)["status"].get("readyReplicas") or 0),
        what=f"{replicas} controllers are ready",
        timeout=120,
        accept=lambda count: count == replicas,
    )


MUTANTS: dict[str, tuple[Callable[[Stage], None], type[Exception], str]] = {
    "a selector that misses": (_misses, Refused, "zero targets"),
    "an effect that is nil": (_nil, Inconclusive, "was not measured within 6 s: .*exit code 0"),
    "a manifest of 1.x": (_old, FileProblems, "scheduler"),
    "a controller scaled to zero": (_down, Inconclusive, "0 of 0 replicas ready"),
}


@pytest.mark.parametrize("mutant", list(MUTANTS))
def test_what_was_not_injected_passes_nothing(stage: Stage, mutant: str) -> None:
    """Each mutant is refused or inconclusive, for its own reason, and leaves nothing."""
    act, error, words = MUTANTS[mutant]
    with pytest.raises(error, match=words):
        act(stage)
    assert mesh_rig.objects(stage.cluster, stage.space) == []
