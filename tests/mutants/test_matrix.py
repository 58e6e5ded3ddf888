"""The detection matrix: every check passes on the good set-up and fails on each of its mutants, on real clusters."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pytest_k8sha.checks import mutants
from pytest_k8sha.checks.catalogue import Catalogue
from pytest_k8sha.model import Impact

ROOT = Path(__file__).resolve().parents[2]
MUTANTS = mutants.load([ROOT / "fixtures" / "mutants"])
CATALOGUE = Catalogue.of([ROOT / "suites"])
CHECKED = sorted({spec.suite for spec in CATALOGUE.checks.values()})


@dataclass(frozen=True)
class Share:
    """One mutant's part of a run that judges many."""

    batch: Future[Any]
    name: str

    def result(self, timeout: float) -> Any:
        return self.batch.result(timeout)[self.name]


def _shares(mutant: mutants.Mutant) -> bool:
    """Whether a mutant can be judged beside others: workloads that checks look at and leave alone."""
    checks = [CATALOGUE.checks[check] for check in mutant.checks if check in CATALOGUE.checks]
    return (
        mutant.suite == "availability"
        and not (mutant.cluster or mutant.faults)
        and all(check.impact < Impact.DISRUPT for check in checks)
        and all(o["metadata"].get("namespace") == "shop" for o in mutant.overlay)
    )


BATCH = 14
"""Mutants that one run judges."""


def _lives_beside(mutant: mutants.Mutant) -> bool:
    """Whether a mutant can share the rig: tenants do not see each other, and backups are looked at."""
    if mutant.cluster or mutant.faults:
        return False
    checks = [CATALOGUE.checks[check] for check in mutant.checks if check in CATALOGUE.checks]
    return mutant.suite == "tenancy" or (
        mutant.suite == "restore" and all(check.impact < Impact.DISRUPT for check in checks)
    )


@pytest.fixture(scope="session")
def outcomes(rig: Any, request: pytest.FixtureRequest) -> dict[str, Any]:
    """Every run that the selected tests need, all on their way, the good set-ups first."""
    rig.matrix.titles.update({check: spec.title for check, spec in CATALOGUE.checks.items()})
    wanted = [item.callspec.params for item in request.session.items if hasattr(item, "callspec")]
    suites = [params["suite"] for params in wanted if "suite" in params]
    names = [params["name"] for params in wanted if "name" in params]
    found = {f"{suite}/good": rig.submit(suite, rig.good, suite) for suite in suites}
    together = [name for name in names if _shares(MUTANTS[name])]
    if together:
        batch = rig.apart(rig.batch, [MUTANTS[name] for name in together])
        found |= {name: Share(batch, MUTANTS[name].name) for name in together}
    for suite in ("tenancy", "restore"):
        beside = [name for name in names if MUTANTS[name].suite == suite and _lives_beside(MUTANTS[name])]
        for start in range(0, len(beside), BATCH):
            batch = rig.submit(suite, rig.aliases, [MUTANTS[name] for name in beside[start : start + BATCH]])
            found |= {name: Share(batch, MUTANTS[name].name) for name in beside[start : start + BATCH]}
        together += beside
    fleet = [name for name in names if MUTANTS[name].suite == "failover"]
    if fleet:
        batch = rig.submit("failover", rig.fleets, [MUTANTS[name] for name in fleet])
        found |= {name: Share(batch, MUTANTS[name].name) for name in fleet}
        together += fleet
    groups: dict[str, list[str]] = {}
    for name in set(names) - set(together):
        if MUTANTS[name].together:
            groups.setdefault(f"{MUTANTS[name].suite}/{MUTANTS[name].together}", []).append(name)
    for members in groups.values():
        batch = rig.apart(rig.together, [MUTANTS[name] for name in sorted(members)])
        found |= {name: Share(batch, MUTANTS[name].name) for name in members}
        together += members
    for name in sorted(set(names) - set(together)):
        mutant = MUTANTS[name]
        own = mutant.cluster or mutant.faults
        found[name] = rig.apart(rig.mutant, mutant) if own else rig.submit(mutant.suite, rig.mutant, mutant)
    return found


def _fetch(rig: Any, outcomes: dict[str, Any], name: str) -> Any:
    outcome = outcomes[name].result(timeout=900)
    rig.matrix.seconds[name] = round(outcome.seconds, 2)
    for result in outcome.results:
        rig.matrix.put(result["check"], name, result["verdict"])
    return outcome


@pytest.mark.parametrize("suite", CHECKED)
def test_every_check_passes_on_the_good_set_up(suite: str, rig: Any, outcomes: dict[str, Any]) -> None:
    """Each check of the suite passes; one that is not evaluated says that it lacks a capability of this rig."""
    outcome = _fetch(rig, outcomes, f"{suite}/good")
    checks = [check for check, spec in CATALOGUE.checks.items() if spec.suite == suite]
    seen = {check: outcome.verdicts(check) for check in checks}
    needing = {c for c in checks if CATALOGUE.checks[c].requires or CATALOGUE.checks[c].promises}
    needing |= {check for check in checks if check.startswith("RST-VEL-")}
    excused = {c for c in needing if seen[c] == ["not evaluated"]}
    wrong = {
        check: [(r["verdict"], r["reason"]) for r in outcome.of(check)]
        for check in checks
        if seen[check] != ["passed"] and check not in excused
    }
    assert not wrong, f"{wrong}\n{outcome.output[-4000:]}"


# Those of the network, of what serves and the escapes need pods that run, and are judged in tests/kind; those of Velero
# need its server: tests/integration/test_restore_velero.py.
OTHERS = {"network", "serving", "escapes", "tenant-crd", "velero"}


@pytest.mark.parametrize("name", sorted(n for n, m in MUTANTS.items() if m.suite not in OTHERS))
def test_the_mutant_fails_its_checks(name: str, rig: Any, outcomes: dict[str, Any]) -> None:
    """Each named check fails on the mutant, and the findings say why."""
    mutant = MUTANTS[name]
    outcome = _fetch(rig, outcomes, name)
    verdicts = {check: [(r["verdict"], r["reason"]) for r in outcome.of(check)] for check in mutant.checks}
    survived = {c: v for c, v in verdicts.items() if not any(verdict == "failed" for verdict, _ in v)}
    assert not survived, f"{mutant.title}: {survived}\n{outcome.output[-4000:]}"
    told = outcome.told(mutant.checks)
    silent = [text for text in mutant.says if text not in told]
    assert not silent, f"{mutant.title}: the findings do not say {silent}; they say:\n{told}"


def test_every_check_has_a_mutant() -> None:
    """A check without a mutant is a claim without proof."""
    proved = {check for mutant in MUTANTS.values() for check in mutant.checks}
    assert set(CATALOGUE.checks) - proved == set()


def test_every_mutant_names_checks_that_exist() -> None:
    """A mutant of a check that nobody wrote proves nothing."""
    unknown = {name: set(m.checks) - set(CATALOGUE.checks) for name, m in MUTANTS.items()}
    assert {name: ids for name, ids in unknown.items() if ids} == {}
