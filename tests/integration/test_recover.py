"""`k8sha recover` after SIGKILL: nothing is left of a run, wherever it was."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from pytest_k8sha import _clock
from pytest_k8sha._wait import eventually
from tests.integration.commands import ROOT, Home, everything, kill, of_runs

SUITE = Path(__file__).parent / "data" / "short_suite.py"
MOMENTS = int(os.environ.get("K8SHA_RECOVER_MOMENTS", "8"))
"""Runs that are killed; 20 and more are for a proof by itself."""
SIDES = 2
"""Users whose runs are killed at the same time, each with a state folder and a kept cluster of its own."""
SEED = 20261123

FLEET = f"""\
clusters:
  kept:
    nodes: 1
    apply: [{ROOT}/fixtures/policies]
    tenants:
    - {{name: acme, template: {ROOT}/fixtures/tenants/good}}
    - {{name: globex, template: {ROOT}/fixtures/tenants/good}}
  fresh: {{nodes: 1}}
"""


class Rig(Home):
    """A kept cluster, a fleet that uses it and makes another one, and what the kept one held before any run."""

    def prepare(self) -> None:
        (self.work / "fleet.yaml").write_text(FLEET)
        done = self.run("up", "--cluster", "kept=local,nodes=1")
        assert done.code == 0, done.stderr
        self.cluster = self.kept("kept")
        self.before = everything(self.cluster)
        self.ports = set((self.state / "ports").glob("*.lock"))
        self.seconds = 0.0

    def argv(self) -> list[str | Path]:
        return ["run", SUITE, "--fleet", "fleet.yaml", "--out", "out"]

    def assert_nothing_is_left(self, context: str) -> None:
        assert not self.processes(without=str(self.state / "fleets" / "kept")), context
        assert list((self.state / "runs").glob("*")) == [], context
        assert set((self.state / "ports").glob("*.lock")) == self.ports, context
        assert [p.name for p in self.temporary.glob("*") if not p.name.startswith("pytest-of-")] == [], context
        after = everything(self.cluster)
        assert of_runs(after) == [], context
        assert set(after) - set(self.before) == set(), context
        assert set(self.before) - set(after) == set(), context
        nodes = [item for key, item in after.items() if key[0] == "nodes"]
        assert {n["metadata"]["labels"].get("k8sha.dev/heartbeat") for n in nodes} <= {"on", None}, context


@pytest.fixture(scope="module")
def rigs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Rig]]:
    made = [Rig(tmp_path_factory.mktemp(f"recover-{side}")) for side in range(SIDES)]
    with ThreadPoolExecutor(SIDES) as sides:
        try:
            list(sides.map(Rig.prepare, made))
            yield made
        finally:
            list(sides.map(lambda rig: (rig.run("down", "--all"), rig.run("recover")), made))


@pytest.fixture
def rig(rigs: list[Rig]) -> Rig:
    return rigs[0]


def test_a_run_that_ends_leaves_nothing(rigs: list[Rig]) -> None:
    """The run's own teardown removes everything, so that there is nothing to recover; its length is measured here,
    beside another run as when they are killed."""

    def one(rig: Rig) -> None:
        clock = _clock.Deadline(0)
        done = rig.run(*rig.argv())
        rig.seconds = clock.spent
        assert done.code == 0, done.stdout + done.stderr
        rig.assert_nothing_is_left("after a run that ended")
        assert rig.json("recover")["runs"] == []

    with ThreadPoolExecutor(SIDES) as sides:
        list(sides.map(one, rigs))


@pytest.mark.timeout(1500)  # many runs and as many recoveries; a busy machine stretches each of them
@pytest.mark.parametrize("count", [MOMENTS], ids=[f"{MOMENTS} moments"])
def test_nothing_is_left_after_sigkill_at_any_moment(count: int, rigs: list[Rig], record_property: Any) -> None:
    """SIGKILL at random moments, of pytest alone and of the whole process group in turn; then one `recover`
    leaves no process, port, folder, file or object, and a second finds nothing to do."""
    assert all(rig.seconds for rig in rigs), "the length of the run was not measured"
    chance = random.Random(SEED)  # noqa: S311 - moments, not secrets
    # One moment in each equal part of the run, so that each part of it is hit: start, clusters, tests, teardown. Each
    # side takes every second one, and kills in both ways.
    shares = [(index + chance.random()) / count for index in range(count)]
    turns = [[(share, (index // SIDES) % 2 == 0) for index, share in enumerate(shares)][n::SIDES] for n in range(SIDES)]

    def one(rig: Rig, turns: list[tuple[float, bool]]) -> list[str]:
        return [killed(rig, share * rig.seconds, group=group) for share, group in turns]

    with ThreadPoolExecutor(SIDES) as sides:
        record_property("moments", list(sides.map(one, rigs, turns)))


def killed(rig: Rig, moment: float, *, group: bool) -> str:
    """One run that is killed after so many seconds, and what is left once `recover` was there; says what was done."""
    clock = _clock.Deadline(moment)
    program = rig.start(*rig.argv())
    program.wait(clock.left)
    how = kill(program, group=group) if program.code is None else "it had ended"
    context = f"{moment:.2f} s, killed: {how}; {rig.log}"
    first = rig.run("recover", "--json", timeout=150)
    assert first.code == 0, f"{context}\n{first.stdout}{first.stderr}"
    rig.assert_nothing_is_left(f"{context}\n{first.stdout}")
    assert rig.json("recover") == {"runs": [], "dry_run": False, "remains": 0}, context
    return f"{moment:.1f} s {how}: {first.stdout.count('on kept')} objects"


def test_a_running_run_is_not_touched(rig: Rig) -> None:
    """`recover` while a run goes on says so and leaves it alone; Ctrl-C then ends it with its teardown and report."""
    program = rig.start(*rig.argv())
    eventually(
        lambda: list((rig.state / "runs").glob("r*/fleet.json")),
        what="the run has its fleet",
        timeout=60,
        interval=0.05,
    )
    said = rig.json("recover")
    assert [run["running"] for run in said["runs"]] == [True]
    assert rig.json("doctor")["good"]
    os.killpg(program.pid, signal.SIGINT)
    assert program.wait(60) == 130, rig.log.read_text()[-3000:]
    assert (rig.work / "out" / "index.html").exists()
    rig.assert_nothing_is_left("after Ctrl-C")


def test_a_half_made_kept_cluster_goes(rig: Rig) -> None:
    """`k8sha up` killed while it makes a cluster: `recover` takes the half-made one down and leaves the others."""
    program = rig.start("up", "--cluster", "half=local,nodes=1")
    supervisor = rig.state / "fleets" / "half" / "plan.json"
    eventually(supervisor.exists, what="the cluster is being made", timeout=60, interval=0.02)
    kill(program, group=True)
    said = rig.json("recover")
    assert said["remains"] == 0
    assert not (rig.state / "fleets" / "half").exists()
    rig.assert_nothing_is_left("after a killed up")
    assert [row["name"] for row in rig.json("status")["clusters"]] == ["kept"]


def test_dry_run_tells_and_does_nothing(rig: Rig) -> None:
    """`recover --dry-run` names what a killed run left, and changes nothing; after that `recover` removes it."""
    program = rig.start(*rig.argv())
    eventually(lambda: list((rig.state / "runs").glob("r*/fleet.json")), what="the run has its fleet", timeout=60)
    kill(program, group=True)
    told = rig.json("recover", "--dry-run")
    assert told["dry_run"]
    assert told["runs"][0]["removed"]
    assert list((rig.state / "runs").glob("r*"))
    assert rig.json("recover")["remains"] == 0
    rig.assert_nothing_is_left("after a dry run and a real one")
