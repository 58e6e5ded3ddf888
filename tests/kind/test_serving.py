"""The trials on real pods: the good set-up passes each, and each mutant fails those that it names.

All set-ups live side by side, each in a namespace of its name, so that one trial takes something away from all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache

import pytest

from pytest_k8sha.chaos.serving import draining, lost, objectives, removal, update
from pytest_k8sha.checks.catalogue import Catalogue
from pytest_k8sha.checks.judge import Judge
from pytest_k8sha.checks.mutants import Mutant
from pytest_k8sha.fleet.cluster import Cluster
from pytest_k8sha.providers.kind.engine import Engine
from pytest_k8sha.settings import bundled
from pytest_k8sha.workloads.model import Inventory
from tests.kind import serving_rig
from tests.kind.kind_clusters import Images
from tests.kind.serving_rig import MUTANTS, SHOP, told, verdict

DEMANDS = objectives.read(
    ["drain within 40s", "delete within 40s", "kill within 40s", "update within 120s", "kubelet within 60s"]
)
LOST = 2
"""The node, in the order of their names, that is lost."""


@dataclass
class Stage:
    """The cluster with its set-ups, and what each trial found. A trial is run once, when it is first asked for."""

    cluster: Cluster
    images: Images
    engine: Engine
    nodes: list[str]
    judges: dict[str, Judge] = field(default_factory=dict)

    def inventory(self, *bases: str, checks: Collection[str]) -> Inventory:
        """The good set-ups and the mutants of these checks alone: all others would only load the machine."""
        spaces = [m.name for m in MUTANTS.values() if m.base in bases and set(m.checks) & set(checks)]
        return serving_rig.whole(self.cluster, [*spaces, *(f"{SHOP}-{base}" for base in bases)])

    def judge(self, check: str) -> Judge:
        if check not in self.judges:
            TRIALS[check](self)
        return self.judges[check]

    def fresh(self, check: str) -> Judge:
        return self.judges.setdefault(check, Judge(rule=check))


def _pods(check: str, trial: Callable[..., None], name: str, **more: str) -> Callable[[Stage], None]:
    def run(stage: Stage) -> None:
        trial(stage.cluster, stage.fresh(check), stage.inventory("serving", checks=[check]), DEMANDS[name], **more)

    return run


def _drain(stage: Stage) -> None:
    drained = draining.drain(
        stage.cluster, stage.inventory("serving", checks=["AVL-NOD-003", "AVL-SRV-002"]), DEMANDS["drain"]
    )
    draining.judge_drain(stage.fresh("AVL-NOD-003"), drained)
    drained.traffic.judge(stage.fresh("AVL-SRV-002"))


def _kubelet(stage: Stage) -> None:
    inventory = stage.inventory("serving", "names", checks=["AVL-STS-002"])
    with ExitStack() as stack:
        for mutant in MUTANTS.values():
            if mutant.cluster.get("operator") == "force":
                stack.enter_context(serving_rig.forcing(stage.cluster, mutant.name))
        seen = lost.kubelet(stage.cluster, inventory, DEMANDS["kubelet"], node=stage.nodes[LOST])
    lost.judge_names(stage.fresh("AVL-STS-002"), seen)


TRIALS: dict[str, Callable[[Stage], None]] = {
    "AVL-SRV-001": _pods("AVL-SRV-001", update.update, "update"),
    "AVL-SRV-002": _drain,
    "AVL-SRV-003": _pods("AVL-SRV-003", removal.remove, "delete"),
    "AVL-SRV-005": _pods("AVL-SRV-005", removal.remove, "kill", action="container-kill"),
    "AVL-PRB-003": _pods("AVL-PRB-003", removal.unready, "unready"),
    "AVL-NOD-003": _drain,
    "AVL-STS-002": _kubelet,
}
GOOD = ("serving", "names")
"""The set-ups that are as they should be."""
BASES = {"AVL-STS-002": "names"}
"""The good set-up of each check, where it is not that of what serves."""
PLACED = sorted((m.name, check) for m in MUTANTS.values() for check in m.checks if check in TRIALS)


def apply_all(stage: Stage) -> None:
    """Every set-up, good and broken; the rest of a mutant's world is not part of it."""
    for base in GOOD:
        good = Mutant(title="as it should be", checks=["AVL-ALL-000"], name=f"{SHOP}-{base}", base=base)
        stage.cluster.apply(serving_rig.objects(good, stage.images, stage.nodes[LOST]))
    for mutant in MUTANTS.values():
        if mutant.base in GOOD:
            stage.cluster.apply(serving_rig.objects(mutant, stage.images, stage.nodes[LOST]))


@pytest.fixture(scope="module")
def stage(engine: Engine, images: Images, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A cluster of three nodes with every set-up on it."""
    with serving_rig.cluster_in(tmp_path_factory.mktemp("serving"), images) as cluster:
        nodes = sorted(n["metadata"]["name"] for n in cluster.resource("v1", "Node").list())
        made = Stage(cluster, images, engine, nodes)
        apply_all(made)
        yield made


@pytest.mark.parametrize("check", list(TRIALS))
def test_the_good_set_up_passes(check: str, stage: Stage) -> None:
    """What is as it should be loses nothing that its users may not feel."""
    found = serving_rig.part(stage.judge(check), f"{SHOP}-{BASES.get(check, 'serving')}")
    assert verdict(found) == "passed", told(stage.judge(check).findings)


@pytest.mark.parametrize(("name", "check"), PLACED)
def test_the_mutant_fails_its_checks(name: str, check: str, stage: Stage) -> None:
    """The check that the mutant names fails on it."""
    found = serving_rig.part(stage.judge(check), name)
    assert verdict(found) == "failed", told(found)


@pytest.mark.parametrize("name", sorted(m.name for m in MUTANTS.values() if set(m.checks) & set(TRIALS)))
def test_the_findings_say_why(name: str, stage: Stage) -> None:
    """The failed findings hold the words that the mutant asks for."""
    mutant = next(m for m in MUTANTS.values() if m.name == name)
    text = "\n".join(
        told([f for f in serving_rig.part(stage.judge(check), name) if str(f.verdict) == "failed"])
        for check in mutant.checks
    ).replace(f" {name}/", f" {SHOP}/")
    assert [words for words in mutant.says if words not in text] == [], text


@cache
def _catalogue() -> Catalogue:
    return Catalogue.of([bundled("suites", "availability")])


def test_every_trial_is_a_check() -> None:
    """What is proved here is what the suite runs."""
    assert set(TRIALS) <= set(_catalogue().checks)
